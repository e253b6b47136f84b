//! tower-http's `SetRequestHeader`. What it sets above is the request's own choice; what it sets
//! below stands on both sends.

use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, StatusCode};
use tower::ServiceBuilder;
use tower_http::set_header::SetRequestHeaderLayer;
use tower_teamup_auth::{PROVIDER_ID, REQUEST_MODE, RequestMode};

use crate::support::{Setup, status};

#[tokio::test]
async fn p7_above_a_mode_that_is_set_chooses_the_token() {
    let setup = Setup::new().await;
    let mode = HeaderValue::from_static("customer");
    let api = ServiceBuilder::new()
        .layer(SetRequestHeaderLayer::overriding(REQUEST_MODE, mode))
        .layer(SetRequestHeaderLayer::overriding(PROVIDER_ID, HeaderValue::from_static("7")))
        .layer(setup.auth())
        .service(setup.client.clone());
    assert_eq!(status(api, setup.get("customer")).await, StatusCode::OK);
    let journal = setup.server.journal();
    let request = journal.entries().iter().find(|entry| entry.route().is_api()).unwrap();
    assert_eq!((request.mode(), request.provider()), (Some("customer"), Some("7")));
    assert_eq!(setup.server.rotations_of(RequestMode::Customer), 1);
}

#[tokio::test]
async fn above_an_authorization_that_is_set_goes_as_it_is() {
    let setup = Setup::new().await;
    let own = HeaderValue::from_static("Token of-my-own");
    let api = ServiceBuilder::new()
        .layer(SetRequestHeaderLayer::overriding(AUTHORIZATION, own))
        .layer(setup.auth())
        .service(setup.client.clone());
    assert_eq!(status(api, setup.get("own")).await, StatusCode::UNAUTHORIZED);
    let journal = setup.server.journal();
    assert_eq!(journal.entries().len(), 1, "{journal}");
    assert_eq!(journal.entries()[0].header(AUTHORIZATION), Some("Token of-my-own"));
}

#[tokio::test]
async fn above_and_below_other_headers_stand_on_both_sends() {
    let setup = Setup::new().await;
    let value = HeaderValue::from_static("set");
    let name = http::HeaderName::from_static("x-above");
    let api = ServiceBuilder::new()
        .layer(SetRequestHeaderLayer::overriding(name, value.clone()))
        .layer(setup.auth())
        .layer(SetRequestHeaderLayer::overriding(USER_AGENT, value.clone()))
        .layer(SetRequestHeaderLayer::if_not_present(AUTHORIZATION, value))
        .service(setup.client.clone());
    setup.survives_an_expiry(api).await;
    let journal = setup.server.journal();
    for request in journal.entries().iter().filter(|entry| entry.route().is_api()) {
        assert_eq!(request.header("x-above"), Some("set"));
        assert_eq!(request.header(USER_AGENT), Some("set"));
    }
}
