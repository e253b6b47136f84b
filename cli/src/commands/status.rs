//! `status`: what is stored, without a request to TeamUp.

use std::process::ExitCode;

use serde_json::{Value, json};
use tower_teamup_auth::RequestMode;
use tower_teamup_auth::status::{Status, Token};

use crate::args::{self, Account};
use crate::{output, profile};

pub(crate) async fn run(account: &Account, args: &args::Status) -> anyhow::Result<ExitCode> {
    let credentials = profile::open(account).await?;
    let status = credentials.status();
    let place = profile::place(account)?;
    if args.json {
        output::json(&json!({
            "profile": account.profile,
            "base_url": account.base_url,
            "store": place,
            "mode": RequestMode::from(account.mode).as_str(),
            "provider_id": account.provider_id,
            "m2m": profile::is_m2m(account)?,
            "login_required": status.is_login_required(),
            "signed_out": status.is_signed_out(),
            "ready": status.is_ready(),
            "tokens": {
                "customer": token(&status, RequestMode::Customer),
                "provider": token(&status, RequestMode::Provider),
            },
            "failure": status.failure().map(|failure| failure.error().to_string()),
        }))?;
    } else {
        output::print(&format!("profile   {}", account.profile))?;
        output::print(&format!("API       {}", account.base_url))?;
        output::print(&format!("store     {place}"))?;
        output::print(&format!("status    {status}"))?;
    }
    let is_required = status.is_login_required();
    Ok(if is_required { ExitCode::from(output::LOGIN_REQUIRED) } else { ExitCode::SUCCESS })
}

fn token(status: &Status, mode: RequestMode) -> Value {
    match status.token(mode) {
        Token::Ready { until, refused, .. } => json!({
            "state": "ready",
            "refused": refused,
            "expires_at": until.map(output::unix_time),
        }),
        Token::Expired { since, .. } => {
            json!({ "state": "expired", "expires_at": output::unix_time(since) })
        }
        _ => json!({ "state": "missing" }),
    }
}
