//! Logs on standard error. The library's events hold no secret, and this program's hold none either.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};

pub(crate) fn start(cli: &Cli) {
    // A command that ends by itself says what went wrong in its error.
    let default = match &cli.command {
        Command::Proxy(_) | Command::Fake(_) => "info",
        _ => "error",
    };
    let filter = cli.log.as_deref().unwrap_or(default);
    let (filter, refused) = match EnvFilter::try_new(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(default), Some(error)),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    if let Some(error) = refused {
        tracing::warn!("the filter of --log can't be read, `{default}` is used: {error}");
    }
}
