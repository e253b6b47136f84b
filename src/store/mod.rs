//! Where tokens are kept between two runs of a program, and between its processes.
//!
//! A refresh token rotates with every use, so the one that matters is the newest, and two
//! processes that share a credential must not spend it twice. A [`TokenStore`] therefore does
//! three things: it loads, it saves, and it grants the exclusive right to refresh.
//!
//! # The order of a refresh
//!
//! The credential, never the store, runs the refresh, and always in this order:
//!
//! 1. [`lock`](TokenStore::lock): the exclusive right to refresh, among all processes;
//! 2. [`load`](TokenStore::load): has another process already rotated to something newer? Then that
//!    is adopted, and no exchange takes place;
//! 3. the exchange;
//! 4. [`save`](TokenStore::save), *before* any request sees the new token. If it fails, the new
//!    tokens are used all the same (a spent refresh token can't be un-spent), the write is repeated
//!    with backoff, and no further refresh starts before it has landed;
//! 5. the lease is dropped, which gives the right back: once the new tokens are saved, and not
//!    before, because another process would find the spent ones in the store. Where giving it back
//!    takes longer than the drop, [`settle`](TokenStore::settle) waits for it before a process ends.
//!
//! # Writing one
//!
//! ```
//! use std::sync::Arc;
//! use tokio::sync::{Mutex, OwnedMutexGuard};
//! use tower_teamup_auth::TokenSet;
//! use tower_teamup_auth::store::{Stored, StoreError, TokenStore};
//!
//! /// Keeps the tokens in the memory of one process.
//! #[derive(Debug, Default)]
//! struct InMemory {
//!     right_to_refresh: Arc<Mutex<()>>,
//!     kept: std::sync::Mutex<Option<TokenSet>>,
//! }
//!
//! impl TokenStore for InMemory {
//!     type Lease = OwnedMutexGuard<()>;
//!
//!     async fn load(&self) -> Result<Stored, StoreError> {
//!         Ok(Stored::from(self.kept.lock().unwrap().clone()))
//!     }
//!
//!     async fn lock(&self) -> Result<Self::Lease, StoreError> {
//!         Ok(self.right_to_refresh.clone().lock_owned().await)
//!     }
//!
//!     async fn save(&self, _: &Self::Lease, over: Option<u64>, tokens: &TokenSet) -> Result<(), StoreError> {
//!         let mut kept = self.kept.lock().unwrap();
//!         let repeated = kept.as_ref() == Some(tokens);
//!         if !repeated && kept.as_ref().map(TokenSet::revision) != over {
//!             return Err(StoreError::conflict());
//!         }
//!         *kept = Some(tokens.clone());
//!         Ok(())
//!     }
//!
//!     async fn clear(&self, _: &Self::Lease) -> Result<(), StoreError> {
//!         *self.kept.lock().unwrap() = None;
//!         Ok(())
//!     }
//! }
//! ```

mod contract;
mod erased;
mod error;
#[cfg(any(unix, windows))]
mod file;
#[cfg(feature = "encryption")]
mod key;
#[cfg(all(any(unix, windows), feature = "keyring"))]
mod keyring;
mod memory;
#[doc(hidden)]
pub mod next;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod seal;

use std::future::Future;

#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::{RedisLease, RedisStore, RedisStoreBuilder};
pub use contract::{Attempt, Expected};
pub(crate) use erased::{DynLease, DynTokenStore};
pub use error::StoreError;
#[cfg(all(any(unix, windows), feature = "testing"))]
#[doc(hidden)]
pub use file::SaveStep;
#[cfg(any(unix, windows))]
pub use file::{FileLease, FileStore};
#[cfg(feature = "encryption")]
#[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
pub use key::EncryptionKey;
#[cfg(all(any(unix, windows), feature = "keyring"))]
#[cfg_attr(docsrs, doc(cfg(feature = "keyring")))]
pub use keyring::KeyringStore;
pub use memory::{MemoryLease, MemoryStore};
pub use record::{Fingerprint, LoginId, RecordContent, StoredRecord};
pub(crate) use seal::Seal;

use crate::token::TokenSet;

