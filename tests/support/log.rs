//! What the crate tells of its work, caught.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// Every event of this crate on this thread, one line each, as long as this value lives.
pub(crate) struct Log {
    caught: Caught,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Caught {
    lines: Arc<Mutex<Vec<String>>>,
    changed: Arc<Notify>,
}

impl Log {
    /// Catches what happens on this thread, so the test must run on it alone.
    pub(crate) fn catch() -> Self {
        let caught = Caught::default();
        let subscriber = subscriber(caught.clone());
        Log { caught, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Is there an event that says this?
    pub(crate) fn says(&self, text: &str) -> bool {
        self.caught.lines.lock().unwrap().iter().any(|line| line.contains(text))
    }

    /// Waits for an event that says this.
    pub(crate) async fn until_it_says(&self, text: &str) {
        let said = async {
            loop {
                let changed = self.caught.changed.notified();
                if self.says(text) {
                    return;
                }
                changed.await;
            }
        };
        let said = tokio::time::timeout(Duration::from_secs(120), said).await;
        assert!(said.is_ok(), "waited in vain for {text:?}: {}", self.text());
    }

    pub(crate) fn text(&self) -> String {
        self.caught.lines.lock().unwrap().join("\n")
    }
}

/// A subscriber that writes each event of this crate as one line, and nothing else.
pub(crate) fn subscriber<W>(writer: W) -> impl tracing::Subscriber
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_env_filter("tower_teamup_auth=debug")
        .with_ansi(false)
        .without_time()
        .with_writer(writer)
        .finish()
}

impl Write for Caught {
    /// The subscriber writes each event in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.lock().unwrap().push(String::from_utf8_lossy(line).trim_end().to_owned());
        self.changed.notify_waiters();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Caught {
    type Writer = Caught;

    fn make_writer(&self) -> Caught {
        self.clone()
    }
}
