//! Stores in a SQL database, in a pool of `sqlx` that the program has.
//!
//! One table holds one row for each credential: the record, its revision, and the lease. Every
//! operation is one statement on one row, found by its primary key, outside any transaction of the
//! program's. The lease's end is judged by the database's clock.

mod builder;
mod family;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statements;
mod table;
mod unfinished;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Pool};
use tokio::time::timeout;
use zeroize::Zeroizing;

pub use self::builder::SqlStoreBuilder;
pub use self::family::SqlFamily;
use self::statements::Row;
pub use self::statements::SqlDatabase;
use self::table::Table;
use self::unfinished::Unfinished;
use super::contract::{Attempt, Expected, TokenStore};
use super::record::StoredRecord;
use super::timed_lease::TimedLease;
use super::{RecordFormat, StoreError};

/// Keeps the record of one credential in PostgreSQL, for all processes that share the database.
///
/// ```no_run
/// use sqlx::PgPool;
/// use tower_teamup_auth::store::PostgresStore;
///
/// # async fn example(pool: PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::new(pool).with_key("studio-7");
/// store.migrate().await?;
/// # Ok(())
/// # }
/// ```
///
/// The record survives a crash of the machine even where `synchronous_commit` is `off`. A failover
/// to a standby that lacks the last commit loses it: a credential that still runs writes its record
/// again; if none runs, the user has to log in again. `synchronous_standby_names` prevents that.
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub type PostgresStore = SqlStore<sqlx::Postgres>;

/// Keeps the record of one credential in SQLite, for all processes of one machine that share the
/// file.
///
/// ```no_run
/// use sqlx::SqlitePool;
/// use tower_teamup_auth::store::SqliteStore;
///
/// # async fn example(pool: SqlitePool) -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::new(pool).with_key("studio-7");
/// store.migrate().await?;
/// # Ok(())
/// # }
/// ```
///
/// It needs SQLite 3.42 or later. The file must be on a local disk. A record survives a power loss
/// where the pool's connections have `synchronous` at `FULL`, which is the default of SQLite and of
/// sqlx; with less, [`check`](TokenStore::check) logs a warning.
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub type SqliteStore = SqlStore<sqlx::Sqlite>;

/// Keeps the record of one credential in a SQL database: `PostgresStore` or `SqliteStore`.
///
/// The table is made by [`migrate`](SqlStore::migrate), and has one row for each credential. The
/// lease is part of that row: an owner, and an end by the database's clock. A holder that dies
/// blocks the others until that end. A holder that lost its lease can't overwrite a newer record:
/// each write compares the revision that it replaces, in the same statement.
///
/// A process that can read the table can act as the user, unless the record is encrypted
/// (`SqlStoreBuilder::seal_with`, feature `encryption`).
///
/// # Panics
///
/// Its futures must be polled within a Tokio runtime whose time and I/O drivers are enabled.
pub struct SqlStore<DB: SqlDatabase> {
    configuration: Configuration<DB>,
    key: Arc<str>,
    /// The key as it stands in the table.
    row: Arc<str>,
    format: RecordFormat,
}

/// What the stores of one family have in common.
struct Configuration<DB: SqlDatabase> {
    pool: Pool<DB>,
    table: Arc<Table>,
    lease_lifetime: Duration,
    limit: Duration,
    format: RecordFormat,
}

impl<DB: SqlDatabase> SqlStore<DB> {
    /// A store in this pool, in the table `teamup_tokens`. The key is `default`;
    /// [`with_key`](SqlStore::with_key) and [`family`](SqlStore::family) choose others.
    pub fn new(pool: Pool<DB>) -> Self {
        SqlStore::builder(pool).build().expect("the default settings are valid")
    }

    /// Sets up a store with other names, limits or encryption.
    pub fn builder(pool: Pool<DB>) -> SqlStoreBuilder<DB> {
        SqlStoreBuilder::new(pool)
    }

    /// The store of another credential, in the same table and with the same settings. Any text is a
    /// key.
    #[must_use]
    pub fn with_key(&self, key: impl AsRef<str>) -> Self {
        self.configuration.open(key.as_ref())
    }

