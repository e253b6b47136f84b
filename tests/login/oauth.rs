//! The code flow over HTTP, without a browser.

use std::error::Error;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::service_fn;
use tower_teamup_auth::BoxError;
use tower_teamup_auth::login::{LoginError, OAuthLogin};
use tower_teamup_auth::testing::{FakeTeamUp, login as fake};

use crate::support::{REDIRECT_URI, application, assert_work, codes_sent, decide, query_of};

#[tokio::test]
async fn person_who_approves_brings_tokens_that_work() {
    let server = FakeTeamUp::builder().require_provider(7).start().await;
    let login = application(&server).provider_id(7).login_hint("ben@example.com");
    let (url, pending) = login.begin().unwrap();
    for part in ["response_type=code", "scope=read_write+provider%3A7", "login_hint=ben%40example"]
    {
        assert!(url.contains(part), "{part} in {url}");
    }
    let back = decide(&url, "approve").await;
    assert_work(&server, login.finish(pending, query_of(&back)).await.unwrap()).await;
}

#[tokio::test]
async fn redirect_uri_that_has_a_query_is_answered_with_a_second_question_mark() {
    let server = FakeTeamUp::start().await;
    let login = application(&server).redirect_uri(format!("{REDIRECT_URI}?tenant=5"));
    let (url, pending) = login.begin().unwrap();
    let back = decide(&url, "approve").await;
    // As TeamUp was seen to do it.
    let query = query_of(&back).replacen("&code=", "?code=", 1);
    assert!(query.starts_with("tenant=5?code="), "{query}");
    assert_work(&server, login.finish(pending, &query).await.unwrap()).await;
}

#[tokio::test]
async fn client_secret_serves_with_and_without_pkce() {
    let server = FakeTeamUp::start().await;
    let with_secret = application(&server).client_secret(fake::CLIENT_SECRET);
    for login in [with_secret.clone(), with_secret.without_pkce()] {
        let (url, pending) = login.begin().unwrap();
        let back = decide(&url, "approve").await;
        login.finish(pending, query_of(&back)).await.unwrap();
    }
    let error = application(&server).without_pkce().begin().unwrap_err();
    assert!(error.is_invalid_input());
}

#[tokio::test]
async fn code_that_is_used_twice_is_told_and_wrong_secret_is_the_configuration() {
    let server = FakeTeamUp::start().await;
    let login = application(&server);
    let (url, pending) = login.begin().unwrap();
    let back = decide(&url, "approve").await;
    login.finish(pending.clone(), query_of(&back)).await.unwrap();
    let error = login.finish(pending, query_of(&back)).await.unwrap_err();
    assert!(error.is_code_refused(), "{error}");
    assert_eq!(error.code(), Some("invalid_grant"));
    assert_eq!(error.status(), Some(StatusCode::BAD_REQUEST));

    let login = application(&server).client_secret("s3cret-and-wrong");
    let (url, pending) = login.begin().unwrap();
    let back = decide(&url, "approve").await;
    let error = login.finish(pending, query_of(&back)).await.unwrap_err();
    assert!(error.is_configuration(), "{error}");
}

#[tokio::test]
async fn code_of_one_login_is_not_taken_in_another() {
    let server = FakeTeamUp::start().await;
    let login = application(&server);
    let (thiefs_url, _) = login.begin().unwrap();
    let (_, pending) = login.begin().unwrap();
    let back = decide(&thiefs_url, "approve").await;
    let error = login.finish(pending, query_of(&back)).await.unwrap_err();
    assert!(error.is_state_mismatch(), "{error}");
    assert_eq!(codes_sent(&server), 0);
}

#[tokio::test]
async fn input_that_cannot_be_used_is_refused_before_anything_is_sent() {
    let server = FakeTeamUp::start().await;
    let login = application(&server);
    for login in [
        login.clone().redirect_uri("not a URL"),
        login.clone().redirect_uri("https://app.example/#here"),
        login.clone().redirect_uri("https://app.example/?state=mine"),
        login.clone().redirect_uri("https://app.example/?a=b?code=c"),
        login.clone().base_url("http://goteamup.com/api/v2"),
        login.clone().base_url("https://goteamup.com/api/v2?a=b"),
        login.clone().base_url("/api/v2"),
        login.base_url("https://me:password@goteamup.com"),
    ] {
        assert!(login.begin().unwrap_err().is_invalid_input(), "{login:?}");
    }
    assert!(server.journal().entries().is_empty());
}

