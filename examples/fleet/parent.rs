//! Starts the servers and the fleet, lets the tokens expire, and keeps account.

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tower_teamup_auth::RequestMode;
use tower_teamup_auth::store::{Expected, FileStore, RedisStore, StoredRecord, TokenStore};
use tower_teamup_auth::testing::FakeTeamUp;

use crate::worker::{KEY, REQUESTS, TWO_HOURS, TWO_HOURS_PASS, postgres_store};
use crate::{WORKER, servers};

const PROCESSES: usize = 20;
const EXPIRIES: usize = 5;

/// No answer of a worker takes longer, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn run() -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tokens.json");
    println!("{PROCESSES} processes share a file.");
    let place = format!("file:{}", path.display());
    let mut all_well = expire_together(&FileStore::new(&path), &place).await?;

    let redis = servers::redis();
    if let Some(redis) = &redis {
        println!("\n{PROCESSES} processes share a Redis.");
        let store = RedisStore::connect(redis.url(), KEY).await?;
        all_well &= expire_together(&store, &redis.url()).await?;
    }

    let postgres = servers::postgres();
    if let Some(postgres) = &postgres {
        println!("\n{PROCESSES} processes share a PostgreSQL.");
        let store = postgres_store(&postgres.url()).await?;
        store.migrate().await?;
        all_well &= expire_together(&store, &postgres.url()).await?;
    }
    Ok(match (all_well, redis.is_some() && postgres.is_some()) {
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::from(2),
        (false, _) => ExitCode::FAILURE,
    })
}

/// Runs a fleet on a store, from a login to its fifth expiry, and says how that went.
async fn expire_together(store: &impl TokenStore, place: &str) -> anyhow::Result<bool> {
    let server = FakeTeamUp::builder().access_token_lifetime(TWO_HOURS).start().await;
    // Somebody has logged in.
    store.check().await?;
    let lease = store.try_acquire().await?.lease.context("nobody else has the lease")?;
    let record = StoredRecord::from(server.issue_tokens(&[RequestMode::Provider]));
    store.save(&lease, Expected::Empty, &record).await?;
    store.release(lease).await?;

    let mut fleet = Fleet::start(&server, place).await?;
    let mut account = Account { server: &server, all_well: true };
    account.round(&mut fleet, "the token is good", 0).await?;
    for expiry in 1..=EXPIRIES {
        // In turn: every process knows by its clock that the token has expired, or none does and
        // all are answered 401.
        if expiry % 2 == 1 {
            server.advance(TWO_HOURS);
            fleet.order(TWO_HOURS_PASS).await?;
            account.round(&mut fleet, &format!("expiry {expiry}, by the clock"), 1).await?;
        } else {
            server.expire_access_tokens();
            account.round(&mut fleet, &format!("expiry {expiry}, by a 401"), 1).await?;
        }
    }
    fleet.end().await?;
    Ok(account.last_line())
}

/// The workers, and the pipes to and from them.
struct Fleet(Vec<Worker>);

struct Worker {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Fleet {
    /// Starts the processes: this very program, in another part.
    async fn start(server: &FakeTeamUp, place: &str) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let mut fleet = Fleet(Vec::new());
        for _ in 0..PROCESSES {
            let mut process = Command::new(&program)
                .args([WORKER, &server.base_url(), place])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let orders = process.stdin.take().context("it was piped")?;
            let answers = process.stdout.take().context("it was piped")?;
            fleet.0.push(Worker { process, orders, answers: BufReader::new(answers).lines() });
        }
        fleet.answers().await?;
        Ok(fleet)
    }

    /// Gives all of them an order before it hears any, so that they carry it out together.
    async fn order(&mut self, order: &str) -> anyhow::Result<Vec<String>> {
        for worker in &mut self.0 {
            worker.orders.write_all(format!("{order}\n").as_bytes()).await?;
        }
        self.answers().await
    }

    async fn answers(&mut self) -> anyhow::Result<Vec<String>> {
        let mut answers = Vec::new();
        for worker in &mut self.0 {
            let answer = timeout(PATIENCE, worker.answers.next_line()).await;
            let answer = answer.context("a process does not answer")??;
            answers.push(answer.context("a process ended before its time")?);
        }
        Ok(answers)
    }

    async fn end(self) -> anyhow::Result<()> {
        for Worker { mut process, orders, .. } in self.0 {
            // The end of its orders is the order to end.
            drop(orders);
            let status = timeout(PATIENCE, process.wait()).await.context("a process goes on")??;
            ensure!(status.success(), "a process ended with {status}");
        }
        Ok(())
    }
}

/// What came of the requests, by the processes' word and by the server's.
struct Account<'a> {
    server: &'a FakeTeamUp,
    all_well: bool,
}

impl Account<'_> {
    async fn round(
        &mut self,
        fleet: &mut Fleet,
        name: &str,
        expected_refresh_requests: usize,
    ) -> anyhow::Result<()> {
        let (refresh_requests, unauthorized) =
            (self.server.refresh_requests(), self.server.unauthorized());
        let answers = fleet.order(name).await?;
        let mut ok = 0;
        for answer in &answers {
            ok += answer.parse::<usize>().with_context(|| format!("it said {answer:?}"))?;
        }
        let refresh_requests = self.server.refresh_requests() - refresh_requests;
        let unauthorized = self.server.unauthorized() - unauthorized;
        let sent = answers.len() * REQUESTS;
        println!(
            "    {name:<23} {sent} requests, {unauthorized:>3} × 401, refresh_requests: {refresh_requests}, answered \
             200 in the end: {ok}"
        );
        self.all_well &= ok == sent && refresh_requests == expected_refresh_requests;
        Ok(())
    }

    /// All of it is the server's own account.
    fn last_line(&self) -> bool {
        let journal = self.server.journal();
        let rejected = journal.rejected_refresh_requests() + journal.double_spends();
        println!(
            "processes={PROCESSES} expiries={EXPIRIES} refresh_requests={} rejected={rejected} \
             unauthorized_to_caller={}",
            journal.refresh_requests(),
            journal.unauthorized_to_caller(),
        );
        self.all_well && rejected == 0 && journal.unauthorized_to_caller() == 0
    }
}
