//! A witness of all that a test program says: every event and span of this crate, what other crates
//! tell from `info` on, every metric, and every error and every `Debug` that passes the tests' own
//! rooms. It searches each of them for tokens and ends the whole program when it finds one: a panic
//! could be caught on its way, by a task or by the credential itself.
//!
//! Every token that the tests' servers mint, and every one that the tests make up, bears a mark that
//! stands in nothing else.

#![allow(dead_code, reason = "each test program takes what it needs")]

use std::cell::RefCell;
use std::error::Error;
use std::fmt::Debug;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// What every token holds that a fake server mints, or that a test makes up.
const MARKS: [&str; 6] =
    ["s3cret", "fake-refresh-", "fake-customer-", "fake-provider-", "fake-m2m-", "by-somebody-"];

static LINES: AtomicUsize = AtomicUsize::new(0);
static METRICS: AtomicUsize = AtomicUsize::new(0);

type Text = Arc<Mutex<Vec<u8>>>;

thread_local! {
    /// Where what is said on this thread goes as well; each test has a thread of its own.
    static HEARD: RefCell<Option<Text>> = const { RefCell::new(None) };
}

/// Listens to the whole program from now on. To be called wherever a test begins to build something;
/// all calls but the first do nothing.
///
/// There is one subscriber for the whole program: with one for each thread, `tracing` may decide on
/// another test's thread that nobody listens to an event, and remember it.
pub(crate) fn watch() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let lines = tracing_subscriber::fmt::layer()
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(|| Ear)
            .with_filter(WorthHearing);
        tracing_subscriber::registry().with(lines).init();
        assert!(metrics::set_global_recorder(Ear).is_ok(), "the first recorder");
    });
}

/// Does this text hold a token?
pub(crate) fn finds_a_token_in(text: &str) -> bool {
    MARKS.iter().any(|mark| text.contains(mark))
}

/// Ends the program if `text` holds a token.
pub(crate) fn search(what: &str, text: &str) {
    if finds_a_token_in(text) {
        // Past the capturing of the test's output, which would end with the program.
        let _ = writeln!(io::stderr().lock(), "P5 is broken: a token in {what}: {text}");
        std::process::exit(101);
    }
}

/// Searches what a value shows of itself.
pub(crate) fn look_at(value: &impl Debug) {
    search("a Debug", &format!("{value:?} {value:#?}"));
}

/// Searches an error and all that lies behind it, in every way in which it can be shown.
pub(crate) fn look_at_error(error: &(dyn Error + 'static)) {
    for error in std::iter::successors(Some(error), |&error| error.source()) {
        search("an error", &format!("{error} {error:#} {error:?} {error:#?}"));
    }
}

/// How many lines were searched so far, and how many times a metric was looked up.
pub(crate) fn heard_so_far() -> (usize, usize) {
    (LINES.load(Ordering::Relaxed), METRICS.load(Ordering::Relaxed))
}

/// All that is said on this thread, from every crate and at every level, until it is dropped.
pub(crate) struct Heard(Text);

impl Heard {
    pub(crate) fn start() -> Self {
        watch();
        let text = Text::default();
        HEARD.set(Some(Arc::clone(&text)));
        Heard(text)
    }

    /// One event to a line.
    pub(crate) fn text(&self) -> String {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
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

impl Drop for Heard {
    fn drop(&mut self) {
        HEARD.set(None);
    }
}

/// This crate always, the others from `info` on, and all of it where a test listens.
struct WorthHearing;

impl WorthHearing {
    fn is_always_heard(metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("tower_teamup_auth")
            || *metadata.level() <= tracing::Level::INFO
    }
}

impl Filter<Registry> for WorthHearing {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: &Context<'_, Registry>) -> bool {
        WorthHearing::is_always_heard(metadata) || HEARD.with_borrow(Option::is_some)
    }

    fn callsite_enabled(&self, metadata: &'static tracing::Metadata<'static>) -> Interest {
        if WorthHearing::is_always_heard(metadata) {
            Interest::always()
        } else {
            Interest::sometimes()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}

/// Hears lines and metrics.
struct Ear;

impl Write for Ear {
    /// The subscriber writes each line in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.fetch_add(1, Ordering::Relaxed);
        search("an event or a span", &String::from_utf8_lossy(line));
        if let Some(text) = HEARD.with_borrow(Clone::clone) {
            text.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Ear {
    fn hear(key: &Key) {
        METRICS.fetch_add(1, Ordering::Relaxed);
        search("a metric", &format!("{key} {key:?}"));
    }
}

impl Recorder for Ear {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Ear::hear(key);
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Ear::hear(key);
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Ear::hear(key);
        Histogram::noop()
    }
}
