//! P9: a body that can't be sent again is sent exactly once, and one that can arrives twice alike.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tower_teamup_auth::RequestMode::Provider;
use tower_teamup_auth::body::{RepeatableBody, ReplayBody, SendOnce};
use tower_teamup_auth::testing::{CALLER, Entry, FakeTeamUp, Fault, Route};
use tower_teamup_auth::{Auth, Error, TokenSet};

use crate::support::{Answer, Body, Http, Protocol, call, credentials, expired_tokens, layered};

/// The layer around a client whose requests carry `B`; the refresh request has a client of its own.
async fn api<B>(server: &FakeTeamUp, protocol: Protocol, tokens: TokenSet) -> Auth<Http<B>>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let builder = credentials(server, &protocol.client()).tokens(tokens);
    layered(builder.build().await.unwrap(), protocol.client())
}

/// A token that the API no longer takes, though it looks good to the client.
fn rejected_tokens(server: &FakeTeamUp) -> TokenSet {
    let tokens = server.issue_tokens(&[Provider]);
    server.expire_access_tokens();
    tokens
}

async fn upload<B>(api: &Auth<Http<B>>, server: &FakeTeamUp, caller: &str, body: B) -> Answer
where
    B: http_body::Body + RepeatableBody + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let request = Request::post(server.url("/uploads")).header(CALLER, caller).body(body).unwrap();
    call(api, request).await.unwrap()
}

/// What arrived at `/uploads`.
fn uploads(server: &FakeTeamUp) -> Vec<Entry> {
    let journal = server.journal();
    journal.entries().iter().filter(|entry| entry.route() == Route::Uploads).cloned().collect()
}

/// Bytes among which no two stretches are alike.
fn bytes(size: usize) -> Bytes {
    (0u32..).flat_map(u32::to_le_bytes).take(size).collect()
}

#[tokio::test]
async fn p9_a_body_that_may_be_sent_once_is_sent_once_and_the_next_call_finds_the_new_token() {
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::start().await;
        let api = api(&server, protocol, rejected_tokens(&server)).await;
        let body = || SendOnce::new(Full::new(bytes(10_000)));
        let answer = upload(&api, &server, "first", body()).await;
        assert_eq!((answer.status, uploads(&server).len()), (StatusCode::UNAUTHORIZED, 1));
        assert!(answer.body.starts_with(b"{\"code\""), "the 401 is the API's own");
        assert!(answer.reason.as_ref().is_some_and(Error::is_retryable_by_caller));
        assert_eq!(uploads(&server)[0].body().unwrap().size(), 10_000, "{protocol:?}");
        assert_eq!((server.refresh_requests(), server.rotations()), (1, 1), "{protocol:?}");

        let answer = upload(&api, &server, "second", body()).await;
        assert_eq!((answer.status, uploads(&server).len()), (StatusCode::OK, 2), "{protocol:?}");
        assert_eq!((server.refresh_requests(), server.retries()), (1, 0), "{protocol:?}");
    }
}

#[tokio::test]
async fn p9_a_body_that_may_be_sent_once_waits_for_a_token_that_is_due() {
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::start().await;
        let api = api(&server, protocol, expired_tokens(&server)).await;
        let answer = upload(&api, &server, "only", SendOnce::new(Full::new(bytes(10_000)))).await;
        assert_eq!((answer.status, uploads(&server).len()), (StatusCode::OK, 1), "{protocol:?}");
        assert_eq!((server.rotations(), server.unauthorized()), (1, 0), "{protocol:?}");
    }
}

#[tokio::test]
async fn p9_a_body_in_memory_arrives_twice_byte_by_byte_alike() {
    for protocol in Protocol::BOTH {
        for early in [false, true] {
            let server = FakeTeamUp::builder().refuse_before_body(early).start().await;
            let api = api::<Body>(&server, protocol, rejected_tokens(&server)).await;
            let sent = bytes(10_000);
            let answer = upload(&api, &server, "upload", Full::new(sent.clone())).await;
            assert_eq!(answer.status, 200, "{protocol:?} {early}");
            let [first, second] = &uploads(&server)[..] else {
                panic!("{}", server.journal());
            };
            assert_eq!((first.status(), second.is_retry()), (Some(StatusCode::UNAUTHORIZED), true));
            let second = second.body().unwrap();
            assert_eq!((second.size(), second.bytes()), (10_000, &sent), "{protocol:?} {early}");
            match first.body() {
                None => assert!(early, "the first body was read before it was refused"),
                Some(first) => assert_eq!((early, first.sha256()), (false, second.sha256())),
            }
        }
    }
}

