//! What the tests share: a server, a service that watches its own contract, a store, an ear for
//! events.

pub(crate) mod gate;
pub(crate) mod refresh_answers;
pub(crate) mod server;
pub(crate) mod stores;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{BoxError, Layer, ServiceExt};
use tower_teamup_auth::refresh::HttpService;
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{
    Auth, AuthLayer, Credentials, CredentialsBuilder, Error, RequestMode, ResponseBody,
};

use self::server::Server;
pub(crate) use crate::polled::polled;
use crate::readiness::Checked;
use crate::witness;

pub(crate) type Body = Full<Bytes>;
pub(crate) type Answer = Result<Response<ResponseBody<Body>>, BoxError>;
pub(crate) type Client = Auth<Checked<Server>>;

pub(crate) const BASE: &str = "https://api.test/api/v2";

/// What every secret of these tests holds, and nothing else does.
pub(crate) const SECRET: &str = "s3cret";

pub(crate) use crate::time::{Stopwatch, wall_time};
pub(crate) use RequestMode::{Customer, Provider};

/// A builder for provider mode, whose refresh requests go to `server` and whose time is Tokio's.
pub(crate) fn builder(server: &Server) -> CredentialsBuilder {
    Credentials::builder(Provider)
        .base_url(BASE)
        .clock(Clock::tokio())
        .refresh_client::<HttpService<Body>>(checked(server))
}

/// Credentials whose access tokens have expired, or were never there.
pub(crate) async fn expired(server: &Server) -> Credentials {
    builder(server).tokens(server.expired_tokens()).build().await.unwrap()
}

/// Credentials with an access token for each mode, without known expiry.
pub(crate) async fn good(server: &Server) -> Credentials {
    builder(server).tokens(server.good_tokens(None)).build().await.unwrap()
}

/// The server as a client, below which every breach of the readiness contract ends the program.
pub(crate) fn checked(server: &Server) -> Checked<Server> {
    Checked::counted_with(server.readiness(), server.clone())
}

/// A client of the API, of which the same is true.
pub(crate) fn client(credentials: &Credentials, server: &Server) -> Client {
    AuthLayer::new(credentials.clone()).layer(checked(server))
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(format!("{BASE}{path}")).body(Body::default()).unwrap()
}

pub(crate) fn get_as(mode: RequestMode, path: &str) -> Request<Body> {
    let mut request = get(path);
    request.extensions_mut().insert(mode);
    request
}

/// Sends `request` through a clone of `client`.
pub(crate) async fn send(client: &Client, request: Request<Body>) -> Answer {
    let answer = client.clone().oneshot(request).await;
    match &answer {
        Ok(response) => witness::look_at(response),
        Err(error) => witness::look_at_error(&**error),
    }
    answer
}

/// Sends a GET and hands out the status.
pub(crate) async fn status(client: &Client) -> StatusCode {
    send(client, get("/events")).await.expect("an answer").status()
}

/// The error of this crate that a failed request ended in.
pub(crate) fn failure(answer: Answer) -> Error {
    let error = answer.expect_err("an error");
    error.downcast_ref::<Error>().unwrap_or_else(|| panic!("not ours: {error:?}")).clone()
}

/// The reason that stands beside a 401 which came through.
pub(crate) fn reason(answer: &Answer) -> Error {
    let response = answer.as_ref().expect("an answer");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    response.extensions().get::<Error>().expect("the reason beside the 401").clone()
}

/// Lets everything that can go on without the clock go on: the tasks that are ready, and those
/// that they wake.
pub(crate) async fn run_pending_tasks() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Waits until `condition` holds; other tasks run in between, and the clock moves if all wait.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    tokio::time::timeout(Duration::from_secs(600), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("it comes true within ten minutes of the test's clock");
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