    /// The stores of all credentials in this table.
    pub fn family(&self) -> SqlFamily<DB> {
        SqlFamily::new(self.configuration.clone())
    }

    /// Makes the table where there is none. May be called at each start, by many processes at once.
    ///
    /// # Errors
    ///
    /// When the database can't be reached, or does not let this user make a table.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let Configuration { table, .. } = &self.configuration;
        let migrate = || async {
            let mut connection = self.configuration.pool.acquire().await?;
            DB::migrate(&mut connection, table).await
        };
        self.configuration.run("make the table", migrate).await
    }

    fn location(&self) -> String {
        format!("{}, key `{}`:", self.configuration.location(), self.key)
    }

    fn read(&self, row: Option<Row>) -> Result<Option<StoredRecord>, StoreError> {
        let (revision, stored) = match row {
            None | Some((None, None)) => return Ok(None),
            Some(row) => row,
        };
        let unusable = || format!("{} what is stored there can't be used:", self.location());
        let (Some(revision), Some(stored)) = (revision, stored.map(Zeroizing::new)) else {
            let found = "the row lacks `revision` or `record`; let the user log in again";
            return Err(StoreError::corrupt(found).at(unusable()));
        };
        // No version 1 of this store was ever released.
        let record = self
            .format
            .decode(self.key.as_bytes(), self.key.as_bytes(), &stored)
            .map_err(|error| error.at(unusable()))?;
        // What a save compares is the revision beside the record, so the two must not disagree.
        if u64::try_from(revision) != Ok(record.revision()) {
            let found =
                "`revision` is not the one of the record beside it; let the user log in again";
            return Err(StoreError::corrupt(found).at(unusable()));
        }
        Ok(Some(record))
    }
}

impl<DB: SqlDatabase> TokenStore for SqlStore<DB> {
    type Lease = TimedLease;

