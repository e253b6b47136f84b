//! P9: a body that can't be sent again is sent exactly once; one that can arrives the same twice.

use std::convert::Infallible;
use std::io::Cursor;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Version};
use http_body::{Frame, SizeHint};
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use http_body_util::{BodyExt, Either, Empty, Full};
use tower::{BoxError, Layer, ServiceExt};
use tower_teamup_auth::body::{RepeatableBody, SendOnce};
use tower_teamup_auth::{AuthLayer, Error, PROVIDER_ID, REQUEST_MODE};

use crate::support::server::{Call, Seen, Server};
use crate::support::*;
use crate::witness::Heard;

const TEXT: &str = "name=yoga&size=12";

fn post<B>(body: B) -> Request<B> {
    Request::post(format!("{BASE}/events")).body(body).unwrap()
}

/// Sends a body whose token was just revoked; hands out the last status and what was seen.
async fn rejected_once<B>(body: B) -> (StatusCode, Vec<Seen>)
where
    B: RepeatableBody + http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    server.expire_everything();
    let response = client.clone().oneshot(post(body)).await.unwrap();
    let reason = Error::find(&response);
    assert!(reason.is_none_or(Error::is_retryable_by_caller), "{reason:?}");
    assert_eq!(reason.is_some(), response.status() == StatusCode::UNAUTHORIZED);
    let seen = server.seen_calls();
    // Repeated or not, the token was renewed: the next request finds it.
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!((server.seen_calls().len(), server.granted()), (seen.len() + 1, 1));
    (response.status(), seen)
}

#[tokio::test(start_paused = true)]
async fn p9_body_that_cant_be_sent_again_is_sent_once_and_the_next_request_finds_the_new_token() {
    let trace = Heard::start();
    let full = || Full::new(Bytes::from(TEXT));
    let boxed: BoxBody<Bytes, Infallible> = full().boxed();
    let unsync: UnsyncBoxBody<Bytes, Infallible> = full().boxed_unsync();
    let either: Either<Body, BoxBody<Bytes, Infallible>> = Either::Right(full().boxed());
    for (status, seen) in [
        rejected_once(SendOnce::new(full())).await,
        rejected_once(boxed).await,
        rejected_once(unsync).await,
        rejected_once(either).await,
        rejected_once(Box::new(SendOnce::new(full()))).await,
    ] {
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].body, TEXT);
    }
    assert_eq!(trace.count("request not retried"), 5);
    assert_eq!(trace.count("request retried"), 0);
}

