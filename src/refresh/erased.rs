//! The same trait with its future boxed, so that a credential needs no type parameter for it.

use std::future::Future;
use std::pin::Pin;

use super::{Refresh, RefreshError, RefreshRequest, RefreshResponse};

pub(crate) trait DynRefresh: Send + Sync + 'static {
    fn refresh(
        &self,
        request: RefreshRequest,
    ) -> Pin<Box<dyn Future<Output = Result<RefreshResponse, RefreshError>> + Send + '_>>;
}

impl<R: Refresh> DynRefresh for R {
    fn refresh(
        &self,
        request: RefreshRequest,
    ) -> Pin<Box<dyn Future<Output = Result<RefreshResponse, RefreshError>> + Send + '_>> {
        Box::pin(Refresh::refresh(self, request))
    }
}
