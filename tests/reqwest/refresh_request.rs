//! The refresh request over reqwest: as it is, wrapped, and through the very client that waits for it.

use http::StatusCode;
use reqwest_middleware::ClientBuilder;
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{AuthMiddleware, ReqwestService};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::{AuthLayer, Credentials, Error};

use crate::support::{MODE, Protocol, credentials, get};

#[tokio::test]
async fn the_refresh_request_has_a_length_and_a_type() {
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::start().await;
        let credentials = credentials(&server, &protocol.client())
            .tokens(server.issue_tokens(&[]))
            .build()
            .await
            .unwrap();
        credentials.refresh(MODE).await.unwrap();
        let journal = server.journal();
        let refresh_request = &journal.entries()[0];
        assert_eq!(refresh_request.header("content-type"), Some("application/json"));
        let size = refresh_request.body().unwrap().size().to_string();
        assert_eq!(refresh_request.header("content-length"), Some(size.as_str()), "{protocol:?}");
    }
}

/// The layer's own stack carries the refresh request: it must pass, not wait for itself.
#[tokio::test]
async fn the_refresh_request_passes_through_the_layer() {
    let server = FakeTeamUp::start().await;
    let stack = ServiceBuilder::new()
        .layer(AuthLayer::per_request())
        .service(ReqwestService::new(Protocol::Http1.client()));
    let credentials = Credentials::builder(MODE)
        .base_url(server.base_url())
        .tokens(server.issue_tokens(&[]))
        .refresh_client(stack.clone())
        .build()
        .await
        .unwrap();
    let mut request = get(&server, "one");
    request.extensions_mut().insert(credentials);
    assert_eq!(stack.oneshot(request).await.unwrap().status(), StatusCode::OK);
    assert_eq!((server.refresh_requests(), server.api_requests()), (1, 1));
    assert!(server.journal().entries()[0].header("authorization").is_none());
}

/// The same for a client of reqwest-middleware. Its own extensions are empty for a request that
/// comes through tower: the mark of the refresh request travels in the request.
#[tokio::test]
async fn the_refresh_request_passes_through_the_middleware() {
    let server = FakeTeamUp::start().await;
    let client = Protocol::Http1.client();
    let tokens = server.issue_tokens(&[]);
    let other = credentials(&server, &client).tokens(tokens.clone()).build().await.unwrap();
    // Authorizes whatever goes to the server, save a refresh request.
    let with_auth = ClientBuilder::new(client).with(AuthMiddleware::new(other)).build();
    let credentials = Credentials::builder(MODE)
        .base_url(server.base_url())
        .tokens(tokens)
        .refresh_client(ReqwestService::new(with_auth))
        .build()
        .await
        .unwrap();
    credentials.refresh(MODE).await.unwrap();
    assert_eq!((server.refresh_requests(), server.rotations()), (1, 1), "{}", server.journal());
    assert!(server.journal().entries()[0].header("authorization").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_is_a_transient_failure() {
    let server = FakeTeamUp::start().await;
    let client = Protocol::Http1.client();
    let tokens = server.issue_tokens(&[]);
    let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
    server.shutdown().await;
    let error = credentials.refresh(MODE).await.unwrap_err();
    assert!(error.is_transient() && !error.is_outcome_unknown(), "{error:?}");
}

#[tokio::test]
async fn p5_a_refresh_request_that_breaks_shows_no_token() {
    let server = FakeTeamUp::start().await;
    let client = Protocol::Http1.client();
    let tokens = server.issue_tokens(&[MODE]);
    let secrets = [
        tokens.refresh_token().expose().to_owned(),
        tokens.access_token(MODE).unwrap().expose().to_owned(),
    ];
    let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
    server.fail_every_refresh(Fault::drop_connection());
    let error: Error = credentials.refresh(MODE).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error:?}");
    let mut text = format!("{error:?} {credentials:?} {:?}", ReqwestService::new(client));
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = source {
        text += &format!("{error} {error:?}");
        source = error.source();
    }
    assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "{text}");
}
