//! The same trait with its futures and its lease boxed, so that a credential holds any store
//! without a type parameter. A refresh is rare; its boxes cost nothing that a request would feel.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use super::{StoreError, Stored, TokenStore};
use crate::token::TokenSet;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The lease of whichever store granted it.
pub(crate) type DynLease = Box<dyn Any + Send + Sync>;

pub(crate) trait DynTokenStore: Send + Sync + 'static {
    fn check(&self) -> BoxFuture<'_, ()>;
    fn load(&self) -> BoxFuture<'_, Stored>;
    fn lock(&self) -> BoxFuture<'_, DynLease>;
    fn save<'a>(
        &'a self,
        lease: &'a DynLease,
        over: Option<u64>,
        tokens: &'a TokenSet,
    ) -> BoxFuture<'a, ()>;
    fn is_held(&self, lease: &DynLease) -> bool;
    fn clear<'a>(&'a self, lease: &'a DynLease) -> BoxFuture<'a, ()>;
    fn settle(&self) -> BoxFuture<'_, ()>;
}

impl<S: TokenStore> DynTokenStore for S {
    fn check(&self) -> BoxFuture<'_, ()> {
        Box::pin(TokenStore::check(self))
    }

    fn load(&self) -> BoxFuture<'_, Stored> {
        Box::pin(TokenStore::load(self))
    }

    fn lock(&self) -> BoxFuture<'_, DynLease> {
        Box::pin(async { Ok(Box::new(TokenStore::lock(self).await?) as DynLease) })
    }

    fn save<'a>(
        &'a self,
        lease: &'a DynLease,
        over: Option<u64>,
        tokens: &'a TokenSet,
    ) -> BoxFuture<'a, ()> {
        Box::pin(TokenStore::save(self, own_lease::<S>(lease), over, tokens))
    }

    fn is_held(&self, lease: &DynLease) -> bool {
        TokenStore::is_held(self, own_lease::<S>(lease))
    }

    fn clear<'a>(&'a self, lease: &'a DynLease) -> BoxFuture<'a, ()> {
        Box::pin(TokenStore::clear(self, own_lease::<S>(lease)))
    }

    fn settle(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            TokenStore::settle(self).await;
            Ok(())
        })
    }
}

fn own_lease<S: TokenStore>(lease: &DynLease) -> &S::Lease {
    lease.downcast_ref().expect("a lease goes back to the store that granted it")
}
