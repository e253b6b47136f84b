//! The contract, which each store has to keep, plain and sealed.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use tower_teamup_auth::store::EncryptionKey;
use tower_teamup_auth::store::{PostgresStore, SqlDatabase, SqlStoreBuilder, SqliteStore};
use tower_teamup_auth::testing::conformance::Conformance;

use crate::postgres_server::PostgresServer;
use crate::support::{pool_at, pool_on};

/// A database that a busy machine makes slow breaks no contract. Leases end when the suite says so.
const UNHURRIED: Duration = Duration::from_secs(120);

fn settings<DB: SqlDatabase>(builder: SqlStoreBuilder<DB>, is_sealed: bool) -> SqlStoreBuilder<DB> {
    let builder = builder.timeout(UNHURRIED).lease_lifetime(2 * UNHURRIED);
    let key = EncryptionKey::from_bytes([7; 32]);
    if is_sealed { builder.encrypt_with(key) } else { builder }
}

async fn end_lease_in_postgres(pool: PgPool) {
    let sql = "UPDATE teamup_tokens SET lease_until = clock_timestamp() - interval '1 ms'";
    sqlx::query(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
}

async fn end_lease_in_sqlite(pool: SqlitePool) {
    sqlx::query("UPDATE teamup_tokens SET lease_until = 1").execute(&pool).await.unwrap();
}

async fn check_postgres(is_sealed: bool) {
    let server = PostgresServer::start();
    let pool = pool_at(&server.url()).await;
    PostgresStore::new(pool.clone()).migrate().await.unwrap();
    let open = async || {
        let pool = pool_at(&server.url()).await;
        settings(PostgresStore::builder(pool), is_sealed).build().unwrap()
    };
    Conformance::new(open).expire_lease(move || end_lease_in_postgres(pool.clone())).check().await;
}

async fn check_sqlite(is_sealed: bool) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.db");
    let pool = pool_on(&file).await;
    SqliteStore::new(pool.clone()).migrate().await.unwrap();
    let open =
        async || settings(SqliteStore::builder(pool_on(&file).await), is_sealed).build().unwrap();
    Conformance::new(open).expire_lease(move || end_lease_in_sqlite(pool.clone())).check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_postgres() {
    check_postgres(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_postgres_sealed() {
    check_postgres(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_sqlite() {
    check_sqlite(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_sqlite_sealed() {
    check_sqlite(true).await;
}
