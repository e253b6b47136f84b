//! Whose credentials a request goes with and how they are written, and which answers are none of
//! the layer's business.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http::header::{AUTHORIZATION, DATE};
use http::{HeaderMap, StatusCode};
use tower::Layer;
use tower_teamup_auth::RequestMode::{Customer, Provider};
use tower_teamup_auth::testing::{FakeTeamUp, Fault, Refusal};
use tower_teamup_auth::{AuthLayer, AuthScheme, Credentials, Error, TokenSet};

use crate::support::{Answer, Crowd, Http, Protocol, api, call, credentials, get, layered, status};

#[tokio::test]
async fn what_a_new_token_can_not_help_comes_through_untouched() {
    let answer = |code| Fault::status(StatusCode::from_u16(code).unwrap());
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    for protocol in Protocol::BOTH {
        for fault in [
            Fault::insufficient_scope(),
            Fault::insufficient_scope().body("text/plain", "ask for more"),
            answer(403),
            answer(429).retry_after(Duration::from_secs(60)),
            answer(429).retry_after_date(date),
            answer(500),
            answer(503).retry_after(Duration::from_secs(1)),
            Fault::redirect(StatusCode::FOUND, "https://elsewhere.example/"),
        ] {
            let server = FakeTeamUp::start().await;
            let client: Http = protocol.client();
            let api = api(&server, &client, server.issue_tokens(&[Provider])).await;
            server.fail_every_api(fault.clone());
            let bare = call(&client, get(&server, "/echo", "bare")).await.unwrap();
            let through = call(&api, get(&server, "/echo", "through")).await.unwrap();
            assert_eq!(shown(&bare), shown(&through), "{protocol:?} {fault:?}");
            assert!(through.reason.is_none(), "{protocol:?} {fault:?}");
            assert_eq!((server.refresh_requests(), server.api_requests()), (0, 2), "{fault:?}");
        }
    }
}

/// All of an answer save for the moment at which it was given.
fn shown(answer: &Answer) -> (StatusCode, HeaderMap, &[u8]) {
    let mut headers = answer.headers.clone();
    headers.remove(DATE);
    (answer.status, headers, &answer.body)
}

#[tokio::test]
async fn the_apis_own_rate_limit_comes_through_and_costs_no_refresh_request() {
    let server = FakeTeamUp::builder().rate_limit(2).rate_limit_retry_after(true).start().await;
    let client = Protocol::Http1.client();
    let api = api(&server, &client, server.issue_tokens(&[Provider])).await;
    for expected in [200, 200, 429] {
        let answer = call(&api, get(&server, "/echo", expected)).await.unwrap();
        assert_eq!(answer.status, expected);
        assert_eq!(answer.headers.contains_key("retry-after"), expected == 429);
    }
    assert_eq!((server.refresh_requests(), server.api_requests()), (0, 3));
}

#[tokio::test]
async fn two_users_share_a_client_and_each_goes_with_their_own_credentials() {
    const SIZE: usize = 100;
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::start().await;
        let client: Http = protocol.client();
        let api = AuthLayer::per_request().layer(client.clone());
        let logins: Vec<TokenSet> = (0..2).map(|_| server.issue_tokens(&[Provider])).collect();
        let mut users = Vec::new();
        for tokens in &logins {
            let builder = credentials(&server, &client).tokens(tokens.clone());
            users.push(builder.build().await.unwrap());
        }
        let round = |name: &'static str| {
            Crowd::of(SIZE, |number| {
                let mut request = get(&server, "/echo", format!("{name} {number}"));
                request.extensions_mut().insert(users[number % 2].clone());
                let api = api.clone();
                async move { call(&api, request).await.unwrap().status.as_u16() }
            })
        };
        assert_eq!(round("fresh").statuses().await, BTreeMap::from([(200, SIZE)]));
        let journal = server.journal();
        assert_eq!(journal.entries().len(), SIZE);
        for entry in journal.entries() {
            let number: usize = entry.caller().unwrap()["fresh ".len()..].parse().unwrap();
            let token = logins[number % 2].access_token(Provider).unwrap();
            assert!(entry.carried_token(token), "{protocol:?} {entry}");
        }

        // Each renews for itself, once.
        server.expire_access_tokens();
        assert_eq!(round("expired").statuses().await, BTreeMap::from([(200, SIZE)]));
        let journal = server.journal();
        for tokens in &logins {
            let spent = journal
                .entries()
                .iter()
                .filter(|entry| entry.carried_refresh_token(tokens.refresh_token()));
            assert_eq!(spent.count(), 1, "{protocol:?}");
        }
        assert_eq!(
            (server.refresh_requests(), server.unauthorized_to_caller()),
            (2, 0),
            "{protocol:?}"
        );

        let before = server.journal().entries().len();
        let error = call(&api, get(&server, "/echo", "nobody")).await.unwrap_err();
        assert!(error.downcast::<Error>().unwrap().is_invalid_request(), "{protocol:?}");
        assert_eq!(server.journal().entries().len(), before, "{protocol:?}");
    }
}

