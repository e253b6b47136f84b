//! The default store: the memory of one process.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::StoreError;
use super::contract::{Attempt, Expected, TokenStore};
use super::record::StoredRecord;

/// Keeps the record in the memory of this process: it is gone when the process ends.
///
/// The default where [`CredentialsBuilder::tokens`](crate::CredentialsBuilder::tokens) brings the
/// tokens. A clone is the same store.
///
/// ```
/// use tower_teamup_auth::store::MemoryStore;
/// use tower_teamup_auth::store::TokenStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
/// let store = MemoryStore::new();
/// assert!(store.load().await?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    record: Option<StoredRecord>,
    /// The lease that is granted; dead once its last clone is dropped.
    lease: Weak<()>,
}

/// The lease of a [`MemoryStore`]. It ends with its release, or when its last clone is dropped.
#[derive(Clone)]
pub struct MemoryLease(Arc<()>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        MemoryStore::default()
    }

    /// A store that holds `record`, which a token set can be made into.
    pub fn with_record(record: impl Into<StoredRecord>) -> Self {
        let store = MemoryStore::new();
        store.shared().record = Some(record.into());
        store
    }

    /// Takes the lease from the one who has it, as if it had run out: for tests of what then
    /// happens.
    #[cfg(feature = "testing")]
    #[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
    pub fn expire_lease(&self) {
        self.shared().lease = Weak::new();
    }

    /// Writes past every rule: for faulty stores.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn write(&self, record: StoredRecord) {
        self.shared().record = Some(record);
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn is_lease(&self, lease: &MemoryLease) -> bool {
        self.lease.as_ptr() == Arc::as_ptr(&lease.0)
    }

    fn demand(&self, lease: &MemoryLease) -> Result<(), StoreError> {
        if self.is_lease(lease) { Ok(()) } else { Err(StoreError::lease_lost()) }
    }
}

// No future of these is ever pending: what one does is done, or it was never begun.
impl TokenStore for MemoryStore {
    type Lease = MemoryLease;

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        Ok(self.shared().record.clone())
    }

    async fn try_acquire(&self) -> Result<Attempt<MemoryLease>, StoreError> {
        let mut shared = self.shared();
        let attempt = if shared.lease.strong_count() == 0 {
            let lease = MemoryLease(Arc::new(()));
            shared.lease = Arc::downgrade(&lease.0);
            Attempt::granted(lease)
        } else {
            Attempt::busy()
        };
        Ok(attempt.with_record(Ok(shared.record.clone())))
    }

    async fn renew(&self, lease: &MemoryLease) -> Result<MemoryLease, StoreError> {
        self.shared().demand(lease)?;
        Ok(lease.clone())
    }

    async fn release(&self, lease: MemoryLease) -> Result<(), StoreError> {
        let mut shared = self.shared();
        if shared.is_lease(&lease) {
            shared.lease = Weak::new();
        }
        Ok(())
    }

    async fn save(
        &self,
        lease: &MemoryLease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        let mut shared = self.shared();
        shared.demand(lease)?;
        if shared.record.as_ref() == Some(record) {
            return Ok(());
        }
        if !expected.allows(shared.record.as_ref()) {
            return Err(StoreError::conflict());
        }
        shared.record = Some(record.clone());
        Ok(())
    }

    async fn delete(&self, lease: &MemoryLease) -> Result<(), StoreError> {
        let mut shared = self.shared();
        shared.demand(lease)?;
        shared.record = None;
        Ok(())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryLease(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "testing")]
    #[tokio::test(start_paused = true)]
    async fn conformance_memory() {
        let store = MemoryStore::new();
        let other = store.clone();
        crate::testing::conformance::Conformance::new(|| std::future::ready(store.clone()))
            .expire_lease(move || {
                other.expire_lease();
                std::future::ready(())
            })
            .check()
            .await;
    }

    #[tokio::test]
    async fn the_lease_ends_with_its_last_clone() {
        let store = MemoryStore::new();
        let lease = TokenStore::try_acquire(&store).await.unwrap().lease.unwrap();
        let clone = lease.clone();
        drop(lease);
        assert!(TokenStore::try_acquire(&store).await.unwrap().lease.is_none());
        drop(clone);
        assert!(TokenStore::try_acquire(&store).await.unwrap().lease.is_some());
    }
}
