//! What a script sees: exit codes and JSON.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tower_teamup_auth::Error;
use tower_teamup_auth::login::LoginError;

/// Clap's own.
pub(crate) const USAGE: u8 = 2;
const FAILED: u8 = 1;
pub(crate) const LOGIN_REQUIRED: u8 = 3;
const TRY_AGAIN: u8 = 4;
const STORE: u8 = 5;
const CONFIGURATION: u8 = 6;

/// A login that is required, of a command that has no error of the library for it.
#[derive(Debug)]
pub(crate) struct LoginRequired;

impl fmt::Display for LoginRequired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a login is required: run `teamup-auth login`")
    }
}

impl std::error::Error for LoginRequired {}

/// Tells the person something. Standard error may be closed: what was done stays done.
pub(crate) fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Tells the person what went wrong, and the script by the exit code.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::from(FAILED);
    }
    let code = code(error);
    tell(format_args!("teamup-auth: {error:#}"));
    if code == LOGIN_REQUIRED && error.downcast_ref::<LoginRequired>().is_none() {
        tell(format_args!("teamup-auth: {LoginRequired}"));
    }
    ExitCode::from(code)
}

/// The reader has seen enough, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<LoginRequired>() {
            return LOGIN_REQUIRED;
        }
        if let Some(error) = cause.downcast_ref::<Error>() {
            return code_of(error);
        }
        if let Some(error) = cause.downcast_ref::<LoginError>() {
            return match () {
                () if error.is_transient() || error.is_timeout() => TRY_AGAIN,
                () if error.is_configuration() => CONFIGURATION,
                () => FAILED,
            };
        }
    }
    FAILED
}

fn code_of(error: &Error) -> u8 {
    if error.is_login_required() || error.is_m2m_refused() {
        LOGIN_REQUIRED
    } else if error.is_unsaved() || error.is_store() {
        STORE
    } else if error.is_configuration() {
        CONFIGURATION
    } else if error.is_transient()
        || error.is_timeout()
        || error.is_outcome_unknown()
        || error.is_protocol()
        || error.is_refresh_limited()
    {
        TRY_AGAIN
    } else {
        FAILED
    }
}

/// One value of JSON on a line of standard output.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string(value)?)
}

/// One line of standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Seconds since 1970, as every language reads them.
pub(crate) fn unix_time(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
