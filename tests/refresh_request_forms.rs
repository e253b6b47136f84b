//! The refresh request in all its documented forms, over real TCP: every form of the request against
//! every form of the response.
#![cfg(all(feature = "hyper", feature = "multipart", feature = "testing", feature = "xml"))]

#[path = "support/witness.rs"]
mod witness;

use http::{Request, StatusCode};
use http_body_util::Full;
use tower::ServiceExt;
use tower_layer::Layer;
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::refresh::{RefreshEncoding, ResponseFormat};
use tower_teamup_auth::testing::{FakeTeamUp, Fault, RefreshOutcome};
use tower_teamup_auth::{AuthLayer, Credentials, RequestMode, TokenSet};

const ENCODINGS: [(RefreshEncoding, &str); 3] = [
    (RefreshEncoding::Json, "application/json"),
    (RefreshEncoding::Form, "application/x-www-form-urlencoded"),
    (RefreshEncoding::Multipart, "multipart/form-data"),
];
const FORMATS: [(Option<ResponseFormat>, Option<&str>); 3] = [
    (None, None),
    (Some(ResponseFormat::Json), Some("format=json")),
    (Some(ResponseFormat::Xml), Some("format=xml")),
];
const SCOPES: [&[&str]; 2] = [&[], &["read_write", "provider:54664"]];

async fn credentials(
    server: &FakeTeamUp,
    tokens: TokenSet,
    encoding: RefreshEncoding,
    format: Option<ResponseFormat>,
    scope: &[&str],
) -> Credentials {
    witness::watch();
    let client: HyperClient = hyper_client();
    let mut builder = Credentials::builder(RequestMode::Customer)
        .base_url(server.base_url())
        .tokens(tokens)
        .scope(scope.iter().copied())
        .refresh_encoding(encoding)
        .refresh_client(client);
    if let Some(format) = format {
        builder = builder.response_format(format);
    }
    builder.build().await.unwrap()
}

#[tokio::test]
async fn every_form_of_the_request_and_of_the_response_mints_the_token_of_its_mode() {
    let server = FakeTeamUp::start().await;
    for (encoding, content_type) in ENCODINGS {
        for (format, query) in FORMATS {
            for scope in SCOPES {
                for mode in RequestMode::ALL {
                    let credentials =
                        credentials(&server, server.issue_tokens(&[]), encoding, format, scope)
                            .await;
                    let client: HyperClient = hyper_client();
                    let api = AuthLayer::new(credentials).layer(client);
                    let request = Request::get(server.url("/events"))
                        .extension(mode)
                        .body(Full::default())
                        .unwrap();
                    let case = format!("{content_type}, {query:?}, {scope:?}, {mode}");
                    let response = api.oneshot(request).await.expect(&case);
                    assert_eq!(response.status(), StatusCode::OK, "{case}");

                    let journal = server.journal();
                    let refresh_request =
                        journal.entries().iter().rfind(|entry| entry.refresh_outcome().is_some());
                    let refresh_request = refresh_request.expect(&case);
                    assert_eq!(
                        refresh_request.refresh_outcome(),
                        Some(RefreshOutcome::Rotated(mode)),
                        "{case}"
                    );
                    assert_eq!(refresh_request.query(), query, "{case}");
                    assert_eq!(
                        refresh_request.path(),
                        "/api/v2/auth/refresh_access_token",
                        "{case}"
                    );
                    let sent_as = refresh_request.header("content-type").expect(&case);
                    assert!(sent_as.starts_with(content_type), "{case}: {sent_as}");
                }
            }
        }
    }
    assert_eq!(
        server.rejected_refresh_requests() + server.double_spends() + server.unauthorized(),
        0
    );
}

#[tokio::test]
async fn a_refusal_shows_teamups_own_words_in_every_format() {
    let server = FakeTeamUp::start().await;
    for (encoding, content_type) in ENCODINGS {
        for (format, query) in FORMATS {
            let tokens = TokenSet::new("never-issued-by-anybody".parse().unwrap());
            let credentials = credentials(&server, tokens, encoding, format, &[]).await;
            let error = credentials.refresh(RequestMode::Customer).await.unwrap_err();
            let case = format!("{content_type}, {query:?}");
            assert!(error.is_login_required(), "{case}: {error:?}");
            let said = error.api_error().expect(&case);
            assert!(!said.code.is_empty() && !said.message.is_empty(), "{case}: {said:?}");
            assert!(!said.error_type.is_empty(), "{case}: {said:?}");
        }
    }
}

#[tokio::test]
async fn what_counts_is_the_form_of_the_response_and_not_what_was_asked_for() {
    let server = FakeTeamUp::start().await;
    for (asked, answered) in
        [(ResponseFormat::Json, "application/xml"), (ResponseFormat::Xml, "application/json")]
    {
        let credentials =
            credentials(&server, server.issue_tokens(&[]), RefreshEncoding::Json, Some(asked), &[])
                .await;
        let body = match asked {
            ResponseFormat::Json => {
                "<?xml version=\"1.0\" encoding=\"utf-8\"?><root><access_token>a&amp;b</access_token>\
                 <expires_in></expires_in><refresh_token><![CDATA[r<2]]></refresh_token></root>"
            }
            _ => r#"{"access_token":"a","expires_in":null,"refresh_token":"r2"}"#,
        };
        server.fail_refresh(Fault::status(StatusCode::OK).body(answered, body));
        credentials.refresh(RequestMode::Customer).await.expect(answered);
    }
}
