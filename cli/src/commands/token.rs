//! `token`: an access token on standard output.

use std::process::ExitCode;

use serde_json::json;
use tower_teamup_auth::client::CurrentToken;
use tower_teamup_auth::{Credentials, Error};
use zeroize::Zeroizing;

use super::close;
use crate::args::{Account, Scheme, Token};
use crate::{output, profile, secrets};

pub(crate) async fn run(account: &Account, args: &Token) -> anyhow::Result<ExitCode> {
    let refused = args.refused.then(|| secrets::ask("The token that was refused")).transpose()?;
    let credentials = profile::open(account).await?;
    let token = current(&credentials, account, refused).await;
    let token = close(&credentials, token).await?;
    if args.json {
        let scheme = match account.scheme {
            Scheme::Bearer => "Bearer",
            Scheme::Jwt => "JWT",
            Scheme::Token => "Token",
        };
        output::json(&json!({
            "access_token": token.expose(),
            "scheme": scheme,
            "mode": token.mode().as_str(),
            "provider_id": account.provider_id,
            "expires_at": token.expires_at().map(output::unix_time),
        }))?;
    } else {
        output::print(token.expose())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A token that another process has put in place of the refused one will do.
async fn current(
    credentials: &Credentials,
    account: &Account,
    refused: Option<Zeroizing<String>>,
) -> Result<CurrentToken, Error> {
    let token = credentials.access_token(account.mode.into()).await?;
    match refused {
        Some(refused) if *refused == token.expose() => token.report_refused().await,
        _ => Ok(token),
    }
}
