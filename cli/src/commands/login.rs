//! `login`: first tokens, from a person, an administrator or another program.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use tower_teamup_auth::client::HyperClient;
use tower_teamup_auth::login::{LoopbackReceiver, OAuthLogin, PasswordLogin, PasswordResponse};
use tower_teamup_auth::token::{AccessToken, RefreshToken};
use tower_teamup_auth::{RequestMode, TokenSet};
use zeroize::Zeroizing;

use super::close;
use crate::args::{Account, Login, Mode};
use crate::output::tell;
use crate::{client, profile, secrets};

pub(crate) async fn run(account: &Account, args: Login) -> anyhow::Result<ExitCode> {
    if args.m2m {
        return keep_m2m(account);
    }
    let tokens = if args.password {
        by_password(account, args.username.as_deref().unwrap_or_default()).await?
    } else if args.tokens {
        from_json(&secrets::read_all()?)?
    } else {
        in_browser(account, &args).await?
    };
    let credentials = profile::open_store(account).await?;
    let saved = match args.overwrite {
        true => credentials.log_in_overwriting(tokens).await,
        false => credentials.log_in(tokens).await,
    };
    if let Err(error) = saved {
        return Err(close(&credentials, Err::<(), _>(error)).await.unwrap_err().into());
    }
    profile::forget_m2m(account)?;
    let client = args.client_id.map(|id| ("login", [("client-id".to_owned(), id.into())]));
    let client = client.map(|(command, flags)| (command, flags.into_iter().collect()));
    profile::save_settings(account, client)?;
    // Whether TeamUp gives tokens of this mode is better known now than at the first request.
    let token = credentials.access_token(account.mode.into()).await;
    close(&credentials, token)
        .await
        .context("the login is stored, and its first access token could not be had")?;
    told(account);
    Ok(ExitCode::SUCCESS)
}

fn told(account: &Account) {
    tell(format_args!("Logged in: profile `{}`.", account.profile));
}

fn keep_m2m(account: &Account) -> anyhow::Result<ExitCode> {
    if account.mode == Mode::Customer {
        bail!("an M2M token acts in provider mode; leave --mode customer out");
    }
    let token = secrets::ask("M2M token")?;
    let token = AccessToken::new(token.trim())?;
    profile::save_m2m(account, &token)?;
    profile::save_settings(account, None)?;
    told(account);
    Ok(ExitCode::SUCCESS)
}

async fn in_browser(account: &Account, args: &Login) -> anyhow::Result<TokenSet> {
    let Some(client_id) = &args.client_id else {
        bail!("name your application with --client-id, as TeamUp has registered it");
    };
    let client: HyperClient = client::api(account)?;
    let mut login = OAuthLogin::new(client_id, client).base_url(&account.base_url);
    if let Some(id) = account.provider_id {
        login = login.provider_id(id);
    }
    if let Some(user) = &args.login_hint {
        login = login.login_hint(user);
    }
    if args.client_secret {
        login = login.client_secret(secrets::ask("Client secret")?.as_str());
    }
    let receiver = LoopbackReceiver::bind_port(args.port)
        .await?
        .path(&args.callback_path)
        .timeout(args.person_timeout);
    let login = login.redirect_uri(receiver.redirect_uri());
    let (url, pending) = login.begin()?;
    tell(format_args!("Open this address to log in:\n{url}"));
    if !args.no_browser {
        tower_teamup_auth::login::open_browser(&url).await;
    }
    let callback = receiver.receive(&pending).await?;
    let outcome = login.finish(pending, callback.query()).await;
    callback.answer(outcome.as_ref().map(|_| ())).await;
    Ok(outcome?)
}

async fn by_password(account: &Account, username: &str) -> anyhow::Result<TokenSet> {
    let client: HyperClient = client::api(account)?;
    let key = secrets::ask("The application's direct_auth_key")?;
    let login = PasswordLogin::new(key.as_str(), client).base_url(&account.base_url);
    let password = secrets::ask("Password")?;
    let pending = match login.log_in(username, &password).await? {
        PasswordResponse::Tokens(tokens) => return Ok(tokens),
        PasswordResponse::Pending(pending) => pending,
    };
    let providers = pending.two_factor_required_providers();
    let provider = account.provider_id.filter(|id| providers.contains(id));
    let Some(provider) = provider.or_else(|| providers.first().copied()) else {
        bail!("TeamUp asks for a second factor, and names no provider that wants it");
    };
    let phone_number = secrets::ask_openly("Phone number")?;
    let started = login.start_verification(&pending, provider, &phone_number).await?;
    if !started.message().is_empty() {
        tell(format_args!("{}", started.message()));
    }
    let code = secrets::ask("Verification code")?;
    let verified = login.verify(&phone_number, &code).await?;
    Ok(login.finish(username, &password, &verified).await?)
}

/// What `fake` prints, and the answer of TeamUp's token endpoint.
#[derive(Deserialize)]
struct Given {
    refresh_token: Zeroizing<String>,
    #[serde(default)]
    access_tokens: Vec<GivenAccess>,
}

#[derive(Deserialize)]
struct GivenAccess {
    mode: String,
    access_token: Zeroizing<String>,
    /// Seconds from now; null where it is not known.
    expires_in: Option<f64>,
}

fn from_json(text: &str) -> anyhow::Result<TokenSet> {
    // Serde's own error could show a part of what it read.
    let Ok(given) = serde_json::from_str::<Given>(text) else {
        bail!("standard input holds no tokens as JSON: {{\"refresh_token\": \"...\"}}");
    };
    let tokens = TokenSet::new(RefreshToken::new(given.refresh_token.as_str())?);
    given.access_tokens.into_iter().try_fold(tokens, |tokens, access| {
        let mode = match access.mode.as_str() {
            "customer" => RequestMode::Customer,
            "provider" => RequestMode::Provider,
            _ => bail!("an access token's mode is `customer` or `provider`"),
        };
        let expires_in = access
            .expires_in
            .map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO));
        let token = AccessToken::new(access.access_token.as_str())?;
        Ok(tokens.with_access_token(mode, token, expires_in))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p5_json_that_can_not_be_read_is_not_repeated() {
        for text in [
            "",
            "secret",
            r#"{"refresh_token": 7}"#,
            r#"{"refresh_token": ["secret"]}"#,
            r#"{"refresh_token": "sec\u00e9"}"#,
        ] {
            let error = format!("{:?}", from_json(text).unwrap_err());
            assert!(!error.contains("sec"), "{error}");
        }
    }

    #[test]
    fn p7_an_access_token_is_that_of_its_mode() {
        let text = r#"{"refresh_token": "r", "access_tokens": [
            {"mode": "customer", "access_token": "c", "expires_in": null}]}"#;
        let tokens = from_json(text).unwrap();
        assert_eq!(tokens.access_token(RequestMode::Customer).unwrap().expose(), "c");
        assert!(tokens.access_token(RequestMode::Provider).is_none());
        assert_eq!(tokens.expires_at(RequestMode::Customer), None);
    }
}
