//! P9: a request that was carried out before a redirect is not sent again.

use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest_middleware::{ClientBuilder, Middleware, Next};
use tower::Layer;
use tower_teamup_auth::client::{AuthMiddleware, ReqwestService, redirects_within_origin};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::{AuthLayer, Credentials, Error};

use crate::support::{Api, Kind, MODE, credentials, get, reason};

/// What the adapter is told of its client's redirects.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Nothing,
    Recorded,
    NotFollowed,
}

impl Told {
    const ALL: [Told; 3] = [Told::Nothing, Told::Recorded, Told::NotFollowed];

    async fn api(self, kind: Kind, server: &FakeTeamUp) -> Api {
        let policy = match self {
            Told::Nothing | Told::Recorded => redirects_within_origin(),
            Told::NotFollowed => Policy::none(),
        };
        let client = reqwest::Client::builder().redirect(policy).build().unwrap();
        let tokens = server.issue_tokens(&[MODE]);
        let credentials = credentials(server, &client).tokens(tokens).build().await.unwrap();
        self.over(kind, client, credentials)
    }

    fn over(self, kind: Kind, client: reqwest::Client, credentials: Credentials) -> Api {
        let (service, middleware) =
            (ReqwestService::new(client.clone()), AuthMiddleware::new(credentials.clone()));
        let (service, middleware) = match self {
            Told::Nothing => (service, middleware),
            Told::Recorded => (service.records_redirects(), middleware.records_redirects()),
            Told::NotFollowed => {
                (service.follows_no_redirects(), middleware.follows_no_redirects())
            }
        };
        match kind {
            Kind::Tower => Api::Tower(AuthLayer::new(credentials).layer(service)),
            Kind::Middleware => {
                Api::Middleware(ClientBuilder::new(client).with(middleware).build())
            }
        }
    }
}

fn with_method(server: &FakeTeamUp, method: Method) -> http::Request<reqwest::Body> {
    let mut request = get(server, "booking");
    *request.method_mut() = method;
    request
}

fn answers(server: &FakeTeamUp) -> Vec<(Method, u16)> {
    let journal = server.journal();
    let api = journal.entries().iter().filter(|entry| entry.route().is_api());
    api.map(|entry| (entry.method().clone(), entry.status().unwrap().as_u16())).collect()
}

#[tokio::test]
async fn e1_a_booking_that_was_answered_with_a_303_is_made_once() {
    // The 303 leads elsewhere, or back to the same URL.
    for (kind, location) in
        Kind::BOTH.into_iter().flat_map(|kind| [(kind, "/echo/made"), (kind, "/echo")])
    {
        for told in [Told::Nothing, Told::Recorded] {
            let server = FakeTeamUp::start().await;
            let api = told.api(kind, &server).await;
            server.fail_api(Fault::redirect(StatusCode::SEE_OTHER, &server.url(location)));
            server.fail_api(Fault::unauthorized());
            let response = api.send(with_method(&server, Method::POST)).await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{kind:?} {told:?} {location}");
            let expected = [(Method::POST, 303), (Method::GET, 401)];
            assert_eq!(answers(&server), expected, "{kind:?} {told:?} {location}");
            assert_eq!(
                (server.refresh_requests(), server.rotations()),
                (1, 1),
                "{kind:?} {told:?}"
            );
            let why = reason(&response).expect("a reason");
            assert!(why.to_string().contains("redirect"), "{why}");
            assert!(!why.is_retryable_by_caller(), "{why}");
        }
    }
}

#[tokio::test]
async fn e1_a_page_that_was_redirected_is_fetched_again() {
    for (kind, told) in
        Kind::BOTH.into_iter().flat_map(|kind| [(kind, Told::Nothing), (kind, Told::Recorded)])
    {
        let server = FakeTeamUp::start().await;
        let api = told.api(kind, &server).await;
        server.fail_api(Fault::redirect(StatusCode::SEE_OTHER, &server.url("/echo/there")));
        server.fail_api(Fault::unauthorized());
        assert_eq!(api.status(get(&server, "page")).await, StatusCode::OK, "{kind:?} {told:?}");
        assert_eq!(server.refresh_requests(), 1, "{kind:?} {told:?}");
    }
}

#[tokio::test]
async fn p9_an_unsafe_request_without_a_redirect_is_retried_where_that_is_known() {
    for (kind, told) in Kind::BOTH.into_iter().flat_map(|kind| Told::ALL.map(|told| (kind, told))) {
        for method in [Method::POST, Method::DELETE] {
            let server = FakeTeamUp::start().await;
            let api = told.api(kind, &server).await;
            server.expire_access_tokens();
            let response = api.send(with_method(&server, method.clone())).await.unwrap();
            let case = format!("{kind:?} {told:?} {method}");
            let is_retried = told != Told::Nothing;
            assert_eq!(response.status().is_success(), is_retried, "{case}");
            assert_eq!(reason(&response).is_some(), !is_retried, "{case}");
            assert_eq!(server.api_requests(), if is_retried { 2 } else { 1 }, "{case}");
            assert_eq!(server.refresh_requests(), 1, "{case}");
        }
    }
}

#[tokio::test]
async fn e1_a_redirect_of_one_request_says_nothing_of_another() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = Told::Recorded.api(kind, &server).await;
        server.fail_api(Fault::redirect(StatusCode::SEE_OTHER, &server.url("/echo")));
        let first = api.send(with_method(&server, Method::POST)).await.unwrap();
        assert_eq!(first.status(), StatusCode::OK, "{kind:?}");
        server.expire_access_tokens();
        let second = api.send(with_method(&server, Method::POST)).await.unwrap();
        assert_eq!(second.status(), StatusCode::OK, "{kind:?} {:?}", Error::find(&second));
    }
}

/// Sees the requests as the middleware above passes them on.
struct Fragments(Arc<Mutex<Vec<Option<String>>>>);

#[async_trait::async_trait]
impl Middleware for Fragments {
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut http::Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        self.0.lock().unwrap().push(request.url().fragment().map(str::to_owned));
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn a_fragment_survives_the_middleware() {
    let server = FakeTeamUp::start().await;
    let client = reqwest::Client::new();
    let tokens = server.issue_tokens(&[MODE]);
    let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let api = ClientBuilder::new(client)
        .with(AuthMiddleware::new(credentials))
        .with(Fragments(Arc::clone(&seen)))
        .build();
    // On the first send and on the retry.
    server.expire_access_tokens();
    let url = format!("{}#part", server.url("/echo"));
    assert_eq!(api.get(url).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(*seen.lock().unwrap(), [Some("part".to_owned()), Some("part".to_owned())]);
}