    /// See [`TokenStore::check`]. Runs each statement on a row that is rolled back, so that a
    /// missing table or right is found.
    async fn check(&self) -> Result<(), StoreError> {
        let Configuration { table, lease_lifetime, .. } = &self.configuration;
        let lease = TimedLease::request(*lease_lifetime);
        let key = &*family::row_of_check(lease.owner());
        let check = || async {
            let mut held = Unfinished::new(self.configuration.pool.acquire().await?);
            DB::inspect(&mut held.connection).await?;
            let mut transaction =
                held.connection.begin_with(AssertSqlSafe(DB::BEGIN.to_owned())).await?;
            let owner = lease.owner();
            DB::try_acquire(&mut transaction, table, key, owner, *lease_lifetime).await?;
            DB::renew(&mut transaction, table, key, owner, *lease_lifetime).await?;
            DB::save(&mut transaction, table, key, Expected::Empty, 1, b"check").await?;
            DB::save(&mut transaction, table, key, Expected::Revision(1), 2, b"check").await?;
            DB::load(&mut transaction, table, key).await?;
            DB::delete(&mut transaction, table, key, owner).await?;
            DB::release(&mut transaction, table, key, owner).await?;
            transaction.rollback().await?;
            held.finish();
            Ok(())
        };
        let checked = self.configuration.run("run the statements that this store needs", check);
        checked.await.map_err(|error| {
            let hint = "has `migrate` been called, and may this user read and write the table?";
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = format!("{}; {hint}", cause.unwrap_or_default());
            StoreError::unavailable(error.to_string(), cause)
        })
    }

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        let (table, key) = (&self.configuration.table, &*self.row);
        let load = || async {
            let mut connection = self.configuration.pool.acquire().await?;
            DB::load(&mut connection, table, key).await
        };
        self.read(self.configuration.run("load the record", load).await?)
    }

    async fn try_acquire(&self) -> Result<Attempt<TimedLease>, StoreError> {
        let Configuration { table, lease_lifetime, .. } = &self.configuration;
        let lease = TimedLease::request(*lease_lifetime);
        let try_acquire = || async {
            let mut connection = self.configuration.pool.acquire().await?;
            DB::try_acquire(&mut connection, table, &self.row, lease.owner(), *lease_lifetime).await
        };
        let (is_granted, row) = self.configuration.run("ask for the lease", try_acquire).await?;
        let record = self.read(row);
        let attempt = if is_granted { Attempt::granted(lease) } else { Attempt::busy() };
        Ok(attempt.with_record(record))
    }

    async fn renew(&self, lease: &TimedLease) -> Result<TimedLease, StoreError> {
        let Configuration { table, lease_lifetime, .. } = &self.configuration;
        let renewed = lease.renewed(*lease_lifetime);
        let renew = || async {
            let mut connection = self.configuration.pool.acquire().await?;
            DB::renew(&mut connection, table, &self.row, lease.owner(), *lease_lifetime).await
        };
        match self.configuration.run("renew the lease", renew).await? {
            true => Ok(renewed),
            false => Err(StoreError::lease_lost()),
        }
    }

    async fn release(&self, lease: TimedLease) -> Result<(), StoreError> {
        let table = &self.configuration.table;
        let release = || async {
            let mut connection = self.configuration.pool.acquire().await?;
            DB::release(&mut connection, table, &self.row, lease.owner()).await
        };
        self.configuration.run("release the lease", release).await
    }

    fn time_left(&self, lease: &TimedLease) -> Option<Duration> {
        Some(lease.time_left())
    }

    /// See [`TokenStore::save`]. A lease that was lost does not keep a record from being saved: what
    /// was rotated must not be lost with it, and the revision keeps newer records safe.
    async fn save(
        &self,
        _lease: &TimedLease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        let table = &self.configuration.table;
        let encoded = self.format.encode(self.key.as_bytes(), record)?;
        let revision = i64::try_from(record.revision()).expect("a record's revision is in range");
        let save = || async {
            let mut connection = self.configuration.pool.acquire().await?;
            DB::save(&mut connection, table, &self.row, expected, revision, &encoded).await
        };
        if self.configuration.run("save the record", save).await? {
            return Ok(());
        }
        // An earlier attempt was carried out, and only its answer was lost?
        match self.load().await? {
            Some(found) if found == *record => Ok(()),
            _ => Err(StoreError::conflict()),
        }
    }

    /// See [`TokenStore::delete`]. Fails without the lease: what another process saves meanwhile
    /// would outlive the deletion.
    async fn delete(&self, lease: &TimedLease) -> Result<(), StoreError> {
        let table = &self.configuration.table;
        let delete = || async {
            let mut connection = self.configuration.pool.acquire().await?;
            DB::delete(&mut connection, table, &self.row, lease.owner()).await
        };
        match self.configuration.run("delete the record", delete).await? {
            true => Ok(()),
            false => Err(StoreError::lease_lost()),
        }
    }
}

impl<DB: SqlDatabase> Configuration<DB> {
    fn open(&self, key: &str) -> SqlStore<DB> {
        SqlStore {
            format: self.format.for_key(key),
            configuration: self.clone(),
            key: key.into(),
            row: family::row_of(key).into(),
        }
    }

    fn location(&self) -> String {
        format!("{}, table {}", DB::PRODUCT, self.table)
    }

    /// Runs a statement that may be run twice, within the limit.
    ///
    /// An attempt that gives no answer leaves its share of the limit to further ones: its connection
    /// may be one that a load balancer has forgotten.
    async fn run<T, F: Future<Output = Result<T, sqlx::Error>>>(
        &self,
        what: &str,
        statement: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        const ATTEMPTS: u32 = 3;
        let mut attempt = 1;
        loop {
            let share = if attempt < ATTEMPTS { self.limit / 4 } else { self.limit / 2 };
            let failed = match timeout(share, statement()).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) if attempt == ATTEMPTS || !is_worth_another_attempt(&error) => {
                    // `Debug` of the driver's error may show the row that the database refused.
                    error.to_string()
                }
                Err(_) if attempt == ATTEMPTS => {
                    format!("there was no answer within {:?}", self.limit)
                }
                _ => {
                    attempt = attempt.saturating_add(1);
                    continue;
                }
            };
            let message = format!("{} could not {what}", self.location());
            return Err(StoreError::unavailable(message, failed));
        }
    }
}

