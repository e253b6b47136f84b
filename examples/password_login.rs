//! From no token to the first, by user name and password: TeamUp's direct authentication, for
//! applications that hold a key for it, with its two-factor flow.
//!
//! ```text
//! cargo run --example password_login -- --fake    # against a fake TeamUp, which asks for two factors
//! cargo run --example password_login              # against the real service
//! ```
//!
//! The real service takes `TEAMUP_USERNAME`, `TEAMUP_PASSWORD`, `TEAMUP_DIRECT_AUTH_KEY`, and if you
//! like `TEAMUP_TOKEN_FILE`. Where you can choose, let the person log in at TeamUp instead, as the
//! example `login` does: then your program never sees a password.

#[path = "shared/keep.rs"]
mod keep;
#[path = "shared/scratch.rs"]
mod scratch;

use std::env;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use tower_teamup_auth::RequestMode;
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::login::{PasswordLogin, PasswordResponse};
use tower_teamup_auth::testing::{FakeTeamUp, login as fake};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let http_client: HyperClient = hyper_client();
    if env::args().nth(1).as_deref() == Some("--fake") {
        let server = FakeTeamUp::builder().two_factor("271828").start().await;
        let folder = scratch::Scratch::new("password-login")?;
        let file = folder.path().join("tokens.json");
        let login = PasswordLogin::new(fake::DIRECT_AUTH_KEY, http_client);
        let base_url = server.base_url();
        return log_in(login, &base_url, fake::USERNAME, fake::PASSWORD, &file, |question| {
            let answer = if question.contains("code") { "271828" } else { "+41791234567" };
            println!("{question} {answer}");
            Ok(answer.to_owned())
        })
        .await;
    }
    let set = |name: &str| env::var(name).with_context(|| format!("{name} is not set"));
    let login = PasswordLogin::new(set("TEAMUP_DIRECT_AUTH_KEY")?, http_client);
    let file = set("TEAMUP_TOKEN_FILE").unwrap_or_else(|_| "teamup-tokens.json".to_owned());
    let (username, password) = (set("TEAMUP_USERNAME")?, set("TEAMUP_PASSWORD")?);
    let base_url = "https://goteamup.com/api/v2";
    log_in(login, base_url, &username, &password, file.as_ref(), |question| {
        print!("{question} ");
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    })
    .await
}

async fn log_in(
    login: PasswordLogin,
    base_url: &str,
    username: &str,
    password: &str,
    file: &Path,
    ask: impl Fn(&str) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    println!("Logging {username} in…");
    let login = login.base_url(base_url);
    let tokens = match login.log_in(username, password).await? {
        PasswordResponse::Tokens(tokens) => tokens,
        PasswordResponse::Pending(pending) => {
            let provider = pending.two_factor_required_providers().first();
            let provider = *provider.context("TeamUp names no business that asks for a code")?;
            let phone_number = ask("TeamUp asks for a second factor. Your phone number?")?;
            let sent = login.start_verification(&pending, provider, &phone_number).await?;
            println!("{}", sent.message());
            let key = login.verify(&phone_number, &ask("The code?")?).await?;
            login.finish(username, password, &key).await?
        }
    };
    let status = keep::tokens(base_url, RequestMode::Provider, tokens, file).await?;
    println!("Logged in: {status}.\nThe tokens are in {}.", file.display());
    println!("Next: TEAMUP_TOKEN_FILE={} cargo run --example events", file.display());
    Ok(())
}
