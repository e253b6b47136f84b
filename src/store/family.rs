//! Many stores from one configuration: one for each user of a service, say.

use std::future::Future;
use std::sync::Arc;

use super::StoreError;
use super::contract::TokenStore;
use crate::error::Error;

/// Opens a store for each key.
///
/// ```
/// use tower_teamup_auth::store::{FileStore, StoreFamily};
/// use tower_teamup_auth::Error;
///
/// /// A service that leaves it to its configuration where tokens are kept.
/// struct Users<F>(F);
///
/// impl<F: StoreFamily> Users<F> {
///     fn store(&self, user: &str) -> Result<F::Store, Error> {
///         self.0.open(user)
///     }
/// }
///
/// let users = Users(FileStore::family("/var/lib/my-service/tokens"));
/// let ada = users.store("ada@example.com")?;
/// assert_ne!(ada.path(), users.store("Ada@example.com")?.path());
/// # Ok::<(), Error>(())
/// ```
pub trait StoreFamily: Send + Sync + 'static {
    /// The store of one key.
    type Store: TokenStore;

    /// Gives a handle to the store of `key`. Two keys never share a store. Nothing is read or made
    /// yet.
    ///
    /// # Errors
    ///
    /// When the place has no name for such a key; [`Error::is_invalid_input`] is true of the error.
    /// A family of files takes any text.
    fn open(&self, key: &str) -> Result<Self::Store, Error>;
}

/// Lists the keys of a family. Not every place can: a Redis Cluster has no such thing.
pub trait ListKeys: StoreFamily {
    /// The keys under which a record is stored, a tombstone included, in no particular order. What
    /// is saved or deleted meanwhile may be listed or not.
    ///
    /// # Errors
    ///
    /// When the place can't be read.
    fn list(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;
}

/// One family, held in two places.
impl<F: StoreFamily> StoreFamily for Arc<F> {
    type Store = F::Store;

    fn open(&self, key: &str) -> Result<F::Store, Error> {
        F::open(self, key)
    }
}

impl<F: ListKeys> ListKeys for Arc<F> {
    fn list(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send {
        F::list(self)
    }
}
