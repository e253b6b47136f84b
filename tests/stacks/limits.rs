//! tower's `ConcurrencyLimit` and `RateLimit`. Above, they count calls; below, they count what is
//! sent, and nothing of them is held while a refresh is awaited: it may need the same limit.

use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;
use tokio_test::{assert_pending, task};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_teamup_auth::{AuthLayer, Credentials};

use crate::support::{MODE, Setup, get, pass, status, without_deadlock};

const HOUR: Duration = Duration::from_secs(60 * 60);
const CALLERS: usize = 10;

#[tokio::test]
async fn p6_below_a_limit_of_one_is_enough_for_the_refresh_and_its_waiters() {
    let Setup { server, client, .. } = Setup::new().await;
    for tokens in [server.issue_tokens(&[]), server.issue_tokens(&[MODE])] {
        let limited = ServiceBuilder::new().concurrency_limit(1).service(client.clone());
        let credentials = Credentials::builder(MODE)
            .base_url(server.base_url())
            .tokens(tokens)
            .refresh_client(limited.clone())
            .build()
            .await
            .unwrap();
        let api = AuthLayer::new(credentials).layer(limited);
        server.expire_access_tokens();
        let refresh_requests = server.refresh_requests();
        let mut calls = JoinSet::new();
        for caller in 0..CALLERS {
            calls.spawn(status(api.clone(), get(&server, format!("{refresh_requests}-{caller}"))));
        }
        for status in without_deadlock(calls.join_all()).await {
            assert_eq!(status, StatusCode::OK);
        }
        assert_eq!(server.refresh_requests(), refresh_requests + 1);
        assert_eq!(server.unauthorized_to_caller(), 0);
    }
}

#[tokio::test]
async fn above_a_concurrency_limit_counts_calls() {
    let setup = Setup::new().await;
    let api = ServiceBuilder::new()
        .concurrency_limit(2)
        .layer(setup.auth())
        .service(setup.client.clone());
    setup.server.expire_access_tokens();
    let hold = setup.server.hold_api();
    let mut calls = JoinSet::new();
    for caller in 0..CALLERS {
        calls.spawn(status(api.clone(), setup.get(caller)));
    }
    hold.arrived(2).await;
    // A third would need a place that is taken until one of the two is answered.
    let mut third = task::spawn(status(api.clone(), setup.get("third")));
    assert_pending!(third.poll());
    assert_eq!(setup.server.api_requests(), 2);
    drop(third);
    hold.release();
    for status in without_deadlock(calls.join_all()).await {
        assert_eq!(status, StatusCode::OK);
    }
    assert_eq!(setup.server.refresh_requests(), 1);
    assert_eq!(setup.server.unauthorized_to_caller(), 0);
    setup.survives_an_expiry(api).await;
}

#[tokio::test]
async fn above_a_rate_limit_counts_calls() {
    let setup = Setup::new().await;
    let mut api =
        ServiceBuilder::new().rate_limit(2, HOUR).layer(setup.auth()).service(setup.client.clone());
    for _ in 0..2 {
        setup.survives_an_expiry(&mut api).await;
    }
    assert_eq!(setup.answers(), [401, 200, 401, 200]);
    let mut ready = task::spawn(async { api.ready().await.map(drop) });
    assert_pending!(ready.poll());
    pass(HOUR).await;
    assert!(ready.is_woken());
    without_deadlock(ready).await.unwrap();
    assert_eq!(api.call(setup.get("an hour later")).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn below_a_rate_limit_counts_what_is_sent() {
    let setup = Setup::new().await;
    // A rate limit can't be cloned, so a buffer stands above it.
    let api = ServiceBuilder::new()
        .layer(setup.auth())
        .buffer(8)
        .rate_limit(2, HOUR)
        .service(setup.client.clone());
    setup.survives_an_expiry(api.clone()).await;

    let later = tokio::spawn(status(api, setup.get("an hour later")));
    tokio::time::pause();
    tokio::time::sleep(HOUR - Duration::from_secs(1)).await;
    assert_eq!(setup.answers(), [401, 200], "two were sent, and the hour is not over");
    tokio::time::resume();
    pass(Duration::from_secs(2)).await;
    assert_eq!(without_deadlock(later).await.unwrap(), StatusCode::OK);
}
