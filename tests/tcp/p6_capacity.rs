//! P6: nothing of the inner stack is held while a refresh is awaited, and little of it is used up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_teamup_auth::RequestMode::Provider;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::{Credentials, Error};

use crate::readiness::Checked;
use crate::support::{
    Body, Crowd, Http, Protocol, call, credentials, expired_tokens, get, layered, status,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_limit_of_one_shared_with_the_refresh_request_lets_everybody_through() {
    const SIZE: usize = 200;
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::start().await;
        let limited = ServiceBuilder::new().concurrency_limit(1).service(protocol.client());
        let builder = credentials(&server, &protocol.client()).refresh_client(limited.clone());
        let credentials = builder.tokens(expired_tokens(&server)).build().await.unwrap();
        let api = layered(credentials, limited);
        // Due, then rejected: the one place is free for the refresh request both times.
        let crowd = Crowd::calling(SIZE, &api, &server);
        assert_eq!(crowd.statuses().await, BTreeMap::from([(200, SIZE)]), "{protocol:?}");
        server.expire_access_tokens();
        let crowd = Crowd::calling(SIZE, &api, &server);
        assert_eq!(crowd.statuses().await, BTreeMap::from([(200, SIZE)]), "{protocol:?}");
        assert_eq!((server.refresh_requests(), server.rotations()), (2, 2), "{protocol:?}");
        assert_eq!(server.unauthorized_to_caller(), 0, "{protocol:?}");
    }
}

#[tokio::test]
async fn p6_401s_that_fill_an_http2_connection_leave_a_refresh_request_on_another_free() {
    const SIZE: usize = 100;
    let server = FakeTeamUp::start().await;
    let connector = HttpConnector::new();
    // The smallest that a connection begins with (RFC 9113 section 6.9.2): 16 of these 401s.
    let client: Http = Checked::new(
        Client::builder(TokioExecutor::new())
            .http2_only(true)
            .http2_initial_connection_window_size(65_535)
            .build(connector),
    );
    let builder = credentials(&server, &Protocol::Http2.client());
    let tokens = server.issue_tokens(&[Provider]);
    let api = layered(builder.tokens(tokens).build().await.unwrap(), client);
    server.fail_apis(SIZE, Fault::unauthorized().body("text/plain", vec![b'x'; 8 * 1024]));
    let hold = server.hold_refresh();
    let crowd = Crowd::calling(SIZE, &api, &server);
    server.wait_for(|journal| journal.unauthorized() == SIZE).await;
    hold.release();
    assert_eq!(crowd.statuses().await, BTreeMap::from([(200, SIZE)]));
    assert_eq!((server.refresh_requests(), server.rotations(), server.retries()), (1, 1, SIZE));
}

/// One HTTP/2 connection for the API and for the refresh request.
async fn over_one_connection(
    client: Http,
    callers: usize,
    body: usize,
) -> (BTreeMap<u16, usize>, FakeTeamUp) {
    let server = FakeTeamUp::start().await;
    let api = crate::support::api(&server, &client, server.issue_tokens(&[Provider])).await;
    server.fail_apis(callers, Fault::unauthorized().body("text/plain", vec![b'x'; body]));
    // So that all of them are answered by the 401s before the first of them can be retried.
    let hold = server.hold_refresh();
    let crowd = Crowd::calling(callers, &api, &server);
    server.wait_for(|journal| journal.unauthorized() == callers).await;
    hold.release();
    (crowd.statuses().await, server)
}

#[tokio::test]
async fn a6_401s_of_any_size_leave_the_refresh_request_room_on_their_own_connection() {
    let http2 = |adaptive: bool| -> Http {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.http2_only(true).http2_adaptive_window(adaptive);
        Checked::new(builder.build(HttpConnector::new()))
    };
    for (adaptive, callers, body) in [
        (true, 1, 100 * 1024),
        (false, 60, 100 * 1024),
        (true, 70, 1024),
        // The neighbour: as much as is kept, from enough callers to fill a connection's window.
        (false, 350, 16 * 1024),
    ] {
        let (statuses, server) = over_one_connection(http2(adaptive), callers, body).await;
        let case = format!("{adaptive} {callers} {body}");
        assert_eq!(statuses, BTreeMap::from([(200, callers)]), "{case}");
        assert_eq!((server.refresh_requests(), server.rotations()), (1, 1), "{case}");
        assert_eq!(server.retries(), callers, "{case}");
        assert_eq!(server.connections(), 1, "{case}");
    }
}

