//! Processes of one login that share a file, and are stopped and continued in the middle of their work.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_teamup_auth::store::FileStore;

use crate::account::Account;
use crate::callers::call_on;
use crate::log;
use crate::mischief::goes_on;
use crate::patience::within_patience;
use crate::user::{Kept, User};

/// The first argument of a process that the soak has started itself.
pub(crate) const PROCESS: &str = "process";
/// Their login's account.
pub(crate) const NAME: &str = "processes";

const CALLERS: usize = 4;

/// The processes, as the one that started them sees them.
pub(crate) struct Processes(Vec<Process>);

struct Process {
    child: Child,
    pid: Pid,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) requests: usize,
    pub(crate) ok: usize,
    pub(crate) cancelled: usize,
    pub(crate) retried: usize,
    pub(crate) lines: usize,
    pub(crate) leaks: usize,
    /// Processes whose shutdown failed.
    pub(crate) unsaved: usize,
}

impl Processes {
    /// Starts `count` of them, and waits until each has its credentials.
    ///
    /// # Errors
    ///
    /// When one of them does not start.
    pub(crate) async fn start(
        count: usize,
        servers: [String; 2],
        file: &Path,
    ) -> anyhow::Result<Self> {
        let mut processes = Vec::new();
        for _ in 0..count {
            let mut child = Command::new(std::env::current_exe()?)
                .arg(PROCESS)
                .args(&servers)
                .arg(file)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
            let lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
            let pid = pid.context("it runs")?;
            let mut process = Process { child, pid, lines };
            let line = process.says("is ready").await?;
            ensure!(line == "ready", "a process says `{line}` instead of `ready`");
            processes.push(process);
        }
        Ok(Processes(processes))
    }

    /// Stops one after the other, and lets it go on; how often.
    pub(crate) async fn stop_and_go(
        &self,
        account: &Account,
        mut end: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        while goes_on(&mut end, 20..300).await {
            let pid = self.0[fastrand::usize(..self.0.len())].pid;
            kill_process(pid, Signal::STOP).context("a process ended before its time")?;
            let goes_on = goes_on(&mut end, 20..1_500).await;
            kill_process(pid, Signal::CONT)?;
            account.note_stop();
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Has them end as a supervisor does that waits for them.
    ///
    /// # Errors
    ///
    /// When one of them does not end, or ends in failure.
    pub(crate) async fn end(&mut self) -> anyhow::Result<Report> {
        for process in &mut self.0 {
            drop(process.child.stdin.take());
        }
        let mut report = Report::default();
        for process in &mut self.0 {
            report.add(&process.says("tells what it has done").await?)?;
            let ended = within_patience("a process had ended", process.child.wait());
            let status = ended.await??;
            ensure!(status.success(), "a process ended with {status}");
        }
        Ok(report)
    }
}

impl Process {
    async fn says(&mut self, what: &str) -> anyhow::Result<String> {
        let line = within_patience(&format!("a process {what}"), self.lines.next_line()).await?;
        line?.with_context(|| format!("a process ended before it {what}"))
    }
}

impl Report {
    fn add(&mut self, line: &str) -> anyhow::Result<()> {
        let numbers: Result<Vec<usize>, _> = line.split(' ').map(str::parse).collect();
        let [requests, ok, cancelled, retried, lines, leaks, unsaved] = numbers?[..] else {
            bail!("a process says `{line}` of what it has done")
        };
        self.requests += requests;
        self.ok += ok;
        self.cancelled += cancelled;
        self.retried += retried;
        self.lines += lines;
        self.leaks += leaks;
        self.unsaved += unsaved;
        Ok(())
    }
}

/// Such a process: it calls until its input ends.
///
/// # Errors
///
/// When it has no credentials to begin with.
pub(crate) async fn run(base_url: &str, elsewhere: &str, file: &str) -> anyhow::Result<()> {
    let log = log::watch()?;
    let store = Kept::InAFile(FileStore::new(file));
    let http2 = fastrand::bool();
    let user = User::resume(NAME, [base_url, elsewhere], http2, store).await?;
    println!("ready");
    let (account, end) = (Arc::new(Account::default()), watch::Sender::new(false));
    let mut work = JoinSet::new();
    for _ in 0..CALLERS {
        work.spawn(call_on(Arc::clone(&user), Arc::clone(&account), end.subscribe()));
    }
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while orders.next_line().await?.is_some() {}
    end.send_replace(true);
    work.join_all().await;
    user.show();
    let shutdown = user.credentials.shutdown().await;
    if let Err(error) = &shutdown {
        eprintln!("lost in a process: {:?}: {error}", user.credentials);
    }
    let [requests, ok, cancelled] = account.totals();
    let unsaved = usize::from(shutdown.is_err());
    println!(
        "{requests} {ok} {cancelled} {} {} {} {unsaved}",
        log.retries(),
        log.lines(),
        log.leaks()
    );
    Ok(())
}
