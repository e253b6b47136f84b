//! tower-http's `Trace`. Above, it sees one request for each call; below, each that is sent, with
//! the token on it.

use tower::ServiceBuilder;
use tower_http::trace::{DefaultMakeSpan, TraceLayer};
use tracing::Level;

use crate::support::Setup;
use crate::witness::Heard;

const STARTED: &str = "started processing request";

#[tokio::test]
async fn above_trace_sees_one_request() {
    let setup = Setup::new().await;
    let api = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(setup.auth())
        .service(setup.client.clone());
    let log = Heard::start();
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
    let log = Heard::start();
    setup.survives_an_expiry(api).await;
    let text = log.text();
    assert_eq!(text.matches(STARTED).count(), 2, "{text}");
    assert!(text.contains("\"authorization\": Sensitive"), "{text}");
    assert!(!text.contains("fake-provider-") && !text.contains("fake-refresh-"), "{text}");
}
