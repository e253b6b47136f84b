//! The layer.

use std::convert::Infallible;
use std::future::ready;

use futures_util::FutureExt;
use http::Request;
use http::header::CONTENT_LENGTH;
use tokio_test::{assert_pending, assert_ready_ok};
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::body::{RepeatableBody, ReplayBody, ReplayBodyLayer};

use crate::script::{Failed, Says, Script, Step, at_end, bounds, copy_of, data, next_data};

/// What a layer with a cap of eight bytes makes of a body.
fn through_layer(content_length: Option<&str>, script: Script) -> ReplayBody<Script> {
    let mut request = Request::new(script);
    if let Some(length) = content_length {
        request.headers_mut().insert(CONTENT_LENGTH, length.parse().expect("a header value"));
    }
    let service = ServiceBuilder::new()
        .layer(ReplayBodyLayer::new().max_bytes(8))
        .service_fn(|request: Request<_>| ready(Ok::<_, Infallible>(request)));
    let Ok(request) = service.oneshot(request).now_or_never().expect("nothing to wait for");
    request.into_body()
}

#[test]
fn the_layer_sets_the_cap() {
    for (sent, complete) in [("12345678", true), ("123456789", false)] {
        let mut body = through_layer(None, Script::new([data(sent)]));
        let copy = copy_of(&mut body);
        while !at_end(&mut body) {}
        assert_eq!(copy.is_complete(), complete);
    }
}

#[test]
fn the_layer_tells_a_stream_its_content_length() {
    let script = Script::new([data("al"), data("l"), Step::Wait]);
    for (length, complete) in [
        (Some("3"), true),
        // The end is not where the request says, or the request doesn't say.
        (Some("4"), false),
        (Some("2"), false),
        (Some("three"), false),
        (None, false),
    ] {
        let mut body = through_layer(length, script.clone());
        let copy = copy_of(&mut body);
        next_data(&mut body);
        next_data(&mut body);
        drop(body);
        assert_eq!(copy.is_complete(), complete, "{length:?}");
    }
}

#[test]
fn p9_a_stream_that_belies_its_content_length_is_not_complete() {
    let mut body = through_layer(Some("4"), Script::new([data("all")]));
    let copy = copy_of(&mut body);
    while !at_end(&mut body) {}
    assert!(!copy.is_complete());
}

#[test]
fn a_content_length_over_the_cap_is_not_kept_at_all() {
    assert!(through_layer(Some("9"), Script::new([data("123456789")])).try_clone().is_none());
}

#[tokio::test]
async fn the_layer_changes_nothing_but_the_body() {
    let (mut service, mut handle) =
        tower_test::mock::spawn_layer::<Request<ReplayBody<Script>>, &str, _>(
            ReplayBodyLayer::default(),
        );
    handle.allow(0);
    assert_pending!(service.poll_ready::<Request<Script>>());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());

    let request = Request::post("https://goteamup.com/").header("x-kept", "1");
    let answer = service.call(request.body(Script::new([])).expect("a request"));
    let (request, respond) = handle.next_request().await.expect("a request");
    assert_eq!(request.method(), "POST");
    assert_eq!(request.headers()["x-kept"], "1");
    respond.send_error(Failed);
    let error = answer.await.expect_err("an error");
    assert!(error.is::<Failed>());
}

#[test]
fn size_hint_counts_what_was_found_ahead() {
    // The request says three bytes, the stream has more and says so.
    let script = Script::new([data("abc"), data("def"), data("gh")]).says(Says::Between(1, 1));
    let mut body = through_layer(Some("3"), script);
    let _copy = copy_of(&mut body);
    assert_eq!(bounds(&body), (7, Some(9)));
    assert_eq!(next_data(&mut body), "abc");
    assert_eq!(bounds(&body), (4, Some(6)));
    assert_eq!(next_data(&mut body), "def");
    assert_eq!(bounds(&body), (1, Some(3)));
}
