//! P9: a body that can't be sent again is sent exactly once; the others arrive twice alike.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use reqwest::{Body, Response};
use reqwest_middleware::ClientBuilder;
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::body::{ReplayBodyLayer, SendOnce};
use tower_teamup_auth::client::{AuthMiddleware, ReqwestService};
use tower_teamup_auth::testing::{CALLER, FakeTeamUp, Fault};
use tower_teamup_auth::{AuthLayer, Error, PROVIDER_ID};

use crate::support::{Kind, MODE, Protocol, credentials, get, reason};

fn upload<B>(server: &FakeTeamUp, body: B) -> http::Request<B> {
    http::Request::put(server.url("/uploads"))
        .header(CALLER, "upload")
        .header("content-type", "text/csv")
        .body(body)
        .unwrap()
}

/// Of `size` bytes, in chunks of a thousand.
fn stream_of(size: usize) -> Body {
    let chunks = (0..size).step_by(1_000).map(move |at| {
        let text: Vec<u8> = (at..size.min(at + 1_000)).map(|byte| byte as u8).collect();
        Ok::<_, Infallible>(text)
    });
    Body::wrap_stream(stream::iter(chunks))
}

/// A beginning, and no end.
fn endless() -> Body {
    let beginning = stream::iter([Ok::<_, Infallible>("first of many")]);
    Body::wrap_stream(futures_util::StreamExt::chain(beginning, stream::pending()))
}

/// Size and digest of each body that arrived at `/uploads`.
fn arrived(server: &FakeTeamUp) -> Vec<(u64, String)> {
    let journal = server.journal();
    let uploads = journal.entries().iter().filter(|entry| entry.path().ends_with("/uploads"));
    uploads
        .map(|entry| entry.body().expect("read whole"))
        .map(|body| (body.size(), body.sha256().to_owned()))
        .collect()
}

#[tokio::test]
async fn a_body_in_memory_arrives_twice_alike() {
    for kind in Kind::BOTH {
        for size in [0, 1, 300_000] {
            let server = FakeTeamUp::start().await;
            let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
            server.expire_access_tokens();
            let bytes: Vec<u8> = (0..size).map(|byte: u32| byte as u8).collect();
            let status = api.status(upload(&server, Body::from(bytes))).await;
            assert_eq!(status, StatusCode::OK, "{kind:?} {size}");
            let arrived = arrived(&server);
            assert_eq!(arrived.len(), 2);
            assert_eq!((arrived[0].0, &arrived[0]), (size.into(), &arrived[1]), "{kind:?}");
            let journal = server.journal();
            for entry in journal.entries().iter().filter(|entry| entry.route().is_api()) {
                assert_eq!(entry.header("content-type"), Some("text/csv"), "{kind:?} {journal}");
            }
        }
    }
}

#[tokio::test]
async fn p9_a_stream_is_sent_once_and_the_next_request_finds_the_new_token() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        server.expire_access_tokens();
        let response = api.send(upload(&server, stream_of(20_000))).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{kind:?}");
        assert!(reason(&response).is_some_and(Error::is_retryable_by_caller), "{kind:?}");
        assert_eq!(arrived(&server).len(), 1, "{kind:?}");
        assert_eq!((server.refresh_requests(), server.rotations()), (1, 1));
        assert_eq!(api.status(get(&server, "next")).await, StatusCode::OK);
        assert_eq!((server.refresh_requests(), server.unauthorized()), (1, 1), "{kind:?}");
    }
}

#[tokio::test]
async fn p9_a_stream_that_waits_for_its_token_is_sent_once_too() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[])).await;
        server.fail_api(Fault::unauthorized());
        let status = api.status(upload(&server, stream_of(20_000))).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{kind:?}");
        assert_eq!(arrived(&server).len(), 1, "{kind:?}");
    }
}

/// An answer before the body is whole: it is not waited for, and not sent again.
#[tokio::test]
async fn p9_a_stream_whose_end_never_comes_is_given_up_with_its_401() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::builder().refuse_before_body(true).start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        server.expire_access_tokens();
        let response = api.send(upload(&server, endless())).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{kind:?}");
        assert_eq!(server.api_requests(), 1, "{kind:?}");
    }
}

