//! tower-http's `Trace`. Above, it sees one request for each call; below, each that is sent, with
//! the token on it.

use std::io;
use std::sync::{Arc, Mutex};

use tower::ServiceBuilder;
use tower_http::trace::{DefaultMakeSpan, TraceLayer};
use tracing::Level;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::Setup;

/// What is logged while it is there, in this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen() -> (Self, DefaultGuard) {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::DEBUG)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
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

const STARTED: &str = "started processing request";

#[tokio::test]
async fn above_trace_sees_one_request() {
    let setup = Setup::new().await;
    let api = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(setup.auth())
        .service(setup.client.clone());
    let (log, _guard) = Log::listen();
    setup.survives_an_expiry(api).await;
    let text = log.text();
    assert_eq!(text.matches(STARTED).count(), 1, "{text}");
    assert!(text.contains("status=200") && !text.contains("status=401"), "{text}");
}

#[tokio::test]
async fn p5_below_trace_sees_both_sends_and_no_token() {
    let setup = Setup::new().await;
    let with_headers = DefaultMakeSpan::new().level(Level::INFO).include_headers(true);
    let api = ServiceBuilder::new()
        .layer(setup.auth())
        .layer(TraceLayer::new_for_http().make_span_with(with_headers))
        .service(setup.client.clone());
    let (log, _guard) = Log::listen();
    setup.survives_an_expiry(api).await;
    let text = log.text();
    assert_eq!(text.matches(STARTED).count(), 2, "{text}");
    assert!(text.contains("\"authorization\": Sensitive"), "{text}");
    assert!(!text.contains("fake-provider-") && !text.contains("fake-refresh-"), "{text}");
}
