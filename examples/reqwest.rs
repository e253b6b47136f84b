//! reqwest below the layer, as a tower service.
//!
//! ```text
//! cargo run --example reqwest
//! ```
//!
//! Teaches: `ReqwestService`, and the same client for the API and the exchange. Starts a TeamUp-like server on loopback, lets the token expire under 50
//! concurrent callers, and prints what arrived. Exits 0 only if every caller was answered 200 and
//! the expiry cost one refresh.

use std::process::ExitCode;

use http::{Request, StatusCode};
use tokio::task::JoinSet;
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{ReqwestService, redirects_within_origin};
use tower_teamup_auth::testing::{CALLER, FakeTeamUp};
use tower_teamup_auth::{AuthLayer, Credentials, RequestMode};

const CALLERS: usize = 50;

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let server = FakeTeamUp::start().await;
    // Redirects to another origin are not followed: a token stays where it may go.
    let client = reqwest::Client::builder().redirect(redirects_within_origin()).build()?;
    let credentials = Credentials::builder(RequestMode::Provider)
        .base_url(server.base_url())
        .tokens(server.issue_tokens(&[RequestMode::Provider]))
        .refresh_over(client.clone())
        .build()
        .await?;
    let api = ServiceBuilder::new()
        .layer(AuthLayer::new(credentials))
        .service(ReqwestService::new(client));

    server.expire_access_tokens();
    let callers: JoinSet<Result<StatusCode, BoxError>> = (0..CALLERS)
        .map(|caller| {
            let api = api.clone();
            let url = server.url("/events?page_size=1");
            async move {
                let request = Request::get(url)
                    .header(CALLER, format!("caller-{caller}"))
                    .body(reqwest::Body::default())?;
                let response = reqwest::Response::from(api.oneshot(request).await?);
                let status = response.status();
                response.bytes().await?;
                Ok(status)
            }
        })
        .collect();
    let answers = callers.join_all().await;
    let ok = answers.iter().filter(|answer| matches!(answer, Ok(StatusCode::OK))).count();

    let journal = server.journal();
    println!("The server's journal:");
    for entry in journal.entries() {
        println!("    {entry}");
    }
    println!(
        "requests={} ok={ok} refreshes={} repeated={} unauthorized_to_caller={}",
        journal.api_requests(),
        journal.rotations(),
        journal.repeats(),
        journal.unauthorized_to_caller(),
    );
    let good = ok == CALLERS && journal.rotations() == 1 && journal.unauthorized_to_caller() == 0;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
