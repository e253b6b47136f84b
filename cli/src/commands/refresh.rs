//! `refresh`: a new access token, whatever the age of the present one.

use std::process::ExitCode;

use anyhow::bail;

use super::close;
use crate::args::Account;
use crate::profile;

pub(crate) async fn run(account: &Account) -> anyhow::Result<ExitCode> {
    if profile::is_m2m(account)? {
        bail!("an M2M token is not refreshed; hand in another with `teamup-auth login --m2m`");
    }
    let credentials = profile::open(account).await?;
    let refreshed = credentials.refresh(account.mode.into()).await;
    close(&credentials, refreshed).await?;
    Ok(ExitCode::SUCCESS)
}
