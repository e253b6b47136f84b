//! P7: `TeamUp-Request-Mode` always matches the type of the token beside it.

use std::time::Duration;

use http::{HeaderValue, Request, StatusCode};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};
use tower_teamup_auth::refresh::HttpService;
use tower_teamup_auth::{
    AuthLayer, AuthScheme, Credentials, PROVIDER_ID, ProviderId, REQUEST_MODE, RequestMode,
};

use crate::support::server::{Call, Seen, Server};
use crate::support::*;

fn with_header(name: http::HeaderName, value: &'static str) -> Request<Body> {
    let mut request = get("/events");
    request.headers_mut().insert(name, HeaderValue::from_static(value));
    request
}

/// The mode that a token's name says it was minted for.
fn type_of_token(seen: &Seen) -> &str {
    let token = seen.token().expect("a token");
    token.strip_prefix(&format!("{SECRET}-")).and_then(|rest| rest.split('-').next()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn p7_a_hundred_interleaved_requests_of_both_modes_match_their_tokens_while_those_expire() {
    let server = Server::new();
    server.set_lifetime(Some(60));
    let client = client(&expired(&server).await, &server);
    let mut callers = JoinSet::new();
    for index in 0..100_u64 {
        let client = client.clone();
        let mode = RequestMode::ALL[usize::from(index % 3 == 0)];
        callers.spawn(async move {
            // Spread over four minutes, so that both tokens expire in between, and more often.
            tokio::time::sleep(Duration::from_millis(index * 2400)).await;
            send(&client, get_as(mode, "/events")).await.unwrap().status()
        });
    }
    let revoking = async {
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_secs(29)).await;
            server.expire_everything();
        }
    };
    let (statuses, ()) = tokio::join!(callers.join_all(), revoking);
    assert_eq!(statuses.len(), 100);
    assert!(statuses.iter().all(|status| *status == StatusCode::OK));
    let calls = server.seen_calls();
    assert!(calls.len() > 100 && server.granted() > 8);
    for seen in &calls {
        assert_eq!(seen.mode(), Some(type_of_token(seen)));
        let asked = seen.extensions.get::<RequestMode>().unwrap();
        assert_eq!(seen.mode(), Some(asked.as_str()));
    }
    assert_eq!((server.double_spent(), server.most_refresh_requests_at_once()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn p7_mode_is_the_headers_or_else_the_extensions_or_else_the_credentials() {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    let header = |mode| with_header(REQUEST_MODE, mode);
    let mut both = header("customer");
    both.extensions_mut().insert(Provider);
    for (request, mode) in [
        (get("/events"), "provider"),
        (get_as(Customer, "/events"), "customer"),
        (get_as(Provider, "/events"), "provider"),
        (header("customer"), "customer"),
        (header("provider"), "provider"),
        (both, "customer"),
    ] {
        assert_eq!(send(&client, request).await.unwrap().status(), StatusCode::OK);
        let seen = server.seen_calls().pop().unwrap();
        assert_eq!((seen.mode(), type_of_token(&seen)), (Some(mode), mode));
        assert_eq!(seen.headers.get_all(REQUEST_MODE).iter().count(), 1);
    }
    assert_eq!(server.seen_refresh_requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn p7_the_default_mode_is_the_builders() {
    let server = Server::new();
    let credentials = Credentials::builder(Customer)
        .base_url(BASE)
        .tokens(server.bare_tokens())
        .refresh_client::<HttpService<Body>>(server.clone())
        .build()
        .await
        .unwrap();
    assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
    assert_eq!(server.seen_calls()[0].mode(), Some("customer"));
    assert_eq!(server.seen_refresh_requests()[0].field("new_access_token_type"), "customer");
}

#[tokio::test(start_paused = true)]
async fn p7_unknown_mode_is_an_error_before_anything_is_sent() {
    let server = Server::new();
    for credentials in [good(&server).await, expired(&server).await] {
        let client = client(&credentials, &server);
        for mode in ["", "Provider", "owner", "provider,customer", "provider "] {
            let error = failure(send(&client, with_header(REQUEST_MODE, mode)).await);
            assert!(error.is_invalid_request(), "{error}");
            assert!(error.to_string().contains("neither `customer` nor `provider`"), "{error}");
        }
        let mut twice = with_header(REQUEST_MODE, "provider");
        twice.headers_mut().append(REQUEST_MODE, HeaderValue::from_static("provider"));
        let error = failure(send(&client, twice).await);
        assert!(error.is_invalid_request(), "{error}");
        assert!(error.to_string().contains("more than one"), "{error}");
    }
    assert_eq!((server.seen_calls().len(), server.seen_refresh_requests().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn p7_each_mode_is_minted_when_it_is_first_asked_for_and_both_share_the_refresh_token() {
    let server = Server::new();
    let credentials = builder(&server).tokens(server.bare_tokens()).build().await.unwrap();
    let client = client(&credentials, &server);
    let modes = [Provider, Customer, Provider, Customer];
    let mut callers = JoinSet::new();
    for mode in modes {
        let client = client.clone();
        callers
            .spawn(async move { send(&client, get_as(mode, "/events")).await.unwrap().status() });
    }
    assert!(callers.join_all().await.iter().all(|status| *status == StatusCode::OK));
    let refresh_requests = server.seen_refresh_requests();
    let spent: Vec<_> = refresh_requests.iter().map(|seen| seen.field("refresh_token")).collect();
    assert_eq!(spent, [format!("{SECRET}-refresh-0"), format!("{SECRET}-refresh-1")]);
    let mut minted: Vec<_> =
        refresh_requests.iter().map(|seen| seen.field("new_access_token_type")).collect();
    minted.sort();
    assert_eq!(minted, ["customer", "provider"]);
    assert_eq!((server.double_spent(), server.most_refresh_requests_at_once()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn p7_a_401_in_one_mode_leaves_the_other_modes_token_alone() {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    server.next_calls([Call::Answered(401, &[])]);
    assert_eq!(status(&client).await, StatusCode::OK);
    send(&client, get_as(Customer, "/events")).await.unwrap();
    let tokens: Vec<_> =
        server.seen_calls().iter().map(|seen| seen.token().unwrap().to_owned()).collect();
    assert_eq!(tokens[1], format!("{SECRET}-provider-1"));
    assert_eq!(tokens[2], format!("{SECRET}-customer-0"));
}

#[tokio::test(start_paused = true)]
async fn p7_provider_id_is_the_headers_or_else_the_extensions_or_else_the_credentials() {
    let server = Server::new();
    let plain = good(&server).await;
    let fixed =
        builder(&server).provider_id(54664).tokens(server.good_tokens(None)).build().await.unwrap();
    let extension = || {
        let mut request = get("/events");
        request.extensions_mut().insert(ProviderId::new(u64::MAX));
        request
    };
    let header = || with_header(PROVIDER_ID, "12");
    let both = || {
        let mut request = header();
        request.extensions_mut().insert(ProviderId::new(7));
        request
    };
    for (credentials, request, id) in [
        (&plain, get("/events"), None),
        (&plain, extension(), Some("18446744073709551615")),
        (&plain, header(), Some("12")),
        (&fixed, get("/events"), Some("54664")),
        (&fixed, extension(), Some("18446744073709551615")),
        (&fixed, header(), Some("12")),
        (&fixed, both(), Some("12")),
    ] {
        send(&client(credentials, &server), request).await.unwrap();
        let seen = server.seen_calls().pop().unwrap();
        assert_eq!(seen.provider_id(), id);
        assert!(seen.headers.get_all(PROVIDER_ID).iter().count() <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_scheme_stands_before_the_token_on_every_send() {
    for (scheme, word) in
        [(AuthScheme::Bearer, "Bearer"), (AuthScheme::Jwt, "JWT"), (AuthScheme::Token, "Token")]
    {
        let server = Server::new();
        let tokens = server.good_tokens(None);
        let credentials = builder(&server).scheme(scheme).tokens(tokens).build().await.unwrap();
        server.expire_everything();
        assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
        let calls = server.seen_calls();
        for (seen, number) in calls.iter().zip(0..) {
            let value = &seen.headers["authorization"];
            assert_eq!(value, &format!("{word} {SECRET}-provider-{number}"));
            assert!(value.is_sensitive());
        }
        assert_eq!(calls.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn p7_m2m_token_acts_in_provider_mode_and_is_never_refreshed() {
    let server = Server::new();
    server.good_tokens(None);
    let token = format!("{SECRET}-provider-0");
    let credentials =
        Credentials::m2m(token.parse().unwrap()).base_url(BASE).build().await.unwrap();
    let client = client(&credentials, &server);
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(server.seen_calls()[0].mode(), Some("provider"));

    let error = failure(send(&client, get_as(Customer, "/events")).await);
    assert!(error.is_invalid_request(), "{error}");
    assert!(error.to_string().contains("customer mode"), "{error}");
    assert_eq!(server.seen_calls().len(), 1);

    server.expire_everything();
    let error = reason(&send(&client, get("/events")).await);
    assert!(error.is_m2m_refused(), "{error}");
    assert_eq!(server.seen_calls().len(), 2);
    assert!(credentials.refresh(Provider).await.unwrap_err().is_invalid_request());
    assert!(credentials.log_in(server.bare_tokens()).await.unwrap_err().is_invalid_request());
    credentials.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn p7_m2m_token_is_not_signed_out_and_stays_in_use() {
    let server = Server::new();
    server.good_tokens(None);
    let token = format!("{SECRET}-provider-0");
    let credentials =
        Credentials::m2m(token.parse().unwrap()).base_url(BASE).build().await.unwrap();
    let error = credentials.sign_out().await.unwrap_err();
    assert!(error.is_invalid_request(), "{error}");
    assert!(!credentials.status().is_login_required());
    assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn one_client_serves_users_who_bring_their_own_credentials() {
    let server = Server::new();
    let client = AuthLayer::per_request().layer(checked(&server));
    let error = failure(send(&client, get("/events")).await);
    assert!(error.is_invalid_request(), "{error}");
    assert!(error.to_string().contains("brings no credentials"), "{error}");
    assert_eq!(server.seen_calls().len(), 0);

    let (one, other) = (good(&server).await, expired(&server).await);
    for (user, token) in [(one, 0), (other, 1)] {
        let mut request = get("/events");
        request.extensions_mut().insert(user);
        assert_eq!(client.clone().oneshot(request).await.unwrap().status(), StatusCode::OK);
        let seen = server.seen_calls().pop().unwrap();
        assert_eq!(seen.token(), Some(&*format!("{SECRET}-provider-{token}")));
    }
    // A 401 renews the credentials that the request brought.
    let user = good(&server).await;
    server.expire_everything();
    let mut request = get("/events");
    request.extensions_mut().insert(user);
    assert_eq!(send(&client, request).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn credentials_of_a_request_go_before_those_of_the_layer() {
    let (server, other) = (Server::new(), Server::new());
    let client = client(&good(&server).await, &server);
    let brought = builder(&other).provider_id(7).tokens(other.log_in_again("x")).build();
    let brought = brought.await.unwrap();
    let mut request = get("/events");
    request.extensions_mut().insert(brought);
    server.every_call(Call::Answered(401, &[]));
    send(&client, request).await.unwrap();
    // Minted, refused, minted anew and sent again: all of it with the credentials it brought.
    assert_eq!((server.seen_refresh_requests().len(), other.seen_refresh_requests().len()), (0, 2));
    let ids: Vec<_> =
        server.seen_calls().iter().map(|seen| seen.provider_id() == Some("7")).collect();
    assert_eq!(ids, [true, true]);
}