/// The connection was lost, or the database asks for another attempt: a serialization failure or a
/// deadlock (SQLSTATE class 40). Two processes that make the same table may be told by any of
/// three codes that it is there by now, `IF NOT EXISTS` notwithstanding.
fn is_worth_another_attempt(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            code.starts_with("40") || ["23505", "42710", "42P07"].contains(&&*code)
        }
        _ => false,
    }
}

impl<DB: SqlDatabase> Clone for SqlStore<DB> {
    fn clone(&self) -> Self {
        SqlStore {
            configuration: self.configuration.clone(),
            key: Arc::clone(&self.key),
            row: Arc::clone(&self.row),
            format: self.format.clone(),
        }
    }
}

impl<DB: SqlDatabase> Clone for Configuration<DB> {
    fn clone(&self) -> Self {
        Configuration {
            pool: self.pool.clone(),
            table: Arc::clone(&self.table),
            lease_lifetime: self.lease_lifetime,
            limit: self.limit,
            format: self.format.clone(),
        }
    }
}

impl<DB: SqlDatabase> fmt::Debug for SqlStore<DB> {
    /// The pool's options may show a password, so they are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore")
            .field("database", &DB::PRODUCT)
            .field("table", &self.configuration.table.to_string())
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::{pending, ready};

    use sqlx::{Sqlite, SqlitePool};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// With the limit of 6 s that holds unless another is set.
    fn store() -> SqlStoreBuilder<Sqlite> {
        SqlStore::builder(SqlitePool::connect_lazy("sqlite::memory:").unwrap())
    }

    /// How often a statement is run that fails in this way each time.
    async fn attempts(fails: impl Fn() -> sqlx::Error) -> u32 {
        let attempts = Cell::new(0);
        let statement = || {
            attempts.set(attempts.get() + 1);
            assert!(attempts.get() <= 3, "there is no end to it");
            ready(Err::<(), _>(fails()))
        };
        let configuration = store().build().unwrap().configuration;
        let error = configuration.run("load the record", statement).await.unwrap_err();
        assert!(error.is_unavailable());
        let text = error.to_string();
        assert!(text.contains("SQLite, table") && text.contains("load the record"), "{text}");
        attempts.get()
    }

    #[tokio::test]
    async fn f4_statement_whose_connection_was_lost_is_run_three_times_and_any_other_once() {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(attempts(lost).await, 3);
        assert_eq!(attempts(|| sqlx::Error::WorkerCrashed).await, 3);
        assert_eq!(attempts(|| sqlx::Error::PoolClosed).await, 1);
        assert_eq!(attempts(|| sqlx::Error::RowNotFound).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn f4_statement_that_is_not_answered_is_run_three_times_within_the_limit() {
        let clock = crate::token::Clock::tokio();
        let began = clock.now();
        let tenths = || began.until(clock.now()).as_millis() / 100;
        let starts = RefCell::new(Vec::new());
        let statement = || {
            starts.borrow_mut().push(tenths());
            assert!(starts.borrow().len() <= 3, "there is no end to it");
            pending::<Result<(), sqlx::Error>>()
        };
        let configuration = store().build().unwrap().configuration;
        let error = configuration.run("load the record", statement).await.unwrap_err();
        assert!(error.is_unavailable());
        assert_eq!((&**starts.borrow(), tenths()), (&[0, 15, 30][..], 60));
    }

    #[tokio::test]
    async fn p1_limit_of_a_statement_is_half_the_lease_at_most() {
        let limit = |builder: SqlStoreBuilder<Sqlite>| builder.build().unwrap().configuration.limit;
        assert_eq!(limit(store().lease_lifetime(2 * SECOND)), SECOND);
        assert_eq!(limit(store().lease_lifetime(60 * SECOND)), 6 * SECOND);
    }

    #[tokio::test]
    async fn f1_row_that_is_no_record_is_named() {
        let store = store().key("studio-7").build().unwrap();
        for row in [(Some(1), Some(b"none".to_vec())), (Some(1), None)] {
            let error = store.read(Some(row)).unwrap_err();
            assert!(error.is_corrupt());
            let place = "SQLite, table \"teamup_tokens\", key `studio-7`:";
            assert!(error.to_string().starts_with(place), "{error}");
        }
    }
}
