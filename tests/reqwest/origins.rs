//! P4: a token never leaves for an origin that is not allowed, redirects included.

use http::StatusCode;
use tower_teamup_auth::REQUEST_MODE;
use tower_teamup_auth::testing::{Entry, FakeTeamUp, Fault};

use crate::support::{Kind, MODE, credentials, get, reason};

const REDIRECTS: [StatusCode; 5] = [
    StatusCode::MOVED_PERMANENTLY,
    StatusCode::FOUND,
    StatusCode::SEE_OTHER,
    StatusCode::TEMPORARY_REDIRECT,
    StatusCode::PERMANENT_REDIRECT,
];

fn carries_a_token(entry: &Entry) -> bool {
    entry.header("authorization").is_some()
}

#[track_caller]
fn saw_no_token(server: &FakeTeamUp) {
    assert!(!server.journal().entries().iter().any(carries_a_token), "{}", server.journal());
}

#[tokio::test]
async fn p4_a_request_to_another_origin_passes_without_a_token() {
    for kind in Kind::BOTH {
        let (server, other) = (FakeTeamUp::start().await, FakeTeamUp::start().await);
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        assert_eq!(api.status(get(&other, "stray")).await, StatusCode::UNAUTHORIZED);
        assert_eq!((server.refresh_requests(), other.refresh_requests()), (0, 0), "{kind:?}");
        let journal = other.journal();
        assert_eq!(journal.entries().len(), 1);
        assert!(journal.entries()[0].header(REQUEST_MODE).is_none());
        saw_no_token(&other);
    }
}

#[tokio::test]
async fn p4_a_url_with_a_user_in_it_gets_no_token() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        let mut request = get(&server, "user");
        let url = server.url("/echo").replace("http://", "http://user:password@");
        *request.uri_mut() = url.parse().unwrap();
        assert_eq!(api.status(request).await, StatusCode::UNAUTHORIZED, "{kind:?}");
        saw_no_token(&server);
    }
}

#[tokio::test]
async fn p4_no_redirect_takes_the_token_to_another_origin() {
    for kind in Kind::BOTH {
        for status in REDIRECTS {
            let (server, other) = (FakeTeamUp::start().await, FakeTeamUp::start().await);
            // Twice, because reqwest by itself would put the token back on the second time.
            other.fail_apis(2, Fault::redirect(status, &other.url("/echo/again")));
            server.fail_api(Fault::redirect(status, &other.url("/echo")));
            let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
            assert_eq!(api.status(get(&server, "redirected")).await, status, "{kind:?}");
            assert_eq!(other.api_requests(), 0, "{kind:?} {status}");
        }
    }
}

#[tokio::test]
async fn p4_the_retry_is_not_redirected_to_another_origin_either() {
    for kind in Kind::BOTH {
        let (server, other) = (FakeTeamUp::start().await, FakeTeamUp::start().await);
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        server.fail_api(Fault::unauthorized());
        server.fail_api(Fault::redirect(StatusCode::FOUND, &other.url("/echo")));
        assert_eq!(api.status(get(&server, "repeated")).await, StatusCode::FOUND, "{kind:?}");
        assert_eq!((server.api_requests(), server.refresh_requests()), (2, 1));
        assert_eq!(other.api_requests(), 0, "{kind:?}");
    }
}

#[tokio::test]
async fn a_redirect_within_the_origin_is_followed_with_the_token() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        server.fail_api(Fault::redirect(StatusCode::FOUND, &server.url("/echo/there")));
        let response = api.send(get(&server, "redirected")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{kind:?}");
        assert_eq!(response.url().as_str(), server.url("/echo/there"), "{kind:?}");
        assert_eq!((server.api_requests(), server.authorized()), (2, 1));
    }
}

#[tokio::test]
async fn a_401_that_another_origin_gave_after_a_redirect_is_not_about_the_token() {
    for kind in Kind::BOTH {
        let (server, other) = (FakeTeamUp::start().await, FakeTeamUp::start().await);
        let client = reqwest::Client::new();
        let tokens = server.issue_tokens(&[MODE]);
        let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
        let api = kind.over(client, credentials);
        server.fail_api(Fault::redirect(StatusCode::FOUND, &other.url("/echo")));
        let response = api.send(get(&server, "redirected")).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{kind:?}");
        assert!(reason(&response).is_none());
        assert_eq!((server.refresh_requests(), server.api_requests()), (0, 1), "{kind:?}");
        saw_no_token(&other);
    }
}

/// A redirect of 307 or 308 asks for the body to be sent again, and the refresh request's holds the
/// refresh token. This has to hold for a client that follows whatever it is told to.
#[tokio::test]
async fn p4_the_refresh_request_takes_the_refresh_token_to_no_other_origin() {
    for status in REDIRECTS {
        let (server, other) = (FakeTeamUp::start().await, FakeTeamUp::start().await);
        let client = reqwest::Client::new();
        let tokens = server.issue_tokens(&[]);
        let secret = tokens.refresh_token().expose().to_owned();
        let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
        let elsewhere = other.url("/auth/refresh_access_token");
        server.fail_every_refresh(Fault::redirect(status, &elsewhere));
        let error = credentials.refresh(MODE).await.unwrap_err();
        assert!(error.is_protocol(), "{status}: {error:?}");
        let journal = other.journal();
        for entry in journal.entries() {
            assert!(entry.body().is_none_or(|body| body.size() == 0), "{status}: {journal}");
            assert!(entry.query().is_none_or(|query| !query.contains(&secret)), "{status}");
        }
        let sent = server.journal().entries()[0].body().unwrap().bytes().clone();
        assert!(String::from_utf8_lossy(&sent).contains(&secret), "{status}");
    }
}
