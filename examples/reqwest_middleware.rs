//! reqwest-middleware: the same work as a middleware, beside reqwest-retry, in both modes at once.
//!
//! ```text
//! cargo run -p examples --example reqwest_middleware
//! ```
//!
//! Starts a TeamUp-like server on loopback and prints what it saw at each step. Exits 0 only if
//! every caller was answered 200 and each expiry cost exactly one refresh for each mode.

mod shared;

use std::process::ExitCode;
use std::time::Duration;

use http::StatusCode;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;
use tokio::task::JoinSet;
use tower::BoxError;
use tower_teamup_auth::client::{AuthMiddleware, redirects_within_origin};
use tower_teamup_auth::testing::{CALLER, FakeTeamUp, Fault};
use tower_teamup_auth::{Credentials, RequestMode};

const CALLERS: usize = 50;

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let server = FakeTeamUp::start().await;
    let mut account = shared::Account::of(&server);

    let client = reqwest::Client::builder().redirect(redirects_within_origin()).build()?;
    let credentials = Credentials::builder(RequestMode::Provider)
        .base_url(server.base_url())
        .tokens(server.issue_tokens(&[RequestMode::Provider]))
        .refresh_client(reqwest::Client::new()) // for refresh requests only
        .build()
        .await?;
    let again = ExponentialBackoff::builder()
        .retry_bounds(Duration::from_millis(1), Duration::from_millis(10))
        .build_with_max_retries(3);
    let api = ClientBuilder::new(client)
        .with(RetryTransientMiddleware::new_with_policy(again))
        .with(AuthMiddleware::new(credentials.clone()))
        .build();

    println!("The token is good: {CALLERS} callers at once, in provider mode.");
    account.step(everybody(&api, &server, "good", |_| RequestMode::Provider), 0).await;

    println!("Every other caller acts in customer mode, for which there is no token yet.");
    account.step(everybody(&api, &server, "both", every_other), 1).await;

    println!("Every token expires.");
    server.expire_access_tokens();
    account.step(everybody(&api, &server, "expired", every_other), 2).await;

    println!("The server is unwell for five requests: reqwest-retry sends those again.");
    server.fail_apis(5, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    account.step(everybody(&api, &server, "unwell", |_| RequestMode::Provider), 0).await;

    credentials.shutdown().await?;
    Ok(account.last_line())
}

fn every_other(caller: usize) -> RequestMode {
    RequestMode::ALL[caller % 2]
}

/// Lets all callers loose at once, each in the mode that it asks for.
fn everybody(
    api: &ClientWithMiddleware,
    server: &FakeTeamUp,
    step: &str,
    mode: impl Fn(usize) -> RequestMode,
) -> JoinSet<reqwest_middleware::Result<StatusCode>> {
    (0..CALLERS)
        .map(|caller| {
            let request = api
                .get(server.url("/events?page_size=5"))
                .header(CALLER, format!("{step} {caller}"))
                .with_extension(mode(caller));
            async move {
                let response = request.send().await?;
                let status = response.status();
                response.bytes().await?;
                Ok(status)
            }
        })
        .collect()
}