/// A server that answers 401 to everything: two sends, whatever it is.
#[tokio::test]
async fn p3_one_retry_at_most() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        server.fail_every_api(Fault::unauthorized());
        for call in 1..=3 {
            let response = api.send(get(&server, call)).await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert!(reason(&response).is_some_and(Error::is_route_refused));
            assert_eq!(
                (server.api_requests(), server.refresh_requests()),
                (1 + call, 1),
                "{kind:?}"
            );
        }
    }
}

#[tokio::test]
async fn b5_a_route_that_one_provider_is_refused_is_still_refreshed_for_the_next() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        server.fail_every_api(Fault::unauthorized());
        for (provider, sent) in [(7, (2, 1)), (7, (3, 1)), (8, (5, 2)), (8, (6, 2))] {
            let mut request = get(&server, "one");
            request.headers_mut().insert(PROVIDER_ID, provider.into());
            api.send(request).await.unwrap();
            assert_eq!((server.api_requests(), server.refresh_requests()), sent, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn p9_other_bodies_over_the_tower_service() {
    let server = FakeTeamUp::start().await;
    let client = Protocol::Http1.client();
    let tokens = server.issue_tokens(&[MODE]);
    let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
    let stack = || ServiceBuilder::new().layer(AuthLayer::new(credentials.clone()));
    let client = ReqwestService::new(client).records_redirects();

    server.expire_access_tokens();
    let shared = upload(&server, Bytes::from("shared"));
    assert_eq!(
        stack().service(client.clone().for_bodies()).oneshot(shared).await.unwrap().status(),
        200
    );
    assert_eq!(arrived(&server).len(), 2);

    server.expire_access_tokens();
    let once = upload(&server, SendOnce::new(Body::from("once")));
    assert_eq!(stack().service(client.for_bodies()).oneshot(once).await.unwrap().status(), 401);
    assert_eq!(arrived(&server).len(), 3);
}

#[tokio::test]
async fn p9_a_replayed_stream_is_sent_again_if_it_was_short_enough() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let client = Protocol::Http1.client();
        let tokens = server.issue_tokens(&[MODE]);
        let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
        let send = async |stream| match kind {
            Kind::Tower => {
                let api = ServiceBuilder::new()
                    .layer(ReplayBodyLayer::new().max_bytes(30_000))
                    .layer(AuthLayer::new(credentials.clone()))
                    .service(ReqwestService::new(client.clone()).records_redirects().for_bodies());
                Response::from(api.oneshot(upload(&server, stream)).await.unwrap())
            }
            Kind::Middleware => {
                let auth = AuthMiddleware::new(credentials.clone()).records_redirects();
                let api =
                    ClientBuilder::new(client.clone()).with(auth.replay_bodies(30_000)).build();
                api.execute(upload(&server, stream).try_into().unwrap()).await.unwrap()
            }
        };

        server.expire_access_tokens();
        let answer = send(stream_of(20_000)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{kind:?}");
        let short = arrived(&server);
        assert_eq!((short.len(), short[0].0, &short[0]), (2, 20_000, &short[1]), "{kind:?}");

        server.expire_access_tokens();
        let answer = send(stream_of(40_000)).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{kind:?}");
        assert!(reason(&answer).is_some_and(Error::is_retryable_by_caller), "{kind:?}");
        assert_eq!(arrived(&server).len(), 3, "{kind:?}");
    }
}

/// What comes of a stream after the 401 is not waited for, recorded or not.
#[tokio::test]
async fn p9_a_stream_that_the_middleware_records_and_that_is_not_whole_is_sent_once() {
    let server = FakeTeamUp::builder().refuse_before_body(true).start().await;
    let client = Protocol::Http1.client();
    let tokens = server.issue_tokens(&[MODE]);
    let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
    let auth = AuthMiddleware::new(credentials).records_redirects().replay_bodies(30_000);
    let api = ClientBuilder::new(client).with(auth).build();
    server.expire_access_tokens();
    let request = upload(&server, endless());
    let response = api.execute(request.try_into().unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(reason(&response).is_some_and(Error::is_retryable_by_caller));
    assert_eq!((server.api_requests(), server.rotations()), (1, 1));
}