/// What a login says when its code is answered like this.
async fn finished_with(status: u16, content_type: &str, body: &str) -> Result<(), LoginError> {
    let (content_type, body) = (content_type.to_owned(), body.to_owned());
    let client = service_fn(move |_: Request<Full<bytes::Bytes>>| {
        let response = Response::builder()
            .status(status)
            .header("content-type", &content_type)
            .header("retry-after", 7)
            .body(body.clone());
        async move { Ok::<_, BoxError>(response?) }
    });
    let login = OAuthLogin::new("client-id", client).redirect_uri(REDIRECT_URI);
    let (url, pending) = login.begin().unwrap();
    let state = url.split('&').find(|part| part.starts_with("state=")).unwrap();
    login.finish(pending, &format!("code=s3cret-code&{state}")).await.map(drop)
}

#[tokio::test]
async fn answer_of_the_token_endpoint_is_told_for_what_it_is() {
    const JSON: &str = "application/json";
    let tokens = r#"{"access_token":"a","expires_in":null,"refresh_token":"r"}"#;
    for (status, content_type) in [(200, JSON), (201, JSON), (200, "text/html")] {
        finished_with(status, content_type, tokens).await.unwrap();
    }
    let teamups = r#"{"code":"permission_denied","message":"No."}"#;
    type Question = fn(&LoginError) -> bool;
    for (status, content_type, body, is_so) in [
        (503, JSON, teamups, LoginError::is_transient as Question),
        (429, JSON, "", LoginError::is_transient),
        (400, JSON, r#"{"error":"invalid_grant"}"#, LoginError::is_code_refused),
        (401, JSON, r#"{"error":"invalid_client"}"#, LoginError::is_configuration),
        (403, JSON, teamups, LoginError::is_configuration),
        (403, "text/html", "<html>Forbidden</html>", LoginError::is_protocol),
        (302, JSON, "", LoginError::is_protocol),
        (200, "text/html", "<html>Sign in to the Wi-Fi</html>", LoginError::is_protocol),
        (200, JSON, r#"{"access_token":"a"}"#, LoginError::is_protocol),
        (200, JSON, r#"{"access_token":"a","refresh_token":"r\n"}"#, LoginError::is_protocol),
    ] {
        let error = finished_with(status, content_type, body).await.unwrap_err();
        assert!(is_so(&error), "{status} {body}: {error:?}");
        assert_eq!(error.retry_after().map(|wait| wait.as_secs()), (status != 200).then_some(7));
    }
}

#[tokio::test]
async fn p5_no_error_of_a_login_repeats_a_secret() {
    let quoting = r#"{"error":"invalid_grant","error_description":"Not s3cret-code."}"#;
    let unreadable = r#"{"access_token":"s3cret-access","refresh_token":7}"#;
    for (status, body) in [(400, quoting), (400, "s3cret-code"), (200, unreadable)] {
        let error = finished_with(status, "application/json", body).await.unwrap_err();
        let mut told = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(error) = source {
            told += &format!("{error} {error:?}");
            source = error.source();
        }
        assert!(!told.contains("s3cret"), "{told}");
    }
    let login = OAuthLogin::new(
        "client-id",
        service_fn(|_: Request<Full<bytes::Bytes>>| async {
            Err::<Response<String>, BoxError>("the request with s3cret-code failed".into())
        }),
    );
    let login = login.redirect_uri(REDIRECT_URI).client_secret("s3cret-secret");
    assert!(!format!("{login:?}").contains("s3cret"));
    let (url, pending) = login.begin().unwrap();
    let state = url.split('&').find(|part| part.starts_with("state=")).unwrap();
    let error = login.finish(pending, &format!("code=s3cret-code&{state}")).await.unwrap_err();
    assert!(error.is_transient());
    assert!(error.source().is_none(), "{error:?}");
}
