//! `LoadShed`, `Hedge`, and bodies of axum's and tonic's kind.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::hedge::{Hedge, Policy};
use tower::load_shed::error::Overloaded;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_teamup_auth::Error;
use tower_teamup_auth::body::{ReplayBodyLayer, SendOnceLayer};

use crate::support::{Body, Setup, call, status};

#[tokio::test]
async fn below_load_shed_refuses_a_send_and_not_a_wait() {
    let setup = Setup::with(&[]).await;
    let api = ServiceBuilder::new()
        .layer(setup.auth())
        .load_shed()
        .concurrency_limit(1)
        .service(setup.client.clone());
    // One waits for its token and holds no permit, so another is not refused for it.
    let refresh = setup.server.hold_refresh();
    let waiting = tokio::spawn(status(api.clone(), setup.get("first")));
    refresh.arrived(1).await;
    refresh.release();
    assert_eq!(waiting.await.unwrap(), StatusCode::OK);

    let slow = setup.server.hold_api();
    let sent = tokio::spawn(status(api.clone(), setup.get("slow")));
    slow.arrived(1).await;
    let error = call(api.clone(), setup.get("refused")).await.unwrap_err();
    assert!(error.is::<Overloaded>(), "{error:?}");
    slow.release();
    assert_eq!(sent.await.unwrap(), StatusCode::OK);
    setup.survives_an_expiry(api).await;
}

#[derive(Clone)]
pub(crate) struct Always;

impl Policy<Request<Body>> for Always {
    fn clone_request(&self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }

    fn can_retry(&self, _request: &Request<Body>) -> bool {
        true
    }
}

#[tokio::test]
async fn above_hedge_has_its_attempts_share_a_refresh() {
    let setup = Setup::new().await;
    let auth = ServiceBuilder::new().layer(setup.auth()).service(setup.client.clone());
    let mut api = Hedge::new(auth, Always, 1, 0.5, Duration::from_secs(60));
    // So that it has seen enough to hedge.
    for caller in 0..5 {
        let response = api.ready().await.unwrap().call(setup.get(caller)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    setup.server.expire_access_tokens();
    let response = api.ready().await.unwrap().call(setup.get("expired")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(setup.server.refresh_requests(), 1);
}

/// A client for requests with `B`.
pub(crate) fn client<B>()
-> impl Service<Request<B>, Response = Response<Incoming>, Error = hyper_util::client::legacy::Error>
+ Clone
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    Client::builder(TokioExecutor::new()).build_http()
}

pub(crate) fn upload<B>(setup: &Setup, body: B) -> Request<B> {
    Request::put(setup.server.url("/uploads")).body(body).unwrap()
}

#[tokio::test]
async fn e8_axums_body_is_sent_once_or_recorded_as_the_layer_outside_says() {
    let setup = Setup::new().await;
    let once =
        ServiceBuilder::new().layer(SendOnceLayer::new()).layer(setup.auth()).service(client());
    setup.server.expire_access_tokens();
    let response = once.oneshot(upload(&setup, axum::body::Body::from("text"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(Error::find(&response).is_some_and(Error::is_retryable_by_caller));

    let recorded =
        ServiceBuilder::new().layer(ReplayBodyLayer::new()).layer(setup.auth()).service(client());
    setup.server.expire_access_tokens();
    let response = recorded.oneshot(upload(&setup, axum::body::Body::from("text"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(setup.answers(), [401, 401, 200]);
}

#[tokio::test]
async fn a_boxed_body_as_tonics_is_sent_once_or_recorded() {
    type Boxed = UnsyncBoxBody<Bytes, BoxError>;
    let body = || -> Boxed { Body::from("text").map_err(Into::into).boxed_unsync() };
    let setup = Setup::new().await;
    let plain = ServiceBuilder::new().layer(setup.auth()).service(client());
    setup.server.expire_access_tokens();
    let response = plain.oneshot(upload(&setup, body())).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let recorded =
        ServiceBuilder::new().layer(ReplayBodyLayer::new()).layer(setup.auth()).service(client());
    setup.server.expire_access_tokens();
    let response = recorded.oneshot(upload(&setup, body())).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}
