//! Thin adapters for particular HTTP clients, and what this crate knows of their errors.
//!
//! The layer itself needs none of it: any tower service from `http::Request` to `http::Response`
//! will do.
//!
//! | client | feature | for the API | for refresh requests |
//! | --- | --- | --- | --- |
//! | hyper-util | `hyper` | `AuthLayer` over `hyper_client()`, or over any client of hyper-util | this crate's own, or any client of hyper-util |
//! | reqwest | `reqwest` | `AuthLayer` over `ReqwestService` | a `reqwest::Client` of its own |
//! | reqwest-middleware | `reqwest-middleware` | `AuthMiddleware` | a `reqwest::Client` of its own |
//! | any other | – | [`Credentials::access_token`](crate::Credentials::access_token), [`headers`](crate::Credentials::headers) or [`authorize`](crate::Credentials::authorize) | any of these |
//!
//! With the feature `hyper` the crate brings a client for refresh requests, so a program hands over
//! the client of the API alone.
//!
//! The feature `hyper-plain` has the same clients for HTTP/1.1 without TLS: loopback, or a sidecar that does the
//! TLS. A base URL that is https is then an error at build, which names the feature `hyper`.
//!
//! ```
//! # #[cfg(feature = "hyper")] {
//! use tower::ServiceBuilder;
//! use tower_teamup_auth::client::{HyperClient, hyper_client};
//! use tower_teamup_auth::{AuthLayer, Credentials, Error, RequestMode, TokenSet};
//!
//! async fn connect(tokens: TokenSet) -> Result<tower_teamup_auth::Auth<HyperClient>, Error> {
//!     let client: HyperClient = hyper_client();
//!     let credentials =
//!         Credentials::builder(RequestMode::Provider).tokens(tokens).build().await?;
//!     Ok(ServiceBuilder::new().layer(AuthLayer::new(credentials)).service(client))
//! }
//! # }
//! ```

mod any_client;
#[cfg(feature = "hyper-plain")]
mod hyper;
#[cfg(feature = "reqwest")]
mod redirects;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "reqwest-middleware")]
mod reqwest_middleware;

#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::{fmt, io, iter};

use crate::error::BoxError;

pub use self::any_client::CurrentToken;
#[cfg(feature = "hyper-plain")]
#[cfg_attr(docsrs, doc(cfg(feature = "hyper-plain")))]
pub use self::hyper::{
    HyperClient, HyperClientBuilder, HyperConnection, HyperConnector, https_connector, hyper_client,
};
#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
pub use self::redirects::redirects_within_origin;
#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
pub use self::reqwest::{ReqwestFuture, ReqwestService};
#[cfg(feature = "reqwest-middleware")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest-middleware")))]
pub use self::reqwest_middleware::AuthMiddleware;

/// Does this error of a client prove that its request never left?
///
/// Only then may the same refresh token be sent again without a second thought, so a doubtful
/// error counts as sent.
pub(crate) fn was_never_sent(error: &(dyn StdError + 'static)) -> bool {
    #[cfg(feature = "reqwest-middleware")]
    if let Some(error) = error.downcast_ref::<::reqwest_middleware::Error>() {
        return match error {
            ::reqwest_middleware::Error::Reqwest(error) => was_never_sent(error),
            // Its last attempt may have failed to connect after others had been sent.
            ::reqwest_middleware::Error::Middleware(_) => false,
        };
    }
    chain(error).any(|error| {
        was_not_connected(error) || is_connect_error(error) || is_early_reqwest_error(error)
    })
}

/// An error, and what lies behind it.
fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}

/// The two kinds that only connecting brings about. "Unreachable" is none of them: a connection
/// that is up, and has carried the request, can die of it too.
fn was_not_connected(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::AddrNotAvailable)
    })
}

#[cfg(any(feature = "hyper-plain", feature = "testing"))]
fn is_connect_error(error: &(dyn StdError + 'static)) -> bool {
    error
        .downcast_ref::<hyper_util::client::legacy::Error>()
        .is_some_and(hyper_util::client::legacy::Error::is_connect)
}

#[cfg(not(any(feature = "hyper-plain", feature = "testing")))]
fn is_connect_error(_error: &(dyn StdError + 'static)) -> bool {
    false
}

/// A request that could not be built, or a server that could not be connected to. It may be that of
/// a redirect; but whoever answers a refresh request with a redirect has refreshed nothing.
#[cfg(feature = "reqwest")]
fn is_early_reqwest_error(error: &(dyn StdError + 'static)) -> bool {
    error
        .downcast_ref::<::reqwest::Error>()
        .is_some_and(|error| error.is_builder() || error.is_connect())
}

#[cfg(not(feature = "reqwest"))]
fn is_early_reqwest_error(_error: &(dyn StdError + 'static)) -> bool {
    false
}

/// Names the setting of the client that ended a refresh request, where it is one that no request can
/// override.
pub(crate) fn name_client_limit(error: BoxError) -> BoxError {
    if is_reqwest_timeout(&*error) { Box::new(ReadTimeout(error)) } else { error }
}

/// A refresh request overrides the client's `timeout` and has no other, so this is the client's
/// `read_timeout`.
#[cfg(feature = "reqwest")]
fn is_reqwest_timeout(error: &(dyn StdError + 'static)) -> bool {
    chain(error)
        .filter_map(|error| error.downcast_ref::<::reqwest::Error>())
        .any(|error| error.is_timeout() && !error.is_connect())
}

#[cfg(not(feature = "reqwest"))]
fn is_reqwest_timeout(_error: &(dyn StdError + 'static)) -> bool {
    false
}

/// reqwest ended a refresh request that may have spent its token.
#[derive(Debug)]
struct ReadTimeout(BoxError);

impl fmt::Display for ReadTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the `read_timeout` of the reqwest client ended the wait for the response, which may hold the next \
             refresh token: build the client for refresh requests without `read_timeout`",
        )
    }
}

impl StdError for ReadTimeout {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}
