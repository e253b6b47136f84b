//! A store that a test meddles with.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tower_teamup_auth::store::{Attempt, Expected, StoreError, StoredRecord, TokenStore};

/// A store that this process can't write to while it is broken, and that counts what is asked of it.
#[derive(Clone)]
pub(crate) struct Meddled<S> {
    store: S,
    is_broken: Arc<AtomicBool>,
    loads: Count,
    failures: Count,
}

#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    fn up(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits until so many more were counted.
    pub(crate) async fn more(&self, further: usize) {
        let so_far = self.get();
        for _ in 0..4000 {
            if self.get() >= so_far + further {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("waited 20 s in vain for the store to be asked");
    }
}

impl<S> Meddled<S> {
    pub(crate) fn with(store: S) -> Self {
        Meddled {
            store,
            is_broken: Arc::default(),
            loads: Count::default(),
            failures: Count::default(),
        }
    }

    pub(crate) fn break_it(&self) {
        self.is_broken.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.is_broken.store(false, Ordering::SeqCst);
    }

    pub(crate) fn loads(&self) -> &Count {
        &self.loads
    }

    /// How many saves have failed.
    pub(crate) fn failures(&self) -> &Count {
        &self.failures
    }
}

impl<S: TokenStore> TokenStore for Meddled<S> {
    type Lease = S::Lease;

    async fn check(&self) -> Result<(), StoreError> {
        self.store.check().await
    }

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        let loaded = self.store.load().await;
        self.loads.up();
        loaded
    }

    async fn try_acquire(&self) -> Result<Attempt<S::Lease>, StoreError> {
        self.store.try_acquire().await
    }

    async fn renew(&self, lease: &S::Lease) -> Result<S::Lease, StoreError> {
        self.store.renew(lease).await
    }

    async fn release(&self, lease: S::Lease) -> Result<(), StoreError> {
        self.store.release(lease).await
    }

    fn time_left(&self, lease: &S::Lease) -> Option<Duration> {
        self.store.time_left(lease)
    }

    async fn save(
        &self,
        lease: &S::Lease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        if self.is_broken.load(Ordering::SeqCst) {
            self.failures.up();
            let full = io::Error::from(io::ErrorKind::StorageFull);
            return Err(StoreError::unavailable("the test does not let this process write", full));
        }
        self.store.save(lease, expected, record).await
    }

    async fn delete(&self, lease: &S::Lease) -> Result<(), StoreError> {
        self.store.delete(lease).await
    }

    async fn changed(&self) {
        self.store.changed().await;
    }
}
