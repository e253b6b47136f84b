//! The stores of many credentials, in one table.

use std::fmt;

use super::statements::SqlDatabase;
use super::{Configuration, SqlStore};
use crate::error::Error;
use crate::store::StoreError;

/// The [`SqlStore`]s of many credentials, one row for each; made by [`SqlStore::family`].
///
/// ```no_run
/// use tower_teamup_auth::store::PostgresStore;
///
/// # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let users = PostgresStore::new(pool).family();
/// let store = users.open("user-4711")?;
/// # Ok(())
/// # }
/// ```
pub struct SqlFamily<DB: SqlDatabase> {
    configuration: Configuration<DB>,
}

impl<DB: SqlDatabase> SqlFamily<DB> {
    pub(super) fn new(configuration: Configuration<DB>) -> Self {
        SqlFamily { configuration }
    }

    /// The store of the credential `key`.
    ///
    /// # Errors
    ///
    /// When the key is empty or holds a control character ([`Error::is_invalid_input`]).
    pub fn open(&self, key: impl AsRef<str>) -> Result<SqlStore<DB>, Error> {
        check_key(key.as_ref())?;
        Ok(SqlStore { configuration: self.configuration.clone(), key: key.as_ref().into() })
    }

    /// The keys that have a record, tombstones included, in the order of their bytes.
    ///
    /// # Errors
    ///
    /// When the database can't be asked.
    pub async fn list(&self) -> Result<Vec<String>, StoreError> {
        let keys = || async {
            let mut connection = self.configuration.pool.acquire().await?;
            DB::keys(&mut connection, &self.configuration.table).await
        };
        self.configuration.run("list the keys", keys).await
    }
}

/// PostgreSQL has no text with a NUL character; the store itself uses keys with others.
pub(super) fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.contains(char::is_control) {
        return Err(Error::invalid_input("a key is not empty and holds no control character"));
    }
    Ok(())
}

impl<DB: SqlDatabase> Clone for SqlFamily<DB> {
    fn clone(&self) -> Self {
        SqlFamily { configuration: self.configuration.clone() }
    }
}

impl<DB: SqlDatabase> fmt::Debug for SqlFamily<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlFamily")
            .field("database", &DB::PRODUCT)
            .field("table", &self.configuration.table.to_string())
            .finish_non_exhaustive()
    }
}
