//! From no token to the first: OAuth's authorization code flow, with the callback on loopback.
//!
//! ```text
//! cargo run --example login -- --fake             # against a fake TeamUp; you are the person
//! cargo run --example login -- --fake --approve   # the same, and the example plays the person
//! TEAMUP_CLIENT_ID=… cargo run --example login    # against the real service
//! ```
//!
//! The real service takes `TEAMUP_CLIENT_ID`, and if you like `TEAMUP_CLIENT_SECRET`,
//! `TEAMUP_REDIRECT_PORT` (that of the registered redirect URI `http://127.0.0.1:<port>/callback`),
//! `TEAMUP_PROVIDER_ID` and `TEAMUP_TOKEN_FILE`.

#[path = "../shared/keep.rs"]
mod keep;
mod person;
#[path = "../shared/scratch.rs"]
mod scratch;

use std::env;
use std::path::Path;

use anyhow::Context;
use tower_teamup_auth::RequestMode;
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::login::{LoopbackReceiver, OAuthLogin, open_browser};
use tower_teamup_auth::testing::{FakeTeamUp, login as fake};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options: Vec<String> = env::args().skip(1).collect();
    let has = |option: &str| options.iter().any(|given| given == option);
    let http_client: HyperClient = hyper_client();
    if has("--fake") {
        let server = FakeTeamUp::start().await;
        let folder = scratch::Scratch::new("login")?;
        let login = OAuthLogin::new(fake::CLIENT_ID, http_client).base_url(server.base_url());
        let file = folder.path().join("tokens.json");
        return log_in(login, &server.base_url(), &file, 0, has("--approve")).await;
    }
    let client_id = variable("TEAMUP_CLIENT_ID")
        .context("TEAMUP_CLIENT_ID is not set; `-- --fake` needs no account")?;
    let mut login = OAuthLogin::new(client_id, http_client);
    if let Some(secret) = variable("TEAMUP_CLIENT_SECRET") {
        login = login.client_secret(secret);
    }
    if let Some(id) = variable("TEAMUP_PROVIDER_ID") {
        login = login.provider_id(id.parse::<u64>()?);
    }
    let port = variable("TEAMUP_REDIRECT_PORT").map_or(Ok(0), |port| port.parse())?;
    let file = variable("TEAMUP_TOKEN_FILE").unwrap_or_else(|| "teamup-tokens.json".to_owned());
    log_in(login, "https://goteamup.com/api/v2", file.as_ref(), port, false).await
}

async fn log_in(
    login: OAuthLogin,
    base_url: &str,
    file: &Path,
    port: u16,
    approve: bool,
) -> anyhow::Result<()> {
    let receiver = LoopbackReceiver::bind_port(port).await?;
    let show = |url: String| {
        println!("Open this address, and approve:\n\n  {url}\n");
        tokio::spawn(async move {
            match approve {
                true => println!("The person reads: {}", person::approves(url).await.unwrap()),
                false if open_browser(&url).await => println!("(A browser is opening it.)"),
                false => {}
            }
        });
    };
    let tokens = receiver.log_in(&login, show).await?;
    let status = keep::tokens(base_url, RequestMode::Provider, tokens, file).await?;
    println!("Logged in: {status}.\nThe tokens are in {}.", file.display());
    println!("Next: TEAMUP_TOKEN_FILE={} cargo run --example events", file.display());
    Ok(())
}

/// The value of a variable that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
