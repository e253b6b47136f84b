//! The examples of `docs::ordering`, as they stand there: each is a stack that survives an expiry.

use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, StatusCode};
use tower::hedge::Hedge;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt};
use tower_http::decompression::DecompressionLayer;
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_http::set_header::SetRequestHeaderLayer;
use tower_http::trace::TraceLayer;
use tower_teamup_auth::body::{ReplayBodyLayer, SendOnceLayer};

use crate::others::{Always, client, upload};
use crate::retries::ServerErrors;
use crate::support::{Body, Setup};

/// Layers around the client; with three names, a whole service.
macro_rules! survives {
    (|$builder:ident, $auth:ident| $stack:expr) => {
        survives!(|$builder, $auth, client| $stack.service(client))
    };
    (|$builder:ident, $auth:ident, $client:ident| $service:expr) => {{
        let setup = Setup::new().await;
        let $builder = ServiceBuilder::new();
        let ($auth, $client) = (setup.auth(), setup.client.clone());
        setup.survives_an_expiry($service).await;
    }};
}

/// The same where the body of a request gets another type on its way.
macro_rules! answers {
    ($status:ident, |$builder:ident, $auth:ident| $stack:expr) => {{
        let setup = Setup::new().await;
        setup.server.expire_access_tokens();
        let ($builder, $auth) = (ServiceBuilder::new(), setup.auth());
        let api = $stack.service(client());
        let response = api.oneshot(upload(&setup, Body::from("text"))).await.unwrap();
        assert_eq!(response.status(), StatusCode::$status);
        assert_eq!(setup.server.rotations(), 1);
    }};
}

#[tokio::test]
#[rustfmt::skip] // each as one line, as on the page
async fn every_example_of_the_page_survives_an_expiry() {
    let (limit, second, period) = (Duration::from_secs(60), Duration::from_secs(1), Duration::from_secs(60));
    let set_header = SetRequestHeaderLayer::overriding(USER_AGENT, HeaderValue::from_static("test"));

    survives!(|builder, auth| builder.layer(FollowRedirectLayer::new()).layer(auth));
    survives!(|builder, auth| builder.layer(auth).layer(FollowRedirectLayer::new()));
    survives!(|builder, auth| builder.layer(TraceLayer::new_for_http()).layer(auth));
    survives!(|builder, auth| builder.layer(auth).layer(TraceLayer::new_for_http()));
    survives!(|builder, auth| builder.timeout(limit).layer(auth));
    let policy = ServerErrors(2);
    survives!(|builder, auth| builder.retry(policy).layer(auth));
    let policy = Always;
    survives!(|builder, auth, client| {
        let api = builder.layer(auth).service(client);
        Hedge::new(api, policy, 100, 0.9, period)
    });
    survives!(|builder, auth| builder.layer(auth).layer(set_header));
    survives!(|builder, auth| builder.layer(DecompressionLayer::new()).layer(auth));
    answers!(OK, |builder, auth| builder.layer(ReplayBodyLayer::new()).layer(auth));
    answers!(UNAUTHORIZED, |builder, auth| builder.layer(SendOnceLayer::new()).layer(auth));
    survives!(|builder, auth| builder.layer(auth).concurrency_limit(64));
    survives!(|builder, auth| builder.layer(auth).buffer(8).rate_limit(10, second));
    survives!(|builder, auth| builder.layer(auth).load_shed().concurrency_limit(64));
    survives!(|builder, auth, client| builder.layer(auth).buffer(8).service(client));
    survives!(|builder, auth| builder.layer(BoxCloneSyncService::layer()).layer(auth));
}
