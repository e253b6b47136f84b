//! The crate's main job, over real TCP: tokens expire under many concurrent callers, one refresh
//! each, everybody answered.
//!
//! ```text
//! cargo run --example quickstart
//! ```
//!
//! Starts a TeamUp-like server on loopback and prints what it saw at each step. Exits 0 only if
//! every caller was answered 200 and each expiry of a mode cost exactly one refresh.

mod shared;

use std::process::ExitCode;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::task::JoinSet;
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::testing::{CALLER, FakeTeamUp};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Auth, AuthLayer, Credentials, RequestMode};

const CALLERS: usize = 100;
const TWO_HOURS: Duration = Duration::from_secs(2 * 60 * 60);

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let server = FakeTeamUp::builder().access_token_lifetime(TWO_HOURS).start().await;
    let mut account = shared::Account::of(&server);

    // A clock that can be moved stands in for two hours of waiting.
    let clock = Clock::tokio();
    let http_client: HyperClient = hyper_client();
    let credentials = Credentials::builder(RequestMode::Provider)
        .base_url(server.base_url())
        .tokens(server.issue_tokens(&[RequestMode::Provider]))
        .clock(clock.clone())
        .build()
        .await?;
    let api = ServiceBuilder::new().layer(AuthLayer::new(credentials.clone())).service(http_client);

    println!("The token is good: {CALLERS} callers at once, in provider mode.");
    account.step(callers(&api, &server, "good", provider), 0).await;

    println!("Two hours pass and the token expires. The credential knows, so nobody meets a 401.");
    server.advance(TWO_HOURS);
    clock.shift_wall(TWO_HOURS);
    account.step(callers(&api, &server, "expired", provider), 1).await;

    println!("The server expires every token early. Nobody could know, so there are 401s.");
    server.expire_access_tokens();
    account.step(callers(&api, &server, "early", provider), 1).await;

    println!("Every other caller acts in customer mode, for which there is no token yet.");
    account.step(callers(&api, &server, "both", every_other), 1).await;

    println!("Both modes again, and in the middle of it everything expires.");
    let in_the_middle = server.api_requests() + CALLERS / 2;
    let mut all = callers(&api, &server, "before", every_other);
    server.wait_for(|journal| journal.api_requests() >= in_the_middle).await;
    server.expire_access_tokens();
    for caller in 0..CALLERS {
        all.spawn(call(api.clone(), &server, format!("after-{caller}"), every_other(caller)));
    }
    account.step(all, 2).await;

    credentials.shutdown().await?;
    Ok(account.last_line())
}

fn provider(_: usize) -> RequestMode {
    RequestMode::Provider
}

fn every_other(caller: usize) -> RequestMode {
    RequestMode::ALL[caller % 2]
}

/// Lets all callers loose at once.
fn callers(
    api: &Auth<HyperClient>,
    server: &FakeTeamUp,
    step: &str,
    mode: fn(usize) -> RequestMode,
) -> JoinSet<Result<StatusCode, BoxError>> {
    (0..CALLERS)
        .map(|caller| call(api.clone(), server, format!("{step}-{caller}"), mode(caller)))
        .collect()
}

/// The caller's name travels in a header, so that the server's journal can tell which request was retried.
fn call(
    api: Auth<HyperClient>,
    server: &FakeTeamUp,
    caller: String,
    mode: RequestMode,
) -> impl Future<Output = Result<StatusCode, BoxError>> + use<> {
    let request = Request::get(server.url("/events?page_size=1"))
        .header(CALLER, caller)
        .extension(mode)
        .body(Full::default());
    async move {
        let response = api.oneshot(request?).await?;
        let status = response.status();
        response.into_body().collect().await?;
        Ok(status)
    }
}