/// A client over a pool of `size`, whose permit lives as long as the response body.
fn pooled(
    size: usize,
) -> impl Service<
    Request<Body>,
    Response = Response<impl http_body::Body<Data = Bytes, Error = hyper::Error> + Send + 'static>,
    Error = BoxError,
    Future: Send,
> + Clone
+ Send
+ Sync
+ 'static {
    let (pool, client) = (Arc::new(Semaphore::new(size)), Protocol::Http1.client());
    service_fn(move |request| {
        let (pool, client) = (Arc::clone(&pool), client.clone());
        async move {
            let permit = pool.acquire_owned().await?;
            let response = client.oneshot(request).await?;
            Ok::<_, BoxError>(response.map(|body: Incoming| {
                body.map_frame(move |frame| {
                    let _held = &permit;
                    frame
                })
            }))
        }
    })
}

#[tokio::test]
async fn a7_a_permit_that_lives_in_the_response_body_is_free_while_a_refresh_is_awaited() {
    for (size, callers, body) in [(1, 1, 1024), (1, 1, 1 << 20), (1, 20, 0), (2, 20, 20 * 1024)] {
        let server = FakeTeamUp::start().await;
        let client = pooled(size);
        let credentials = Credentials::builder(Provider)
            .base_url(server.base_url())
            .tokens(server.issue_tokens(&[Provider]))
            .refresh_client(client.clone())
            .build()
            .await
            .unwrap();
        let api = layered(credentials, client);
        server.fail_api(Fault::unauthorized().body("text/plain", vec![b'x'; body]));
        let calls = (0..callers).map(|caller| {
            let (api, request) = (api.clone(), get(&server, "/echo", caller));
            tokio::spawn(async move { call(&api, request).await.unwrap().status.as_u16() })
        });
        for status in calls.collect::<Vec<_>>() {
            assert_eq!(status.await.unwrap(), 200, "{size} {callers} {body}");
        }
        assert_eq!(server.refresh_requests(), 1, "{size} {callers} {body}");
    }
}

#[tokio::test]
async fn p6_a_401_that_is_delivered_after_a_wait_yields_what_was_kept() {
    for (body, kept) in [(0, 0), (5_000, 5_000), (16 * 1024, 16 * 1024), (16 * 1024 + 1, 0)] {
        let server = FakeTeamUp::start().await;
        let client = Protocol::Http1.client();
        let api = crate::support::api(&server, &client, server.issue_tokens(&[Provider])).await;
        server.fail_api(Fault::unauthorized().body("text/plain", vec![b'x'; body]));
        server.fail_every_refresh(Fault::status(StatusCode::BAD_REQUEST));
        let response = api.oneshot(get(&server, "/echo", "refused")).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(Error::find(&response).is_some(), "{body}");
        let mut delivered = response.into_body();
        assert!(delivered.get_ref().is_none(), "it is the connection's own");
        let mut bytes = 0;
        let end = loop {
            match delivered.frame().await {
                Some(Ok(frame)) => bytes += frame.into_data().unwrap().len(),
                Some(Err(error)) => break Err(error.to_string()),
                None => break Ok(()),
            }
        };
        assert_eq!((bytes, end.is_ok()), (kept, kept == body), "{body}: {end:?}");
    }
}

/// How many connections a number of 401s with a body of so many bytes cost, one after the other.
async fn connections_for(size: usize) -> u64 {
    let server = FakeTeamUp::start().await;
    let client = Protocol::Http1.client();
    let builder = credentials(&server, &client).refresh_limit(100, Duration::from_secs(1));
    let tokens = server.issue_tokens(&[Provider]);
    let api = layered(builder.tokens(tokens).build().await.unwrap(), client);
    let body = Bytes::from(vec![b'x'; size]);
    for number in 0..ROUNDS {
        server.fail_api(Fault::unauthorized().body("text/plain", body.clone()));
        assert_eq!(status(&api, &server, number).await, 200);
    }
    assert_eq!((server.unauthorized() as u64, server.retries() as u64), (ROUNDS, ROUNDS));
    server.connections()
}

const ROUNDS: u64 = 20;

#[tokio::test]
async fn p6_a_small_401_gives_its_connection_back_and_a_large_one_is_left_unread() {
    // As much as is read, and more than hyper reads unasked.
    let connections = connections_for(8 * 1024).await;
    assert!(connections < ROUNDS / 2, "{connections}");
    // More than sockets buffer: read to its end, it would give its connection back too.
    let connections = connections_for(8 << 20).await;
    assert!(connections >= ROUNDS, "{connections}");
}
