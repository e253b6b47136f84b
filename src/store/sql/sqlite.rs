//! SQLite.
//!
//! Statements that return rows are read to their end, also where one row is enough: SQLite commits
//! when a statement has ended, and says only then whether that went well. A statement waits for the
//! write lock before it reads the clock.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqliteConnection};

use super::statements::{Row, Statements};
use super::table::Table;
use crate::store::contract::Expected;

/// Milliseconds since 1970, by the machine's clock.
const NOW: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/// The longest term and a minute, in milliseconds. A lease that ends later was taken before the
/// clock was set back, and is free.
const TOO_LONG: u64 = 61 * 60 * 1000;

impl Statements for Sqlite {
    const PRODUCT: &'static str = "SQLite";
    /// One that has read does not wait for the write lock: it fails at once where another has it.
    const BEGIN: &'static str = "BEGIN IMMEDIATE";

    /// Warns where a power loss may undo what was saved.
    async fn inspect(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let row = sqlx::query("PRAGMA synchronous").fetch_one(&mut *connection).await?;
        if row.try_get::<i64, _>(0)? < 2 {
            tracing::warn!(
                "the SQLite pool has `synchronous` below FULL: a power loss may undo a saved token \
                 record, and the user then has to log in again"
            );
        }
        Ok(())
    }

    async fn migrate(connection: &mut SqliteConnection, table: &Table) -> Result<(), sqlx::Error> {
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {table} (\
               key TEXT NOT NULL PRIMARY KEY, \
               revision INTEGER, \
               record BLOB, \
               lease_owner TEXT, \
               lease_until INTEGER)"
        );
        sqlx::query(AssertSqlSafe(sql)).execute(connection).await?;
        Ok(())
    }

    async fn load(
        connection: &mut SqliteConnection,
        table: &Table,
        key: &str,
    ) -> Result<Option<Row>, sqlx::Error> {
        let sql = format!("SELECT revision, record FROM {table} WHERE key = ?1");
        sqlx::query_as(AssertSqlSafe(sql)).bind(key).fetch_optional(connection).await
    }

    /// Looks first: a process that waits for the lease never takes the write lock.
    async fn try_acquire(
        connection: &mut SqliteConnection,
        table: &Table,
        key: &str,
        owner: &str,
        term: Duration,
    ) -> Result<(bool, Option<Row>), sqlx::Error> {
        // The lease that may be taken: none, the asker's own, or one whose end has come.
        let is_free = format!(
            "(lease_owner IS NULL OR lease_owner = ?2 OR lease_until IS NULL \
              OR lease_until <= {NOW} OR lease_until > {NOW} + {TOO_LONG})"
        );
        let look = format!("SELECT NOT {is_free}, revision, record FROM {table} WHERE key = ?1");
        let look = sqlx::query_as(AssertSqlSafe(look)).bind(key).bind(owner);
        let found: Vec<(bool, Option<i64>, Option<Vec<u8>>)> =
            look.fetch_all(&mut *connection).await?;
        if let Some((true, revision, record)) = found.into_iter().next() {
            return Ok((false, Some((revision, record))));
        }
        let take = format!(
            "INSERT INTO {table} (key, lease_owner, lease_until) VALUES (?1, ?2, {NOW} + ?3) \
             ON CONFLICT (key) DO UPDATE SET lease_owner = ?2, lease_until = {NOW} + ?3 \
             WHERE {is_free} RETURNING revision, record"
        );
        let take = sqlx::query_as(AssertSqlSafe(take)).bind(key).bind(owner).bind(millis(term));
        let taken: Vec<Row> = take.fetch_all(connection).await?;
        let row = taken.into_iter().next();
        Ok((row.is_some(), row))
    }

    async fn renew(
        connection: &mut SqliteConnection,
        table: &Table,
        key: &str,
        owner: &str,
        term: Duration,
    ) -> Result<bool, sqlx::Error> {
        let sql = format!(
            "UPDATE {table} SET lease_until = {NOW} + ?3 \
             WHERE key = ?1 AND lease_owner = ?2 AND lease_until > {NOW}"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(key).bind(owner).bind(millis(term));
        Ok(query.execute(connection).await?.rows_affected() > 0)
    }

    async fn release(
        connection: &mut SqliteConnection,
        table: &Table,
        key: &str,
        owner: &str,
    ) -> Result<(), sqlx::Error> {
        let update = format!(
            "UPDATE {table} SET lease_owner = NULL, lease_until = NULL \
             WHERE key = ?1 AND lease_owner = ?2 AND record IS NOT NULL"
        );
        let update = sqlx::query(AssertSqlSafe(update)).bind(key).bind(owner);
        if update.execute(&mut *connection).await?.rows_affected() == 0 {
            let remove = format!(
                "DELETE FROM {table} WHERE key = ?1 AND lease_owner = ?2 AND record IS NULL"
            );
            sqlx::query(AssertSqlSafe(remove)).bind(key).bind(owner).execute(connection).await?;
        }
        Ok(())
    }

    async fn save(
        connection: &mut SqliteConnection,
        table: &Table,
        key: &str,
        expected: Expected,
        revision: i64,
        record: &[u8],
    ) -> Result<bool, sqlx::Error> {
        let sql = match expected {
            Expected::Revision(_) => format!(
                "UPDATE {table} SET revision = ?2, record = ?3 WHERE key = ?1 AND revision = ?4"
            ),
            Expected::Empty => format!(
                "INSERT INTO {table} (key, revision, record) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (key) DO UPDATE SET revision = ?2, record = ?3 \
                 WHERE revision IS NULL AND record IS NULL"
            ),
            Expected::Anything => format!(
                "INSERT INTO {table} (key, revision, record) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (key) DO UPDATE SET revision = ?2, record = ?3"
            ),
        };
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(key).bind(revision).bind(record);
        if let Expected::Revision(expected) = expected {
            query = query.bind(i64::try_from(expected).unwrap_or(i64::MAX));
        }
        Ok(query.execute(connection).await?.rows_affected() > 0)
    }

    async fn delete(
        connection: &mut SqliteConnection,
        table: &Table,
        key: &str,
        owner: &str,
    ) -> Result<bool, sqlx::Error> {
        let sql = format!(
            "UPDATE {table} SET revision = NULL, record = NULL \
             WHERE key = ?1 AND lease_owner = ?2 AND lease_until > {NOW}"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(key).bind(owner);
        Ok(query.execute(connection).await?.rows_affected() > 0)
    }

    async fn keys(
        connection: &mut SqliteConnection,
        table: &Table,
    ) -> Result<Vec<String>, sqlx::Error> {
        let sql = format!("SELECT key FROM {table} WHERE record IS NOT NULL ORDER BY key");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(connection).await
    }
}

fn millis(term: Duration) -> i64 {
    i64::try_from(term.as_millis()).unwrap_or(i64::MAX)
}
