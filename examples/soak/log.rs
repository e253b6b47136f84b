//! The log, searched for tokens while it is written.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// What this crate says at every level, and what the client below it does.
const FILTER: &str = "warn,tower_teamup_auth=trace,hyper_util=debug,soak=trace";

/// The event of each retry. The journals tell retries by the name of a caller alone, so counting there
/// would need every name.
const RETRIED: &[u8] = b"request retried with a new token";

#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Counts>);

#[derive(Default)]
struct Counts {
    lines: AtomicUsize,
    retries: AtomicUsize,
    leaks: AtomicUsize,
}

/// Listens to the whole process from now on.
pub(crate) fn watch() -> anyhow::Result<Log> {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(FILTER)?)
        .with_ansi(false)
        .with_writer(log.clone())
        .try_init()
        .map_err(anyhow::Error::from_boxed)?;
    Ok(log)
}

impl Log {
    pub(crate) fn lines(&self) -> usize {
        self.0.lines.load(Ordering::Relaxed)
    }

    /// How many requests were retried.
    pub(crate) fn retries(&self) -> usize {
        self.0.retries.load(Ordering::Relaxed)
    }

    /// How many lines held a token.
    pub(crate) fn leaks(&self) -> usize {
        self.0.leaks.load(Ordering::Relaxed)
    }
}

/// Does this hold a token of a fake server?
pub(crate) fn holds_a_token(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.match_indices("fake-").any(|(at, _)| {
        ["refresh-", "customer-", "provider-"].iter().any(|kind| text[at + 5..].starts_with(kind))
    })
}

impl Write for Log {
    /// Called once for each line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lines.fetch_add(1, Ordering::Relaxed);
        if line.windows(RETRIED.len()).any(|words| words == RETRIED) {
            self.0.retries.fetch_add(1, Ordering::Relaxed);
        }
        if holds_a_token(line) {
            self.0.leaks.fetch_add(1, Ordering::Relaxed);
            eprintln!("a token in the log: {}", String::from_utf8_lossy(line));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}
