//! Staying below the API's rate limit.
//!
//! TeamUp takes 250 requests a minute from one caller: the user behind a token, or the IP address
//! where there is no token (documented). [`RateLimitLayer`] keeps a caller below that. A request
//! that would be too many waits; none fails for it. After a 429 all requests of the caller wait, as
//! long as its `Retry-After` says, or with a growing pause where there is none.
//!
//! ```
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_teamup_auth::limit::{RateLimitLayer, RateLimiter};
//! # use tower_teamup_auth::{AuthLayer, BoxError, Credentials};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let credentials = Credentials::m2m("an-m2m-token".parse()?).build().await?;
//! # let http_client = service_fn(|_: Request<http_body_util::Full<bytes::Bytes>>| async {
//! #     Ok::<_, BoxError>(Response::new(String::new()))
//! # });
//! let limiter = RateLimiter::default(); // one for each user; clones share it
//! let api = ServiceBuilder::new()
//!     .layer(AuthLayer::new(credentials))
//!     .layer(RateLimitLayer::new(limiter.clone())) // below: a retry is a request, too
//!     .service(http_client);
//! # let request = Request::get("https://goteamup.com/api/v2/events").body(Default::default())?;
//! # api.oneshot(request).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Multiple users
//!
//! The limit is each user's own. A service that serves many users over one stack uses
//! [`RateLimitLayer::per_request`] and puts each user's [`RateLimiter`] into the request's
//! extensions, beside that user's credentials.
//!
//! # Limitations
//!
//! A limiter counts within one process. Where several processes act for one user, give each its
//! share with [`RateLimiter::new`]. A request that is answered 429 goes to the caller with that
//! answer: whether it can be sent again is the caller's to know, for instance with tower's `retry`.

mod future;
mod layer;
mod limiter;
mod service;
#[cfg(all(test, heavy_tests))]
mod tests;

pub use future::ResponseFuture;
pub use layer::RateLimitLayer;
pub use limiter::RateLimiter;
pub use service::RateLimit;
