//! A soak: credentials under load and under fire, over real TCP, for as long as you like.
//!
//! ```text
//! cargo run --release -p examples --example soak -- --seconds 60
//! ```
//!
//! TeamUp-like servers on loopback mint tokens that live for a second and expire them early at
//! random. They drop connections, answer late, with 5xx, 429 and garbage, and 401 for no reason.
//! Some three hundred callers ask through the layer over HTTP/1.1 and HTTP/2, in both modes, with
//! bodies that can be sent again and bodies that can't, and give up in the middle when they please.
//! Now and then they follow a link to another host.
//!
//! | server | what happens to its users, and in which window a spent token may come again |
//! | --- | --- |
//! | steady | people log in anew; other processes of a login are stopped and continued (SIGSTOP, SIGCONT): in none |
//! | lossy | it rotates and loses the answer: `lost_answer` |
//! | failover | their store goes away, and comes back without its last writes and leases: `lost_write`, `lost_lease` |
//! | runtimes | runtimes end, or stand still, while callers of another one wait: `runtime_ended` |
//!
//! At the steady one nothing may be lost and no token may be spent twice. Nobody can mend a window: TeamUp
//! knows no way to ask again. The client sends its token once more, not knowing whether it is spent, is
//! refused, and says that a login is required; the soak logs in again and counts, by the window's name. What
//! may not happen there either: a token sent again outside of its window, a refusal of a login that
//! nothing has ended, and a login for which there is no window.
//!
//! The last line is the servers' account: `mixed` counts requests of one user with the token of another.
//! It needs signals, and so a Unix. Exits 0 only if `lost`, `double_spent`, `leaked` and `mixed` are 0, every
//! task has ended, and each thing that should go wrong did.

mod account;
mod audit;
mod callers;
mod failover;
mod log;
mod mischief;
mod outcome;
mod patience;
mod process;
mod processes;
mod runtimes;
mod user;
mod windows;
mod world;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::account::Account;
use crate::log::Log;
use crate::outcome::Outcome;
use crate::patience::within_patience;
use crate::runtimes::Runtimes;
use crate::world::World;

const USAGE: &str = "usage: cargo run --release -p examples --example soak -- --seconds N";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match in_runtime(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn in_runtime(arguments: &[&str]) -> anyhow::Result<bool> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let end = runtime.block_on(run(arguments));
    // A task that never lets go of its thread would keep the process from saying so.
    runtime.shutdown_background();
    end
}

async fn run(arguments: &[&str]) -> anyhow::Result<bool> {
    match arguments {
        [] => soak(10).await,
        ["--seconds", seconds] => soak(seconds.parse().context(USAGE)?).await,
        [processes::PROCESS, base_url, elsewhere, file] => {
            processes::run(base_url, elsewhere, file).await?;
            Ok(true)
        }
        _ => bail!(USAGE),
    }
}

async fn soak(seconds: u64) -> anyhow::Result<bool> {
    let log = log::watch()?;
    let base = process::tasks();
    let account = Arc::new(Account::default());
    let world = within_patience("all had logged in", World::start(&account)).await??;
    let world = Arc::new(world);
    let credentials = world.users().count();
    println!(
        "{} callers of {credentials} credentials for {seconds} s; tasks before: {base}",
        callers::PER_CREDENTIAL * credentials,
    );

    let end = watch::Sender::new(false);
    let mut work = JoinSet::new();
    for user in world.users() {
        for _ in 0..callers::PER_CREDENTIAL {
            work.spawn(callers::call_on(Arc::clone(user), Arc::clone(&account), end.subscribe()));
        }
    }
    work.spawn(mischief::steady(world.steady.server.clone(), end.subscribe()));
    work.spawn(mischief::lossy(world.lossy.server.clone(), end.subscribe()));
    work.spawn(mischief::slow(world.failover.server.clone(), end.subscribe()));
    work.spawn(mischief::slow(world.runtimes.server.clone(), end.subscribe()));
    let users = world.steady.users.clone();
    work.spawn(mischief::new_logins(users, Arc::clone(&account), end.subscribe()));
    for store in &world.stores {
        work.spawn(store.clone().fail_over_now_and_then(end.subscribe()));
    }
    let processes = tokio::spawn({
        let (world, account, end) = (Arc::clone(&world), Arc::clone(&account), end.subscribe());
        async move { world.processes.stop_and_go(&account, end).await }
    });
    let runtimes = world
        .runtimes
        .users
        .iter()
        .map(|user| Runtimes::start(Arc::clone(user), Arc::clone(&account), end.subscribe()));
    let runtimes = runtimes.collect::<anyhow::Result<Vec<_>>>()?;
    show_progress(seconds, &account, &world, &log).await;
    end.send_replace(true);
    let all_ended = within_patience("each call had ended", all_end(&mut work)).await;
    all_ended.with_context(|| world.what_is_left(work.len()))??;
    within_patience("the last process went on", processes).await???;
    for thread in runtimes {
        thread.end().await?;
    }

    let mut world = Arc::into_inner(world).context("a task is left that has the world")?;
    let processes = world.processes.end().await?;
    let lost = world.count_the_lost().await?;
    let verdict = Outcome::of(&account, &world, lost, processes, &log).await?;
    world.stop().await?;
    let tasks = process::tasks_after_all(base).await;
    verdict.print(base, tasks);
    Ok(verdict.is_good() && tasks == base)
}

async fn all_end(work: &mut JoinSet<()>) -> anyhow::Result<()> {
    while let Some(ended) = work.join_next().await {
        ended?;
    }
    Ok(())
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
