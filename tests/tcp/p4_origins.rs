//! P4: a token goes to the API's own origin and nowhere else, on the first send or the retry.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::iter;
use std::net::{Ipv4Addr, SocketAddr};

use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use tower::ServiceBuilder;
use tower::util::service_fn;
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_teamup_auth::RequestMode::Provider;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::{AuthLayer, PROVIDER_ID, REQUEST_MODE};

use crate::support::{Body, Protocol, api, call, credentials, get, layered, status};

/// So many requests were sent to `server`, and none carried a token, nor anything else that the layer adds.
#[track_caller]
fn assert_saw_no_token(server: &FakeTeamUp, requests: usize) {
    let journal = server.journal();
    assert_eq!(journal.entries().len(), requests, "{journal}");
    for entry in journal.entries() {
        for name in [AUTHORIZATION, REQUEST_MODE, PROVIDER_ID] {
            assert!(entry.header(&name).is_none(), "{entry} carried {name}");
        }
    }
}

#[tokio::test]
async fn p4_another_port_gets_no_token_and_its_401_no_refresh() {
    for protocol in Protocol::BOTH {
        let (ours, other) = (FakeTeamUp::start().await, FakeTeamUp::start().await);
        let api = api(&ours, &protocol.client(), ours.issue_tokens(&[Provider])).await;
        assert_eq!(status(&api, &ours, "ours").await, 200, "{protocol:?}");
        assert_eq!(status(&api, &other, "other").await, 401, "{protocol:?}");
        assert_saw_no_token(&other, 1);
        // Nor while a renewal is needed: the request does not even wait for it.
        ours.expire_access_tokens();
        let hold = ours.hold_refresh();
        let waiting = tokio::spawn({
            let (api, request) = (api.clone(), get(&ours, "/echo", "renewing"));
            async move { call(&api, request).await.unwrap().status }
        });
        hold.arrived(1).await;
        assert_eq!(status(&api, &other, "other").await, 401, "{protocol:?}");
        hold.release();
        assert_eq!(waiting.await.unwrap(), 200, "{protocol:?}");
        assert_saw_no_token(&other, 2);
        assert_eq!((ours.refresh_requests(), other.refresh_requests()), (1, 0), "{protocol:?}");
    }
}

#[tokio::test]
async fn p4_another_host_or_scheme_at_the_same_address_gets_no_token() {
    let server = FakeTeamUp::start().await;
    // A client that finds every name at the fake's address, and speaks plain http whatever the
    // URL says: what such URLs would carry shows in the journal.
    let resolver = service_fn(|_: Name| -> Ready<Result<_, Infallible>> {
        ready(Ok(iter::once(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))))
    });
    let mut connector = HttpConnector::new_with_resolver(resolver);
    connector.enforce_http(false);
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build(connector);
    let refresh_request = Protocol::Http1.client();
    let builder = credentials(&server, &refresh_request).tokens(server.issue_tokens(&[Provider]));
    let api = layered(builder.provider_id(7).build().await.unwrap(), client);

    let port = server.address().port();
    let elsewhere = [
        format!("http://teamup.example:{port}/api/v2/echo"),
        format!("http://127.0.0.1.teamup.example:{port}/api/v2/echo"),
        format!("http://localhost:{port}/api/v2/echo"),
        format!("https://127.0.0.1:{port}/api/v2/echo"),
        format!("http://127.0.0.1@teamup.example:{port}/api/v2/echo"),
        format!("http://user@127.0.0.1:{port}/api/v2/echo"),
    ];
    for url in &elsewhere {
        let request = Request::get(url).body(Body::default()).unwrap();
        assert_eq!(call(&api, request).await.unwrap().status, 401, "{url}");
    }
    assert_saw_no_token(&server, elsewhere.len());
    assert_eq!(status(&api, &server, "ours").await, 200);
    let journal = server.journal();
    let ours = journal.entries().last().unwrap();
    assert!(ours.header(AUTHORIZATION).is_some() && ours.provider() == Some("7"), "{ours}");
}

