//! Many stores from one configuration: one for each user of a service, say.

use std::future::Future;

use super::StoreError;
use super::contract::TokenStore;

/// Opens a store for each key.
///
/// ```
/// use tower_teamup_auth::store::{FileFamily, FileStore, StoreFamily};
///
/// let users: FileFamily = FileStore::family("/var/lib/my-service/tokens");
/// let ada = users.open("ada@example.com");
/// assert_ne!(ada.path(), users.open("Ada@example.com").path());
/// ```
pub trait StoreFamily: Send + Sync + 'static {
    /// The store of one key.
    type Store: TokenStore;

    /// Gives a handle to the store of `key`. Any text is a key, the empty one included, and two
    /// keys never share a store. Nothing is read or made yet.
    fn open(&self, key: &str) -> Self::Store;
}

/// Lists the keys of a family. Not every place can: a keyring and a Redis Cluster have no such
/// thing.
pub trait ListKeys: StoreFamily {
    /// The keys under which a record is stored, a tombstone included, in no particular order. What
    /// is saved or deleted meanwhile may be listed or not.
    ///
    /// # Errors
    ///
    /// When the place can't be read.
    fn list(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;
}
