//! An axum service that calls TeamUp on behalf of its users: one client stack for all of them, one
//! credential for each.
//!
//! ```text
//! cargo run -p examples --example axum_service
//! ```
//!
//! Serves `/events` to its users and `/healthz` to a load balancer, against a TeamUp-like server on
//! loopback. 200 users visit it, 50 of whose credentials fit into memory; `visitors.rs` plays them. Exits
//! 0 only if everybody got what they should.

#[path = "../shared/scratch.rs"]
mod scratch;
mod visitors;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::manager::CredentialsManager;
use tower_teamup_auth::store::FileStore;
use tower_teamup_auth::{Auth, AuthLayer, BoxError, Credentials, Error, RequestMode};

use crate::visitors::Visitors;

/// What every handler works with. A clone is the same service.
#[derive(Clone)]
struct Service {
    /// One stack, one connection pool: each request brings the credential of its user.
    api: Auth<HyperClient>,
    users: CredentialsManager,
    events_url: String,
}

impl Service {
    fn new(base_url: &str, users: CredentialsManager) -> Self {
        let http_client: HyperClient = hyper_client();
        let api = ServiceBuilder::new().layer(AuthLayer::per_request()).service(http_client);
        Service { api, users, events_url: format!("{base_url}/events?page_size=1") }
    }

    fn routes(self) -> Router {
        Router::new().route("/events", get(events)).route("/healthz", get(healthz)).with_state(self)
    }

    async fn events_of(&self, user: &str) -> Result<Response, BoxError> {
        let credentials = self.users.get(user).await?;
        let request = Request::get(&self.events_url).extension(credentials).body(Full::default())?;
        Ok(self.api.clone().oneshot(request).await?.map(Body::new))
    }
}

/// The events that this user can see.
async fn events(State(service): State<Service>, headers: HeaderMap) -> Response {
    // Stands in for the service's own session.
    let Some(user) = headers.get("x-user").and_then(|user| user.to_str().ok()) else {
        return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
    };
    match service.events_of(user).await {
        // A 401 of TeamUp comes with the reason.
        Ok(response) => Error::find(&response).map(failed).unwrap_or(response),
        Err(error) => Error::find(&error).map(failed).unwrap_or_else(|| {
            (StatusCode::BAD_GATEWAY, "TeamUp could not be reached").into_response()
        }),
    }
}

/// What a user is told when TeamUp could not be asked for them.
fn failed(error: &Error) -> Response {
    if error.is_login_required() {
        return (StatusCode::UNAUTHORIZED, "please log in to TeamUp again").into_response();
    }
    eprintln!("axum_service: {error}");
    let seconds = error.retry_after().unwrap_or(Duration::from_secs(5)).as_secs().max(1);
    let retry_after = [(RETRY_AFTER, seconds.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, retry_after, "try again later").into_response()
}

/// A user who must log in again is no reason to restart the service.
async fn healthz(State(service): State<Service>) -> Response {
    let health = service.users.health();
    let status = match health.is_healthy() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, health.to_string()).into_response()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let visitors = Visitors::new().await?;
    let template = Credentials::builder(RequestMode::Customer).base_url(visitors.base_url());
    let users = CredentialsManager::builder(template, FileStore::family(visitors.folder()))
        .max_in_memory(50)
        .build()?;
    // Elsewhere, a person has logged in.
    for (user, tokens) in visitors.first_logins() {
        users.log_in(&user, tokens).await?;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    println!("The service listens on {origin}, and TeamUp on {}.", visitors.base_url());
    let service = Service::new(&visitors.base_url(), users.clone());
    let serving = tokio::spawn(axum::serve(listener, service.routes()).into_future());

    visitors.come(&origin).await?;
    serving.abort();
    // What is under way is waited for, so that no rotated token is lost.
    Ok(users.shutdown(Duration::from_secs(10)).await?)
}