#[tokio::test]
async fn the_scheme_is_written_as_chosen_on_both_sends() {
    for scheme in [AuthScheme::Bearer, AuthScheme::Jwt, AuthScheme::Token] {
        let server = FakeTeamUp::builder().accept_scheme(scheme).start().await;
        let client = Protocol::Http1.client();
        let builder = credentials(&server, &client).scheme(scheme);
        let credentials = builder.tokens(server.issue_tokens(&[Provider])).build().await.unwrap();
        let api = layered(credentials, client);
        server.expire_access_tokens();
        assert_eq!(status(&api, &server, "call").await, 200, "{scheme}");
        assert_eq!(server.retries(), 1, "{scheme}");
        let journal = server.journal();
        for entry in journal.entries().iter().filter(|entry| entry.route().is_api()) {
            let written = entry.header(AUTHORIZATION).unwrap();
            assert_eq!(written.split(' ').next(), Some(scheme.as_str()), "{entry}");
        }
    }
    // One that the API does not take is none that a new token mends.
    let server = FakeTeamUp::builder().accept_scheme(AuthScheme::Token).start().await;
    let client = Protocol::Http1.client();
    let api = api(&server, &client, server.issue_tokens(&[Provider])).await;
    assert_eq!(status(&api, &server, "call").await, 401);
    let journal = server.journal();
    let refusals: Vec<_> = journal.entries().iter().filter_map(|entry| entry.refusal()).collect();
    assert_eq!((refusals, server.refresh_requests()), (vec![Refusal::Scheme; 2], 1));
}

#[tokio::test]
async fn an_m2m_token_acts_in_provider_mode_and_is_never_refreshed() {
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::builder().accept_scheme(AuthScheme::Token).start().await;
        let token = server.issue_m2m();
        let builder = Credentials::m2m(token.clone()).base_url(server.base_url());
        let credentials = builder.scheme(AuthScheme::Token).build().await.unwrap();
        let api = layered(credentials, protocol.client());
        let crowd = Crowd::calling(100, &api, &server);
        assert_eq!(crowd.statuses().await, BTreeMap::from([(200, 100)]), "{protocol:?}");
        let journal = server.journal();
        assert!(journal.entries().iter().all(|entry| entry.carried_token(&token)
            && entry.mode() == Some(Provider.as_str())));

        let mut request = get(&server, "/echo", "customer");
        request.extensions_mut().insert(Customer);
        let error = call(&api, request).await.unwrap_err();
        assert!(error.downcast::<Error>().unwrap().is_invalid_request(), "{protocol:?}");
        assert_eq!(server.api_requests(), 100, "{protocol:?}");

        server.revoke_everything();
        let answer = call(&api, get(&server, "/echo", "revoked")).await.unwrap();
        assert_eq!(answer.status, 401, "{protocol:?}");
        assert!(answer.reason.unwrap().to_string().contains("issue a new M2M token"));
        assert_eq!((server.api_requests(), server.refresh_requests()), (101, 0), "{protocol:?}");
    }
}
