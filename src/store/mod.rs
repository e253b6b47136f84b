//! Where a credential's record is kept between two runs of a program, and between its processes.
//!
//! A refresh token rotates with every use, so the one that matters is the newest, and two processes
//! that share a credential must not spend it twice. A [`TokenStore`] therefore does three things: it
//! loads a [record](StoredRecord), it saves one, and it grants the exclusive right to refresh, the
//! lease.
//!
//! | store | for |
//! | --- | --- |
//! | [`MemoryStore`] | the credentials of one process, and tests |
//! | [`FileStore`] | the processes of one machine |
//! | `RedisStore`, `PostgresStore` | a fleet |
//! | `SqliteStore` | the processes of one machine, with many users |
//! | `KeyringStore` | a desktop program |
//!
//! # The order of a refresh
//!
//! The credential, never the store, runs the refresh, and always in this order:
//!
//! 1. [`try_acquire`](TokenStore::try_acquire): the lease. While another process has it, the store is
//!    read: what that one saves is adopted without the lease.
//! 2. [`load`](TokenStore::load), unless the record came with the lease: has another process already
//!    saved something newer? Then that is adopted, and no refresh request is sent.
//! 3. The refresh request.
//! 4. [`save`](TokenStore::save), *before* any request sees the new token. If it fails, the new tokens
//!    are used all the same (a spent refresh token can't be un-spent), the save is repeated with
//!    backoff, and no further refresh starts before it succeeds.
//! 5. [`release`](TokenStore::release), once the record is saved and not before, because another
//!    process would find the spent token in the store.
//!
//! # Writing one
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use tower_teamup_auth::store::{Attempt, Expected, StoreError, StoredRecord, TokenStore};
//!
//! /// Keeps the record in the memory of one process. A clone is the same store.
//! #[derive(Clone, Default)]
//! struct InMemory(Arc<Mutex<Kept>>);
//!
//! #[derive(Default)]
//! struct Kept {
//!     record: Option<StoredRecord>,
//!     is_leased: bool,
//! }
//!
//! impl TokenStore for InMemory {
//!     type Lease = ();
//!
//!     async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
//!         Ok(self.0.lock().unwrap().record.clone())
//!     }
//!
//!     async fn try_acquire(&self) -> Result<Attempt<()>, StoreError> {
//!         let mut kept = self.0.lock().unwrap();
//!         let attempt = if kept.is_leased { Attempt::busy() } else { Attempt::granted(()) };
//!         kept.is_leased = true;
//!         Ok(attempt.with_record(Ok(kept.record.clone())))
//!     }
//!
//!     async fn release(&self, _: ()) -> Result<(), StoreError> {
//!         self.0.lock().unwrap().is_leased = false;
//!         Ok(())
//!     }
//!
//!     async fn save(&self, _: &(), expected: Expected, record: &StoredRecord) -> Result<(), StoreError> {
//!         let mut kept = self.0.lock().unwrap();
//!         let is_repeated = kept.record.as_ref() == Some(record);
//!         if !is_repeated && !expected.allows(kept.record.as_ref()) {
//!             return Err(StoreError::conflict());
//!         }
//!         kept.record = Some(record.clone());
//!         Ok(())
//!     }
//!
//!     async fn delete(&self, _: &()) -> Result<(), StoreError> {
//!         self.0.lock().unwrap().record = None;
//!         Ok(())
//!     }
//! }
//! ```
//!
//! `testing::conformance` checks a store against the whole contract, and `examples/custom_store.rs`
//! keeps records in a database.

mod contract;
mod erased;
mod error;
mod family;
#[cfg(any(unix, windows))]
mod file;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
#[cfg(any(unix, windows))]
mod jobs;
#[cfg(feature = "encryption")]
mod key;
#[cfg(all(any(unix, windows), feature = "keyring"))]
mod keyring;
mod memory;
mod record;
mod record_json;
#[cfg(feature = "redis")]
mod redis;
mod sealing;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(any(feature = "redis", feature = "postgres", feature = "sqlite"))]
mod timed_lease;

#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::{RedisFamily, RedisSource, RedisStore, RedisStoreBuilder};
pub use contract::{Attempt, Expected, TokenStore};
pub(crate) use erased::{DynLease, DynTokenStore};
pub use error::StoreError;
pub use family::{ListKeys, StoreFamily};
#[cfg(all(any(unix, windows), feature = "testing"))]
#[doc(hidden)]
pub use file::SaveStep;
#[cfg(any(unix, windows))]
pub use file::{FileFamily, FileLease, FileStore};
#[cfg(feature = "encryption")]
#[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
pub use key::EncryptionKey;
#[cfg(all(any(unix, windows), feature = "keyring"))]
#[cfg_attr(docsrs, doc(cfg(feature = "keyring")))]
pub use keyring::KeyringStore;
pub use memory::{MemoryLease, MemoryStore};
pub use record::{Fingerprint, LoginId, RecordContent, StoredRecord};
pub(crate) use sealing::RecordFormat;
#[cfg(feature = "encryption")]
#[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
pub use sealing::Sealing;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use sql::PostgresStore;
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use sql::SqliteStore;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use sql::{SqlDatabase, SqlFamily, SqlStore, SqlStoreBuilder};
#[cfg(any(feature = "redis", feature = "postgres", feature = "sqlite"))]
pub use timed_lease::TimedLease;
