//! The one place where time is read.
//!
//! Expiry is judged on two clocks at once, and the earlier verdict wins: the monotonic clock does
//! not run while a laptop is suspended, and the wall clock can be set back by a person.

#![expect(clippy::disallowed_methods, reason = "the clock's own file")]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where a credential reads the time.
///
/// [`Clock::system`] is the default. [`Clock::tokio`] follows `tokio::time`, paused time included,
/// so that a test can let a token grow old without waiting:
///
/// ```
/// use std::time::Duration;
/// use tower_teamup_auth::token::Clock;
///
/// let clock = Clock::tokio();
/// clock.shift_wall(Duration::from_secs(3600)); // somebody sets the wall clock, an hour ahead
/// ```
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Tokio(Arc<TokioSource>),
}

struct TokioSource {
    started: tokio::time::Instant,
    wall_at_start: u64,
    wall_shift: AtomicI64,
}

/// One reading of both clocks, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Moment {
    /// Milliseconds on the monotonic clock, from an arbitrary origin.
    pub(crate) monotonic: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) wall: u64,
}

impl Moment {
    /// Later than every reading: what never comes.
    pub(crate) const NEVER: Moment = Moment { monotonic: u64::MAX, wall: u64::MAX };

    /// Earlier than every reading: what has already come.
    #[cfg(test)]
    pub(crate) const PAST: Moment = Moment { monotonic: 0, wall: 0 };

    /// Has `deadline` come, by either clock?
    #[inline]
    pub(crate) fn has_reached(self, deadline: Moment) -> bool {
        self.monotonic >= deadline.monotonic || self.wall >= deadline.wall
    }

    pub(crate) fn plus(self, duration: Duration) -> Moment {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Moment {
            monotonic: self.monotonic.saturating_add(millis),
            wall: self.wall.saturating_add(millis),
        }
    }

    /// The moment that either of the two has come by, on each clock.
    pub(crate) fn or_earlier(self, other: Moment) -> Moment {
        Moment { monotonic: self.monotonic.min(other.monotonic), wall: self.wall.min(other.wall) }
    }

    /// The moment by which both have come, on each clock.
    pub(crate) fn or_later(self, other: Moment) -> Moment {
        Moment { monotonic: self.monotonic.max(other.monotonic), wall: self.wall.max(other.wall) }
    }

    /// How long the monotonic clock takes from here to `later`. A limit on a wait is counted so: nobody gives
    /// up because the wall clock was set.
    pub(crate) fn until(self, later: Moment) -> Duration {
        Duration::from_millis(later.monotonic.saturating_sub(self.monotonic))
    }

    /// The wall clock's reading as the standard library has it.
    pub(crate) fn wall_time(self) -> SystemTime {
        /// The end of the year 9999, which every system's times reach. Not all reach as far as the
        /// number does.
        const FAR: Duration = Duration::from_secs(253_402_300_799);
        let time = UNIX_EPOCH.checked_add(Duration::from_millis(self.wall));
        time.or_else(|| UNIX_EPOCH.checked_add(FAR)).unwrap_or(UNIX_EPOCH)
    }
}

impl Clock {
    /// The machine's own clocks, at the resolution of its timer tick (a few milliseconds).
    pub fn system() -> Self {
        Clock(Source::System)
    }

    /// A clock that follows `tokio::time`: it stands still while time is paused, and moves when a
    /// test advances it. The wall clock starts at the machine's and moves along.
    pub fn tokio() -> Self {
        Clock(Source::Tokio(Arc::new(TokioSource {
            started: tokio::time::Instant::now(),
            wall_at_start: unix_millis(),
            wall_shift: AtomicI64::new(0),
        })))
    }

    /// Sets the wall clock of a [`Clock::tokio`] ahead by `by`; the monotonic clock stays. Has no
    /// effect on [`Clock::system`].
    pub fn shift_wall(&self, by: Duration) {
        self.shift_wall_millis(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    /// Sets the wall clock of a [`Clock::tokio`] back by `by`; the monotonic clock stays. Has no
    /// effect on [`Clock::system`].
    pub fn shift_wall_back(&self, by: Duration) {
        self.shift_wall_millis(i64::try_from(by.as_millis()).map_or(i64::MIN, i64::saturating_neg));
    }

    fn shift_wall_millis(&self, millis: i64) {
        if let Source::Tokio(source) = &self.0 {
            source.wall_shift.fetch_add(millis, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        match &self.0 {
            Source::System => system_now(),
            Source::Tokio(source) => source.now(),
        }
    }
}

impl TokioSource {
    fn now(&self) -> Moment {
        let elapsed = millis(self.started.elapsed());
        Moment {
            monotonic: elapsed,
            wall: self
                .wall_at_start
                .saturating_add(elapsed)
                .saturating_add_signed(self.wall_shift.load(Ordering::Relaxed)),
        }
    }
}

/// Both coarse clocks: a request compares a token's age in minutes, and a coarse reading costs a
/// quarter of a precise one.
#[cfg(target_os = "linux")]
#[inline]
fn system_now() -> Moment {
    use rustix::time::{ClockId, clock_gettime};
    let read = |id| {
        let time = clock_gettime(id);
        // Neither part is ever negative: Linux refuses to set its clocks before 1970.
        (time.tv_sec as u64)
            .wrapping_mul(1000)
            .wrapping_add(u64::from(time.tv_nsec as u32 / 1_000_000))
    };
    Moment { monotonic: read(ClockId::MonotonicCoarse), wall: read(ClockId::RealtimeCoarse) }
}

#[cfg(not(target_os = "linux"))]
fn system_now() -> Moment {
    use std::sync::OnceLock;
    use std::time::Instant;
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    Moment { monotonic: millis(ORIGIN.get_or_init(Instant::now).elapsed()), wall: unix_millis() }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since the Unix epoch; a clock before 1970 reads as 1970.
fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

/// The end of a time limit, on Tokio's clock: the one that its timers run on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(tokio::time::Instant);

impl Deadline {
    /// `limit` from now; a limit beyond what the clock can express never ends.
    pub(crate) fn after(limit: Duration) -> Self {
        const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);
        let now = tokio::time::Instant::now();
        Deadline(now.checked_add(limit.min(FAR)).unwrap_or(now))
    }

    /// What is left of it; zero once it is over.
    pub(crate) fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(tokio::time::Instant::now())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Clock::system()",
            Source::Tokio(_) => "Clock::tokio()",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_earlier_of_the_two_clocks_wins() {
        let clock = Clock::tokio();
        let deadline = clock.now().plus(Duration::from_secs(60));
        assert!(!clock.now().has_reached(deadline));

        // A suspended laptop: only the wall clock went on.
        clock.shift_wall(Duration::from_secs(60));
        assert!(clock.now().has_reached(deadline));

        // A clock set back: the monotonic one still tells.
        clock.shift_wall_back(Duration::from_secs(7200));
        assert!(!clock.now().has_reached(deadline));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(clock.now().has_reached(deadline));
    }

    #[test]
    fn nothing_overflows_and_never_never_comes() {
        let far = Clock::system().now().plus(Duration::MAX);
        assert_eq!(far, Moment::NEVER);
        assert!(!Clock::system().now().has_reached(far));
        assert!(Clock::system().now().has_reached(Moment::PAST));
    }
}
