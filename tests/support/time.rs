//! The time of a test, which is paused.

use std::time::{Duration, SystemTime};

/// How much of the test's time has passed. It follows paused time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(tokio::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a test measures the time that it has paused")]
    pub(crate) fn start() -> Self {
        Stopwatch(tokio::time::Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The wall clock, from which a paused one starts.
#[expect(clippy::disallowed_methods, reason = "expiries and `Retry-After` are a wall clock's")]
pub(crate) fn wall_time() -> SystemTime {
    SystemTime::now()
}