#[tokio::test(start_paused = true)]
async fn p9_body_that_cant_be_sent_again_is_sent_once_by_credentials_that_its_request_brought() {
    let server = Server::new();
    let client = AuthLayer::per_request().layer(checked(&server));
    let credentials = good(&server).await;
    server.expire_everything();
    let mut request = post(SendOnce::new(Full::<Bytes>::from(TEXT)));
    request.extensions_mut().insert(credentials);
    let response = client.oneshot(request).await.unwrap();
    assert!(Error::find(&response).is_some_and(Error::is_retryable_by_caller));
    assert_eq!((server.seen_calls().len(), server.granted()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn p9_body_that_can_be_sent_again_arrives_the_same_on_the_retry() {
    let trace = Heard::start();
    let full = || Full::new(Bytes::from(TEXT));
    let either: Either<Body, BoxBody<Bytes, Infallible>> = Either::Left(full());
    for (text, (status, seen)) in [
        (TEXT, rejected_once(full()).await),
        (TEXT, rejected_once(Full::new(TEXT.as_bytes())).await),
        (TEXT, rejected_once(Full::new(Cursor::new(Bytes::from(TEXT)))).await),
        (TEXT, rejected_once(either).await),
        (TEXT, rejected_once(Box::new(full())).await),
        ("", rejected_once(Empty::<Bytes>::new()).await),
    ] {
        assert_eq!(status, StatusCode::OK);
        assert_eq!(seen.len(), 2);
        assert_eq!((&seen[0].body[..], &seen[1].body[..]), (text.as_bytes(), text.as_bytes()));
    }
    assert_eq!(trace.count("request retried with a new token"), 6);
}

#[tokio::test(start_paused = true)]
async fn p9_body_that_cant_be_sent_again_waits_for_a_missing_token_before_it_is_sent() {
    let server = Server::new();
    let client = client(&expired(&server).await, &server);
    let body = SendOnce::new(Full::new(Bytes::from(TEXT)));
    let response = client.oneshot(post(body)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(server.seen_calls().len(), 1);
    assert_eq!(server.seen_calls()[0].body, TEXT);
}

/// A body that knows how many of it there are.
struct Tracked {
    text: Option<Bytes>,
    alive: Arc<AtomicUsize>,
    complete: Arc<AtomicBool>,
}

impl Tracked {
    fn new() -> Self {
        let alive = Arc::new(AtomicUsize::new(1));
        Tracked { text: Some(Bytes::from(TEXT)), alive, complete: Arc::new(AtomicBool::new(true)) }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl RepeatableBody for Tracked {
    fn try_clone(&mut self) -> Option<Self> {
        self.alive.fetch_add(1, Ordering::SeqCst);
        let (alive, complete) = (Arc::clone(&self.alive), Arc::clone(&self.complete));
        Some(Tracked { text: self.text.clone(), alive, complete })
    }

    fn is_complete(&self) -> bool {
        self.complete.load(Ordering::SeqCst)
    }
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.text.take().map(|text| Ok(Frame::data(text))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[tokio::test(start_paused = true)]
async fn p9_copy_of_a_body_is_dropped_with_the_first_answer_that_is_not_401() {
    for call in [Call::Judged, Call::Answered(500, &[]), Call::Failed("the wire was cut")] {
        let server = Server::new();
        let client = client(&good(&server).await, &server);
        server.next_calls([call.clone()]);
        server.calls().hold();
        let body = Tracked::new();
        let alive = Arc::clone(&body.alive);
        let mut future = tokio_test::task::spawn(client.clone().oneshot(post(body)));
        while server.calls().count() == 0 {
            assert!(future.poll().is_pending());
            tokio::task::yield_now().await;
        }
        // The body was sent, and its copy waits for what the server says.
        assert_eq!(alive.load(Ordering::SeqCst), 1);
        server.calls().open();
        let answer = tokio_test::assert_ready!(future.poll());
        assert_eq!(alive.load(Ordering::SeqCst), 0, "{call:?}");
        drop(answer);
    }
}

#[tokio::test(start_paused = true)]
async fn p9_copy_of_a_body_is_handed_over_to_the_retry_and_no_third_one_is_made() {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    server.next_calls([Call::Answered(401, &[])]);
    let body = Tracked::new();
    let alive = Arc::clone(&body.alive);
    server.refresh_requests().hold();
    let future = tokio::spawn(client.clone().oneshot(post(body)));
    server.refresh_requests().arrived(1).await;
    run_pending_tasks().await;
    assert_eq!(alive.load(Ordering::SeqCst), 1);
    server.calls().hold();
    server.refresh_requests().open();
    server.calls().arrived(2).await;
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    server.calls().open();
    assert_eq!(future.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn p9_body_that_is_still_being_sent_when_the_401_comes_is_never_retried() {
    for completes_later in [false, true] {
        let server = Server::new();
        let client = client(&good(&server).await, &server);
        server.expire_everything();
        let body = Tracked::new();
        let (alive, complete) = (Arc::clone(&body.alive), Arc::clone(&body.complete));
        complete.store(false, Ordering::SeqCst);
        server.refresh_requests().hold();
        let future = tokio::spawn(client.clone().oneshot(post(body)));
        server.refresh_requests().arrived(1).await;
        run_pending_tasks().await;
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        complete.store(completes_later, Ordering::SeqCst);
        server.refresh_requests().open();
        let response = future.await.unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(server.seen_calls().len(), 1);
        assert_eq!(status(&client).await, StatusCode::OK);
        assert_eq!(server.granted(), 1);
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Mine(&'static str);

/// A request with everything that a retry could lose.
fn elaborate() -> Request<Body> {
    let mut secret = HeaderValue::from_static("session=of-the-caller");
    secret.set_sensitive(true);
    let mut request = Request::builder()
        .method(Method::from_bytes(b"PURGE-ALL").unwrap())
        .version(Version::HTTP_2)
        .uri("https://api.test/api/v2/events?page=2&name=%C3%A4;b=+")
        .header("x-tag", "first")
        .header("cookie", secret)
        .header("x-tag", "second")
        .header("x-empty", "")
        .header("x-opaque", HeaderValue::from_bytes(b"caf\xe9 \xff").unwrap())
        .header("x-tag", "first")
        .header("x-long", "l".repeat(9000))
        .header(REQUEST_MODE, "customer")
        .header(PROVIDER_ID, "12")
        .extension(Mine("kept"))
        .body(Body::from(TEXT))
        .unwrap();
    for index in 0..100 {
        let name = http::HeaderName::try_from(format!("x-number-{index}")).unwrap();
        request.headers_mut().append(name, HeaderValue::from(index));
    }
    request
}

#[tokio::test(start_paused = true)]
async fn p9_retry_is_the_same_request_save_for_its_token() {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    // More than once: what remembers a request is used again.
    for _ in 0..3 {
        server.expire_everything();
        let response = send(&client, elaborate()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let mut calls = server.seen_calls();
        let (second, first) = (calls.pop().unwrap(), calls.pop().unwrap());
        for seen in [&first, &second] {
            let mut headers = seen.headers.clone();
            let token = headers.remove("authorization").unwrap();
            assert!(token.is_sensitive());
            let sent = elaborate();
            assert_eq!(&headers, sent.headers());
            let order: Vec<_> =
                seen.headers.keys().filter(|name| *name != "authorization").collect();
            assert_eq!(order, sent.headers().keys().collect::<Vec<_>>());
            let values = |name| seen.headers.get_all(name).iter().collect::<Vec<_>>();
            assert_eq!(values("x-tag"), ["first", "second", "first"]);
            assert_eq!(values("authorization").len(), 1);
            assert!(seen.headers["cookie"].is_sensitive());
            assert!(!seen.headers["x-opaque"].is_sensitive());
            assert_eq!(seen.method.as_str(), "PURGE-ALL");
            assert_eq!(seen.version, Version::HTTP_2);
            assert_eq!(seen.uri, *sent.uri());
            assert_eq!(seen.extensions.get(), Some(&Mine("kept")));
            assert_eq!(seen.body, TEXT);
        }
        assert_ne!(first.token(), second.token());
    }
}

#[tokio::test(start_paused = true)]
async fn p9_request_that_is_remembered_leaves_no_trace_in_the_next_one() {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    send(&client, elaborate()).await.unwrap();
    server.expire_everything();
    send(&client, get("/plain")).await.unwrap();
    for seen in &server.seen_calls()[1..] {
        assert_eq!(seen.headers.len(), 2, "{:?}", seen.headers);
        assert_eq!((&seen.method, seen.version), (&Method::GET, Version::HTTP_11));
        assert_eq!(seen.extensions.get::<Mine>(), None);
        assert!(seen.body.is_empty());
    }
}
