//! An axum service that calls TeamUp on behalf of its users: one client stack for all of them, one
//! credential for each, in a bounded cache.
//!
//! ```text
//! cargo run -p examples --example axum_service
//! ```
//!
//! Serves `/events` to its users and `/healthz` to whoever watches it, against a TeamUp-like server
//! on loopback; drives itself with 200 users, 50 of whom fit into the cache; lets their tokens expire
//! and one user's login be revoked; prints what was answered, and ends. Exits 0 only if everybody got
//! what they should.

#[path = "shared/scratch.rs"]
mod scratch;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use indicatif::ProgressBar;
use moka::future::Cache;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::store::FileStore;
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{
    Auth, AuthLayer, BoxError, Credentials, CredentialsBuilder, Error, RequestMode, TokenSet,
};

use crate::scratch::Scratch;

const USERS: usize = 200;
const CACHED: u64 = 50;
const ROUNDS: usize = 5;

/// What every handler works with. A clone is the same service.
#[derive(Clone)]
struct Service(Arc<Inner>);

struct Inner {
    /// One stack, one connection pool: each request brings the credential of its user.
    api: Auth<HyperClient>,
    base_url: String,
    /// What all users' credentials have in common; to finish it is to make one.
    template: CredentialsBuilder,
    users: Users,
    /// The credentials of the users who were here last. One that falls out is built again when its
    /// user comes back: the tokens are in the store. Until the last request with it is over there may
    /// be two of it, which the store's lock makes take turns.
    credentials: Cache<String, Credentials>,
}

/// Stands in for the service's own database of users.
struct Users {
    first_tokens: HashMap<String, TokenSet>,
    folder: PathBuf,
}

impl Service {
    fn new(server: &FakeTeamUp, users: Users) -> Self {
        let http_client: HyperClient = hyper_client();
        let api =
            ServiceBuilder::new().layer(AuthLayer::per_request()).service(http_client.clone());
        let template = Credentials::builder(RequestMode::Customer)
            .base_url(server.base_url())
            .refresh_client(http_client);
        let credentials = Cache::builder().max_capacity(CACHED).build();
        let base_url = server.base_url();
        Service(Arc::new(Inner { api, base_url, template, users, credentials }))
    }

    fn routes(self) -> Router {
        Router::new().route("/events", get(events)).route("/healthz", get(healthz)).with_state(self)
    }

    /// The user's credential: the cached one, or else one that is built, once, from their store.
    async fn credentials(&self, user: &str) -> Result<Credentials, Arc<anyhow::Error>> {
        let build = async {
            let first = self.0.users.first_tokens.get(user).context("unknown user")?;
            let store = FileStore::new(self.0.users.folder.join(format!("{user}.json")));
            let builder = self.0.template.clone().tokens(first.clone()).store(store);
            Ok(builder.build().await?)
        };
        self.0.credentials.try_get_with(user.to_owned(), build).await
    }
}

/// The events that this user can see.
async fn events(State(service): State<Service>, headers: HeaderMap) -> Response {
    // Stands in for the service's own session.
    let Some(user) = headers.get("x-user").and_then(|user| user.to_str().ok()) else {
        return answer(StatusCode::UNAUTHORIZED, "who are you?");
    };
    let credentials = match service.credentials(user).await {
        Ok(credentials) => credentials,
        Err(error) => return excuse(error.downcast_ref::<Error>(), &format!("{error:#}")),
    };
    let request = Request::get(format!("{}/events?page_size=1", service.0.base_url))
        .extension(credentials)
        .body(Full::default())
        .expect("a valid request");
    let teamups = match service.0.api.clone().oneshot(request).await {
        Ok(response) => response,
        Err(error) => return excuse(error.downcast_ref::<Error>(), &error.to_string()),
    };
    // A 401 that could not be mended comes with the reason.
    if let Some(reason) = teamups.extensions().get::<Error>() {
        return excuse(Some(reason), &reason.to_string());
    }
    let status = teamups.status();
    match teamups.into_body().collect().await {
        Ok(body) => (status, [(CONTENT_TYPE, "application/json")], body.to_bytes()).into_response(),
        Err(error) => answer(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

/// What a user is told when TeamUp could not be asked for them.
fn excuse(error: Option<&Error>, text: &str) -> Response {
    match error {
        Some(error) if error.is_login_required() => {
            answer(StatusCode::UNAUTHORIZED, "please log in to TeamUp again")
        }
        Some(error) if error.is_transient() => {
            let excuse = answer(StatusCode::SERVICE_UNAVAILABLE, "TeamUp is out of reach");
            ([(RETRY_AFTER, "5")], excuse).into_response()
        }
        // What else there is, is ours to mend: `text` belongs into a log.
        _ => {
            eprintln!("axum_service: {text}");
            answer(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong")
        }
    }
}

/// Counts the users by how their credentials are. A service with users is well while it can refresh
/// for most of them; one that must log in again is no reason to restart it.
async fn healthz(State(service): State<Service>) -> Response {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, credentials) in &service.0.credentials {
        let state = credentials.status();
        let kind = if state.is_login_required() {
            "to_log_in_again"
        } else if state.failure().is_some() {
            "failing"
        } else if state.dirty().is_some() {
            "unsaved"
        } else {
            "well"
        };
        *count.entry(kind).or_default() += 1;
    }
    let of = |kind| count.get(kind).copied().unwrap_or_default();
    let is_well = of("failing") <= of("well");
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CONTENT_TYPE, "application/json")], json!(count).to_string()).into_response()
}

