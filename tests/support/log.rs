//! What the crate tells of its work, caught.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::fmt::MakeWriter;

/// Every event of this crate on this thread, one line each, as long as this value lives.
///
/// It must hold no token: see `MARKS`.
pub(crate) struct Log {
    caught: Caught,
    _guard: DefaultGuard,
    _second: Dispatch,
}

/// What every token holds that a fake server mints.
const MARKS: [&str; 4] = ["fake-refresh-", "fake-customer-", "fake-provider-", "fake-m2m-"];

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
        // While there is one subscriber alone, an event that another test's thread is the first to
        // pass is switched off for every thread. With a second one, every subscriber is asked.
        let _second = Dispatch::new(NoSubscriber::new());
        Log { caught, _guard: tracing::subscriber::set_default(subscriber), _second }
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
        let text = String::from_utf8_lossy(line);
        if MARKS.iter().any(|mark| text.contains(mark)) {
            // A panic could be caught on its way, by a task or by the credential itself.
            let _ = writeln!(io::stderr().lock(), "P5 is broken: a token in an event: {text}");
            std::process::exit(101);
        }
        self.lines.lock().unwrap().push(text.trim_end().to_owned());
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
