//! From no token to the first, by user name and password: TeamUp's direct authentication, for
//! applications that hold a key for it. The two-factor question is answered.
//!
//! ```text
//! cargo run -p examples --example password_login -- --fake    # against a fake TeamUp, which asks for two factors
//! cargo run -p examples --example password_login              # against the real service; see the usage
//! ```
//!
//! Where you can choose, let the person log in at TeamUp instead, as the example `login` does: then
//! your program never sees a password.

#[path = "shared/keep.rs"]
mod keep;
#[path = "shared/scratch.rs"]
mod scratch;

use std::env;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::testing::{FakeTeamUp, login as fake};
use tower_teamup_auth::{RequestMode, TokenSet};

use crate::scratch::Scratch;

const USAGE: &str = "\
This example logs a person in at the real TeamUp by their password. Set:

  TEAMUP_USERNAME          the person's user name
  TEAMUP_PASSWORD          their password
  TEAMUP_DIRECT_AUTH_KEY   the key that TeamUp has given your application for this
and, if you like:
  TEAMUP_MODE              customer or provider (default: provider)
  TEAMUP_BASE_URL          default: https://goteamup.com/api/v2
  TEAMUP_TOKEN_FILE        where the tokens are kept (default: teamup-tokens.json)

With --fake it runs against a fake TeamUp on loopback, and nothing needs to be set.";

/// The fake's second factor, which a person would read on their phone.
const SECOND_FACTOR: &str = "271828";

/// Who logs in, and by which right the program may ask.
struct Login {
    base_url: String,
    username: String,
    password: String,
    direct_auth_key: String,
}

/// How TeamUp answers to a password.
enum Answer {
    Tokens(TokenSet),
    /// The person has to bring a verification key as well.
    SecondFactor,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options: Vec<String> = env::args().skip(1).collect();
    let result = match options.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--fake"] => against_fake().await,
        [] if variable("TEAMUP_USERNAME").is_some() => against_teamup().await,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("password_login: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn against_teamup() -> anyhow::Result<()> {
    let needed = |name: &str| variable(name).with_context(|| format!("{name} is not set"));
    let login = Login {
        base_url: variable("TEAMUP_BASE_URL")
            .unwrap_or_else(|| "https://goteamup.com/api/v2".to_owned()),
        username: needed("TEAMUP_USERNAME")?,
        password: needed("TEAMUP_PASSWORD")?,
        direct_auth_key: needed("TEAMUP_DIRECT_AUTH_KEY")?,
    };
    let mode = variable("TEAMUP_MODE").map_or(Ok(RequestMode::Provider), |mode| mode.parse())?;
    let file = variable("TEAMUP_TOKEN_FILE").unwrap_or_else(|| "teamup-tokens.json".to_owned());
    run(&login, mode, file.into(), || {
        print!("TeamUp asks for the verification key that it has sent you: ");
        std::io::stdout().flush()?;
        let mut key = String::new();
        std::io::stdin().read_line(&mut key)?;
        Ok(key.trim().to_owned())
    })
    .await
}

async fn against_fake() -> anyhow::Result<()> {
    let server = FakeTeamUp::builder().two_factor(SECOND_FACTOR).start().await;
    let folder = Scratch::new("password-login")?;
    let login = Login {
        base_url: server.base_url(),
        username: fake::USERNAME.to_owned(),
        password: fake::PASSWORD.to_owned(),
        direct_auth_key: fake::DIRECT_AUTH_KEY.to_owned(),
    };
    run(&login, RequestMode::Provider, folder.path().join("tokens.json"), || {
        println!("TeamUp asks for a verification key. The person reads it on their phone.");
        Ok(SECOND_FACTOR.to_owned())
    })
    .await
}

async fn run(
    login: &Login,
    mode: RequestMode,
    file: PathBuf,
    verification_key: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    println!("Logging {} in…", login.username);
    let tokens = match log_in(login, None).await? {
        Answer::Tokens(tokens) => tokens,
        Answer::SecondFactor => match log_in(login, Some(&verification_key()?)).await? {
            Answer::Tokens(tokens) => tokens,
            Answer::SecondFactor => bail!("TeamUp asked for a verification key a second time"),
        },
    };
    let state = keep::tokens(&login.base_url, mode, tokens, &file).await?;
    println!("Logged in: {state}.\nThe tokens are in {}.", file.display());
    println!("Next: TEAMUP_TOKEN_FILE={} cargo run -p examples --example events", file.display());
    Ok(())
}

async fn log_in(login: &Login, verification_key: Option<&str>) -> anyhow::Result<Answer> {
    let mut fields = json!({
        "username": login.username,
        "password": login.password,
        "direct_auth_key": login.direct_auth_key,
    });
    if let Some(key) = verification_key {
        fields["verification_key"] = key.into();
    }
    let url = format!("{}/auth/password_login", login.base_url.trim_end_matches('/'));
    let request = http::Request::post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .body(Full::from(fields.to_string()))?;
    let http_client: HyperClient = hyper_client();
    let (head, body) = http_client.request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    let answer: Value = serde_json::from_slice(&body)
        .with_context(|| format!("TeamUp answered {}, and no JSON", head.status))?;
    if head.status != StatusCode::OK {
        // TeamUp's error body says why, and for which field; it repeats no password.
        bail!("TeamUp answered {}: {answer}", head.status);
    }
    if !answer["pending_login"].is_null() {
        return Ok(Answer::SecondFactor);
    }
    let refresh_token = answer["refresh_token"].as_str().context("there is no refresh token")?;
    // The access token beside it is left alone: TeamUp does not say for which mode it is, and the
    // first refresh mints one for the mode that is wanted.
    Ok(Answer::Tokens(TokenSet::new(refresh_token.parse()?)))
}

/// The value of a variable that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
