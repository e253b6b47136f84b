//! Tokens for clients that the crate has no adapter for: the same single flight, and the same rules as
//! the layer's.

use tokio::task::JoinSet;
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Auth, Credentials, PROVIDER_ID, ProviderId, REQUEST_MODE, RequestMode};

use RequestMode::{Customer, Provider};

async fn credentials(server: &FakeTeamUp) -> Credentials {
    Credentials::builder(Provider)
        .base_url(server.base_url())
        .tokens(server.issue_tokens(&[Provider]))
        .clock(Clock::tokio())
        .build()
        .await
        .unwrap()
}

#[tokio::test]
async fn p1_a_hundred_callers_without_a_token_share_one_refresh() {
    let server = FakeTeamUp::start().await;
    let credentials = Credentials::builder(Provider)
        .base_url(server.base_url())
        .tokens(server.issue_tokens(&[]))
        .build()
        .await
        .unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let credentials = credentials.clone();
        callers.spawn(async move { credentials.access_token(Customer).await.unwrap() });
    }
    let tokens = callers.join_all().await;
    assert!(tokens.iter().all(|token| token.expose() == tokens[0].expose()));
    assert_eq!(tokens[0].mode(), Customer);
    assert_eq!(server.rotations(), 1, "{}", server.journal());
}

#[tokio::test]
async fn p1_a_refused_token_that_a_hundred_callers_report_is_refreshed_once() {
    let server = FakeTeamUp::start().await;
    let credentials = credentials(&server).await;
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let refused = credentials.access_token(Provider).await.unwrap();
        callers.spawn(async move {
            let before = refused.expose().to_owned();
            let next = refused.report_refused().await.unwrap();
            assert_ne!(next.expose(), before);
            next.expose().to_owned()
        });
    }
    let mut tokens = callers.join_all().await;
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    assert_eq!((server.rotations(), server.double_spends()), (1, 0), "{}", server.journal());
}

#[tokio::test]
async fn p1_a_report_that_comes_late_refreshes_nothing() {
    let server = FakeTeamUp::start().await;
    let credentials = credentials(&server).await;
    let late = credentials.access_token(Provider).await.unwrap();
    let next = late.clone().report_refused().await.unwrap();
    let same = late.report_refused().await.unwrap();
    assert_eq!(same.expose(), next.expose());
    assert_eq!(server.refresh_requests(), 1, "{}", server.journal());
}

#[tokio::test]
async fn p1_the_layer_and_another_client_share_a_refresh() {
    let server = FakeTeamUp::start().await;
    let credentials = credentials(&server).await;
    let other = credentials.access_token(Provider).await.unwrap();
    server.expire_access_tokens();
    let hold = server.hold_refresh();
    let client: HyperClient = hyper_client();
    let api = Auth::new(client, credentials);
    let request = http::Request::get(server.url("/events")).body(Default::default()).unwrap();
    let through_layer = tokio::spawn(tower::ServiceExt::oneshot(api, request));
    hold.arrived(1).await;
    let reported = tokio::spawn(other.report_refused());
    hold.release();
    assert_eq!(through_layer.await.unwrap().unwrap().status(), 200);
    reported.await.unwrap().unwrap();
    assert_eq!(server.refresh_requests(), 1, "{}", server.journal());
}

#[tokio::test]
async fn p3_reports_without_end_are_stopped_by_the_limit_of_refreshes() {
    let server = FakeTeamUp::start().await;
    let credentials = credentials(&server).await;
    let mut token = credentials.access_token(Provider).await.unwrap();
    let error = loop {
        token = match token.report_refused().await {
            Ok(token) => token,
            Err(error) => break error,
        };
        assert!(server.rotations() < 10);
    };
    assert!(error.is_refresh_limited(), "{error}");
    assert_eq!(server.rotations(), 4);
}

#[tokio::test]
async fn p10_a_credential_that_is_signed_out_asks_for_a_login_at_once() {
    let server = FakeTeamUp::start().await;
    let credentials = credentials(&server).await;
    let token = credentials.access_token(Provider).await.unwrap();
    credentials.sign_out().await.unwrap();
    for error in [
        credentials.access_token(Provider).await.unwrap_err(),
        credentials.headers(Customer).await.unwrap_err(),
    ] {
        assert!(error.is_login_required(), "{error}");
    }
    let error = token.report_refused().await.unwrap_err();
    assert!(error.is_login_required() || error.is_login_changed(), "{error}");
    assert_eq!(server.refresh_requests(), 0);
}

