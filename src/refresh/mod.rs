//! The refresh request: what is sent to `auth/refresh_access_token`, and what comes back.
//!
//! [`Refresh`] is the seam. The endpoint as TeamUp documents it stands behind
//! [`CredentialsBuilder::refresh_client`](crate::CredentialsBuilder::refresh_client). A program that
//! gets its tokens another way (through a broker of its own, say) implements the trait and hands
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
//!         let minted = AccessToken::new("minted-by-the-broker").map_err(|error| {
//!             RefreshError::outcome_unknown("the broker's response").with_source(error)
//!         })?;
//!         // The broker keeps the refresh token, so ours never changes.
//!         Ok(RefreshResponse::without_rotation(minted, None))
//!     }
//! }
//! ```
//!
//! # What a response means
//!
//! | response of the endpoint | [class](FailureClass) |
//! | --- | --- |
//! | any 2xx with a usable `access_token` | none: the refresh succeeded |
//! | 400, 401 or 403 with a field error of `refresh_token`; 400 or 401 with the code `authentication_failed` or `invalid_grant` | rejected |
//! | 400, 401 or 403 with a field error of `scope` or `new_access_token_type`; 403 with the code `mode_not_allowed`, `permission_denied` or `provider_…` | configuration |
//! | 400, 401 or 403 with any other error body of TeamUp's | probably rejected |
//! | 400, 401 or 403 without one; 3xx (not followed); any other 4xx; a 2xx page that is neither JSON nor XML | not the endpoint |
//! | 408, 425, 429, and 5xx but the next line | transient |
//! | 502 and 504; a 2xx without a usable `access_token`, broken off, or over 64 KiB; a 400, 401 or 403 that is compressed | outcome unknown |
//! | none, and the client could not connect | transient |
//! | none, and the request may have been sent | outcome unknown |
//!
//! A client that follows redirects by itself does so before this crate sees them, and may carry
//! the refresh token to another host: hand in one that doesn't.
//!
//! # How a response is read
//!
//! - The format is the one that the body shows, whatever `Content-Type` says.
//! - A whole JSON or XML document is a response, even if the end of its body never comes.
//! - A missing `refresh_token`, or one that can't be used, keeps the old one in use (RFC 6749
//!   section 6).
//! - `expires_in` is seconds or null (TeamUp's documentation of `auth/refresh_access_token`); it may
//!   be missing (RFC 6749 section 5.1). Floats are rounded down, numbers written as text are read,
//!   and more than ten years count as ten years. Zero, a negative number and anything else count as
//!   null: no known expiry.
//! - `Retry-After` counts for 408, 425, 429 and 5xx, for as long as it says. A date is judged by the
//!   response's own `Date`.

#[cfg(feature = "hyper-plain")]
mod default_client;
mod endpoint;
mod erased;
mod error;
mod redact;
mod refresh_client;
mod request;
mod response;
mod transport;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "hyper-plain")]
pub(crate) use default_client::default_refresh_client;
pub(crate) use endpoint::Endpoint;
pub use endpoint::ResponseFormat;
pub(crate) use erased::DynRefresh;
pub use error::{ApiError, FailureClass, RefreshError};
pub use refresh_client::{HttpService, RefreshClient};
pub use request::RefreshEncoding;
pub(crate) use response::retry_after;
#[cfg(fuzzing)]
pub(crate) use response::{BodyEnd, RawResponse, decode};
pub(crate) use transport::{Transport, is_refresh_request};

use crate::headers::RequestMode;
use crate::token::{AccessToken, RefreshToken};

/// Sends refresh requests: turns a refresh token into an access token and the next refresh token.
///
/// The credential calls it in a task of its own, never twice at a time, and decides itself what is
/// tried again: an implementation sends one refresh request and classes its failure.
///
/// Closures and `Arc`s of an implementation are implementations too.
///
/// ```
/// use tower_teamup_auth::refresh::{RefreshError, RefreshRequest};
/// use tower_teamup_auth::{Credentials, RequestMode};
///
/// // For a program whose tokens are minted elsewhere: every refresh says so.
/// let builder = Credentials::builder(RequestMode::Provider).refresh_with(|_: RefreshRequest| async {
///     Err(RefreshError::rejected("tokens are minted by another program; hand in new ones"))
/// });
/// ```
pub trait Refresh: Send + Sync + 'static {
    /// Sends one refresh request.
    ///
    /// # Errors
    ///
    /// Classed by what the credential may do next; see [`FailureClass`].
    fn refresh(
        &self,
        request: RefreshRequest,
    ) -> impl Future<Output = Result<RefreshResponse, RefreshError>> + Send;
}

impl<F, R> Refresh for F
where
    F: Fn(RefreshRequest) -> R + Send + Sync + 'static,
    R: Future<Output = Result<RefreshResponse, RefreshError>> + Send,
{
    fn refresh(
        &self,
        request: RefreshRequest,
    ) -> impl Future<Output = Result<RefreshResponse, RefreshError>> + Send {
        self(request)
    }
}

/// One way to refresh for several credentials.
impl<R: Refresh> Refresh for Arc<R> {
    fn refresh(
        &self,
        request: RefreshRequest,
    ) -> impl Future<Output = Result<RefreshResponse, RefreshError>> + Send {
        R::refresh(self, request)
    }
}

/// What one refresh request asks for.
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

    /// The refresh token that this refresh request spends.
    pub fn refresh_token(&self) -> &RefreshToken {
        &self.refresh_token
    }

    /// The type of access token that is asked for: `new_access_token_type`.
    pub fn mode(&self) -> RequestMode {
        self.mode
    }
}

/// What one refresh request brought.
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
    /// `None`: the refresh token that was sent stays in use.
    pub(crate) refresh_token: Option<RefreshToken>,
    /// The response's `expires_in` was neither null nor a positive number, and `expires_in` is
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
        let refresh_token = Some(refresh_token);
        RefreshResponse { access_token, expires_in, refresh_token, odd_lifetime: false }
    }

    /// An access token that lives for `expires_in` (`None`: not known). The refresh token that was
    /// sent stays in use (RFC 6749 section 6).
    pub fn without_rotation(access_token: AccessToken, expires_in: Option<Duration>) -> Self {
        RefreshResponse { access_token, expires_in, refresh_token: None, odd_lifetime: false }
    }
}

impl fmt::Debug for RefreshResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshResponse")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}
