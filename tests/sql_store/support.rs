//! Records, pools and databases for the tests.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{PgPool, SqlitePool};
use tower_teamup_auth::TokenSet;
use tower_teamup_auth::store::{
    Attempt, Expected, LoginId, RecordContent, SqlDatabase, SqlStore, StoredRecord, TimedLease,
    TokenStore,
};
use tower_teamup_auth::token::RefreshToken;

/// A lease that no test waits for the end of.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn record(revision: u64, text: &str) -> StoredRecord {
    let login: LoginId = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
    let token = RefreshToken::new(format!("s3cret-{}", text.escape_unicode())).unwrap();
    StoredRecord::new(login, revision, RecordContent::Tokens(TokenSet::new(token)))
}

pub(crate) async fn pool_at(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(8).connect(url).await.unwrap()
}

/// A pool on a file, as a program would make it.
pub(crate) async fn pool_on(file: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(30));
    SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap()
}

/// The lease, which nobody else has.
pub(crate) async fn lease<DB: SqlDatabase>(store: &SqlStore<DB>) -> TimedLease {
    store.try_acquire().await.unwrap().lease.expect("nobody else has the lease")
}

fn found(attempt: Attempt<TimedLease>) -> Option<StoredRecord> {
    attempt.record.expect("the store reads the record as well").unwrap()
}

/// All that an error says, its sources included.
pub(crate) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    sources.map(|error| format!("{error} {error:?}")).collect::<Vec<_>>().join(": ")
}

/// Rotates under the lease, so often.
pub(crate) async fn rotate<DB: SqlDatabase>(store: &SqlStore<DB>, rotations: u64) {
    for _ in 0..rotations {
        let attempt = loop {
            let attempt = store.try_acquire().await.unwrap();
            if attempt.lease.is_some() {
                break attempt;
            }
            store.changed().await;
        };
        let lease = attempt.lease.clone().unwrap();
        let before = found(attempt);
        let next = record(before.as_ref().map_or(0, StoredRecord::revision) + 1, "n");
        store.save(&lease, Expected::found(before.as_ref()), &next).await.unwrap();
        store.release(lease).await.unwrap();
    }
}
