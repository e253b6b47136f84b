//! A store family and its list of keys without their types, so that a manager has no type parameter.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::{BoxError, Error};
use crate::store::{DynTokenStore, ListKeys, StoreFamily};

pub(super) type Keys = Pin<Box<dyn Future<Output = Result<Vec<String>, BoxError>> + Send>>;

/// Tells which users there are.
pub(super) type KeyList = Arc<dyn Fn() -> Keys + Send + Sync>;

pub(super) trait DynFamily: Send + Sync + 'static {
    fn open(&self, key: &str) -> Result<Arc<dyn DynTokenStore>, Error>;
}

impl<F: StoreFamily> DynFamily for F {
    fn open(&self, key: &str) -> Result<Arc<dyn DynTokenStore>, Error> {
        Ok(Arc::new(StoreFamily::open(self, key)?))
    }
}

pub(super) fn keys_of<F: ListKeys>(family: Arc<F>) -> KeyList {
    Arc::new(move || {
        let family = Arc::clone(&family);
        Box::pin(async move { Ok(family.list().await?) })
    })
}