fn answer(status: StatusCode, message: &str) -> Response {
    let body = json!({ "message": message }).to_string();
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let server = FakeTeamUp::builder().login_mode(RequestMode::Customer).start().await;
    let folder = Scratch::new("axum-service")?;
    let name = |user: usize| format!("user-{user:03}");
    let mut first_tokens: HashMap<String, TokenSet> = (0..USERS)
        .map(|user| (name(user), server.issue_tokens(&[RequestMode::Customer])))
        .collect();
    // This one's login was revoked while nobody looked.
    first_tokens.insert(name(7), TokenSet::new("revoked-long-ago".parse()?));

    let service = Service::new(&server, Users { first_tokens, folder: folder.path().to_owned() });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let serving = axum::serve(listener, service.clone().routes());
    let serving = tokio::spawn(serving.into_future());
    println!("The service listens on {origin}, and TeamUp on {}.", server.origin());

    let progress = ProgressBar::new((USERS * ROUNDS) as u64);
    let http_client: HyperClient = hyper_client();
    let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
    for round in 0..ROUNDS {
        // Before every other round, all access tokens are dead.
        if round % 2 == 1 {
            server.expire_access_tokens();
        }
        let mut callers: JoinSet<Result<StatusCode, BoxError>> = JoinSet::new();
        for user in 0..USERS {
            let (http_client, url) = (http_client.clone(), format!("{origin}/events"));
            let (user, progress) = (name(user), progress.clone());
            callers.spawn(async move {
                let request = Request::get(url).header("x-user", user).body(Full::default())?;
                let response = http_client.request(request).await?;
                let status = response.status();
                response.into_body().collect().await?;
                progress.inc(1);
                Ok(status)
            });
        }
        for answer in callers.join_all().await {
            *answers.entry(answer.map_err(anyhow::Error::from_boxed)?.as_u16()).or_default() += 1;
        }
    }
    progress.finish_and_clear();

    service.0.credentials.run_pending_tasks().await;
    let request = Request::get(format!("{origin}/healthz")).body(Full::default())?;
    let (health, body) = http_client.request(request).await?.into_parts();
    let health_body = body.collect().await?.to_bytes();
    println!("{} answered: {answers:?}", USERS * ROUNDS);
    println!("/healthz: {} {}", health.status, String::from_utf8_lossy(&health_body));
    let cached = service.0.credentials.entry_count();
    let journal = server.journal();
    println!(
        "credentials cached: {cached} of {USERS}; refreshes: {}; spent twice: {}",
        journal.rotations(),
        journal.double_spends()
    );

    // What is under way is waited for, so that no rotated token is lost.
    for (_, credentials) in &service.0.credentials {
        credentials.shutdown().await?;
    }
    serving.abort();
    let expected = BTreeMap::from([(200, (USERS - 1) * ROUNDS), (401, ROUNDS)]);
    let good = answers == expected
        && health.status == StatusCode::OK
        && cached <= CACHED
        && journal.double_spends() == 0
        // Two of the five rounds found dead tokens; nobody refreshed for nothing.
        && journal.rotations() == (USERS - 1) * 2;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
