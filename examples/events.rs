//! Pages through `/events` of the real TeamUp API, over hyper-util with rustls.
//!
//! ```text
//! TEAMUP_TOKEN_FILE=teamup-tokens.json cargo run -p examples --example events
//! ```
//!
//! Teaches: the quick start against the real service, and where the rotated refresh token goes: back to
//! the file that the examples `login` and `password_login` write.

use std::env;
use std::process::ExitCode;

use anyhow::{Context, bail};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::token::AccessToken;
use tower_teamup_auth::{AuthLayer, Credentials, RequestMode, TokenSet};

const USAGE: &str = "\
This example calls the real TeamUp API. Set:

  TEAMUP_TOKEN_FILE      the file in which the example `login` or `password_login` has put the tokens;
                         rotated tokens go back to it
or
  TEAMUP_REFRESH_TOKEN   the refresh token of a login; without a file, the rotated one is lost when
                         this program ends, and this one is spent
and, if you like:
  TEAMUP_ACCESS_TOKEN    the access token that came with it; without it, one is minted
  TEAMUP_MODE            customer or provider (default: provider)
  TEAMUP_PROVIDER_ID     the id of the business, if the login can reach several
  TEAMUP_BASE_URL        default: https://goteamup.com/api/v2
  TEAMUP_AUTH_SCHEME     Bearer, JWT or Token (default: Bearer)";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new("tower_teamup_auth=info"))
        .with_writer(std::io::stderr)
        .init();
    if variable("TEAMUP_REFRESH_TOKEN").or_else(|| variable("TEAMUP_TOKEN_FILE")).is_none() {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("events: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let base_url = variable("TEAMUP_BASE_URL")
        .unwrap_or_else(|| "https://goteamup.com/api/v2".to_owned())
        .trim_end_matches('/')
        .to_owned();
    let http_client: HyperClient = hyper_client();
    let credentials = credentials(&base_url, http_client.clone()).await?;
    let mut api =
        ServiceBuilder::new().layer(AuthLayer::new(credentials.clone())).service(http_client);

    let mut next = Some(format!("{base_url}/events?page_size=100"));
    let mut events = 0;
    while let Some(url) = next {
        let request = Request::get(&url).body(Full::default())?;
        let response = api.ready().await.map_err(boxed)?.call(request).await.map_err(boxed)?;
        let status = response.status();
        let reason = response.extensions().get::<tower_teamup_auth::Error>().cloned();
        let body = response.into_body().collect().await.map_err(boxed)?.to_bytes();
        if let Some(reason) = reason {
            return Err(reason).context("answered 401, and no new token could be had");
        }
        if status != StatusCode::OK {
            bail!("{url} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        let page: serde_json::Value =
            serde_json::from_slice(&body).context("the answer is not JSON")?;
        for event in page["results"].as_array().into_iter().flatten() {
            events += 1;
            println!("{:>10}  {}", event["id"], event["name"].as_str().unwrap_or("(no name)"));
        }
        next = page["next"].as_str().map(str::to_owned);
    }
    println!("{events} events");
    credentials.shutdown().await?;
    Ok(())
}

async fn credentials(base_url: &str, http_client: HyperClient) -> anyhow::Result<Credentials> {
    let mode: RequestMode =
        variable("TEAMUP_MODE").map_or(Ok(RequestMode::Provider), |mode| mode.parse())?;
    let mut builder = Credentials::builder(mode).base_url(base_url).refresh_client(http_client);
    if let Some(refresh_token) = variable("TEAMUP_REFRESH_TOKEN") {
        let mut tokens = TokenSet::new(refresh_token.parse()?);
        if let Some(access_token) = variable("TEAMUP_ACCESS_TOKEN") {
            tokens = tokens.with_access_token(mode, AccessToken::new(access_token)?, None);
        }
        builder = builder.tokens(tokens);
    }
    if let Some(id) = variable("TEAMUP_PROVIDER_ID") {
        builder =
            builder.provider_id(id.parse::<u64>().context("TEAMUP_PROVIDER_ID is not a number")?);
    }
    if let Some(scheme) = variable("TEAMUP_AUTH_SCHEME") {
        builder = builder.scheme(scheme.parse()?);
    }
    if let Some(path) = variable("TEAMUP_TOKEN_FILE") {
        builder = builder.store(tower_teamup_auth::store::FileStore::new(path));
    }
    Ok(builder.build().await?)
}

/// `anyhow` takes an error of a known type, and tower's is boxed.
fn boxed(error: tower::BoxError) -> anyhow::Error {
    anyhow::Error::from_boxed(error)
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
