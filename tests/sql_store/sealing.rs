//! Records that the database can't read, in both databases.

use sqlx::{AssertSqlSafe, Pool};
use tower_teamup_auth::store::{EncryptionKey, Expected, Sealing, TokenStore};
use tower_teamup_auth::store::{SqlDatabase, SqlStore};

use crate::postgres_server::PostgresServer;
use crate::support::{lease, pool_at, pool_on, record};

fn key(byte: u8) -> EncryptionKey {
    EncryptionKey::from_bytes([byte; 32])
}

fn sealed<DB: SqlDatabase>(pool: &Pool<DB>, sealing: Sealing) -> SqlStore<DB> {
    SqlStore::builder(pool.clone()).seal_with(sealing).build().unwrap()
}

/// Saves the record of this revision over the one before, and gives the lease back.
async fn save<DB: SqlDatabase>(store: &SqlStore<DB>, revision: u64) {
    let held = lease(store).await;
    let expected = match revision {
        1 => Expected::Empty,
        next => Expected::Revision(next - 1),
    };
    store.save(&held, expected, &record(revision, "a")).await.unwrap();
    store.release(held).await.unwrap();
}

async fn a_plain_record_and_one_of_an_older_key_are_sealed_at_the_next_save<DB: SqlDatabase>(
    pool: &Pool<DB>,
) {
    let plain = SqlStore::new(pool.clone());
    plain.migrate().await.unwrap();
    save(&plain, 1).await;
    assert!(sealed(pool, Sealing::new(key(1))).load().await.unwrap_err().is_locked());
    save(&sealed(pool, Sealing::new(key(1)).accept_plain()), 2).await;
    assert!(plain.load().await.unwrap_err().is_locked());
    assert_eq!(sealed(pool, Sealing::new(key(1))).load().await.unwrap(), Some(record(2, "a")));

    let rotating = sealed(pool, Sealing::new(key(2)).also_open_with(key(1)));
    assert_eq!(rotating.load().await.unwrap(), Some(record(2, "a")));
    save(&rotating, 3).await;
    assert!(sealed(pool, Sealing::new(key(1))).load().await.unwrap_err().is_locked());
    assert_eq!(sealed(pool, Sealing::new(key(2))).load().await.unwrap(), Some(record(3, "a")));
}

const COPY: &str = "INSERT INTO teamup_tokens (key, revision, record) \
                    SELECT 'another', revision, record FROM teamup_tokens WHERE key = 'default'";

#[tokio::test(flavor = "multi_thread")]
async fn c6_postgres_seals_at_the_next_save_and_a_copied_row_does_not_open() {
    let server = PostgresServer::start();
    let pool = pool_at(&server.url()).await;
    a_plain_record_and_one_of_an_older_key_are_sealed_at_the_next_save(&pool).await;
    sqlx::raw_sql(AssertSqlSafe(COPY)).execute(&pool).await.unwrap();
    let another = sealed(&pool, Sealing::new(key(2))).with_key("another");
    assert!(another.load().await.unwrap_err().is_corrupt());
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_sqlite_seals_at_the_next_save_and_a_copied_row_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool_on(&folder.path().join("tokens.db")).await;
    a_plain_record_and_one_of_an_older_key_are_sealed_at_the_next_save(&pool).await;
    sqlx::raw_sql(AssertSqlSafe(COPY)).execute(&pool).await.unwrap();
    let another = sealed(&pool, Sealing::new(key(2))).with_key("another");
    assert!(another.load().await.unwrap_err().is_corrupt());
}
