//! The layer.

use tower_layer::Layer;

use super::limiter::RateLimiter;
use super::service::RateLimit;

/// Lets requests wait until their caller's [`RateLimiter`] lets them go.
///
/// The [module's page](super) says where it belongs in a stack.
///
/// ```
/// use tower_teamup_auth::limit::{RateLimitLayer, RateLimiter};
///
/// let one_user = RateLimitLayer::new(RateLimiter::default());
/// let many_users = RateLimitLayer::per_request();
/// ```
#[derive(Clone, Debug)]
pub struct RateLimitLayer {
    limiter: Option<RateLimiter>,
}

impl RateLimitLayer {
    /// Counts every request with `limiter`, save those that bring a [`RateLimiter`] of their own in
    /// their extensions.
    pub fn new(limiter: RateLimiter) -> Self {
        RateLimitLayer { limiter: Some(limiter) }
    }

    /// Counts each request with the [`RateLimiter`] in its extensions. A request without one goes on
    /// at once.
    pub fn per_request() -> Self {
        RateLimitLayer { limiter: None }
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> RateLimit<S> {
        RateLimit::new(inner, self.limiter.clone())
    }
}
