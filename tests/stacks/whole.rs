//! All of them at once, in the order that serves most programs.

use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;
use tower_http::decompression::DecompressionLayer;
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_http::trace::TraceLayer;
use tower_teamup_auth::RequestMode;
use tower_teamup_auth::testing::Fault;

use crate::support::{Setup, status, without_deadlock};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recommended_order_survives_expiries_under_load() {
    let setup = Setup::with(&RequestMode::ALL).await;
    let api = ServiceBuilder::new()
        .layer(BoxCloneSyncService::layer())
        .layer(TraceLayer::new_for_http())
        .timeout(Duration::from_secs(60))
        .layer(FollowRedirectLayer::new())
        .layer(setup.auth())
        .layer(DecompressionLayer::new())
        .buffer(64)
        .rate_limit(10_000, Duration::from_secs(60))
        .concurrency_limit(8)
        .timeout(Duration::from_secs(30))
        .service(setup.client.clone());
    for round in 0..2 {
        setup.server.expire_access_tokens();
        setup.server.fail_api(Fault::redirect(StatusCode::FOUND, &setup.server.url("/echo/there")));
        let mut calls = JoinSet::new();
        for caller in 0..200 {
            let mut request = setup.get(format!("{round}-{caller}"));
            request.extensions_mut().insert(RequestMode::ALL[caller % 2]);
            calls.spawn(status(api.clone(), request));
        }
        for status in without_deadlock(calls.join_all()).await {
            assert_eq!(status, StatusCode::OK);
        }
        assert_eq!(setup.server.rotations(), 2 * (round + 1));
    }
    assert_eq!(setup.server.unauthorized_to_caller(), 0);
    assert_eq!(setup.server.double_spends(), 0);
}
