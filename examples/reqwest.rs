//! reqwest as a tower service under the layer: tokens expire under many concurrent callers, who
//! notice nothing.
//!
//! ```text
//! cargo run -p examples --example reqwest
//! ```
//!
//! Starts a TeamUp-like server on loopback and prints what it saw at each step. Exits 0 only if
//! every caller was answered 200 and each expiry cost exactly one refresh.

mod shared;

use std::process::ExitCode;

use http::StatusCode;
use reqwest::{Body, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{ReqwestService, redirects_within_origin};
use tower_teamup_auth::testing::{CALLER, FakeTeamUp};
use tower_teamup_auth::{Auth, AuthLayer, Credentials, RequestMode};

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
    let api = ServiceBuilder::new()
        .layer(AuthLayer::new(credentials.clone()))
        // So that requests which are not safe can be retried, too.
        .service(ReqwestService::new(client).records_redirects());

    println!("The token is good: {CALLERS} callers read the list of events.");
    let callers = everybody(|caller| list(api.clone(), server.clone(), format!("list {caller}")));
    account.step(callers, 0).await;

    println!("The token expires while {CALLERS} callers are on their way, and as many follow.");
    let in_the_middle = server.api_requests() + CALLERS / 2;
    let mut callers =
        everybody(|caller| list(api.clone(), server.clone(), format!("before {caller}")));
    server.wait_for(|journal| journal.api_requests() >= in_the_middle).await;
    server.expire_access_tokens();
    for caller in 0..CALLERS {
        callers.spawn(list(api.clone(), server.clone(), format!("after {caller}")));
    }
    account.step(callers, 1).await;

    println!("It expires again, and {CALLERS} callers send a body that has to arrive twice.");
    server.expire_access_tokens();
    let callers = everybody(|caller| send(api.clone(), server.clone(), format!("send {caller}")));
    account.step(callers, 1).await;

    credentials.shutdown().await?;
    Ok(account.last_line())
}

async fn list(
    api: Auth<ReqwestService>,
    server: FakeTeamUp,
    caller: String,
) -> Result<StatusCode, BoxError> {
    let request = http::Request::get(server.url("/events?page_size=5"))
        .header(CALLER, caller)
        .body(Body::default())?;
    let response = Response::from(api.oneshot(request).await?);
    let status = response.status();
    let page: Value = response.json().await?;
    assert_eq!(page["results"].as_array().map(Vec::len), Some(5), "{page}");
    Ok(status)
}

async fn send(
    api: Auth<ReqwestService>,
    server: FakeTeamUp,
    caller: String,
) -> Result<StatusCode, BoxError> {
    let text = json!({ "name": "Yoga", "places": 12 }).to_string();
    let size = text.len();
    let request = http::Request::post(server.url("/uploads"))
        .header(CALLER, caller)
        .header("content-type", "application/json")
        .body(Body::from(text))?;
    let response = Response::from(api.oneshot(request).await?);
    let status = response.status();
    let received: Value = response.json().await?;
    assert_eq!(received["size"], size, "{received}");
    Ok(status)
}

/// Lets all callers loose at once.
fn everybody<F>(call: impl Fn(usize) -> F) -> JoinSet<Result<StatusCode, BoxError>>
where
    F: Future<Output = Result<StatusCode, BoxError>> + Send + 'static,
{
    (0..CALLERS).map(call).collect()
}
