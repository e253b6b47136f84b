//! The stores that are measured, each with whatever it needs.

use std::fs;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use tempfile::TempDir;
use tower_teamup_auth::TokenSet;
use tower_teamup_auth::store::{
    FileFamily, FileStore, MemoryStore, PostgresStore, RedisSource, RedisStore, SqliteStore,
    StoredRecord, TokenStore,
};

use crate::count::with_children;
use crate::postgres_server::PostgresServer;
use crate::redis_server::RedisServer;

/// So many connections a pool has: what sqlx gives it unless told otherwise.
const CONNECTIONS: u32 = 10;

/// Where the stores of many credentials are.
pub(crate) trait Place {
    type Store: TokenStore;

    /// The store of one of them.
    fn store(&self, key: &str) -> Self::Store;

    /// Puts the records `from..to` of others there, past the store.
    async fn fill(&mut self, from: usize, to: usize);

    /// The loopback port of the server, if there is one.
    fn port(&self) -> Option<u16> {
        None
    }

    /// A store that reaches the server by another port.
    async fn by_port(&self, key: &str, port: u16) -> Self::Store {
        let _ = port;
        self.store(key)
    }

    /// The processes that write to the disk.
    fn writers(&self) -> Vec<u32> {
        vec![std::process::id()]
    }
}

/// The record of somebody else.
fn record() -> StoredRecord {
    TokenSet::new(format!("refresh-{:0>40}", 0).parse().expect("a good token")).into()
}

#[derive(Default)]
pub(crate) struct Memory(Vec<MemoryStore>);

impl Place for Memory {
    type Store = MemoryStore;

    fn store(&self, _: &str) -> MemoryStore {
        MemoryStore::new()
    }

    async fn fill(&mut self, from: usize, to: usize) {
        self.0.extend((from..to).map(|_| MemoryStore::with_record(record())));
    }
}

pub(crate) struct Files {
    family: FileFamily,
    _folder: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Only its owner may enter the folder of a store.
        Files { family: FileStore::family(folder.path().join("tokens")), _folder: folder }
    }
}

impl Place for Files {
    type Store = FileStore;

    fn store(&self, key: &str) -> FileStore {
        self.family.open(key)
    }

    /// The file, and the one of its lock.
    async fn fill(&mut self, from: usize, to: usize) {
        let record = record().to_json();
        for number in from..to {
            let path = self.family.open(format!("other-{number}")).path().to_owned();
            let mut lock = path.clone().into_os_string();
            lock.push(".lock");
            fs::write(&path, record.as_bytes()).expect("room on the disk");
            fs::write(lock, b"").expect("room on the disk");
        }
    }
}

pub(crate) struct Redis {
    server: RedisServer,
    store: RedisStore,
}

impl Redis {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let server = RedisServer::start_with(arguments);
        let store = RedisStore::connect(server.url(), "first").await.expect("a Redis");
        Redis { server, store }
    }
}

impl Place for Redis {
    type Store = RedisStore;

    fn store(&self, key: &str) -> RedisStore {
        self.store.with_key(key)
    }

    async fn fill(&mut self, from: usize, to: usize) {
        const FILL: &str = "\
            for n = ARGV[1], ARGV[2] do \
              redis.call('HSET', 'tower-teamup-auth:{other-' .. n .. '}', \
                'revision', 1, 'record', ARGV[3]) \
            end";
        let record = record().to_json();
        // In steps, so that the server answers in between.
        for start in (from..to).step_by(10_000) {
            let last = (start + 10_000).min(to) - 1;
            let (start, last) = (start.to_string(), last.to_string());
            self.server.query::<()>(&["EVAL", FILL, "0", &start, &last, &record]);
        }
    }

    fn port(&self) -> Option<u16> {
        Some(self.server.port())
    }

    async fn by_port(&self, key: &str, port: u16) -> RedisStore {
        let source = RedisSource::from(format!("redis://127.0.0.1:{port}"));
        RedisStore::builder(source, key).build().expect("good settings")
    }

    fn writers(&self) -> Vec<u32> {
        with_children(self.server.id())
    }
}

pub(crate) struct Postgres {
    server: PostgresServer,
    pool: PgPool,
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        let server = PostgresServer::start_with(&["fsync=on"]);
        let pool = postgres_pool(server.port(), CONNECTIONS).await;
        PostgresStore::new(pool.clone()).migrate().await.expect("a database");
        Postgres { server, pool }
    }
}

impl Place for Postgres {
    type Store = PostgresStore;

    fn store(&self, key: &str) -> PostgresStore {
        PostgresStore::new(self.pool.clone()).with_key(key)
    }

    async fn fill(&mut self, from: usize, to: usize) {
        let sql = "INSERT INTO teamup_tokens (key, revision, record) \
                   SELECT 'other-' || n, 1, convert_to($3, 'UTF8') \
                   FROM generate_series($1::bigint, $2::bigint) AS n";
        let record = record().to_json();
        let query = sqlx::query(sql).bind(from as i64).bind(to as i64 - 1).bind(record.as_str());
        query.execute(&self.pool).await.expect("room on the disk");
        // As autovacuum would do in time.
        sqlx::query("VACUUM ANALYZE teamup_tokens").execute(&self.pool).await.expect("a table");
    }

    fn port(&self) -> Option<u16> {
        Some(self.server.port())
    }

    async fn by_port(&self, key: &str, port: u16) -> PostgresStore {
        PostgresStore::new(postgres_pool(port, 1).await).with_key(key)
    }

    fn writers(&self) -> Vec<u32> {
        with_children(self.server.id())
    }
}

async fn postgres_pool(port: u16, connections: u32) -> PgPool {
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    PgPoolOptions::new().max_connections(connections).connect(&url).await.expect("a PostgreSQL")
}

pub(crate) struct Sqlite {
    pool: SqlitePool,
    _folder: TempDir,
}

impl Sqlite {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("tokens.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(5));
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options);
        let pool = pool.await.expect("a database");
        SqliteStore::new(pool.clone()).migrate().await.expect("a database");
        Sqlite { pool, _folder: folder }
    }
}

impl Place for Sqlite {
    type Store = SqliteStore;

    fn store(&self, key: &str) -> SqliteStore {
        SqliteStore::new(self.pool.clone()).with_key(key)
    }

    async fn fill(&mut self, from: usize, to: usize) {
        let sql = format!(
            "WITH RECURSIVE counted (n) AS (SELECT {from} UNION ALL \
               SELECT n + 1 FROM counted WHERE n + 1 < {to}) \
             INSERT INTO teamup_tokens (key, revision, record) \
             SELECT 'other-' || n, 1, CAST(?1 AS BLOB) FROM counted"
        );
        let record = record().to_json();
        let query = sqlx::query(AssertSqlSafe(sql)).bind(record.as_str());
        query.execute(&self.pool).await.expect("room on the disk");
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.pool).await.expect("a file");
    }
}
