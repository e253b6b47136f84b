//! The store's trait with its futures and its lease boxed, so that a credential holds any store
//! without a type parameter. A refresh is rare; its boxes cost nothing that a request would feel.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Attempt, Expected, StoreError, StoredRecord, TokenStore};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type Calling<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// The lease of whichever store granted it. Two are equal if they are one grant.
#[derive(Clone)]
pub(crate) struct DynLease(Arc<dyn Any + Send + Sync>);

pub(crate) trait DynTokenStore: Send + Sync + 'static {
    fn check(&self) -> Calling<'_, ()>;
    fn load(&self) -> Calling<'_, Option<StoredRecord>>;
    fn try_acquire(&self) -> Calling<'_, Attempt<DynLease>>;
    fn renew<'a>(&'a self, lease: &'a DynLease) -> Calling<'a, DynLease>;
    fn release(&self, lease: DynLease) -> Calling<'_, ()>;
    fn time_left(&self, lease: &DynLease) -> Option<Duration>;
    fn save<'a>(
        &'a self,
        lease: &'a DynLease,
        expected: Expected,
        record: &'a StoredRecord,
    ) -> Calling<'a, ()>;
    fn delete<'a>(&'a self, lease: &'a DynLease) -> Calling<'a, ()>;
    fn changed(&self) -> BoxFuture<'_, ()>;
}

impl<S: TokenStore> DynTokenStore for S {
    fn check(&self) -> Calling<'_, ()> {
        Box::pin(TokenStore::check(self))
    }

    fn load(&self) -> Calling<'_, Option<StoredRecord>> {
        Box::pin(TokenStore::load(self))
    }

    fn try_acquire(&self) -> Calling<'_, Attempt<DynLease>> {
        Box::pin(async {
            let Attempt { lease, record } = TokenStore::try_acquire(self).await?;
            Ok(Attempt { lease: lease.map(DynLease::new), record })
        })
    }

    fn renew<'a>(&'a self, lease: &'a DynLease) -> Calling<'a, DynLease> {
        Box::pin(async { Ok(DynLease::new(TokenStore::renew(self, lease.of_store::<S>()).await?)) })
    }

    fn release(&self, lease: DynLease) -> Calling<'_, ()> {
        Box::pin(TokenStore::release(self, lease.of_store::<S>().clone()))
    }

    fn time_left(&self, lease: &DynLease) -> Option<Duration> {
        TokenStore::time_left(self, lease.of_store::<S>())
    }

    fn save<'a>(
        &'a self,
        lease: &'a DynLease,
        expected: Expected,
        record: &'a StoredRecord,
    ) -> Calling<'a, ()> {
        Box::pin(TokenStore::save(self, lease.of_store::<S>(), expected, record))
    }

    fn delete<'a>(&'a self, lease: &'a DynLease) -> Calling<'a, ()> {
        Box::pin(TokenStore::delete(self, lease.of_store::<S>()))
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(TokenStore::changed(self))
    }
}

impl DynLease {
    fn new<L: Send + Sync + 'static>(lease: L) -> Self {
        DynLease(Arc::new(lease))
    }

    fn of_store<S: TokenStore>(&self) -> &S::Lease {
        self.0.downcast_ref().expect("a lease goes back to the store that granted it")
    }

    fn address(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

impl PartialEq for DynLease {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for DynLease {}

impl Hash for DynLease {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

impl fmt::Debug for DynLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynLease(..)")
    }
}
