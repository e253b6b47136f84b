//! Bodies of known length: a client that sends a `Content-Length` over HTTP/1.1 drops the body
//! after that many bytes, and never sees its end.

use std::task::Poll;

use http_body::Body;
use tower_teamup_auth::body::{RepeatableBody, ReplayBody};

use crate::script::{
    Failed, Says, Script, Step, at_end, copy_of, data, next_data, poll, text, trailers,
};

#[tokio::test]
async fn a_body_of_known_length_is_complete_when_the_length_has_gone() {
    let mut body = ReplayBody::new(Script::new([data("all")]).says(Says::Exactly));
    let copy = copy_of(&mut body);
    assert_eq!(next_data(&mut body), "all");
    // It was asked ahead, so its end is known now.
    assert!(body.is_end_stream());
    assert!(copy.is_complete());
    assert!(at_end(&mut body));
    assert!(at_end(&mut body));
    assert_eq!(text(copy).await, "all");
}

#[test]
fn a_body_of_known_length_may_be_dropped_there() {
    let script = Script::new([data("al"), data("l"), Step::Wait]).says(Says::Exactly);
    let mut body = ReplayBody::new(script);
    let copy = copy_of(&mut body);
    next_data(&mut body);
    next_data(&mut body);
    assert!(!copy.is_complete());
    drop(body);
    assert!(copy.is_complete());
}

#[test]
fn p9_a_body_of_known_length_that_was_asked_for_more_is_not_complete() {
    let steps = [data("all"), Step::Wait, Step::Wait];
    let mut body = ReplayBody::new(Script::new(steps).says(Says::Exactly));
    let copy = copy_of(&mut body);
    next_data(&mut body);
    assert!(poll(&mut body).is_pending());
    drop(body);
    assert!(!copy.is_complete());
}

#[test]
fn p9_a_body_of_known_length_dropped_before_its_trailers_is_not_complete() {
    let steps = [data("all"), Step::Trailers(trailers("a"))];
    let mut body = ReplayBody::new(Script::new(steps.clone()).says(Says::Exactly));
    let copy = copy_of(&mut body);
    next_data(&mut body);
    assert!(!body.is_end_stream());
    drop(body);
    assert!(!copy.is_complete());

    let mut body = ReplayBody::new(Script::new(steps).says(Says::Exactly));
    let copy = copy_of(&mut body);
    next_data(&mut body);
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(frame))) if frame.is_trailers()));
    assert!(copy.is_complete());
}

#[test]
fn an_error_found_ahead_is_handed_on() {
    let mut body = ReplayBody::new(Script::new([data("all"), Step::Fail]).says(Says::Exactly));
    let copy = copy_of(&mut body);
    next_data(&mut body);
    assert!(!body.is_end_stream());
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Err(Failed)))));
    assert!(!copy.is_complete());
}
