//! A store for fleets: the tokens of one credential in Redis, shared by any number of hosts.
//!
//! The module is private; its front door is [`RedisStore`].

mod backoff;
mod builder;
mod departures;
mod failure;
mod lease;
mod link;
mod scripts;
mod shared;
#[cfg(feature = "redis-tls")]
mod tls;

use std::fmt;
use std::sync::Arc;

pub use builder::RedisStoreBuilder;
pub use lease::RedisLease;

use self::scripts::Keys;
use self::shared::Shared;
use super::{StoreError, Stored, TokenStore};
use crate::error::Error;
use crate::token::TokenSet;

/// Keeps the tokens of one credential in Redis (or Valkey), for all processes that share it.
///
/// ```no_run
/// use tower_teamup_auth::store::RedisStore;
///
/// # async fn example() -> Result<(), tower_teamup_auth::Error> {
/// let store = RedisStore::connect("redis://user:password@cache.internal:6379/0", "studio-7").await?;
/// // Each user of a service has a key, and all share the connection.
/// let of_another_user = store.with_key("user-4711")?;
/// # Ok(())
/// # }
/// ```
///
/// # How it keeps the right to refresh
///
/// The [lease](RedisLease) is a key of its own, with an owner and a lifetime (10 s unless
/// [set](RedisStoreBuilder::lease_lifetime)), renewed while the refresh runs. A holder that dies
/// blocks the others for that lifetime at most; so does one that ends before the lease is given back,
/// which happens in the background: [`shutdown`](crate::Credentials::shutdown) waits for it. A holder that was suspended for longer, and wakes up
/// after another process has refreshed, can't overwrite the newer tokens: each write compares the
/// revision that it replaces, in one step with the write. If it wakes up before its exchange, it
/// starts over instead. If nobody has saved in the meantime, the
/// write goes through although the lease is lost: what was rotated must not be lost with it.
///
/// # How it reaches Redis
///
/// The store connects when it is first used, and by itself again after the connection was lost. It
/// follows a cluster's word that the key lives on another node. Sentinel is not asked; give the
/// address that follows the primary. `rediss://` needs the feature `redis-tls`. What a URL may hold
/// is told by the [`redis` crate](https://docs.rs/redis/1/redis/#connection-parameters).
///
/// # What Redis must be
///
/// - It needs the commands `HGETALL`, `HGET`, `HSET`, `EXISTS`, `GET`, `SET`, `DEL`, `PTTL`,
///   `PEXPIRE` and `EVAL` on `tower-teamup-auth:*`, or what the [prefix](RedisStoreBuilder::key_prefix) says.
/// - It must not throw the tokens away: set `maxmemory-policy noeviction`.
/// - The tokens survive what Redis itself survives. Its append-only file with `appendfsync always`
///   is as safe as a file; the default may lose the last second, and a failover may lose what the
///   replica had not received. A credential that still runs holds the newest tokens in memory and
///   writes them again; if none runs, the user has to authorize the program again.
/// - Whoever can read the key can act as the user, and the driver does not wipe the buffers that
///   carried it; unless the tokens are encrypted (`RedisStoreBuilder::encrypt_with`, feature
///   `encryption`).
///
/// # Panics
///
/// Its futures must be polled within a Tokio runtime whose time and I/O drivers are enabled.
#[derive(Clone)]
pub struct RedisStore {
    shared: Arc<Shared>,
}

impl RedisStore {
    /// Connects to the Redis at `url`, for the tokens of the credential `key`.
    ///
    /// Sees to it that Redis takes writes, and that what stands there can be read. A store that
    /// connects later is what [`builder`](RedisStore::builder) makes.
    ///
    /// # Errors
    ///
    /// When the URL or the key can't be used ([`Error::is_invalid_input`]); when Redis can't be
    /// reached, takes no writes, or holds something under this key that is no token set
    /// ([`Error::is_store`]).
    pub async fn connect(url: impl Into<String>, key: impl Into<String>) -> Result<Self, Error> {
        let store = RedisStore::builder(url, key).build()?;
        store.shared.check().await.map_err(Error::store)?;
        store.shared.load().await.map_err(Error::store)?;
        Ok(store)
    }

    /// Sets up a store on the Redis at `url`, for the tokens of the credential `key`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_teamup_auth::store::RedisStore;
    ///
    /// let store = RedisStore::builder("redis://cache.internal:6379", "studio-7")
    ///     .key_prefix("bookings")
    ///     .lease_lifetime(Duration::from_secs(20))
    ///     .build()?;
    /// # Ok::<(), tower_teamup_auth::Error>(())
    /// ```
    pub fn builder(url: impl Into<String>, key: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url.into(), key.into())
    }

    /// The store of another credential, over the same connection and with the same settings.
    ///
    /// # Errors
    ///
    /// When the key is empty or holds a brace ([`Error::is_invalid_input`]).
    pub fn with_key(&self, key: impl AsRef<str>) -> Result<Self, Error> {
        builder::check_part("key", key.as_ref())?;
        let Shared { link, prefix, keys: _, lease_lifetime, seal, departures: _ } = &*self.shared;
        Ok(RedisStore::on(Shared {
            link: Arc::clone(link),
            prefix: Arc::clone(prefix),
            keys: Keys::new(prefix, key.as_ref()),
            lease_lifetime: *lease_lifetime,
            seal: seal.clone(),
            departures: Arc::default(),
        }))
    }

    fn on(shared: Shared) -> Self {
        RedisStore { shared: Arc::new(shared) }
    }
}

impl TokenStore for RedisStore {
    type Lease = RedisLease;

    async fn check(&self) -> Result<(), StoreError> {
        self.shared.check().await
    }

    async fn load(&self) -> Result<Stored, StoreError> {
        self.shared.load().await
    }

    /// See [`TokenStore::lock`]. Whoever has to wait asks again after a pause that grows from 20 ms
    /// to 250 ms, with jitter, or when the other's lease runs out.
    async fn lock(&self) -> Result<Self::Lease, StoreError> {
        RedisLease::take(Arc::clone(&self.shared)).await
    }

    /// See [`TokenStore::save`]. Saving once more what has landed already is no conflict: the answer
    /// to the first attempt may have been lost.
    async fn save(
        &self,
        _lease: &Self::Lease,
        over: Option<u64>,
        tokens: &TokenSet,
    ) -> Result<(), StoreError> {
        self.shared.save(over, tokens).await
    }

    /// See [`TokenStore::is_held`]. A lease that was lost once, by this machine's clocks or by Redis'
    /// own word, stays lost, even if it could be taken again.
    fn is_held(&self, lease: &Self::Lease) -> bool {
        lease.is_held()
    }

    /// See [`TokenStore::clear`]. Fails while another process holds the lease, if this one was lost:
    /// what that process saves would outlive the clearing.
    async fn clear(&self, lease: &Self::Lease) -> Result<(), StoreError> {
        self.shared.clear(lease.owner()).await
    }

    /// See [`TokenStore::settle`]. A lease that Redis does not take back runs out by itself, and is
    /// waited for no longer than that.
    async fn settle(&self) {
        self.shared.departures.over().await;
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("address", &self.shared.link.address())
            .field("key", &self.shared.keys.tokens)
            .field("lease_lifetime", &self.shared.lease_lifetime)
            .finish_non_exhaustive()
    }
}
