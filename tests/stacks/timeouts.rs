//! tower's and tower-http's `Timeout`. Above, one time covers all of a call; below, each send has
//! its own, and waiting for a refresh costs none of it.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use tower::timeout::error::Elapsed;
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_http::timeout::TimeoutLayer;

use crate::support::{Setup, call, pass};

const LIMIT: Duration = Duration::from_secs(5);
/// More than the limit, and less than a refresh request may take.
const TOO_LONG: Duration = Duration::from_secs(6);

/// tower-http's timeout answers by itself, and asks for a body that can be made of nothing.
fn boxed<B>(response: Response<B>) -> Response<BoxBody<Bytes, BoxError>>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Sync + 'static,
{
    response.map(|body| body.map_err(Into::into).boxed())
}

#[tokio::test]
async fn p2_above_towers_timeout_ends_the_call_and_the_refresh_goes_on() {
    let setup = Setup::with(&[]).await;
    let api =
        ServiceBuilder::new().timeout(LIMIT).layer(setup.auth()).service(setup.client.clone());
    let hold = setup.server.hold_refresh_answer();
    let waiting = tokio::spawn(call(api.clone(), setup.get("too long")));
    hold.arrived(1).await;
    pass(TOO_LONG).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert!(error.is::<Elapsed>(), "{error:?}");
    hold.release();
    assert_eq!(call(api, setup.get("next")).await.unwrap().status(), StatusCode::OK);
    assert_eq!((setup.server.refresh_requests(), setup.server.rotations()), (1, 1));
}

#[tokio::test]
async fn below_towers_timeout_times_each_send_and_not_the_refresh() {
    let setup = Setup::with(&[]).await;
    let api =
        ServiceBuilder::new().layer(setup.auth()).timeout(LIMIT).service(setup.client.clone());
    let refresh = setup.server.hold_refresh();
    let waiting = tokio::spawn(call(api.clone(), setup.get("patient")));
    refresh.arrived(1).await;
    pass(TOO_LONG).await;
    refresh.release();
    assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::OK);

    let slow = setup.server.hold_api();
    let waiting = tokio::spawn(call(api, setup.get("slow")));
    slow.arrived(1).await;
    pass(TOO_LONG).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert!(error.is::<Elapsed>(), "{error:?}");
}

#[tokio::test]
async fn p2_above_tower_https_timeout_answers_and_the_refresh_goes_on() {
    let setup = Setup::with(&[]).await;
    let api = ServiceBuilder::new()
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LIMIT))
        .map_response(boxed)
        .layer(setup.auth())
        .service(setup.client.clone());
    let hold = setup.server.hold_refresh_answer();
    let waiting = tokio::spawn(call(api.clone(), setup.get("too long")));
    hold.arrived(1).await;
    pass(TOO_LONG).await;
    assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
    hold.release();
    assert_eq!(call(api, setup.get("next")).await.unwrap().status(), StatusCode::OK);
    assert_eq!((setup.server.refresh_requests(), setup.server.rotations()), (1, 1));
}

#[tokio::test]
async fn below_tower_https_timeout_times_each_send_and_not_the_refresh() {
    let setup = Setup::with(&[]).await;
    let api = ServiceBuilder::new()
        .layer(setup.auth())
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LIMIT))
        .map_response(boxed)
        .service(setup.client.clone());
    let refresh = setup.server.hold_refresh();
    let waiting = tokio::spawn(call(api.clone(), setup.get("patient")));
    refresh.arrived(1).await;
    pass(TOO_LONG).await;
    refresh.release();
    assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::OK);

    let slow = setup.server.hold_api();
    let waiting = tokio::spawn(call(api, setup.get("slow")));
    slow.arrived(1).await;
    pass(TOO_LONG).await;
    assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(setup.server.refresh_requests(), 1);
}

#[tokio::test]
async fn an_expiry_is_survived_in_either_order() {
    let setup = Setup::new().await;
    let (auth, client) = (setup.auth(), setup.client.clone());
    let limit = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LIMIT);
    let above = ServiceBuilder::new().timeout(LIMIT).layer(auth.clone()).service(client.clone());
    setup.survives_an_expiry(above).await;
    let below = ServiceBuilder::new().layer(auth.clone()).timeout(LIMIT).service(client.clone());
    setup.survives_an_expiry(below).await;
    let client = client.map_response(boxed);
    let above = ServiceBuilder::new().layer(limit).layer(auth.clone()).service(client.clone());
    setup.survives_an_expiry(above).await;
    let below = ServiceBuilder::new().layer(auth).layer(limit).service(client);
    setup.survives_an_expiry(below).await;
}
