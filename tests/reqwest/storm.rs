//! A thousand callers at once, over each client and each protocol: one refresh request, and no 401 to a
//! caller.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use http::StatusCode;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_teamup_auth::testing::FakeTeamUp;

use crate::support::{Api, Kind, MODE, Protocol, credentials, get};

const CALLERS: usize = 1_000;

async fn server_and_api(
    kind: Kind,
    protocol: Protocol,
    modes: &[tower_teamup_auth::RequestMode],
) -> (FakeTeamUp, Api) {
    let server = FakeTeamUp::start().await;
    let client = protocol.client();
    let tokens = server.issue_tokens(modes);
    let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
    (server, kind.over(client, credentials))
}

/// Starts the callers and returns when each of them has gone as far as it can without another's
/// help.
async fn callers(server: &FakeTeamUp, api: &Api) -> JoinSet<StatusCode> {
    let counter = watch::Sender::new(0);
    let mut calls = JoinSet::new();
    for caller in 0..CALLERS {
        let (api, request, counter) = (api.clone(), get(server, caller), counter.clone());
        calls.spawn(async move {
            let mut call = pin!(api.status(request));
            let first = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
            counter.send_modify(|polled| *polled += 1);
            match first {
                Poll::Ready(status) => status,
                Poll::Pending => call.await,
            }
        });
    }
    counter.subscribe().wait_for(|polled| *polled == CALLERS).await.unwrap();
    calls
}

async fn all_are_answered(calls: JoinSet<StatusCode>) {
    for status in calls.join_all().await {
        assert_eq!(status, StatusCode::OK);
    }
}

/// Every 401 is on its way before the first is answered with a refresh.
async fn storm_of_401s(kind: Kind, protocol: Protocol) {
    let (server, api) = server_and_api(kind, protocol, &[MODE]).await;
    server.expire_access_tokens();
    let hold = server.hold_refresh();
    let calls = callers(&server, &api).await;
    server.wait_for(|journal| journal.unauthorized() == CALLERS).await;
    hold.release();
    all_are_answered(calls).await;
    assert_eq!((server.refresh_requests(), server.rotations()), (1, 1));
    assert_eq!((server.retries(), server.unauthorized_to_caller()), (CALLERS, 0));
    assert_eq!(server.api_requests(), 2 * CALLERS);
    only_over(&server, protocol);
}

/// Everybody needs a token and there is none.
async fn storm_without_a_token(kind: Kind, protocol: Protocol) {
    let (server, api) = server_and_api(kind, protocol, &[]).await;
    let hold = server.hold_refresh();
    let calls = callers(&server, &api).await;
    hold.arrived(1).await;
    assert_eq!(server.api_requests(), 0);
    hold.release();
    all_are_answered(calls).await;
    assert_eq!((server.refresh_requests(), server.rotations()), (1, 1));
    assert_eq!((server.api_requests(), server.unauthorized()), (CALLERS, 0));
    only_over(&server, protocol);
}

fn only_over(server: &FakeTeamUp, protocol: Protocol) {
    let version = match protocol {
        Protocol::Http1 => http::Version::HTTP_11,
        Protocol::Http2 => http::Version::HTTP_2,
    };
    assert!(server.journal().entries().iter().all(|entry| entry.version() == version));
}

macro_rules! storms {
    ($($name:ident: $storm:ident, $kind:ident, $protocol:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $storm(Kind::$kind, Protocol::$protocol).await;
        }
    )*};
}

storms! {
    p1_401s_over_the_tower_service_and_http1: storm_of_401s, Tower, Http1;
    p1_401s_over_the_tower_service_and_http2: storm_of_401s, Tower, Http2;
    p1_401s_over_the_middleware_and_http1: storm_of_401s, Middleware, Http1;
    p1_401s_over_the_middleware_and_http2: storm_of_401s, Middleware, Http2;
    p1_no_token_over_the_tower_service_and_http1: storm_without_a_token, Tower, Http1;
    p1_no_token_over_the_tower_service_and_http2: storm_without_a_token, Tower, Http2;
    p1_no_token_over_the_middleware_and_http1: storm_without_a_token, Middleware, Http1;
    p1_no_token_over_the_middleware_and_http2: storm_without_a_token, Middleware, Http2;
}
