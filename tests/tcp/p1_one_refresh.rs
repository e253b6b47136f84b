//! P1: any number of concurrent 401s or expiries of one generation cost one refresh request.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use tower::ServiceBuilder;
use tower::limit::ConcurrencyLimit;
use tower_teamup_auth::RequestMode::Provider;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::{Auth, TokenSet};

use crate::support::{
    Crowd, Http, Protocol, call, credentials, expired_tokens, get, layered, status,
};

/// So many callers, of whom so many may send at a time: over HTTP/1.1 each takes a
/// connection, and a machine may let a process have a thousand file descriptors.
const CROWDS: [(Protocol, usize, usize); 2] =
    [(Protocol::Http1, 1_000, 64), (Protocol::Http2, 10_000, 10_000)];

/// A busy machine may take a while to answer ten thousand 401s, and the refresh request is held for it.
const PATIENCE: Duration = Duration::from_secs(600);

/// A server that lets a test wait for so long.
async fn patient_server() -> FakeTeamUp {
    FakeTeamUp::builder().wait_limit(PATIENCE).start().await
}

/// The layer over a client that lets so many requests through at a time. The refresh request goes beside
/// the limit.
async fn limited(
    server: &FakeTeamUp,
    protocol: Protocol,
    limit: usize,
    tokens: TokenSet,
) -> Auth<ConcurrencyLimit<Http>> {
    let client = protocol.client();
    let builder =
        credentials(server, &client).refresh_request_timeout(PATIENCE).wait_timeout(PATIENCE);
    let credentials = builder.tokens(tokens).build().await.unwrap();
    layered(credentials, ServiceBuilder::new().concurrency_limit(limit).service(client))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_ten_thousand_callers_on_an_expired_token_cost_one_refresh_request() {
    for (protocol, size, limit) in CROWDS {
        let server = patient_server().await;
        let api = limited(&server, protocol, limit, expired_tokens(&server)).await;
        let hold = server.hold_refresh();
        let crowd = Crowd::calling(size, &api, &server);
        crowd.called().await;
        hold.arrived(1).await;
        assert_eq!((server.api_requests(), server.refresh_requests()), (0, 1), "{protocol:?}");
        hold.release();
        assert_eq!(crowd.statuses().await, BTreeMap::from([(200, size)]), "{protocol:?}");
        assert_eq!((server.refresh_requests(), server.rotations()), (1, 1), "{protocol:?}");
        assert_eq!((server.api_requests(), server.unauthorized()), (size, 0), "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_ten_thousand_401s_cost_one_refresh_request_and_no_caller_sees_one() {
    for (protocol, size, limit) in CROWDS {
        let server = patient_server().await;
        let api = limited(&server, protocol, limit, server.issue_tokens(&[Provider])).await;
        assert_eq!(status(&api, &server, "before").await, 200);
        server.expire_access_tokens();
        let hold = server.hold_refresh();
        let crowd = Crowd::calling(size, &api, &server);
        server.wait_for(|journal| journal.unauthorized() == size).await;
        assert_eq!((server.refresh_requests(), server.rotations()), (1, 0), "{protocol:?}");
        hold.release();
        assert_eq!(crowd.statuses().await, BTreeMap::from([(200, size)]), "{protocol:?}");
        assert_eq!((server.refresh_requests(), server.rotations()), (1, 1), "{protocol:?}");
        assert_eq!((server.retries(), server.unauthorized_to_caller()), (size, 0), "{protocol:?}");
        assert_eq!(server.api_requests(), 1 + 2 * size, "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_401s_that_come_after_the_rotation_cost_no_refresh_request() {
    const SIZE: usize = 100;
    for protocol in Protocol::BOTH {
        let server = patient_server().await;
        let api = limited(&server, protocol, SIZE, server.issue_tokens(&[Provider])).await;
        let hold = server.hold_api();
        let crowd = Crowd::calling(SIZE, &api, &server);
        hold.arrived(SIZE).await;
        server.expire_access_tokens();
        // One of them gets its 401 and the new token, and comes back with it.
        hold.let_through(1);
        hold.arrived(SIZE + 1).await;
        assert_eq!((server.unauthorized(), server.rotations()), (1, 1), "{protocol:?}");
        hold.release();
        assert_eq!(crowd.statuses().await, BTreeMap::from([(200, SIZE)]), "{protocol:?}");
        assert_eq!((server.refresh_requests(), server.retries()), (1, SIZE), "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_failed_refresh_request_is_shared_by_all_and_not_repeated_by_each() {
    const SIZE: usize = 1_000;
    for protocol in Protocol::BOTH {
        let server = patient_server().await;
        let api = limited(&server, protocol, 64, server.issue_tokens(&[Provider])).await;
        server.expire_access_tokens();
        let busy = Fault::status(StatusCode::SERVICE_UNAVAILABLE);
        server.fail_every_refresh(busy.retry_after(PATIENCE));
        let hold = server.hold_refresh();
        let crowd = Crowd::of(SIZE, |number| {
            let (api, request) = (api.clone(), get(&server, "/echo", number));
            async move { call(&api, request).await.unwrap() }
        });
        server.wait_for(|journal| journal.unauthorized() == SIZE).await;
        hold.release();
        for answer in crowd.outputs().await {
            assert_eq!(answer.status, 401);
            assert!(answer.reason.is_some_and(|reason| reason.is_transient()));
        }
        // A newcomer is answered from memory.
        assert_eq!(status(&api, &server, "newcomer").await, 401);
        assert_eq!((server.refresh_requests(), server.retries()), (1, 0), "{protocol:?}");
    }
}
