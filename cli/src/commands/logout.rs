//! `logout`: forgets the tokens.

use std::process::ExitCode;

use super::close;
use crate::args::{Account, Logout};
use crate::output::tell;
use crate::profile;

pub(crate) async fn run(account: &Account, args: &Logout) -> anyhow::Result<ExitCode> {
    let had_m2m = profile::forget_m2m(account)?;
    let credentials = match profile::open_store(account).await {
        Ok(credentials) => credentials,
        // The M2M token was the account; a store that can't be reached then holds nothing of it.
        Err(_) if had_m2m => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(error),
    };
    let status = credentials.status();
    let nothing = status.is_signed_out() || had_m2m && status.is_login_required();
    let outcome = match (nothing, args.overwrite) {
        (true, _) => Ok(()),
        (false, true) => credentials.sign_out_overwriting().await,
        (false, false) => credentials.sign_out().await,
    };
    close(&credentials, outcome).await?;
    tell(format_args!("Logged out: profile `{}`.", account.profile));
    Ok(ExitCode::SUCCESS)
}
