//! P9: a body that can't be sent again is sent exactly once, and one that can arrives twice alike.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::mpsc;
use tower_teamup_auth::RequestMode::Provider;
use tower_teamup_auth::body::{RepeatableBody, SendOnce};
use tower_teamup_auth::testing::{CALLER, Entry, FakeTeamUp, Fault, Route};
use tower_teamup_auth::{Auth, TokenSet};

use crate::support::{Answer, Body, Http, Protocol, call, credentials, expired_tokens, layered};

/// The layer around a client whose requests carry `B`; the exchange has a client of its own.
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
