//! The store as the transaction sees it: every call has a time limit, a panic of a user's own store
//! is an error like any other, and a credential without a store needs no case of its own.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::store::{DynLease, DynTokenStore, StoreError, Stored};
use crate::sync::timeout;
use crate::token::TokenSet;

#[derive(Clone)]
pub(crate) struct Vault {
    /// `None`: the tokens live in the memory of this credential alone.
    store: Option<Arc<dyn DynTokenStore>>,
    /// How long one call may take, save for the lock, which others may hold for good reason.
    limit: Duration,
}

/// The right to refresh. Without a store there is nobody to share it with.
pub(crate) struct Lease(Option<DynLease>);

impl Vault {
    pub(crate) fn new(store: Option<Arc<dyn DynTokenStore>>, limit: Duration) -> Self {
        Vault { store, limit }
    }

    /// May other processes put tokens where these are?
    pub(crate) fn is_shared(&self) -> bool {
        self.store.is_some()
    }

    /// Can the store be used at all? Asked once, when the credential is built.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        match &self.store {
            None => Ok(()),
            Some(store) => bounded("check", self.limit, || store.check()).await,
        }
    }

    pub(crate) async fn lock(&self, limit: Duration) -> Result<Lease, StoreError> {
        match &self.store {
            None => Ok(Lease(None)),
            Some(store) => {
                bounded("lock", limit, || store.lock()).await.map(|lease| Lease(Some(lease)))
            }
        }
    }

    /// What the store holds. Without a store, `known` is all there is.
    pub(crate) async fn load(&self, known: &Stored) -> Result<Stored, StoreError> {
        match &self.store {
            None => Ok(known.clone()),
            Some(store) => bounded("load", self.limit, || store.load()).await,
        }
    }

    pub(crate) async fn save(
        &self,
        lease: &Lease,
        over: Option<u64>,
        tokens: &TokenSet,
    ) -> Result<(), StoreError> {
        match (&self.store, &lease.0) {
            (Some(store), Some(lease)) => {
                bounded("save", self.limit, || store.save(lease, over, tokens)).await
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn clear(&self, lease: &Lease) -> Result<(), StoreError> {
        match (&self.store, &lease.0) {
            (Some(store), Some(lease)) => bounded("clear", self.limit, || store.clear(lease)).await,
            _ => Ok(()),
        }
    }

    /// Waits until the right to refresh is given back, for `limit` or the limit of a call at most. If
    /// the store can't be told, its own means must do: the tokens are safe, and that is what counts.
    pub(crate) async fn settle(&self, limit: Duration) {
        if let Some(store) = &self.store {
            let _ = bounded("settle", limit.min(self.limit), || store.settle()).await;
        }
    }

    pub(crate) fn is_held(&self, lease: &Lease) -> bool {
        match (&self.store, &lease.0) {
            (Some(store), Some(lease)) => store.is_held(lease),
            _ => true,
        }
    }
}

async fn bounded<T, F>(
    name: &str,
    limit: Duration,
    call: impl FnOnce() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    match timeout(limit, catch_panic(call)).await {
        Ok(Ok(result)) => result,
        Ok(Err(Panicked)) => Err(StoreError::panicked(name)),
        Err(_elapsed) => Err(StoreError::timed_out(name, limit)),
    }
}

/// A call panicked. What it said went to the panic hook; the payload may hold a secret, so it is
/// dropped.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Calls and runs the future to its end, or to the panic of either: a function that is not `async`
/// can panic before there is a future.
pub(crate) async fn catch_panic<F: Future>(
    call: impl FnOnce() -> F,
) -> Result<F::Output, Panicked> {
    let mut future = pin!(async { call().await });
    std::future::poll_fn(|cx| poll_caught(future.as_mut(), cx)).await
}

/// A future that has panicked is not polled again, so nothing sees the state it left behind.
fn poll_caught<F: Future>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Panicked>> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => {
            drop::<Box<dyn Any + Send>>(payload);
            Poll::Ready(Err(Panicked))
        }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("store", &self.store.is_some())
            .field("limit", &self.limit)
            .finish()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn a_vault_tells_whether_there_is_a_store_and_shows_no_more_of_it() {
        for store in [None, Some(Arc::new(MemoryStore::new()) as Arc<dyn DynTokenStore>)] {
            let is_shared = store.is_some();
            let vault = Vault::new(store, Duration::from_secs(5));
            assert_eq!(vault.is_shared(), is_shared);
            assert_eq!(format!("{vault:?}"), format!("Vault {{ store: {is_shared}, limit: 5s }}"));
            let lease = vault.lock(Duration::from_secs(5)).await.unwrap();
            assert_eq!(format!("{lease:?}"), "Lease(..)");
        }
    }
}
