//! `teamup-auth`: the tokens of the TeamUp API for scripts and for programs in any language.
//!
//! | file | role |
//! | --- | --- |
//! | `args`, `config` | what the command line, the environment and the files say |
//! | `profile` | where an account is stored, and the credential that it gives |
//! | `client` | HTTP clients, and the roots that they trust |
//! | `secrets` | asks for secrets, which never stand on a command line |
//! | `commands/` | one file for each command that ends by itself |
//! | `proxy/` | the authenticating reverse proxy |
//! | `fake/` | the library's fake server as a process |
//! | `browsers` | keeps web pages from using what listens on loopback |
//! | `output`, `logging` | exit codes, JSON, logs |
#![forbid(unsafe_code)]

mod args;
mod browsers;
mod client;
mod commands;
mod config;
mod fake;
mod local_http;
mod logging;
mod output;
mod profile;
mod proxy;
mod secrets;
mod signals;
mod stopwatch;

use std::process::ExitCode;

use tokio::runtime::Builder;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match config::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(config::Refused::Usage(error)) => {
            // A reader that has gone away needs no help text.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(output::USAGE));
        }
        Err(config::Refused::Configuration(error)) => return output::fail(&error),
    };
    logging::start(&cli);
    match run(cli) {
        Ok(code) => code,
        Err(error) => output::fail(&error),
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { account, command, .. } = cli;
    let mut runtime = match &command {
        Command::Proxy(proxy) if proxy.threads > 1 => Builder::new_multi_thread(),
        Command::Fake(_) => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    if let Command::Proxy(proxy) = &command {
        runtime.worker_threads(proxy.threads.into());
    }
    let runtime = runtime.enable_all().build()?;
    let end = runtime.block_on(async {
        match command {
            Command::Login(login) => commands::login::run(&account, login).await,
            Command::Token(token) => commands::token::run(&account, &token).await,
            Command::Headers(headers) => commands::headers::run(&account, &headers).await,
            Command::Status(status) => commands::status::run(&account, &status).await,
            Command::Refresh => commands::refresh::run(&account).await,
            Command::Logout(logout) => commands::logout::run(&account, &logout).await,
            Command::Proxy(proxy) => proxy::run(&account, proxy).await,
            Command::Fake(fake) => fake::run(fake).await,
            Command::Completions { shell } => commands::manual::completions(shell),
            Command::Man { folder } => commands::manual::man(folder.as_deref()),
        }
    });
    // A read of standard input that nobody waits for any more keeps no program from ending.
    runtime.shutdown_background();
    end
}
