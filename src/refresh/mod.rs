//! The refresh exchange: what is sent to `auth/refresh_access_token`, and what comes back.
//!
//! [`Refresh`] is the seam. The endpoint as TeamUp documents it stands behind
//! [`CredentialsBuilder::refresh_client`](crate::CredentialsBuilder::refresh_client); a program that
//! mints its tokens another way (through a broker of its own, say) implements the trait and hands
//! it to [`CredentialsBuilder::refresh_with`](crate::CredentialsBuilder::refresh_with).
//!
//! ```
//! use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
//! use tower_teamup_auth::token::AccessToken;
//!
//! struct Broker;
//!
//! impl Refresh for Broker {
//!     async fn refresh(&self, request: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
//!         // … ask the broker for a token of `request.mode()` …
//!         let minted = AccessToken::new("minted-by-the-broker")
//!             .map_err(|error| RefreshError::protocol("the broker's answer").with_source(error))?;
//!         Ok(RefreshResponse::new(minted, None, request.refresh_token().clone()))
//!     }
//! }
//! ```
//!
//! # What an answer means
//!
//! | the endpoint's answer | [class](FailureClass) |
//! | --- | --- |
//! | 200 with `access_token`, `expires_in` and `refresh_token` | none: the exchange took place |
//! | 200 that is garbled, cut off, over 64 KiB long, or lacks one of the three | outcome unknown: the token has probably rotated |
//! | 200 that is neither JSON nor XML by its `Content-Type`: a captive portal's page, for instance | protocol |
//! | 400, 401, 403 | rejected |
//! | 408, 425, 429, 5xx | transient; `Retry-After` is read as seconds or a date, and an hour at most is believed |
//! | 3xx | protocol; not followed, for the request holds the refresh token |
//! | any other | protocol |
//! | none, and the client failed before it could connect | transient |
//! | none, and the request may have gone out | outcome unknown |
//!
//! A client that follows redirects by itself does so before this crate sees them, and may carry
//! the refresh token to another host: hand in one that doesn't.
//!
//! `expires_in` is seconds or null (TeamUp's documentation of `auth/refresh_access_token`). A fresh
//! pair is never thrown away because its lifetime makes no sense: floats are rounded down, numbers
//! written as text are read, more than ten years count as ten years, and zero, a negative number
//! or anything else counts as null, no known expiry.

mod answer;
mod decode;
mod encode;
mod endpoint;
mod erased;
mod error;
mod refresh_client;
mod retry_after;
mod strike;
mod transport;

use std::fmt;
use std::future::Future;
use std::time::Duration;

#[cfg(fuzzing)]
pub(crate) use answer::{Answer, BodyEnd};
#[cfg(fuzzing)]
pub(crate) use decode::decode;
pub use encode::RefreshEncoding;
pub(crate) use endpoint::Endpoint;
pub use endpoint::ResponseFormat;
pub(crate) use erased::DynRefresh;
pub use error::{ApiError, FailureClass, RefreshError};
pub use refresh_client::{HttpService, RefreshClient};
#[cfg(fuzzing)]
pub(crate) use retry_after::retry_after;
pub(crate) use transport::{Transport, is_exchange};

use crate::headers::RequestMode;
use crate::token::{AccessToken, RefreshToken};

/// Exchanges a refresh token for an access token and the next refresh token.
///
/// The credential calls it in a task of its own, never twice at a time, and decides itself what is
/// tried again: an implementation sends one exchange and classes its failure.
///
/// ```
/// use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
///
/// /// For a program whose tokens are minted elsewhere: every refresh says so.
/// struct Elsewhere;
///
/// impl Refresh for Elsewhere {
///     async fn refresh(&self, _: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
///         Err(RefreshError::rejected("tokens are minted by another program; hand in new ones"))
///     }
/// }
/// ```
pub trait Refresh: Send + Sync + 'static {
    /// Sends one exchange.
    ///
    /// # Errors
    ///
    /// Classed by what the credential may do next; see [`FailureClass`].
    fn refresh(
        &self,
        request: RefreshRequest,
    ) -> impl Future<Output = Result<RefreshResponse, RefreshError>> + Send;
}

/// What one exchange asks for.
///
/// ```
/// use tower_teamup_auth::refresh::RefreshRequest;
///
/// /// The form that a broker of one's own wants.
/// fn form(request: &RefreshRequest) -> [(&'static str, String); 2] {
///     [
///         ("token", request.refresh_token().expose().to_owned()),
///         ("type", request.mode().to_string()),
///     ]
/// }
/// ```
#[derive(Clone, Debug)]
pub struct RefreshRequest {
    refresh_token: RefreshToken,
    mode: RequestMode,
}

impl RefreshRequest {
    pub(crate) fn new(refresh_token: RefreshToken, mode: RequestMode) -> Self {
        RefreshRequest { refresh_token, mode }
    }

    /// The refresh token that is spent by this exchange.
    pub fn refresh_token(&self) -> &RefreshToken {
        &self.refresh_token
    }

    /// The type of access token that is asked for: `new_access_token_type`.
    pub fn mode(&self) -> RequestMode {
        self.mode
    }
}

/// What one exchange brought.
///
/// ```
/// use std::time::Duration;
///
/// use tower_teamup_auth::refresh::RefreshResponse;
///
/// let two_hours = Duration::from_secs(7200);
/// let brought = RefreshResponse::new("an-access-token".parse()?, Some(two_hours), "the-next".parse()?);
/// assert!(!format!("{brought:?}").contains("the-next"));
/// # Ok::<(), tower_teamup_auth::Error>(())
/// ```
pub struct RefreshResponse {
    pub(crate) access_token: AccessToken,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) refresh_token: RefreshToken,
    /// The answer's `expires_in` was neither null nor a positive number, and `expires_in` is
    /// `None` for that reason. Worth an event: the token is then used until a 401.
    pub(crate) odd_lifetime: bool,
}

impl RefreshResponse {
    /// An access token that lives for `expires_in` (`None`: not known), and the rotated refresh
    /// token.
    pub fn new(
        access_token: AccessToken,
        expires_in: Option<Duration>,
        refresh_token: RefreshToken,
    ) -> Self {
        RefreshResponse { access_token, expires_in, refresh_token, odd_lifetime: false }
    }
}

impl fmt::Debug for RefreshResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshResponse")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}