/// Answers the first request with 401 after 64 KiB of its body and says that it closes the connection;
/// answers each later one with 200. Returns its origin, and how many bytes of each body arrived.
async fn closes_early() -> (String, mpsc::UnboundedReceiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (sizes, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut is_first = true;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = Vec::new();
            let head = loop {
                assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "no head");
                if let Some(at) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                    break at + 4;
                }
            };
            let wanted = if is_first { 64 * 1024 } else { LARGE };
            while seen.len() < head + wanted {
                assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "no body");
            }
            let status = if is_first { "401 Unauthorized" } else { "200 OK" };
            let answer =
                format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            sizes.send(seen.len() - head).unwrap();
            is_first = false;
            // What still comes is read and lost, so that the answer is not.
            tokio::spawn(async move {
                while stream.read_buf(&mut Vec::new()).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    (origin, received)
}

const LARGE: usize = 32 << 20;

/// The status of an upload of [`LARGE`] bytes to [`closes_early`], how many sends began, and the answer.
async fn upload_that_is_refused_early<B>(body: B) -> (u16, Vec<usize>, Option<Error>)
where
    B: http_body::Body + RepeatableBody + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let server = FakeTeamUp::start().await;
    let (origin, mut sizes) = closes_early().await;
    let builder = credentials(&server, &Protocol::Http1.client()).allow_origin(&origin);
    let credentials = builder.tokens(server.issue_tokens(&[Provider])).build().await.unwrap();
    let api = layered(credentials, Protocol::Http1.client());
    let request = Request::post(format!("{origin}/uploads")).body(body).unwrap();
    let answer = call(&api, request).await.unwrap();
    assert_eq!((server.refresh_requests(), server.rotations()), (1, 1));
    let mut begun = Vec::new();
    while let Ok(size) = sizes.try_recv() {
        begun.push(size);
    }
    (answer.status.as_u16(), begun, answer.reason)
}

#[tokio::test]
async fn e6_a_large_body_in_memory_is_retried_although_the_first_send_is_not_over() {
    let body = Full::new(Bytes::from(vec![b'x'; LARGE]));
    let (status, begun, reason) = upload_that_is_refused_early(body).await;
    assert_eq!((status, begun.len()), (200, 2), "{begun:?} {reason:?}");
    assert!(begun[0] < LARGE && begun[1] == LARGE, "{begun:?}");
    assert!(reason.is_none());

    // The neighbour: a recording that is not complete is not.
    let pieces = (0..LARGE >> 16).map(|_| Ok::<_, Infallible>(Frame::data(bytes(1 << 16))));
    let stream = StreamBody::new(futures_util::stream::iter(pieces));
    let body = ReplayBody::with_max_bytes(stream, LARGE);
    let (status, begun, reason) = upload_that_is_refused_early(body).await;
    assert_eq!((status, begun.len()), (401, 1), "{begun:?}");
    assert!(reason.is_some_and(|reason| reason.is_retryable_by_caller()));
}

#[tokio::test]
async fn e9_the_caller_of_a_401_that_was_renewed_can_tell_that_it_may_send_the_request_again() {
    let server = FakeTeamUp::start().await;
    let api = api(&server, Protocol::Http1, rejected_tokens(&server)).await;
    let gone = upload(&api, &server, "gone", SendOnce::new(Full::new(bytes(10)))).await;
    assert_eq!((gone.status, server.rotations()), (StatusCode::UNAUTHORIZED, 1));
    let reason = gone.reason.expect("the 401 says why it was not retried");
    assert!(reason.is_retryable_by_caller() && !reason.is_login_required(), "{reason}");
    assert!(reason.to_string().contains("send"), "{reason}");
    let again = upload(&api, &server, "again", SendOnce::new(Full::new(bytes(10)))).await;
    assert_eq!((again.status, server.rotations()), (StatusCode::OK, 1));

    // The neighbour: a 401 that is not about the token asks for no second send.
    server.fail_api(Fault::insufficient_scope());
    let refused = upload(&api, &server, "scope", SendOnce::new(Full::new(bytes(10)))).await;
    assert_eq!((refused.status, server.rotations()), (StatusCode::UNAUTHORIZED, 1));
    assert!(!refused.reason.is_some_and(|reason| reason.is_retryable_by_caller()));
}

#[tokio::test]
async fn p9_a_body_still_being_sent_when_the_401_comes_is_not_sent_again() {
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::start().await;
        let api = api(&server, protocol, server.issue_tokens(&[Provider])).await;
        server.fail_api(Fault::unauthorized().before_body());
        let (more, body) = open_body();
        let answer = upload(&api, &server, "open", body).await;
        assert_eq!((answer.status, uploads(&server).len()), (StatusCode::UNAUTHORIZED, 1));
        assert_eq!((server.rotations(), server.retries()), (1, 0), "{protocol:?}");
        drop(more);

        // A boxed body that ends is sent whole, and once.
        let (end, body) = open_body();
        drop(end);
        let answer = upload(&api, &server, "whole", body).await;
        assert_eq!(answer.status, 200, "{protocol:?}");
        assert_eq!(uploads(&server)[1].body().unwrap().bytes(), "beginning");
        assert_eq!((uploads(&server).len(), server.refresh_requests()), (2, 1), "{protocol:?}");
    }
}

/// A body that has sent something and goes on for as long as the sender is kept.
fn open_body() -> (mpsc::Sender<Bytes>, BoxBody<Bytes, Infallible>) {
    let (sender, mut receiver) = mpsc::channel(1);
    sender.try_send(Bytes::from_static(b"beginning")).unwrap();
    let stream = futures_util::stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|data| data.map(|data| Ok(Frame::data(data))))
    });
    (sender, StreamBody::new(stream).boxed())
}
