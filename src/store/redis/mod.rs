//! A store for fleets: the records of credentials in Redis, shared by any number of hosts.

mod builder;
mod failure;
mod family;
pub(super) mod hash;
mod scripts;
mod server;
mod source;
#[cfg(feature = "redis-tls")]
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::ConnectionLike;
use ::redis::{Cmd, FromRedisValue, Value};

pub use self::builder::RedisStoreBuilder;
use self::failure::Failure;
pub use self::family::RedisFamily;
use self::hash::{Fields, HashReader};
use self::scripts::Keys;
use self::server::Server;
pub use self::source::RedisSource;
use super::contract::{Attempt, Expected, TokenStore};
use super::record::StoredRecord;
use super::timed_lease::TimedLease;
use super::{RecordFormat, StoreError};
use crate::error::Error;

/// Keeps the record of one credential in Redis or Valkey, for all processes that share it.
///
/// ```no_run
/// use tower_teamup_auth::store::RedisStore;
///
/// # async fn example() -> Result<(), tower_teamup_auth::Error> {
/// let store = RedisStore::connect("redis://user:password@cache.internal:6379/0", "studio-7").await?;
/// // Each user of a service has a key, and all share the connection.
/// let of_another_user = store.with_key("user-4711");
/// # Ok(())
/// # }
/// ```
///
/// # Connections
///
/// A store that is built from a URL connects when it is first used. A connection that has failed,
/// or gives no answer for a third of the [limit](RedisStoreBuilder::timeout), is replaced within
/// the same call. [`RedisSource`] tells how to use a connection manager, a cluster, Sentinel or a
/// pool. `rediss://` needs the feature `redis-tls`. What a URL may hold is told by the
/// [`redis` crate](https://docs.rs/redis/1/redis/#connection-parameters).
///
/// # The lease
///
/// The lease is a key of its own with an owner and a lifetime
/// ([10 s](RedisStoreBuilder::lease_lifetime)). A holder that dies blocks the others for that
/// lifetime at most. A holder that lost its lease can't overwrite a newer record: each write
/// compares the revision that it replaces, in one step with the write.
///
/// # Requirements
///
/// - Commands: `EVAL`, `GET`, `SET`, `DEL`, `PTTL`, `PEXPIRE`, `EXISTS`, `HGET`, `HSET`, `HGETALL`
///   and `HDEL` on `tower-teamup-auth:*`, or the [prefix](RedisStoreBuilder::key_prefix);
///   [`check`](TokenStore::check) runs each. [Listing keys](crate::store::ListKeys::list) needs `SCAN` and `INFO`.
/// - `maxmemory-policy noeviction`: Redis must not throw records away.
/// - The record survives what Redis itself survives. An append-only file with
///   `appendfsync always` is as safe as a file. The default may lose the last second, and a
///   failover may lose what the replica had not received. A credential that still runs writes its
///   record again; if none runs, the user has to log in again.
/// - A client that can read the key can act as the user, unless the record is encrypted
///   (`RedisStoreBuilder::seal_with`, feature `encryption`).
///
/// # Panics
///
/// Its futures must be polled within a Tokio runtime whose time and I/O drivers are enabled.
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

struct Inner {
    configuration: Configuration,
    key: Box<str>,
    keys: Keys,
    format: RecordFormat,
}

/// What the stores of one family have in common.
#[derive(Clone)]
struct Configuration {
    server: Arc<Server>,
    prefix: Arc<str>,
    lease_lifetime: Duration,
    format: RecordFormat,
}

impl RedisStore {
    /// A store over a connection that recovers by itself: a `ConnectionManager` or a cluster's
    /// `ClusterConnection`. The key is `default`; [`with_key`](RedisStore::with_key) and
    /// [`family`](RedisStore::family) choose others.
    ///
    /// [`builder`](RedisStore::builder) sets more, over any [`RedisSource`].
    ///
    /// ```
    /// use tower_teamup_auth::store::RedisStore;
    ///
    /// # fn example(manager: redis::aio::ConnectionManager) {
    /// let store = RedisStore::new(manager).with_key("studio-7");
    /// # }
    /// ```
    pub fn new<C>(connection: C) -> Self
    where
        C: ConnectionLike + Clone + Send + Sync + 'static,
    {
        RedisStore::builder(RedisSource::connection(connection), "default")
            .build()
            .expect("the default settings are valid")
    }

    /// Connects to the Redis at `url`, for the record of the credential `key`.
    ///
    /// Runs each command that the store needs, and reads the record. A store that connects later is
    /// what [`builder`](RedisStore::builder) makes.
    ///
    /// # Errors
    ///
    /// When the URL can't be used ([`Error::is_invalid_input`]); when Redis can't be
    /// reached, refuses a command, or holds something under this key that is no record
    /// ([`Error::is_store`]).
    pub async fn connect(url: impl Into<String>, key: impl Into<String>) -> Result<Self, Error> {
        let store = RedisStore::builder(url.into(), key).build()?;
        store.check().await.map_err(Error::store)?;
        store.load().await.map_err(Error::store)?;
        Ok(store)
    }

    /// Sets up a store for the record of the credential `key`, on the Redis that a URL or another
    /// [`RedisSource`] leads to.
    pub fn builder(source: impl Into<RedisSource>, key: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(source.into(), key.into())
    }

