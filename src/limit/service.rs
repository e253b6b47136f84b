//! The service.

use std::mem;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::future::ResponseFuture;
use super::limiter::RateLimiter;

/// The service that [`RateLimitLayer`](super::RateLimitLayer) makes.
///
/// It is ready when the inner service is. A request that has to wait releases that readiness first,
/// and asks a clone of the inner service for it again when its queued has come.
#[derive(Clone, Debug)]
pub struct RateLimit<S> {
    inner: S,
    limiter: Option<RateLimiter>,
}

impl<S> RateLimit<S> {
    pub(super) fn new(inner: S, limiter: Option<RateLimiter>) -> Self {
        RateLimit { inner, limiter }
    }
}

impl<S, B, R> Service<Request<B>> for RateLimit<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S, Request<B>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let own = request.extensions().get::<RateLimiter>();
        let Some(limiter) = own.or(self.limiter.as_ref()).cloned() else {
            return ResponseFuture::unlimited(self.inner.call(request));
        };
        match limiter.try_acquire() {
            Some(permit) => ResponseFuture::sending(self.inner.call(request), limiter, permit),
            None => {
                let clone = self.inner.clone();
                // The readied one is dropped here, and with it what it holds.
                drop(mem::replace(&mut self.inner, clone.clone()));
                ResponseFuture::for_permit(clone, request, limiter)
            }
        }
    }
}
