//! An ear for events.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, Once};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::locked;

type Text = Arc<Mutex<Vec<u8>>>;

thread_local! {
    /// Where the events of this thread go; each test has a thread of its own.
    static HEARD: RefCell<Option<Text>> = const { RefCell::new(None) };
}

/// Hears every event and every span of this thread, whoever sends it, until it is dropped.
pub(crate) struct Trace(Text);

impl Trace {
    pub(crate) fn start() -> Self {
        // One subscriber for the whole process: with one for each thread, `tracing` may decide
        // on another test's thread that nobody listens to an event, and remember it.
        static LISTEN: Once = Once::new();
        LISTEN.call_once(|| {
            tracing_subscriber::fmt()
                .with_max_level(LevelFilter::TRACE)
                .with_span_events(FmtSpan::FULL)
                .with_ansi(false)
                .with_writer(|| Writer(HEARD.with_borrow(Clone::clone)))
                .init();
        });
        let text = Text::default();
        HEARD.set(Some(Arc::clone(&text)));
        Trace(text)
    }

    /// All that was heard, one event to a line.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&locked(&self.0)).into_owned()
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

impl Drop for Trace {
    fn drop(&mut self) {
        HEARD.set(None);
    }
}

struct Writer(Option<Text>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(text) = &self.0 {
            locked(text).extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