#[tokio::test]
async fn p11_a_token_that_was_refused_is_not_replaced_by_another_logins() {
    let server = FakeTeamUp::start().await;
    let credentials = credentials(&server).await;
    let token = credentials.access_token(Provider).await.unwrap();
    credentials.log_in(server.issue_tokens_to("another", &[Provider])).await.unwrap();
    let error = token.report_refused().await.unwrap_err();
    assert!(error.is_login_changed(), "{error}");
}

#[tokio::test]
async fn p10_a_refresh_that_fails_is_the_error_of_who_reported() {
    let server = FakeTeamUp::start().await;
    let credentials = credentials(&server).await;
    server.fail_every_refresh(Fault::status(http::StatusCode::SERVICE_UNAVAILABLE));
    let token = credentials.access_token(Provider).await.unwrap();
    let error = token.report_refused().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    server.clear_faults();
    // It may still work, so it goes on being handed out.
    assert!(credentials.access_token(Provider).await.is_ok());
}

#[tokio::test]
async fn p10_an_m2m_token_is_handed_out_and_can_not_be_refreshed() {
    let server = FakeTeamUp::start().await;
    let token = server.issue_m2m();
    let credentials =
        Credentials::m2m(token.clone()).base_url(server.base_url()).build().await.unwrap();
    let current = credentials.access_token(Provider).await.unwrap();
    assert_eq!(current.expose(), token.expose());
    assert_eq!(current.expires_at(), None);
    let error = current.report_refused().await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
}

#[tokio::test]
async fn p4_a_request_to_another_origin_is_left_as_it_is() {
    let server = FakeTeamUp::start().await;
    let credentials = credentials(&server).await;
    for (url, host) in [
        ("https://example.com/".to_owned(), None),
        (server.url("/events").replace("127.0.0.1", "127.0.0.2"), None),
        (server.url("/events"), Some("example.com")),
    ] {
        let mut request = http::Request::get(&url);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let mut request = request.body(()).unwrap();
        let before = request.headers().clone();
        assert!(credentials.authorize(&mut request).await.unwrap().is_none(), "{url}");
        assert_eq!(*request.headers(), before);
    }
    let mut own =
        http::Request::get(server.url("/")).header("authorization", "Basic x").body(()).unwrap();
    assert!(credentials.authorize(&mut own).await.unwrap().is_none());
    let mut relative = http::Request::get("/events").body(()).unwrap();
    assert!(credentials.authorize(&mut relative).await.unwrap_err().is_invalid_request());
}

#[tokio::test]
async fn p7_the_mode_and_the_provider_of_the_request_take_precedence() {
    let server = FakeTeamUp::start().await;
    let credentials = credentials(&server).await;
    let mut request = http::Request::get(server.url("/events"))
        .header(REQUEST_MODE, "customer")
        .extension(ProviderId::new(9))
        .body(())
        .unwrap();
    let token = credentials.authorize(&mut request).await.unwrap().unwrap();
    assert_eq!(token.mode(), Customer);
    assert_eq!(request.headers()[PROVIDER_ID], "9");
    assert_eq!(request.headers()[REQUEST_MODE], "customer");
    let value = request.headers()["authorization"].clone();
    assert!(value.is_sensitive());
    assert_eq!(value, format!("Bearer {}", token.expose()).as_str());
    // A retry keeps what the request chose.
    let next = token.report_refused().await.unwrap();
    next.set_on(request.headers_mut());
    assert_eq!(request.headers()[PROVIDER_ID], "9");
    assert_eq!(request.headers()[REQUEST_MODE], "customer");
    assert_ne!(request.headers()["authorization"], value);
}

#[tokio::test]
async fn p5_nothing_of_the_token_is_shown() {
    let server = FakeTeamUp::start().await;
    let token = credentials(&server).await.access_token(Provider).await.unwrap();
    let shown = format!("{token:?} {:?}", token.headers());
    assert!(!shown.contains(token.expose()), "{shown}");
    assert!(!server.finds_its_token_in(&shown), "{shown}");
    assert!(token.expires_at().is_some());
}
