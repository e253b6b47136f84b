//! How a [`SqlStore`] is set up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Pool;

use super::statements::SqlDatabase;
use super::table::Table;
use super::{Configuration, SqlStore};
use crate::error::Error;
use crate::store::RecordFormat;
use crate::store::timed_lease::check_lifetime;
#[cfg(feature = "encryption")]
use crate::store::{EncryptionKey, Sealing};

/// Sets up a [`SqlStore`]; made by [`SqlStore::builder`].
///
/// ```no_run
/// use tower_teamup_auth::store::SqlStore;
///
/// # fn example(pool: sqlx::PgPool) -> Result<(), tower_teamup_auth::Error> {
/// let store = SqlStore::builder(pool).schema("auth").table("teamup").key("studio-7").build()?;
/// # Ok(())
/// # }
/// ```
pub struct SqlStoreBuilder<DB: SqlDatabase> {
    pool: Pool<DB>,
    schema: Option<String>,
    table: String,
    key: String,
    lease_lifetime: Duration,
    limit: Duration,
    format: RecordFormat,
}

impl<DB: SqlDatabase> SqlStoreBuilder<DB> {
    pub(super) fn new(pool: Pool<DB>) -> Self {
        SqlStoreBuilder {
            pool,
            schema: None,
            table: "teamup_tokens".to_owned(),
            key: "default".to_owned(),
            lease_lifetime: Duration::from_secs(15),
            limit: Duration::from_secs(6),
            format: RecordFormat::plain("sql"),
        }
    }

    /// The schema that the table is in (in SQLite: the attached database). Unless set, it is the one
    /// that the database finds the table in. It has to exist.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// The name of the table: `teamup_tokens` unless set.
    #[must_use]
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// The credential whose record this is: `default` unless set.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// How long the lease outlives a holder that has died or lost its connection: 15 s unless set,
    /// 1 s at least and 1 h at most. A credential renews it in time.
    #[must_use]
    pub fn lease_lifetime(mut self, lifetime: Duration) -> Self {
        self.lease_lifetime = lifetime;
        self
    }

    /// How long one operation may take, waiting for a connection of the pool included: 6 s unless
    /// set, or half of a shorter lease lifetime, which is also the most that can be set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limit = timeout;
        self
    }

    /// Seals the record with `key`, which the database never sees. The same as
    /// [`seal_with`](SqlStoreBuilder::seal_with) and [`Sealing::new`].
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    #[must_use]
    pub fn encrypt_with(self, key: EncryptionKey) -> Self {
        self.seal_with(Sealing::new(key))
    }

    /// Seals the record as `sealing` says, bound to its key.
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    #[must_use]
    pub fn seal_with(mut self, sealing: Sealing) -> Self {
        self.format = self.format.sealed(sealing);
        self
    }

    /// Sets the store up, without asking the database anything.
    ///
    /// # Errors
    ///
    /// When a name can't be one, or a duration is out of its range.
    /// [`Error::is_invalid_input`] is true of the error.
    pub fn build(self) -> Result<SqlStore<DB>, Error> {
        let lifetime = self.lease_lifetime;
        check_lifetime(lifetime)?;
        if self.limit.is_zero() {
            return Err(Error::invalid_input("a time-out of a SQL store must be above zero"));
        }
        let configuration = Configuration {
            table: Arc::new(Table::new(self.schema.as_deref(), &self.table)?),
            pool: self.pool,
            lease_lifetime: lifetime,
            limit: self.limit.min(lifetime / 2),
            format: self.format,
        };
        Ok(configuration.open(&self.key))
    }
}

impl<DB: SqlDatabase> fmt::Debug for SqlStoreBuilder<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStoreBuilder")
            .field("schema", &self.schema)
            .field("table", &self.table)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
