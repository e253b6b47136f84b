//! A soak: credentials under load and under fire, over real TCP, for as long as you like.
//!
//! ```text
//! cargo run --release -p examples --example soak -- --seconds 60
//! ```
//!
//! Two TeamUp-like servers on loopback mint tokens that live for a second and expire them early at
//! random. They drop connections, answer late, with 5xx, 429 and garbage, and 401 for no reason.
//! Some two hundred callers ask through the layer over HTTP/1.1 and HTTP/2, in both modes, with
//! bodies that can be sent again and bodies that can't, and give up in the middle when they please.
//! Now and then they follow a link to another host.
//!
//! The servers differ in one thing. The *steady* one never loses an answer that holds a rotated
//! refresh token: there nothing may be lost and no token may be spent twice. The *lossy* one
//! rotates and then loses the answer, now and then. Nobody can mend that, for TeamUp knows no way
//! to ask again: the client sends its token once more, not knowing whether it is spent, is refused,
//! and says that a login is required; the soak logs in again and counts. What may not
//! happen there either: a token sent again after the client was told that it is spent, by the answer
//! that rotated it or by a refusal.
//!
//! The last line is the servers' account: `mixed` counts requests of one user with the token of another.
//! Exits 0 only if `lost`, `double_spent`, `leaked` and `mixed` are 0, every task has ended, and something
//! happened at all.

mod account;
mod audit;
mod callers;
mod log;
mod mischief;
mod process;
mod world;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::account::{Account, Outcome};
use crate::log::Log;
use crate::world::World;

const USAGE: &str = "usage: cargo run --release -p examples --example soak -- --seconds N";

fn main() -> ExitCode {
    let end = seconds().and_then(|seconds| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(soak(seconds))
    });
    match end {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn seconds() -> anyhow::Result<u64> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(10),
        ["--seconds", seconds] => seconds.parse().context(USAGE),
        _ => bail!(USAGE),
    }
}

async fn soak(seconds: u64) -> anyhow::Result<bool> {
    let log = log::watch()?;
    let base = process::tasks();
    let world = World::start().await?;
    let account = Arc::new(Account::default());
    println!(
        "{} callers of {} credentials for {seconds} s; tasks before: {base}",
        callers::PER_CREDENTIAL * world.accounts.len(),
        world.accounts.len(),
    );

    let end = watch::Sender::new(false);
    let mut work = JoinSet::new();
    for user in &world.accounts {
        for _ in 0..callers::PER_CREDENTIAL {
            work.spawn(callers::call_on(
                Arc::clone(user),
                world.elsewhere.clone(),
                Arc::clone(&account),
                end.subscribe(),
            ));
        }
    }
    work.spawn(mischief::steady(world.steady.clone(), end.subscribe()));
    work.spawn(mischief::lossy(world.lossy.clone(), end.subscribe()));
    show_progress(seconds, &account, &world, &log).await;
    end.send_replace(true);
    work.join_all().await;

    let lost = world.count_the_lost().await;
    let verdict = Outcome::of(&account, &world, lost, &log).await?;
    world.stop().await?;
    let tasks = process::tasks_after_all(base).await;
    verdict.print(base, tasks);
    Ok(verdict.is_good() && tasks == base)
}

/// A bar on a terminal, a line every 5 seconds elsewhere.
async fn show_progress(seconds: u64, account: &Account, world: &World, log: &Log) {
    let bar = if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {msg}");
        ProgressBar::new(seconds).with_style(style.expect("a template of known names"))
    } else {
        ProgressBar::hidden()
    };
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    for passed in 1..=seconds {
        second.tick().await;
        world.show_themselves();
        account.note_memory(passed, seconds);
        let line = account.progress(world, log);
        bar.set_position(passed);
        bar.set_message(line.clone());
        if bar.is_hidden() && (passed % 5 == 0 || passed == seconds) {
            println!("{passed:>5} s  {line}");
        }
    }
    bar.finish_and_clear();
}
