//! The middleware beside reqwest-retry and reqwest-tracing, in either order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use http::StatusCode;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_retry::{RetryDecision, RetryError, RetryPolicy, RetryTransientMiddleware};
use reqwest_tracing::TracingMiddleware;
use tower_teamup_auth::client::AuthMiddleware;
use tower_teamup_auth::testing::{CALLER, FakeTeamUp, Fault};
use tower_teamup_auth::{Credentials, Error};
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::support::{MODE, Protocol, credentials};

/// Tries again at once, so many times.
struct AtOnce(u32);

impl RetryPolicy for AtOnce {
    fn should_retry(&self, _start: SystemTime, past_retries: u32) -> RetryDecision {
        if past_retries < self.0 {
            RetryDecision::Retry { execute_after: SystemTime::UNIX_EPOCH }
        } else {
            RetryDecision::DoNotRetry
        }
    }
}

fn retry() -> RetryTransientMiddleware<AtOnce> {
    RetryTransientMiddleware::new_with_policy(AtOnce(2))
}

async fn setup() -> (FakeTeamUp, reqwest::Client, Credentials) {
    let server = FakeTeamUp::start().await;
    let client = Protocol::Http1.client();
    let tokens = server.issue_tokens(&[MODE]);
    let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
    (server, client, credentials)
}

async fn status(api: &ClientWithMiddleware, server: &FakeTeamUp) -> StatusCode {
    let request = api.get(server.url("/echo")).header(CALLER, "one");
    request.send().await.unwrap().status()
}

/// The status of each API request, in the order of arrival.
fn answers(server: &FakeTeamUp) -> Vec<u16> {
    let journal = server.journal();
    let api = journal.entries().iter().filter(|entry| entry.route().is_api());
    api.map(|entry| entry.status().unwrap().as_u16()).collect()
}

#[tokio::test]
async fn retry_above_takes_the_newest_token_for_each_attempt() {
    let (server, client, credentials) = setup().await;
    let api =
        ClientBuilder::new(client).with(retry()).with(AuthMiddleware::new(credentials)).build();
    server.fail_api(Fault::unauthorized());
    server.fail_api(Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    server.fail_api(Fault::unauthorized());
    // 401, its retry fails, so the call is tried again: 401, and its retry succeeds.
    assert_eq!(status(&api, &server).await, StatusCode::OK);
    assert_eq!(answers(&server), [401, 503, 401, 200]);
    assert_eq!((server.refresh_requests(), server.rotations()), (2, 2));
}

#[tokio::test]
async fn retry_below_tries_each_send_again() {
    let (server, client, credentials) = setup().await;
    let api =
        ClientBuilder::new(client).with(AuthMiddleware::new(credentials)).with(retry()).build();
    server.fail_api(Fault::status(StatusCode::BAD_GATEWAY));
    server.fail_api(Fault::unauthorized());
    server.fail_api(Fault::status(StatusCode::BAD_GATEWAY));
    assert_eq!(status(&api, &server).await, StatusCode::OK);
    assert_eq!(answers(&server), [502, 401, 502, 200]);
    assert_eq!((server.refresh_requests(), server.rotations()), (1, 1));
}

#[tokio::test]
async fn retry_does_not_repeat_a_401_nor_an_error_of_this_crate() {
    let (server, client, credentials) = setup().await;
    let api = ClientBuilder::new(client)
        .with(retry())
        .with(AuthMiddleware::new(credentials.clone()))
        .build();
    server.fail_every_refresh(Fault::status(StatusCode::BAD_REQUEST));
    server.expire_access_tokens();
    let response = api.get(server.url("/echo")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let reason = response.extensions().get::<Error>();
    assert!(reason.is_some_and(Error::is_login_required));
    assert_eq!((server.api_requests(), server.refresh_requests()), (1, 1));

    // By now it is known that there is no token to be had. The old one may be good elsewhere.
    let response = api.get(server.url("/echo")).send().await.unwrap();
    assert!(Error::find(&response).is_some_and(Error::is_login_required));
    assert_eq!((server.api_requests(), server.refresh_requests()), (2, 1));
    credentials.sign_out().await.unwrap();
    let error = api.get(server.url("/echo")).send().await.unwrap_err();
    assert!(within(&error).is_login_required());
    assert_eq!((server.api_requests(), server.refresh_requests()), (2, 1));
}

/// This crate's error, in reqwest-retry's wrapping.
fn within(error: &reqwest_middleware::Error) -> &Error {
    let reqwest_middleware::Error::Middleware(error) = error else { panic!("{error:?}") };
    let Some(RetryError::Error(reqwest_middleware::Error::Middleware(error))) =
        error.downcast_ref()
    else {
        panic!("{error:?}")
    };
    error.downcast_ref().unwrap_or_else(|| panic!("{error:?}"))
}

/// Counts the spans of reqwest-tracing.
#[derive(Clone, Default)]
struct Spans(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Spans {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        _id: &tracing::span::Id,
        _context: Context<'_, S>,
    ) {
        if attributes.metadata().name() == "HTTP request" {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test]
async fn tracing_above_sees_one_request_and_below_it_sees_both_sends() {
    for (above, expected) in [(true, 1), (false, 2)] {
        let (server, client, credentials) = setup().await;
        let (auth, tracing) = (AuthMiddleware::new(credentials), TracingMiddleware::default());
        let builder = ClientBuilder::new(client);
        let api =
            if above { builder.with(tracing).with(auth) } else { builder.with(auth).with(tracing) };
        let api = api.build();
        let spans = Spans::default();
        let subscriber = tracing_subscriber::registry().with(spans.clone());
        // While there is one subscriber alone, a span that another test's thread is the first to
        // open is switched off for every thread. With a second one, every subscriber is asked.
        let _second = Dispatch::new(NoSubscriber::new());
        let guard = tracing::subscriber::set_default(subscriber);
        server.expire_access_tokens();
        assert_eq!(status(&api, &server).await, StatusCode::OK);
        drop(guard);
        assert_eq!(answers(&server), [401, 200]);
        assert_eq!(spans.0.load(Ordering::Relaxed), expected);
    }
}
