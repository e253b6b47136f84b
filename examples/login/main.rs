//! From no token to the first: OAuth's authorization code flow, with PKCE, `state` and a loopback
//! redirect.
//!
//! ```text
//! cargo run -p examples --example login -- --fake             # against a fake TeamUp; you are the person
//! cargo run -p examples --example login -- --fake --approve   # the same, and the example plays the person
//! cargo run -p examples --example login                       # against the real service; see the usage
//! ```
//!
//! Prints the address of the page where the person approves, opens it where there is a browser,
//! waits for the person to come back, takes the code for tokens, proves that they work, and keeps
//! them in a file for programs to come.

mod flow;
#[path = "../shared/keep.rs"]
mod keep;
mod pages;
mod person;
#[path = "../shared/scratch.rs"]
mod scratch;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use tower_teamup_auth::testing::{FakeTeamUp, login as fake};
use tower_teamup_auth::{RequestMode, TokenSet};

use crate::flow::{Application, Login};
use crate::scratch::Scratch;

const USAGE: &str = "\
This example logs a person in at the real TeamUp, for an application that is registered there. Set:

  TEAMUP_CLIENT_ID       the application's client id
and, if you like:
  TEAMUP_CLIENT_SECRET   its secret; without one, PKCE alone proves who is asking
  TEAMUP_REDIRECT_PORT   the port of the redirect URI that is registered for it,
                         http://127.0.0.1:<port>/callback (default: any free one)
  TEAMUP_PROVIDER_ID     the id of the business, if the application can reach several
  TEAMUP_MODE            customer or provider (default: provider)
  TEAMUP_BASE_URL        default: https://goteamup.com/api/v2
  TEAMUP_TOKEN_FILE      where the tokens are kept (default: teamup-tokens.json)

Options:
  --fake         run against a fake TeamUp on loopback; nothing needs to be set
  --approve      with --fake: approve, as the person would
  --no-browser   open no browser, only print the address";

#[tokio::main]
async fn main() -> ExitCode {
    let options: Vec<String> = env::args().skip(1).collect();
    let known = ["--fake", "--approve", "--no-browser"];
    let is_set = |option: &str| options.iter().any(|given| given == option);
    let ready = is_set("--fake") || variable("TEAMUP_CLIENT_ID").is_some();
    if !ready || !options.iter().all(|option| known.contains(&option.as_str())) {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let result = match is_set("--fake") {
        true => against_fake(is_set("--approve"), !is_set("--no-browser")).await,
        false => against_teamup(!is_set("--no-browser")).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("login: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn against_teamup(browser: bool) -> anyhow::Result<()> {
    let base_url = variable("TEAMUP_BASE_URL");
    let base_url = base_url.as_deref().unwrap_or("https://goteamup.com/api/v2");
    let application = Application {
        base_url: base_url.to_owned(),
        client_id: variable("TEAMUP_CLIENT_ID").context("TEAMUP_CLIENT_ID is not set")?,
        client_secret: variable("TEAMUP_CLIENT_SECRET"),
        provider_id: parsed("TEAMUP_PROVIDER_ID")?,
    };
    let mode = parsed("TEAMUP_MODE")?.unwrap_or(RequestMode::Provider);
    let file = variable("TEAMUP_TOKEN_FILE").unwrap_or_else(|| "teamup-tokens.json".to_owned());
    let login = Login::begin(application, parsed("TEAMUP_REDIRECT_PORT")?.unwrap_or(0)).await?;
    say_where(&login, browser);
    log_in(login, base_url, mode, file.into()).await
}

async fn against_fake(approve: bool, browser: bool) -> anyhow::Result<()> {
    let server = FakeTeamUp::start().await;
    let application = Application {
        base_url: server.base_url(),
        client_id: fake::CLIENT_ID.to_owned(),
        client_secret: None,
        provider_id: None,
    };
    let folder = Scratch::new("login")?;
    let file = folder.path().join("tokens.json");
    let login = Login::begin(application, 0).await?;
    if !approve {
        say_where(&login, browser);
        return log_in(login, &server.base_url(), RequestMode::Provider, file).await;
    }
    println!("The person opens {}", login.url());
    let person = tokio::spawn(person::approves(login.url().to_string()));
    log_in(login, &server.base_url(), RequestMode::Provider, file).await?;
    println!("The person reads: {}", person.await??);
    Ok(())
}

/// Waits for the person, and keeps the tokens before the last page says so.
async fn log_in(
    login: Login,
    base_url: &str,
    mode: RequestMode,
    file: PathBuf,
) -> anyhow::Result<()> {
    let keep = async |tokens: TokenSet| {
        let state = keep::tokens(base_url, mode, tokens, &file).await?;
        println!("Logged in: {state}.\nThe tokens are in {}.", file.display());
        Ok(format!("TEAMUP_TOKEN_FILE={} cargo run -p examples --example events", file.display()))
    };
    let next = login.finish(keep).await?;
    println!("Next: {next}");
    Ok(())
}

fn say_where(login: &Login, browser: bool) {
    println!("Open this address, and approve:\n\n  {}\n", login.url());
    if browser && webbrowser::open(login.url().as_str()).is_ok() {
        println!("(A browser has been asked to open it.)\n");
    }
}

/// The value of a variable that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn parsed<T: std::str::FromStr>(name: &str) -> anyhow::Result<Option<T>> {
    let Some(value) = variable(name) else { return Ok(None) };
    match value.parse() {
        Ok(value) => Ok(Some(value)),
        Err(_) => bail!("{name} can't be `{value}`"),
    }
}
