//! PostgreSQL.
//!
//! `clock_timestamp()`, because `now()` stands still within a transaction. Statements are not
//! prepared for later: a refresh is rare, and a pooler in front of the database may give each
//! statement another connection.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Postgres};

use super::statements::{Row, Statements};
use super::table::Table;
use crate::store::contract::Expected;

/// When `RETURNING` evaluates it, the commit waits for the disk even where `synchronous_commit` is
/// off: a saved record must survive a crash of the machine.
const DURABLE: &str = "CASE WHEN current_setting('synchronous_commit') = 'off' \
     THEN set_config('synchronous_commit', 'local', true) END";

impl Statements for Postgres {
    const PRODUCT: &'static str = "PostgreSQL";
    const BEGIN: &'static str = "BEGIN";

    async fn inspect(_: &mut PgConnection) -> Result<(), sqlx::Error> {
        Ok(())
    }

    async fn migrate(connection: &mut PgConnection, table: &Table) -> Result<(), sqlx::Error> {
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {table} (\
               key text COLLATE \"C\" PRIMARY KEY, \
               revision bigint, \
               record bytea, \
               lease_owner text, \
               lease_until timestamptz)"
        );
        sqlx::query(AssertSqlSafe(sql)).persistent(false).execute(connection).await?;
        Ok(())
    }

    async fn load(
        connection: &mut PgConnection,
        table: &Table,
        key: &str,
    ) -> Result<Option<Row>, sqlx::Error> {
        let sql = format!("SELECT revision, record FROM {table} WHERE key = $1");
        let query = sqlx::query_as(AssertSqlSafe(sql)).bind(key);
        query.persistent(false).fetch_optional(connection).await
    }

    /// A lease without an end, or with one beyond the longest term, is free: the clock was set back.
    async fn try_acquire(
        connection: &mut PgConnection,
        table: &Table,
        key: &str,
        owner: &str,
        term: Duration,
    ) -> Result<(bool, Option<Row>), sqlx::Error> {
        let sql = format!(
            "WITH granted AS (\
               INSERT INTO {table} AS held (key, lease_owner, lease_until) \
               VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3)) \
               ON CONFLICT (key) DO UPDATE SET \
                 lease_owner = $2, lease_until = clock_timestamp() + make_interval(secs => $3) \
               WHERE held.lease_owner IS NULL OR held.lease_owner = $2 \
                 OR held.lease_until IS NULL OR held.lease_until <= clock_timestamp() \
                 OR held.lease_until > clock_timestamp() + interval '61 minutes' \
               RETURNING revision, record) \
             SELECT true, revision, record FROM granted \
             UNION ALL \
             SELECT false, revision, record FROM {table} \
             WHERE key = $1 AND NOT EXISTS (SELECT FROM granted)"
        );
        let query = sqlx::query_as(AssertSqlSafe(sql)).bind(key).bind(owner);
        let query = query.bind(term.as_secs_f64()).persistent(false);
        let found: Option<(bool, Option<i64>, Option<Vec<u8>>)> =
            query.fetch_optional(connection).await?;
        Ok(match found {
            Some((is_granted, revision, record)) => (is_granted, Some((revision, record))),
            // Another process has just made the row, with its lease: this statement's snapshot
            // does not show it.
            None => (false, None),
        })
    }

    async fn renew(
        connection: &mut PgConnection,
        table: &Table,
        key: &str,
        owner: &str,
        term: Duration,
    ) -> Result<bool, sqlx::Error> {
        let sql = format!(
            "UPDATE {table} SET lease_until = clock_timestamp() + make_interval(secs => $3) \
             WHERE key = $1 AND lease_owner = $2 AND lease_until > clock_timestamp()"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(key).bind(owner).bind(term.as_secs_f64());
        let done = query.persistent(false).execute(connection).await?;
        Ok(done.rows_affected() > 0)
    }

    async fn release(
        connection: &mut PgConnection,
        table: &Table,
        key: &str,
        owner: &str,
    ) -> Result<(), sqlx::Error> {
        let sql = format!(
            "WITH removed AS (\
               DELETE FROM {table} WHERE key = $1 AND lease_owner = $2 AND record IS NULL) \
             UPDATE {table} SET lease_owner = NULL, lease_until = NULL \
             WHERE key = $1 AND lease_owner = $2 AND record IS NOT NULL"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(key).bind(owner);
        query.persistent(false).execute(connection).await?;
        Ok(())
    }

    async fn save(
        connection: &mut PgConnection,
        table: &Table,
        key: &str,
        expected: Expected,
        revision: i64,
        record: &[u8],
    ) -> Result<bool, sqlx::Error> {
        let sql = match expected {
            Expected::Revision(_) => format!(
                "UPDATE {table} SET revision = $2, record = $3 \
                 WHERE key = $1 AND revision = $4 RETURNING {DURABLE}"
            ),
            Expected::Empty => format!(
                "INSERT INTO {table} AS held (key, revision, record) VALUES ($1, $2, $3) \
                 ON CONFLICT (key) DO UPDATE SET revision = $2, record = $3 \
                 WHERE held.revision IS NULL AND held.record IS NULL RETURNING {DURABLE}"
            ),
            Expected::Anything => format!(
                "INSERT INTO {table} (key, revision, record) VALUES ($1, $2, $3) \
                 ON CONFLICT (key) DO UPDATE SET revision = $2, record = $3 RETURNING {DURABLE}"
            ),
        };
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(key).bind(revision).bind(record);
        if let Expected::Revision(expected) = expected {
            query = query.bind(i64::try_from(expected).unwrap_or(i64::MAX));
        }
        Ok(!query.persistent(false).fetch_all(connection).await?.is_empty())
    }

    async fn delete(
        connection: &mut PgConnection,
        table: &Table,
        key: &str,
        owner: &str,
    ) -> Result<bool, sqlx::Error> {
        let sql = format!(
            "UPDATE {table} SET revision = NULL, record = NULL \
             WHERE key = $1 AND lease_owner = $2 AND lease_until > clock_timestamp() \
             RETURNING {DURABLE}"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(key).bind(owner);
        Ok(!query.persistent(false).fetch_all(connection).await?.is_empty())
    }

    async fn keys(
        connection: &mut PgConnection,
        table: &Table,
    ) -> Result<Vec<String>, sqlx::Error> {
        let sql = format!("SELECT key FROM {table} WHERE record IS NOT NULL ORDER BY key");
        sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_all(connection).await
    }
}
