//! A token store of one's own: SQLite.
//!
//! ```text
//! cargo run -p examples --example custom_store
//! ```
//!
//! A store does three things: it loads, it saves by compare-and-set, and it grants the exclusive
//! right to refresh. Here the tokens are a row, and the right is a lock on a second database, which
//! SQLite gives back whenever its holder goes, be it by a crash.
//!
//! Starts a TeamUp-like server on loopback, and credentials that keep their tokens in the store: at
//! first one, which refreshes, then another, which starts from what the first one has stored, then
//! both at once. Exits 0 only if every request was answered 200 and each expiry cost one refresh.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, ensure};
use http::{Request, StatusCode};
use http_body_util::Full;
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::store::{StoreError, Stored, TokenStore};
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{AuthLayer, Credentials, CredentialsBuilder, RequestMode, TokenSet};

const MODE: RequestMode = RequestMode::Provider;

/// Keeps one credential's tokens in a SQLite database.
#[derive(Clone, Debug)]
struct SqliteStore {
    tokens: PathBuf,
    lock: PathBuf,
}

impl SqliteStore {
    /// The folder must be the program's own: whoever can read it can act as the user.
    fn in_folder(folder: &Path) -> Self {
        SqliteStore { tokens: folder.join("tokens.db"), lock: folder.join("refresh.lock") }
    }

    /// Does something with the database, on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        task: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let path = self.tokens.clone();
        let run = move || {
            let database = Connection::open(path)?;
            database.execute_batch(
                "PRAGMA synchronous = EXTRA;
                 CREATE TABLE IF NOT EXISTS tokens (
                     one INTEGER PRIMARY KEY CHECK (one = 1), revision TEXT, json TEXT)",
            )?;
            task(&database)
        };
        let done: rusqlite::Result<T> = tokio::task::spawn_blocking(run)
            .await
            .map_err(|error| StoreError::unavailable(format!("could not {what}"), error))?;
        done.map_err(|error| StoreError::unavailable(format!("could not {what}"), error))
    }
}

impl TokenStore for SqliteStore {
    /// The transaction that holds the lock; the mutex only makes the connection `Sync`.
    type Lease = Mutex<Connection>;

    async fn load(&self) -> Result<Stored, StoreError> {
        let row = |row: &rusqlite::Row<'_>| row.get::<_, String>("json");
        let json = self
            .run("load the tokens", move |database| {
                database.query_row("SELECT json FROM tokens", [], row).optional()
            })
            .await?;
        json.map(|json| TokenSet::from_json(json.as_bytes()))
            .transpose()
            .map_err(|error| StoreError::unreadable(error.to_string()))
    }

    async fn lock(&self) -> Result<Self::Lease, StoreError> {
        let failed = |error| StoreError::unavailable("could not lock the tokens", error);
        let lock = Connection::open(&self.lock).map_err(failed)?;
        lock.busy_timeout(Duration::ZERO).map_err(failed)?;
        // Waiting here, not in SQLite, is what lets the caller drop this future at any moment.
        loop {
            match lock.execute_batch("BEGIN EXCLUSIVE") {
                Ok(()) => return Ok(Mutex::new(lock)),
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    async fn save(
        &self,
        _lease: &Self::Lease,
        over: Option<u64>,
        tokens: &TokenSet,
    ) -> Result<(), StoreError> {
        let (revision, json) = (tokens.revision().to_string(), tokens.to_json());
        // One statement either way, so that nobody comes between the comparison and the write. Where
        // an earlier attempt has landed after all, it finds these very tokens, which is no conflict.
        let rows = self
            .run("save the tokens", move |database| match over {
                None => database.execute(
                    "INSERT INTO tokens VALUES (1, ?1, ?2)
                     ON CONFLICT DO UPDATE SET revision = ?1 WHERE json = ?2",
                    (&revision, json.as_str()),
                ),
                Some(over) => database.execute(
                    "UPDATE tokens SET revision = ?1, json = ?2 WHERE revision = ?3 OR json = ?2",
                    (&revision, json.as_str(), over.to_string()),
                ),
            })
            .await?;
        if rows == 1 { Ok(()) } else { Err(StoreError::conflict()) }
    }

    async fn clear(&self, _lease: &Self::Lease) -> Result<(), StoreError> {
        let forget = |database: &Connection| database.execute("DELETE FROM tokens", []);
        self.run("forget the tokens", forget).await.map(drop)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let server = FakeTeamUp::start().await;
    // Made so that nobody else can look into it.
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::in_folder(folder.path());

    println!("A user has logged in; the store was empty.");
    let login = server.issue_tokens(&[MODE]);
    let first = credentials(&server, &store).tokens(login).build().await?;
    call(&[&first], &server, &store).await?;

    println!("The token expires.");
    server.expire_access_tokens();
    call(&[&first], &server, &store).await?;
    let old = store.load().await?.context("the store is empty")?;

    println!("Another process starts, with what is stored and nothing else.");
    let second = credentials(&server, &store).build().await?;
    call(&[&second], &server, &store).await?;

    println!("The token expires for both: one of them refreshes, the other one adopts.");
    server.expire_access_tokens();
    call(&[&first, &second], &server, &store).await?;
    first.shutdown().await?;
    second.shutdown().await?;

    println!("A save is repeated, as after an answer that was lost, and one comes too late.");
    let newest = store.load().await?.context("the store is empty")?;
    let lease = store.lock().await?;
    store.save(&lease, Some(old.revision()), &newest).await?;
    println!("    the newest tokens once more: fine");
    let late = store.save(&lease, None, &old).await;
    let refused = late.is_err_and(|error| error.is_conflict());
    let kept = store.load().await? == Some(newest);
    println!("    older tokens: {}\n", if refused && kept { "refused" } else { "WRITTEN" });

    let (refreshes, double_spends) = (server.rotations(), server.double_spends());
    println!("expiries=2 refreshes={refreshes} double_spends={double_spends}");
    let good = refused && kept && (refreshes, double_spends) == (2, 0);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn credentials(server: &FakeTeamUp, store: &SqliteStore) -> CredentialsBuilder {
    let http_client: HyperClient = hyper_client();
    Credentials::builder(MODE)
        .base_url(server.base_url())
        .store(store.clone())
        .refresh_client(http_client)
}

/// Sends a request with each of the credentials, all at once, and tells what came of it.
async fn call(
    processes: &[&Credentials],
    server: &FakeTeamUp,
    store: &SqliteStore,
) -> anyhow::Result<()> {
    let refreshes = server.rotations();
    let mut answers = JoinSet::new();
    for &credentials in processes {
        let http_client: HyperClient = hyper_client();
        let api =
            ServiceBuilder::new().layer(AuthLayer::new(credentials.clone())).service(http_client);
        answers.spawn(api.oneshot(Request::get(server.url("/events")).body(Full::default())?));
    }
    while let Some(answer) = answers.join_next().await {
        let status = answer?.map_err(anyhow::Error::from_boxed)?.status();
        ensure!(status == StatusCode::OK, "a request was answered {status}");
        println!("    answered 200");
    }
    let stored = store.load().await?.context("the store is empty")?;
    let refreshes = server.rotations() - refreshes;
    println!("    refreshes: {refreshes}; the store holds revision {}\n", stored.revision());
    Ok(())
}
