//! An ear for events.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::format::FmtSpan;

use super::locked;

/// Hears every event and every span of this thread, whoever sends it, until it is dropped.
pub(crate) struct Trace {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: DefaultGuard,
}

impl Trace {
    pub(crate) fn start() -> Self {
        let text: Arc<Mutex<Vec<u8>>> = Arc::default();
        let writer = Arc::clone(&text);
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(move || Writer(Arc::clone(&writer)))
            .finish();
        Trace { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// All that was heard, one event to a line.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&locked(&self.text)).into_owned()
    }

    /// The lines of this crate that hold `what`.
    pub(crate) fn lines(&self, what: &str) -> Vec<String> {
        let ours = |line: &&str| line.contains("tower_teamup_auth") && line.contains(what);
        self.text().lines().filter(ours).map(str::to_owned).collect()
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.lines(what).len()
    }
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
