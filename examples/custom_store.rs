//! A token store of one's own: SQLite.
//!
//! ```text
//! cargo run -p examples --example custom_store
//! ```
//!
//! A store loads a record, saves one where it finds what is expected, and grants the lease: the
//! exclusive right to refresh. Here the record is a row, and the lease is a lock on a second
//! database, which SQLite gives back when its holder dies. The crate's own `SqliteStore` works on a
//! pool of connections; this one shows what a store has to do.
//!
//! Checks the store against the whole contract first. Then it starts a TeamUp-like server on
//! loopback, and credentials that keep their tokens in the store: at first one, which refreshes,
//! then another, which starts from what the first one has stored, then both at once. Exits 0 only if
//! every request was answered 200 and each expiry cost one refresh.

use std::future::ready;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use http::{Request, StatusCode};
use http_body_util::Full;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior};
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::store::{Attempt, Expected, StoreError, StoredRecord, TokenStore};
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::testing::conformance::check_store;
use tower_teamup_auth::{AuthLayer, Credentials, CredentialsBuilder, RequestMode};

const MODE: RequestMode = RequestMode::Provider;

/// Keeps the record of one credential in a SQLite database.
#[derive(Clone, Debug)]
struct SqliteStore {
    record: PathBuf,
    lease: PathBuf,
    /// One call after the other: a call whose future was dropped comes to its end before the next.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The transaction that holds the lock; `None` once it was released. Dropping the last clone closes
/// the connection, and SQLite gives the lock back.
type Lease = Arc<Mutex<Option<Connection>>>;

impl SqliteStore {
    /// The folder must be the program's own: whoever can read it can act as the user.
    fn in_folder(folder: &Path) -> Self {
        SqliteStore {
            record: folder.join("record.db"),
            lease: folder.join("lease.db"),
            turn: Arc::default(),
        }
    }

    /// Does something that blocks, on a thread that may.
    async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        task: impl FnOnce(&SqliteStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let store = self.clone();
        let run = move || {
            let _turn = turn;
            task(&store)
        };
        tokio::task::spawn_blocking(run)
            .await
            .map_err(|error| StoreError::unavailable(format!("could not {what}"), error))?
    }

    /// Does something with the record, all of it or nothing.
    fn transaction<T>(
        &self,
        task: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut database = Connection::open(&self.record).map_err(failed)?;
        database
            .execute_batch(
                "PRAGMA synchronous = EXTRA;
                 CREATE TABLE IF NOT EXISTS record (
                     one INTEGER PRIMARY KEY CHECK (one = 1), json TEXT NOT NULL)",
            )
            .map_err(failed)?;
        let transaction =
            database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let done = task(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(done)
    }
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::unavailable("the database failed", error)
}

fn read(transaction: &Transaction<'_>) -> Result<Option<StoredRecord>, StoreError> {
    let json = transaction
        .query_row("SELECT json FROM record", [], |row| row.get::<_, String>(0))
        .optional()
        .map_err(failed)?;
    json.map(|json| StoredRecord::from_json(json.as_bytes()))
        .transpose()
        .map_err(|error| StoreError::corrupt(error.to_string()))
}

/// Fails under a lease that was released, and keeps it from being released meanwhile.
fn under<T>(lease: &Lease, task: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let held = lease.lock().unwrap_or_else(PoisonError::into_inner);
    if held.is_some() { task() } else { Err(StoreError::lease_lost()) }
}

impl TokenStore for SqliteStore {
    type Lease = Lease;

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        self.run("load the record", |store| store.transaction(read)).await
    }

    async fn try_acquire(&self) -> Result<Attempt<Lease>, StoreError> {
        let acquire = |store: &SqliteStore| {
            let lock = Connection::open(&store.lease).map_err(failed)?;
            // The credential waits, not SQLite.
            lock.busy_timeout(Duration::ZERO).map_err(failed)?;
            let attempt = match lock.execute_batch("BEGIN EXCLUSIVE") {
                Ok(()) => Attempt::granted(Arc::new(Mutex::new(Some(lock)))),
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                    Attempt::busy()
                }
                Err(error) => return Err(failed(error)),
            };
            Ok(attempt.with_record(store.transaction(read)))
        };
        self.run("ask for the lease", acquire).await
    }

    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        let release = move |_: &SqliteStore| {
            let lock = lease.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(lock);
            Ok(())
        };
        self.run("release the lease", release).await
    }

    async fn save(
        &self,
        lease: &Lease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        let (lease, record) = (Arc::clone(lease), record.clone());
        let save = move |transaction: &Transaction<'_>| {
            match read(transaction) {
                // The same save once more: only the answer to the first was lost.
                Ok(Some(found)) if found == record => return Ok(()),
                Ok(found) if expected.allows(found.as_ref()) => {}
                Ok(_) => return Err(StoreError::conflict()),
                // What can't be read does not stand in the way of a login.
                Err(error) if error.is_corrupt() && expected == Expected::Anything => {}
                Err(error) => return Err(error),
            }
            transaction
                .execute("REPLACE INTO record VALUES (1, ?1)", [record.to_json().as_str()])
                .map_err(failed)?;
            Ok(())
        };
        self.run("save", move |store| under(&lease, || store.transaction(save))).await
    }

    async fn delete(&self, lease: &Lease) -> Result<(), StoreError> {
        let lease = Arc::clone(lease);
        let delete = |transaction: &Transaction<'_>| {
            transaction.execute("DELETE FROM record", []).map_err(failed)?;
            Ok(())
        };
        self.run("delete", move |store| under(&lease, || store.transaction(delete))).await
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let server = FakeTeamUp::start().await;
    // Made so that nobody else can look into it.
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::in_folder(folder.path());

    println!("The store is checked against its contract.");
    check_store(|| ready(SqliteStore::in_folder(folder.path()))).await;

    println!("A user has logged in; the store was empty.");
    let login = server.issue_tokens(&[MODE]);
    let first = credentials(&server, &store).tokens(login).build().await?;
    call(&[&first], &server, &store).await?;

    println!("The token expires.");
    server.expire_access_tokens();
    call(&[&first], &server, &store).await?;

    println!("Another process starts, with what is stored and nothing else.");
    let second = credentials(&server, &store).build().await?;
    call(&[&second], &server, &store).await?;

    println!("The token expires for both: one of them refreshes, the other one adopts.");
    server.expire_access_tokens();
    call(&[&first, &second], &server, &store).await?;
    first.shutdown().await?;
    second.shutdown().await?;

    let (refreshes, double_spends) = (server.rotations(), server.double_spends());
    println!("expiries=2 refreshes={refreshes} double_spends={double_spends}");
    let good = (refreshes, double_spends) == (2, 0);
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