#[tokio::test]
async fn p4_a_redirect_layer_outside_carries_no_token_to_another_host_on_either_send() {
    for protocol in Protocol::BOTH {
        for code in [StatusCode::FOUND, StatusCode::TEMPORARY_REDIRECT] {
            let (ours, other) = (FakeTeamUp::start().await, FakeTeamUp::start().await);
            let client = protocol.client();
            let credentials = credentials(&ours, &client).tokens(ours.issue_tokens(&[Provider]));
            let api = ServiceBuilder::new()
                .layer(FollowRedirectLayer::new())
                .layer(AuthLayer::new(credentials.build().await.unwrap()))
                .service(client);
            let away = Fault::redirect(code, &other.url("/echo/away"));

            ours.fail_api(away.clone());
            assert_eq!(status(&api, &ours, "first send").await, 401, "{protocol:?} {code}");
            assert_saw_no_token(&other, 1);

            ours.fail_api(Fault::unauthorized());
            ours.fail_api(away.clone());
            assert_eq!(status(&api, &ours, "repeat").await, 401, "{protocol:?} {code}");
            assert_saw_no_token(&other, 2);
            assert_eq!((ours.refresh_requests(), ours.retries()), (1, 1), "{protocol:?} {code}");

            // There and back again: the token is for the way home alone.
            ours.fail_api(away);
            other.fail_api(Fault::redirect(code, &ours.url("/echo/home")));
            assert_eq!(status(&api, &ours, "back").await, 200, "{protocol:?} {code}");
            assert_saw_no_token(&other, 3);
            assert_eq!(
                (ours.refresh_requests(), other.refresh_requests()),
                (1, 0),
                "{protocol:?} {code}"
            );
        }
    }
}

#[tokio::test]
async fn p4_a_next_url_to_elsewhere_carries_no_token() {
    for protocol in Protocol::BOTH {
        let (ours, other) = (FakeTeamUp::start().await, FakeTeamUp::start().await);
        let api = api(&ours, &protocol.client(), ours.issue_tokens(&[Provider])).await;
        ours.link_pages_to(&other.base_url());
        // The first page is itself a retry.
        ours.expire_access_tokens();
        let page = call(&api, get(&ours, "/events", "page 1")).await.unwrap();
        assert_eq!((page.status, ours.retries()), (StatusCode::OK, 1), "{protocol:?}");
        let page: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
        let next = page["next"].as_str().unwrap();
        assert!(next.starts_with(other.origin()), "{next}");
        let request = Request::get(next).body(Body::default()).unwrap();
        assert_eq!(call(&api, request).await.unwrap().status, 401, "{protocol:?}");
        assert_saw_no_token(&other, 1);
    }
}

#[tokio::test]
async fn p4_an_origin_allowed_by_name_gets_the_token() {
    let (ours, other) = (FakeTeamUp::start().await, FakeTeamUp::start().await);
    let client = Protocol::Http1.client();
    let tokens = ours.issue_tokens(&[Provider]);
    let token = tokens.access_token(Provider).unwrap().clone();
    let builder = credentials(&ours, &client).allow_origin(other.origin()).tokens(tokens);
    let api = layered(builder.build().await.unwrap(), client);
    // The other server did not issue it, so this says no more than who was given what.
    status(&api, &other, "allowed").await;
    assert!(other.journal().entries()[0].carried_token(&token));
    assert_eq!(other.refresh_requests(), 0);
}

#[tokio::test]
async fn p4_a_callers_own_authorization_is_left_alone() {
    let server = FakeTeamUp::start().await;
    let api = api(&server, &Protocol::Http1.client(), server.issue_tokens(&[Provider])).await;
    let mut request = get(&server, "/echo", "own");
    request.headers_mut().insert(AUTHORIZATION, "Bearer of-my-own".parse().unwrap());
    assert_eq!(call(&api, request).await.unwrap().status, 401);
    let journal = server.journal();
    assert_eq!(journal.entries().len(), 1);
    let sent: Vec<_> = journal.entries()[0].headers().get_all(AUTHORIZATION).iter().collect();
    assert_eq!(sent, ["Bearer of-my-own"]);
}
