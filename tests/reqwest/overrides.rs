//! P7: what a request chooses for itself, and that its mode always is that of the token beside it.

use http::StatusCode;
use reqwest::Body;
use reqwest_middleware::ClientBuilder;
use tokio::task::JoinSet;
use tower_teamup_auth::client::AuthMiddleware;
use tower_teamup_auth::testing::{CALLER, Entry, FakeTeamUp, Refusal};
use tower_teamup_auth::{ProviderId, REQUEST_MODE, RequestMode};

use crate::support::{Kind, MODE, Protocol, crate_error, credentials, get};

/// The mode and the business of each API request, in the order of arrival.
fn seen(server: &FakeTeamUp) -> Vec<(Option<String>, Option<String>)> {
    let journal = server.journal();
    let api = journal.entries().iter().filter(|entry| entry.route().is_api());
    api.map(|entry| (entry.mode().map(str::to_owned), entry.provider().map(str::to_owned)))
        .collect()
}

fn both(mode: &str, provider: &str) -> (Option<String>, Option<String>) {
    (Some(mode.to_owned()), Some(provider.to_owned()))
}

#[tokio::test]
async fn p7_a_request_chooses_by_header_or_extension_and_gets_the_token_of_its_mode() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let client = Protocol::Http1.client();
        let credentials = credentials(&server, &client)
            .provider_id(1)
            .tokens(server.issue_tokens(&[MODE]))
            .build()
            .await
            .unwrap();
        let api = kind.over(client, credentials);

        let by_default = get(&server, "default");
        let mut by_extension = get(&server, "extension");
        by_extension.extensions_mut().insert(RequestMode::Customer);
        by_extension.extensions_mut().insert(ProviderId::new(2));
        let mut by_header = get(&server, "header");
        by_header.headers_mut().insert(REQUEST_MODE, "customer".parse().unwrap());
        by_header.headers_mut().insert("teamup-provider-id", "3".parse().unwrap());
        // The header takes precedence.
        by_header.extensions_mut().insert(RequestMode::Provider);
        by_header.extensions_mut().insert(ProviderId::new(4));
        for request in [by_default, by_extension, by_header] {
            assert_eq!(api.status(request).await, StatusCode::OK, "{kind:?} {}", server.journal());
        }
        let expected = [both("provider", "1"), both("customer", "2"), both("customer", "3")];
        assert_eq!(seen(&server), expected, "{kind:?}");
        assert_eq!(server.rotations_of(RequestMode::Customer), 1);
    }
}

#[tokio::test]
async fn p7_an_unknown_mode_is_refused_before_anything_is_sent() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        let mut request = get(&server, "odd");
        request.headers_mut().insert(REQUEST_MODE, "owner".parse().unwrap());
        let error = api.send(request).await.unwrap_err();
        assert!(crate_error(&error).is_invalid_request(), "{kind:?} {error:?}");
        assert!(server.journal().entries().is_empty());
    }
}

/// Both modes at once, while everything expires in the middle of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_modes_and_tokens_match_through_expiries_and_retries() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&RequestMode::ALL)).await;
        for round in 0..2 {
            let hold = server.hold_api();
            let mut calls = JoinSet::new();
            for caller in 0..40 {
                let (api, mode) = (api.clone(), RequestMode::ALL[caller % 2]);
                let mut request = get(&server, format!("{round}-{caller}"));
                request.extensions_mut().insert(mode);
                calls.spawn(async move { api.status(request).await });
            }
            hold.arrived(40).await;
            server.expire_access_tokens();
            hold.release();
            assert!(calls.join_all().await.iter().all(|status| *status == StatusCode::OK));
        }
        assert_eq!((server.retries(), server.rotations()), (2 * 40, 2 * 2), "{kind:?}");
        // A mode that is not the token's would have been refused for that.
        let journal = server.journal();
        let mut refusals = journal.entries().iter().filter_map(Entry::refusal);
        assert!(refusals.all(|refusal| refusal == Refusal::ExpiredToken), "{kind:?}");
    }
}

#[tokio::test]
async fn requests_that_bring_their_own_credentials_share_one_client() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.per_request();
        let (mut users, mut tokens) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let set = server.issue_tokens(&[MODE]);
            tokens.push(set.access_token(MODE).unwrap().clone());
            let client = Protocol::Http1.client();
            users.push(credentials(&server, &client).tokens(set).build().await.unwrap());
        }
        for user in &users {
            let mut request = get(&server, "user");
            request.extensions_mut().insert(user.clone());
            assert_eq!(api.status(request).await, StatusCode::OK, "{kind:?}");
        }
        let journal = server.journal();
        assert_eq!(journal.entries().len(), 2);
        for (entry, token) in journal.entries().iter().zip(&tokens) {
            assert!(entry.carried_token(token), "{kind:?} {journal}");
        }

        let error = api.send(get(&server, "nobody")).await.unwrap_err();
        assert!(crate_error(&error).is_invalid_request(), "{kind:?} {error:?}");
        assert_eq!(server.journal().entries().len(), 2);
    }
}

#[tokio::test]
async fn a_repeat_after_401_uses_the_credentials_that_the_request_brought() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        let client = Protocol::Http1.client();
        let brought = server.issue_tokens(&[MODE]);
        let refresh_token = brought.refresh_token().clone();
        let user = credentials(&server, &client).tokens(brought).build().await.unwrap();
        server.expire_access_tokens();
        let mut request = get(&server, "user");
        request.extensions_mut().insert(user);
        assert_eq!(api.status(request).await, StatusCode::OK, "{kind:?}");
        let journal = server.journal();
        let refresh_request =
            journal.entries().iter().find(|entry| entry.refresh_outcome().is_some()).unwrap();
        assert!(refresh_request.carried_refresh_token(&refresh_token), "{kind:?} {journal}");
        assert_eq!((server.refresh_requests(), server.retries()), (1, 1));
    }
}

#[tokio::test]
async fn a_request_that_brings_its_own_authorization_goes_as_it_is() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        let mut request = get(&server, "own");
        request.headers_mut().insert("authorization", "Token of-my-own".parse().unwrap());
        assert_eq!(api.status(request).await, StatusCode::UNAUTHORIZED, "{kind:?}");
        let journal = server.journal();
        assert_eq!(journal.entries().len(), 1, "{journal}");
        assert_eq!(journal.entries()[0].header("authorization"), Some("Token of-my-own"));
        assert_eq!(journal.entries()[0].mode(), None);
    }
}

/// What `with_extension` says goes before what the request brings from an `http::Request`.
#[tokio::test]
async fn the_middleware_reads_what_with_extension_says() {
    let server = FakeTeamUp::start().await;
    let client = Protocol::Http1.client();
    let tokens = server.issue_tokens(&RequestMode::ALL);
    let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
    let api = ClientBuilder::new(client).with(AuthMiddleware::per_request()).build();
    let response = api
        .get(server.url("/echo"))
        .header(CALLER, "one")
        .with_extension(credentials.clone())
        .with_extension(RequestMode::Customer)
        .with_extension(ProviderId::new(7))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);

    let request = http::Request::get(server.url("/echo"))
        .extension(RequestMode::Customer)
        .extension(ProviderId::new(8))
        .body(Body::default())
        .unwrap();
    let mut extensions = http::Extensions::new();
    extensions.insert(credentials);
    extensions.insert(RequestMode::Provider);
    let request = request.try_into().unwrap();
    let response = api.execute_with_extensions(request, &mut extensions).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(seen(&server), [both("customer", "7"), both("provider", "8")]);
}
