//! P4: a token never leaves for an origin that is not allowed, on the first send or the retry.

use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderValue, Request, StatusCode};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_teamup_auth::refresh::HttpService;
use tower_teamup_auth::{AuthLayer, Error, PROVIDER_ID, ProviderId, REQUEST_MODE};

use crate::readiness::Checked;
use crate::support::server::{Call, Server};
use crate::support::*;
use crate::witness::Heard;

const ELSEWHERE: [&str; 11] = [
    "https://evil.test/api/v2/events?page=2",
    "https://api.test.evil.test/api/v2/events",
    "https://evil-api.test/api/v2/events",
    "https://sub.api.test/api/v2/events",
    "https://api.test:8443/api/v2/events",
    "https://api.test:80/api/v2/events",
    "http://api.test/api/v2/events",
    "http://api.test:443/api/v2/events",
    "https://api.test@evil.test/api/v2/events",
    "https://someone@api.test/api/v2/events",
    "wss://api.test/api/v2/events",
];

fn to(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn p4_request_to_elsewhere_passes_untouched() {
    let server = Server::new();
    server.every_call(Call::Answered(200, &[]));
    let credentials =
        builder(&server).provider_id(7).tokens(server.good_tokens(None)).build().await.unwrap();
    let client = client(&credentials, &server);
    for uri in ELSEWHERE {
        let mut request = to(uri);
        request.headers_mut().insert("x-mine", HeaderValue::from_static("kept"));
        send(&client, request).await.unwrap();
        let seen = server.seen_calls().pop().unwrap();
        assert_eq!((seen.uri.to_string().as_str(), seen.headers.len()), (uri, 1), "{uri}");
        assert_eq!(seen.headers["x-mine"], "kept");
    }
}

#[tokio::test(start_paused = true)]
async fn p4_a_relative_uri_is_an_error_before_anything_is_sent() {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    for uri in ["/api/v2/events", "*", "api.test:443"] {
        let error = failure(send(&client, to(uri)).await);
        assert!(error.is_invalid_request() && error.to_string().contains("is relative"), "{error}");
    }
    // One that authorizes itself is nobody's business but its own.
    let mut own = to("/api/v2/events");
    own.headers_mut().insert("authorization", HeaderValue::from_static("Basic eA=="));
    send(&client, own).await.unwrap();
    assert_eq!(server.seen_calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn e2_a_request_whose_host_is_another_passes_through_with_a_warning() {
    let trace = Heard::start();
    let server = Server::new();
    server.every_call(Call::Answered(200, &[]));
    let client = client(&good(&server).await, &server);
    for (host, has_token) in [
        ("evil.example", false),
        ("api.test:80", false),
        ("api.test.", true),
        ("API.test:443", true),
    ] {
        let mut request = get("/events");
        request.headers_mut().insert("host", HeaderValue::from_static(host));
        send(&client, request).await.unwrap();
        let seen = server.seen_calls().pop().unwrap();
        assert_eq!(seen.headers.contains_key("authorization"), has_token, "{host}");
        assert_eq!(seen.headers["host"], host);
    }
    let warned = trace.lines("request passed through without a token");
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned.iter().all(|line| line.contains("WARN") && line.contains("Host")), "{warned:?}");
}

#[tokio::test(start_paused = true)]
async fn e5_a_foreign_hop_passes_through_per_request() {
    let server = Server::new();
    server.every_call(Call::Answered(200, &[]));
    let client = AuthLayer::per_request().layer(Checked::new(server.clone()));
    // Before any credentials are known, the request has forgotten its own.
    let forgotten = client.clone().oneshot(to("https://elsewhere.test/")).await.unwrap_err();
    assert!(Error::find(&forgotten).is_some_and(Error::is_invalid_request));
    let mut own = get("/events");
    own.extensions_mut().insert(good(&server).await);
    client.clone().oneshot(own).await.unwrap();

    let hop = client.clone().oneshot(to("https://elsewhere.test/")).await.unwrap();
    assert_eq!(hop.status(), StatusCode::OK);
    assert!(server.seen_calls().pop().unwrap().headers.is_empty());
    let forgotten = client.oneshot(get("/events")).await.unwrap_err();
    assert!(Error::find(&forgotten).is_some_and(Error::is_invalid_request));
    assert_eq!(server.seen_calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn p4_401_from_elsewhere_passes_and_is_neither_refreshed_nor_retried() {
    let server = Server::new();
    server.every_call(Call::Answered(401, &[]));
    let client = client(&good(&server).await, &server);
    for (index, uri) in ELSEWHERE.into_iter().enumerate() {
        let response = send(&client, to(uri)).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(response.extensions().is_empty());
        assert_eq!(server.seen_calls().len(), index + 1);
    }
    assert_eq!(server.seen_refresh_requests().len(), 0);
    assert!(server.seen_calls().iter().all(|seen| seen.headers.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn p4_request_to_elsewhere_waits_for_no_token() {
    let server = Server::new();
    server.every_call(Call::Answered(200, &[]));
    let client = client(&expired(&server).await, &server);
    for uri in ELSEWHERE {
        assert_eq!(send(&client, to(uri)).await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(server.seen_refresh_requests().len(), 0);
    assert!(server.seen_calls().iter().all(|seen| seen.headers.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn p4_the_api_is_the_api_however_its_origin_is_written() {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    for uri in [
        "https://api.test/api/v2/events",
        "https://api.test/",
        "https://api.test",
        "https://api.test:443/elsewhere",
        "https://API.Test/api/v2/events",
        "HTTPS://api.test/api/v2/events?next=https://evil.test/",
    ] {
        assert_eq!(send(&client, to(uri)).await.unwrap().status(), StatusCode::OK, "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn p4_retry_goes_where_the_first_send_went() {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    for uri in ["https://api.test/api/v2/events?page=2&q=%20a", "https://API.test:443/x?"] {
        server.expire_everything();
        assert_eq!(send(&client, to(uri)).await.unwrap().status(), StatusCode::OK);
        let calls = server.seen_calls();
        let [.., first, second] = &calls[..] else { panic!("two sends") };
        assert_eq!(first.uri, second.uri);
        assert_eq!(second.uri.to_string(), uri);
        assert_ne!(first.token(), second.token());
    }
}

#[tokio::test(start_paused = true)]
async fn p4_redirect_layer_outside_takes_no_token_to_another_host() {
    const AWAY: &[(&str, &str)] = &[("location", "https://evil.test/events")];
    const OURS: &[(&str, &str)] = &[("location", "https://api.test/elsewhere")];
    for (due, location) in [(false, AWAY), (true, AWAY), (false, OURS)] {
        let server = Server::new();
        let tokens = if due { server.expired_tokens() } else { server.good_tokens(None) };
        let credentials = builder(&server).provider_id(7).tokens(tokens).build().await.unwrap();
        let client = ServiceBuilder::new()
            .layer(FollowRedirectLayer::new())
            .layer(AuthLayer::new(credentials))
            .service(checked(&server));
        // Refused, repeated, redirected, and answered there.
        let refused = Call::Answered(401, &[]);
        let redirect = Call::Answered(302, location);
        server.next_calls([refused, redirect, Call::Answered(200, &[])]);
        let response = client.oneshot(get("/events")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let calls = server.seen_calls();
        assert_eq!(calls.len(), 3);
        assert_eq!(calls[2].uri.to_string(), location[0].1);
        for seen in &calls {
            let ours = seen.uri.host() == Some("api.test");
            for header in [AUTHORIZATION, REQUEST_MODE, PROVIDER_ID] {
                assert_eq!(seen.headers.contains_key(&header), ours, "{header} to {}", seen.uri);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p4_redirect_is_the_callers_to_follow() {
    let server = Server::new();
    server.every_call(Call::Answered(302, &[("location", "https://evil.test/events")]));
    let client = client(&good(&server).await, &server);
    let response = send(&client, get("/events")).await.unwrap();
    assert_eq!(response.headers()[LOCATION], "https://evil.test/events");
    assert_eq!(server.seen_calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn p4_own_authorization_is_respected_and_its_401_is_the_callers() {
    for has_credentials in [true, false] {
        let server = Server::new();
        let credentials = good(&server).await;
        // Without them, a request brings its own, or authorizes itself.
        let layer =
            if has_credentials { AuthLayer::new(credentials) } else { AuthLayer::per_request() };
        let client = layer.layer(checked(&server));
        server.every_call(Call::Answered(401, &[]));
        let mut request = get("/events");
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic b3du"));
        let response = send(&client, request).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let [seen] = &server.seen_calls()[..] else { panic!("one send") };
        assert_eq!(seen.headers.len(), 1);
        assert_eq!(seen.headers[AUTHORIZATION], "Basic b3du");
        assert_eq!(server.seen_refresh_requests().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn p4_further_origins_are_allowed_by_name() {
    let server = Server::new();
    let credentials = builder(&server)
        .allow_origin("https://uploads.test:8443/whatever")
        .allow_origin("http://127.0.0.1:9")
        .tokens(server.good_tokens(None))
        .build()
        .await
        .unwrap();
    let client = client(&credentials, &server);
    for uri in ["https://uploads.test:8443/files", "http://127.0.0.1:9/", "https://api.test/"] {
        assert_eq!(send(&client, to(uri)).await.unwrap().status(), StatusCode::OK, "{uri}");
    }
    server.every_call(Call::Answered(200, &[]));
    for uri in ["https://uploads.test/files", "http://127.0.0.1:90/", "http://localhost:9/"] {
        send(&client, to(uri)).await.unwrap();
        assert!(server.seen_calls().pop().unwrap().headers.is_empty(), "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn p4_refresh_request_passes_its_own_stack_untouched() {
    let server = Server::new();
    // The refresh request runs through a layer that would authorize it, and would wait for itself.
    let other = good(&server).await;
    let stack = AuthLayer::new(other.clone()).layer(checked(&server));
    let credentials = builder(&server)
        .tokens(server.expired_tokens())
        .refresh_client::<HttpService<Body>>(stack)
        .build()
        .await
        .unwrap();
    assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
    let [refresh_request] = &server.seen_refresh_requests()[..] else {
        panic!("one refresh request")
    };
    for header in [AUTHORIZATION, REQUEST_MODE, PROVIDER_ID] {
        assert!(!refresh_request.headers.contains_key(header));
    }
    assert_eq!(refresh_request.uri.to_string(), format!("{BASE}/auth/refresh_access_token"));
}

#[tokio::test(start_paused = true)]
async fn p4_credentials_of_a_request_go_to_their_own_origins_alone() {
    let (ours, theirs) = (Server::new(), Server::new());
    let first = good(&ours).await;
    let second = builder(&theirs)
        .base_url("https://other.test/api")
        .tokens(theirs.good_tokens(None))
        .build()
        .await
        .unwrap();
    let client = client(&first, &ours);
    ours.every_call(Call::Answered(200, &[]));
    let mut request = get("/events");
    request.extensions_mut().insert(second);
    request.extensions_mut().insert(ProviderId::new(7));
    send(&client, request).await.unwrap();
    assert!(ours.seen_calls()[0].headers.is_empty());
}