    /// The store of another credential, over the same connection and with the same settings. Any
    /// text is a key.
    #[must_use]
    pub fn with_key(&self, key: impl AsRef<str>) -> Self {
        RedisStore::open(self.inner.configuration.clone(), key.as_ref())
    }

    /// The stores of many credentials, over the same connection and with the same settings, under
    /// keys that begin with `prefix`.
    ///
    /// # Errors
    ///
    /// When the prefix is empty or holds a brace ([`Error::is_invalid_input`]).
    pub fn family(&self, prefix: impl AsRef<str>) -> Result<RedisFamily, Error> {
        builder::check_prefix(prefix.as_ref())?;
        let mut configuration = self.inner.configuration.clone();
        configuration.prefix = prefix.as_ref().into();
        Ok(RedisFamily::new(configuration))
    }

    fn open(configuration: Configuration, key: &str) -> Self {
        let keys = Keys::new(&configuration.prefix, key);
        let format = configuration.format.for_key(key);
        RedisStore { inner: Arc::new(Inner { configuration, key: key.into(), keys, format }) }
    }

    /// Where the record is, for a message.
    fn location(&self) -> String {
        let Inner { configuration, keys, .. } = &*self.inner;
        format!("{}, key `{}`:", configuration.server.address(), keys.record)
    }

    async fn call<T: FromRedisValue>(&self, what: &str, command: &Cmd) -> Result<T, StoreError> {
        let called = self.inner.configuration.server.call(command).await;
        called.map_err(|failure| self.failed(what, failure))
    }

    fn failed(&self, what: &str, failure: Failure) -> StoreError {
        if failure.is_wrong_type {
            return self.reader().not_a_hash();
        }
        StoreError::unavailable(format!("{} could not {what}", self.location()), failure)
    }

    fn reader(&self) -> HashReader<'_> {
        HashReader {
            format: &self.inner.format,
            key: &self.inner.key,
            version_1_name: &self.inner.keys.record,
            location: self.location(),
        }
    }
}

impl TokenStore for RedisStore {
    type Lease = TimedLease;

    async fn check(&self) -> Result<(), StoreError> {
        self.call("run the commands that this store needs", &self.inner.keys.check()).await
    }

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        let fields: Fields = self.call("load the record", &self.inner.keys.load()).await?;
        self.reader().read(fields)
    }

    /// See [`TokenStore::try_acquire`]. The record comes in the same answer.
    async fn try_acquire(&self) -> Result<Attempt<TimedLease>, StoreError> {
        let Inner { configuration, keys, .. } = &*self.inner;
        let lease = TimedLease::request(configuration.lease_lifetime);
        let command = keys.try_acquire(lease.owner(), configuration.lease_lifetime);
        let (is_granted, found): (bool, Value) = self.call("ask for the lease", &command).await?;
        let attempt = if is_granted { Attempt::granted(lease) } else { Attempt::busy() };
        let record = match Failure::in_script(&found) {
            Some(failure) => Err(self.failed("load the record", failure)),
            None => match ::redis::from_redis_value::<Fields>(found) {
                Ok(fields) => self.reader().read(fields),
                Err(error) => Err(self.failed("load the record", Failure::of(&error.into(), []))),
            },
        };
        Ok(attempt.with_record(record))
    }

    async fn renew(&self, lease: &TimedLease) -> Result<TimedLease, StoreError> {
        let Inner { configuration, keys, .. } = &*self.inner;
        let renewed = lease.renewed(configuration.lease_lifetime);
        let command = keys.renew(lease.owner(), configuration.lease_lifetime);
        match self.call::<bool>("renew the lease", &command).await? {
            true => Ok(renewed),
            false => Err(StoreError::lease_lost()),
        }
    }

    async fn release(&self, lease: TimedLease) -> Result<(), StoreError> {
        self.call("release the lease", &self.inner.keys.release(lease.owner())).await
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
        let Inner { keys, format, key, .. } = &*self.inner;
        let encoded = format.encode(key.as_bytes(), record)?;
        let mut found_revision: Option<String> = None;
        loop {
            let command =
                keys.save(expected, found_revision.as_deref(), record.revision(), &encoded);
            let found: Option<Fields> = self.call("save the record", &command).await?;
            let Some(fields) = found else { return Ok(()) };
            let revision = hash::revision_text(&fields);
            let found = self.reader().read(fields)?;
            if found.as_ref() == Some(record) {
                // An earlier attempt was carried out, and only its answer was lost.
                return Ok(());
            }
            // Version 1 knew revisions outside of today's range: Redis compares their text.
            if !expected.allows(found.as_ref()) || found_revision.is_some() || revision.is_none() {
                return Err(StoreError::conflict());
            }
            found_revision = revision;
        }
    }

    /// See [`TokenStore::delete`]. Fails without the lease: what another process saves meanwhile
    /// would outlive the deletion.
    async fn delete(&self, lease: &TimedLease) -> Result<(), StoreError> {
        match self.call::<bool>("delete the record", &self.inner.keys.delete(lease.owner())).await?
        {
            true => Ok(()),
            false => Err(StoreError::lease_lost()),
        }
    }

    /// See [`TokenStore::changed`]. Resolves after 20 to 100 ms, at random.
    async fn changed(&self) {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..=100))).await;
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { configuration, keys, .. } = &*self.inner;
        f.debug_struct("RedisStore")
            .field("server", &configuration.server.address())
            .field("key", &keys.record)
            .field("lease_lifetime", &configuration.lease_lifetime)
            .finish_non_exhaustive()
    }
}
