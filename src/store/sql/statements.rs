//! What a database has to be able to do; each is one statement.

use std::future::Future;
use std::time::Duration;

use super::table::Table;
use crate::store::contract::Expected;

/// A database that [`SqlStore`](super::SqlStore) knows: `sqlx::Postgres` or `sqlx::Sqlite`.
///
/// It can't be implemented outside this crate.
pub trait SqlDatabase: Statements {}

impl<DB: Statements> SqlDatabase for DB {}

/// The statements of one database, on the row of one key.
#[expect(unnameable_types, reason = "keeps `SqlDatabase` from being implemented elsewhere")]
pub trait Statements: sqlx::Database {
    const PRODUCT: &'static str;

    /// Begins a transaction that will write.
    const BEGIN: &'static str;

    /// Looks at the database's settings, before anything else is asked of it.
    fn inspect(connection: &mut Self::Connection) -> impl Done<()>;

    fn migrate(connection: &mut Self::Connection, table: &Table) -> impl Done<()>;

    fn load(connection: &mut Self::Connection, table: &Table, key: &str) -> impl Done<Option<Row>>;

    /// Was the lease granted, and what does the row hold?
    fn try_acquire(
        connection: &mut Self::Connection,
        table: &Table,
        key: &str,
        owner: &str,
        term: Duration,
    ) -> impl Done<(bool, Option<Row>)>;

    /// False if the lease is not this owner's any more, or has run out.
    fn renew(
        connection: &mut Self::Connection,
        table: &Table,
        key: &str,
        owner: &str,
        term: Duration,
    ) -> impl Done<bool>;

    /// Another owner's lease is left alone. A row without a record goes with its lease.
    fn release(
        connection: &mut Self::Connection,
        table: &Table,
        key: &str,
        owner: &str,
    ) -> impl Done<()>;

    /// False if the row holds another revision than the expected one.
    fn save(
        connection: &mut Self::Connection,
        table: &Table,
        key: &str,
        expected: Expected,
        revision: i64,
        record: &[u8],
    ) -> impl Done<bool>;

    /// False if the lease is not this owner's any more, or has run out.
    fn delete(
        connection: &mut Self::Connection,
        table: &Table,
        key: &str,
        owner: &str,
    ) -> impl Done<bool>;

    /// The keys that have a record.
    fn keys(connection: &mut Self::Connection, table: &Table) -> impl Done<Vec<String>>;
}

/// What the future of a statement is.
#[expect(unnameable_types, reason = "part of `Statements`")]
pub trait Done<T>: Future<Output = Result<T, sqlx::Error>> + Send {}

impl<T, F: Future<Output = Result<T, sqlx::Error>> + Send> Done<T> for F {}

/// What a row holds of a record, its revision and its text; neither where only a lease was ever
/// taken.
pub(super) type Row = (Option<i64>, Option<Vec<u8>>);
