//! tower-http's `FollowRedirect`. Above, each hop is judged like any request; below, the layer
//! knows of the first hop only, and what becomes of the token is tower-http's affair.

use http::{Method, StatusCode};
use tower::ServiceBuilder;
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::{AuthLayer, Credentials, Error, RequestMode};

use crate::support::{MODE, Setup, call, status};

fn found(url: &str) -> Fault {
    Fault::redirect(StatusCode::FOUND, url)
}

/// The paths that were asked for, and whether a token came along.
fn hops(server: &FakeTeamUp) -> Vec<(String, bool)> {
    let journal = server.journal();
    let api = journal.entries().iter().filter(|entry| entry.route().is_api());
    api.map(|entry| (entry.path().to_owned(), entry.header("authorization").is_some())).collect()
}

fn hop(path: &str, token: bool) -> (String, bool) {
    (format!("/api/v2{path}"), token)
}

/// Two hops on the other origin, because a client that is careless shows it on the second.
async fn leads_away(setup: &Setup) -> FakeTeamUp {
    let other = FakeTeamUp::start().await;
    setup.server.fail_api(found(&other.url("/echo/one")));
    other.fail_api(found(&other.url("/echo/two")));
    other
}

#[tokio::test]
async fn p4_above_follow_redirect_judges_every_hop() {
    let setup = Setup::new().await;
    let api = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(setup.auth())
        .service(setup.client.clone());
    let other = leads_away(&setup).await;
    assert_eq!(status(api, setup.get("away")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(hops(&setup.server), [hop("/echo", true)]);
    assert_eq!(hops(&other), [hop("/echo/one", false), hop("/echo/two", false)]);
    assert!(other.journal().entries().iter().all(|entry| entry.mode().is_none()));
    // The 401 of a request without a token of ours is no reason to refresh.
    assert_eq!(setup.server.refresh_requests(), 0);
}

#[tokio::test]
async fn p4_below_follow_redirect_leaves_the_token_behind() {
    let setup = Setup::new().await;
    let api = ServiceBuilder::new()
        .layer(setup.auth())
        .layer(FollowRedirectLayer::new())
        .service(setup.client.clone());
    let other = leads_away(&setup).await;
    // The second send, after a refresh, is led away too.
    setup.server.fail_api(found(&other.url("/echo/one")));
    other.fail_apis(1, Fault::unauthorized());
    assert_eq!(status(api, setup.get("away")).await, StatusCode::UNAUTHORIZED);
    assert!(hops(&other).len() >= 2);
    assert!(hops(&other).iter().all(|(_, token)| !token), "{}", other.journal());
}

#[tokio::test]
async fn within_the_origin_each_hop_has_the_token_and_the_mode_of_the_request() {
    for above in [true, false] {
        let setup = Setup::with(&RequestMode::ALL).await;
        setup.server.fail_api(found(&setup.server.url("/echo/one")));
        setup.server.fail_api(Fault::redirect(StatusCode::TEMPORARY_REDIRECT, "two"));
        let mut request = setup.get("within");
        request.extensions_mut().insert(RequestMode::Customer);
        let status = if above {
            let stack = ServiceBuilder::new().layer(FollowRedirectLayer::new()).layer(setup.auth());
            status(stack.service(setup.client.clone()), request).await
        } else {
            let stack = ServiceBuilder::new().layer(setup.auth()).layer(FollowRedirectLayer::new());
            status(stack.service(setup.client.clone()), request).await
        };
        assert_eq!(status, StatusCode::OK, "{}", setup.server.journal());
        let expected = [hop("/echo", true), hop("/echo/one", true), hop("/echo/two", true)];
        assert_eq!(hops(&setup.server), expected);
        let journal = setup.server.journal();
        assert!(journal.entries().iter().all(|entry| entry.mode() == Some("customer")));
        assert_eq!(setup.server.refresh_requests(), 0);
    }
}

#[tokio::test]
async fn a_401_at_the_end_of_a_redirect_is_repeated() {
    // Above, the hop that was refused is sent again; below, the whole way is.
    for (above, expected) in [(true, vec![302, 401, 200]), (false, vec![302, 401, 302, 200])] {
        let setup = Setup::new().await;
        setup.server.fail_api(found(&setup.server.url("/echo/one")));
        setup.server.fail_api(Fault::unauthorized());
        let request = setup.get("refused");
        let status = if above {
            let stack = ServiceBuilder::new().layer(FollowRedirectLayer::new()).layer(setup.auth());
            status(stack.service(setup.client.clone()), request).await
        } else {
            setup.server.fail_api(found(&setup.server.url("/echo/one")));
            let stack = ServiceBuilder::new().layer(setup.auth()).layer(FollowRedirectLayer::new());
            status(stack.service(setup.client.clone()), request).await
        };
        assert_eq!((status, setup.answers()), (StatusCode::OK, expected));
        assert_eq!(setup.server.refresh_requests(), 1);
    }
}

#[tokio::test]
async fn above_a_redirect_to_another_allowed_origin_goes_with_the_token() {
    let Setup { server, client, .. } = Setup::new().await;
    let other = FakeTeamUp::start().await;
    let credentials = Credentials::builder(MODE)
        .base_url(server.base_url())
        .allow_origin(other.origin())
        .tokens(server.issue_tokens(&[MODE]))
        .refresh_client(client.clone())
        .build()
        .await
        .unwrap();
    let api = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(AuthLayer::new(credentials))
        .service(client);
    server.fail_api(found(&other.url("/echo")));
    let request = crate::support::get(&server, "allowed");
    // The other server knows nothing of this one's tokens.
    assert_eq!(status(api, request).await, StatusCode::UNAUTHORIZED);
    assert_eq!(hops(&other), [hop("/echo", true), hop("/echo", true)]);
}

#[tokio::test]
async fn e1_below_a_request_that_may_have_been_carried_out_is_not_sent_again() {
    // The 303 leads elsewhere, or back to the same URL.
    for location in ["/echo/made", "/echo"] {
        let setup = Setup::new().await;
        let api = ServiceBuilder::new()
            .layer(setup.auth())
            .layer(FollowRedirectLayer::new())
            .service(setup.client.clone());
        let see_other = Fault::redirect(StatusCode::SEE_OTHER, &setup.server.url(location));
        setup.server.fail_api(see_other);
        setup.server.fail_api(Fault::unauthorized());
        let mut booking = setup.get("booking");
        *booking.method_mut() = Method::POST;
        let response = call(api.clone(), booking).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{location}");
        let error = Error::find(&response).expect("a reason");
        assert!(!error.is_retryable_by_caller(), "{error}");
        assert!(error.to_string().contains("redirect"), "{error}");
        assert_eq!(setup.answers(), [303, 401], "{location}");
        assert_eq!(setup.server.refresh_requests(), 1, "{location}");

        // The neighbour: what is safe may be sent again, with the token that is there by now.
        setup.server.expire_access_tokens();
        assert_eq!(status(api, setup.get("page")).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn e1_above_each_hop_is_retried_by_itself() {
    let setup = Setup::new().await;
    let api = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(setup.auth())
        .service(setup.client.clone());
    setup.server.fail_api(Fault::redirect(StatusCode::SEE_OTHER, &setup.server.url("/echo")));
    setup.server.fail_api(Fault::unauthorized());
    let mut booking = setup.get("booking");
    *booking.method_mut() = Method::POST;
    assert_eq!(status(api, booking).await, StatusCode::OK);
    assert_eq!(setup.answers(), [303, 401, 200]);
}

#[tokio::test]
async fn e5_per_request_below_passes_a_foreign_hop_through() {
    let setup = Setup::new().await;
    let other = leads_away(&setup).await;
    let api = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(AuthLayer::per_request())
        .service(setup.client.clone());
    let mut request = setup.get("away");
    request.extensions_mut().insert(setup.credentials.clone());
    // The other server wants a token of its own.
    assert_eq!(status(api, request).await, StatusCode::UNAUTHORIZED);
    assert_eq!(hops(&setup.server), [hop("/echo", true)]);
    assert_eq!(hops(&other), [hop("/echo/one", false), hop("/echo/two", false)]);
    assert_eq!(setup.server.refresh_requests(), 0);
}
