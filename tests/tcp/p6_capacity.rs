//! P6: nothing of the inner stack is held while a refresh is awaited, and little of it is used up.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::ServiceBuilder;
use tower_teamup_auth::RequestMode::Provider;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};

use crate::readiness::Checked;
use crate::support::{Crowd, Http, Protocol, credentials, expired_tokens, layered, status};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_limit_of_one_shared_with_the_exchange_lets_everybody_through() {
    const SIZE: usize = 200;
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::start().await;
        let limited = ServiceBuilder::new().concurrency_limit(1).service(protocol.client());
        let builder = credentials(&server, &protocol.client()).refresh_client(limited.clone());
        let credentials = builder.tokens(expired_tokens(&server)).build().await.unwrap();
        let api = layered(credentials, limited);
        // Due, then rejected: the one place is free for the exchange both times.
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
async fn p6_401s_that_fill_an_http2_connection_leave_an_exchange_on_another_free() {
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