/// What a store holds: a token set, or nothing yet.
///
/// ```
/// use tower_teamup_auth::store::Stored;
///
/// fn in_words(stored: &Stored) -> String {
///     match stored {
///         Some(tokens) => format!("tokens of revision {}", tokens.revision()),
///         None => "nothing yet".to_owned(),
///     }
/// }
/// ```
pub type Stored = Option<TokenSet>;

/// A place that keeps a credential's tokens, and that grants the exclusive right to refresh them.
///
/// One store keeps the tokens of one credential. See the [module](self) for the order in which a
/// credential calls these methods, and for an implementation.
///
/// ```
/// use tower_teamup_auth::store::{StoreError, TokenStore};
///
/// /// Which login does a store hold, if any? Asked without taking the right to refresh.
/// async fn revision(store: &impl TokenStore) -> Result<Option<u64>, StoreError> {
///     Ok(store.load().await?.map(|tokens| tokens.revision()))
/// }
/// ```
///
/// # Cancel safety
///
/// Each future may be dropped before it is done: a credential gives every call a time limit. A
/// dropped `lock` must not leave the right taken, and a dropped `save` must leave the old tokens or
/// the new ones, never a mixture.
pub trait TokenStore: Send + Sync + 'static {
    /// The exclusive right to refresh; dropping it gives the right back.
    ///
    /// Where the right has a lifetime (a lease in Redis, say), the store renews it for as long as
    /// this value lives.
    type Lease: Send + Sync + 'static;

    /// Finds out whether the store will do its work, without waiting for the first rotation.
    ///
    /// Called once, before the first [`load`](TokenStore::load), while credentials are built: what
    /// it returns is their build error. It may make what the store needs (a folder, say), and need
    /// not look at the tokens. By default it finds nothing wrong.
    ///
    /// # Errors
    ///
    /// When the store could not save tokens as things are.
    fn check(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    /// Reads the tokens; `None` where nothing was ever saved.
    ///
    /// # Errors
    ///
    /// When the store can't be read, or holds something that is no token set.
    fn load(&self) -> impl Future<Output = Result<Stored, StoreError>> + Send;

    /// Waits until no other process refreshes this credential, and takes the right to do so.
    ///
    /// # Errors
    ///
    /// When the right can't be asked for. A right that somebody else holds is waited for.
    fn lock(&self) -> impl Future<Output = Result<Self::Lease, StoreError>> + Send;

    /// Writes `tokens`, if the store still holds what it held when this lease's holder looked.
    ///
    /// `over` is the [revision](TokenSet::revision) of the tokens that are replaced, `None` where
    /// the store was empty. Once this returns `Ok`, the tokens survive a crash of the program and,
    /// for a store on disk, of the machine.
    ///
    /// The same save may come once more, after its future was dropped or it failed. Where the first
    /// one did land after all, the second finds these very tokens and returns `Ok`.
    ///
    /// # Errors
    ///
    /// [`StoreError::conflict`] when the store holds another revision by now: the lease was lost
    /// and another process has saved in the meantime. Any other error says that the write failed
    /// and may be repeated.
    fn save(
        &self,
        lease: &Self::Lease,
        over: Option<u64>,
        tokens: &TokenSet,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Is the right still this holder's, as far as can be told without asking anybody?
    ///
    /// Asked right before the exchange. A lease with a lifetime says `false` when it could not be
    /// renewed in time (the process was suspended, say): then the refresh starts over with a new
    /// lease instead of spending a token that another process may have spent by now.
    fn is_held(&self, lease: &Self::Lease) -> bool {
        let _ = lease;
        true
    }

    /// Forgets the tokens; a store without any is left as it is.
    ///
    /// # Errors
    ///
    /// When the store can't be written.
    fn clear(&self, lease: &Self::Lease) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Waits until every lease that was dropped is given back, where that takes longer than the drop.
    ///
    /// [`Credentials::shutdown`](crate::Credentials::shutdown) asks for it, because a process that
    /// ends before others can be told (over a network, say) leaves the right taken until its
    /// lifetime is over. Leases that somebody still has are not waited for. By default there is
    /// nothing to wait for.
    fn settle(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}
