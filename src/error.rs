//! One opaque error, with questions.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::headers::RequestMode;
use crate::refresh::{ApiError, FailureClass, RefreshError};
use crate::store::StoreError;

/// An error of any kind, boxed, as tower's own middleware returns it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What this crate itself has to say when something went wrong.
///
/// Errors of the inner service are never wrapped in it: they reach the caller as they came. Through
/// a tower stack this type arrives boxed, so downcast to ask it:
///
/// ```
/// use tower_teamup_auth::{BoxError, Error};
///
/// fn must_log_in_again(error: &BoxError) -> bool {
///     error.downcast_ref::<Error>().is_some_and(Error::is_login_required)
/// }
/// ```
///
/// A clone is cheap: every caller that waited for one failed refresh receives the same error.
/// `Debug` and `Display` show no secret.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    source: Option<BoxError>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    InvalidInput(Box<str>),
    InvalidRequest(Box<str>),
    StoredFormat(Box<str>),
    StoredFormatTooNew { version: u64, known: u64 },
    Refresh(FailureClass),
    ReauthorizationRequired,
    RefreshLimit { limit: u32, window_secs: u64 },
    NotRefreshable(RequestMode),
    NoToken(RequestMode),
    Store,
    Unsaved,
    TimedOut,
    Shutdown,
    SignedOut,
    NothingStored,
    Interrupted,
    NoRuntime,
    LoginChanged,
    RetryableByCaller,
    CarriedOut,
    RouteRefused,
}

impl Error {
    pub(crate) fn invalid_input(message: impl Into<Box<str>>) -> Self {
        Error::of(Kind::InvalidInput(message.into()))
    }

    pub(crate) fn invalid_request(message: impl Into<Box<str>>) -> Self {
        Error::of(Kind::InvalidRequest(message.into()))
    }

    pub(crate) fn stored_format(message: impl Into<Box<str>>) -> Self {
        Error::of(Kind::StoredFormat(message.into()))
    }

    /// A stored record of a format that a later version of this crate wrote.
    pub(crate) fn stored_format_too_new(version: u64, known: u64) -> Self {
        Error::of(Kind::StoredFormatTooNew { version, known })
    }

    /// Is it a stored record of a later format?
    pub(crate) fn is_stored_format_too_new(&self) -> bool {
        matches!(self.0.kind, Kind::StoredFormatTooNew { .. })
    }

    /// The refresh failed, and nothing more is known than what the exchange said.
    pub(crate) fn refresh(cause: RefreshError) -> Self {
        Error::caused(Kind::Refresh(cause.class()), cause)
    }

    /// The endpoint refused the refresh token, and nobody else has a newer one.
    pub(crate) fn reauthorization_required(cause: RefreshError) -> Self {
        Error::caused(Kind::ReauthorizationRequired, cause)
    }

    pub(crate) fn refresh_limit(limit: u32, window: std::time::Duration) -> Self {
        Error::of(Kind::RefreshLimit { limit, window_secs: window.as_secs() })
    }

    pub(crate) fn not_refreshable(mode: RequestMode) -> Self {
        Error::of(Kind::NotRefreshable(mode))
    }

    /// The refresh succeeded, and by now its token is gone again.
    pub(crate) fn no_token(mode: RequestMode) -> Self {
        Error::of(Kind::NoToken(mode))
    }

    pub(crate) fn store(cause: StoreError) -> Self {
        Error::caused(Kind::Store, cause)
    }

    /// A rotated pair has not reached the store yet, so no further refresh may start.
    pub(crate) fn unsaved(cause: StoreError) -> Self {
        Error::caused(Kind::Unsaved, cause)
    }

    pub(crate) fn timed_out() -> Self {
        Error::of(Kind::TimedOut)
    }

    pub(crate) fn shutdown() -> Self {
        Error::of(Kind::Shutdown)
    }

    pub(crate) fn signed_out() -> Self {
        Error::of(Kind::SignedOut)
    }

    pub(crate) fn nothing_stored() -> Self {
        Error::of(Kind::NothingStored)
    }

    /// The task of the refresh ended before its time: it panicked, or its runtime went away.
    pub(crate) fn interrupted() -> Self {
        Error::of(Kind::Interrupted)
    }

    pub(crate) fn no_runtime() -> Self {
        Error::of(Kind::NoRuntime)
    }

    /// The login that a request was classified with is not the login any more.
    pub(crate) fn login_changed() -> Self {
        Error::of(Kind::LoginChanged)
    }

    /// The token was refreshed, and the body of the request is gone.
    pub(crate) fn retryable_by_caller() -> Self {
        Error::of(Kind::RetryableByCaller)
    }

    /// The token was refreshed, and the request may have been carried out before its redirect.
    pub(crate) fn carried_out() -> Self {
        Error::of(Kind::CarriedOut)
    }

    /// The route answers 401 whatever token it is sent.
    pub(crate) fn route_refused() -> Self {
        Error::of(Kind::RouteRefused)
    }

    /// Is it that the newest tokens are not in the store?
    pub(crate) fn is_unsaved(&self) -> bool {
        self.0.kind == Kind::Unsaved
    }

    /// Is it a clone of `other`?
    pub(crate) fn is(&self, other: &Error) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn of(kind: Kind) -> Self {
        Error(Arc::new(Inner { kind, source: None }))
    }

    fn caused(kind: Kind, source: impl Into<BoxError>) -> Self {
        Error(Arc::new(Inner { kind, source: Some(source.into()) }))
    }

    /// Something handed to a builder or a constructor can't be used. Nothing was sent; the text
    /// says what to change.
    pub fn is_invalid_input(&self) -> bool {
        matches!(self.0.kind, Kind::InvalidInput(_))
    }

    /// The request itself can't be authorized as it stands: an unknown mode in its header, say, or
    /// no credentials where each request must bring its own. Nothing was sent.
    pub fn is_invalid_request(&self) -> bool {
        matches!(self.0.kind, Kind::InvalidRequest(_) | Kind::NotRefreshable(_))
    }

    /// The user has to authorize the program again: the refresh token is spent, revoked or
    /// unknown, and no newer one is stored. Every call fails like this, at once and locally, until
    /// [`Credentials::log_in`](crate::Credentials::log_in) brings new tokens, or brought
    /// them to another process that shares the store: while calls fail, the store is looked at
    /// every 5 seconds.
    pub fn is_login_required(&self) -> bool {
        matches!(self.0.kind, Kind::ReauthorizationRequired | Kind::SignedOut | Kind::NothingStored)
    }

    /// The same call may succeed a little later: no connection, a limit reached (429), a fault of
    /// TeamUp's (5xx), a store that is out of reach, or no answer within the refresh's time limit.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Refresh(FailureClass::Transient)
                | Kind::Store
                | Kind::Unsaved
                | Kind::TimedOut
                | Kind::Interrupted
                | Kind::NoToken(_)
                | Kind::RefreshLimit { .. }
        )
    }

    /// The exchange was sent and its answer never arrived whole, twice: the refresh token may or
    /// may not be spent. The next refresh finds out.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self.0.kind, Kind::Refresh(FailureClass::OutcomeUnknown) | Kind::Interrupted)
    }

    /// What answered is not the refresh endpoint as TeamUp documents it: a redirect, a status that
    /// has no meaning there, or an answer in another form. Check the base URL.
    pub fn is_protocol(&self) -> bool {
        matches!(self.0.kind, Kind::Refresh(FailureClass::NotTheEndpoint))
    }

    /// The storm guard is open: fresh tokens keep being answered 401, so no further one is minted
    /// for the moment.
    pub fn is_refresh_limited(&self) -> bool {
        matches!(self.0.kind, Kind::RefreshLimit { .. })
    }

    /// The token store could not be read, locked or written, or holds something unreadable.
    pub fn is_store(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Store | Kind::Unsaved | Kind::StoredFormat(_) | Kind::StoredFormatTooNew { .. }
        )
    }

    /// [`Credentials::shutdown`](crate::Credentials::shutdown) was called before.
    pub fn is_shut_down(&self) -> bool {
        matches!(self.0.kind, Kind::Shutdown)
    }

    /// The login changed while the request waited: somebody logged in again, or signed out. The request
    /// was not sent, or not sent again, with the tokens of another login. Send it again if it is meant
    /// for the new one.
    pub fn is_login_changed(&self) -> bool {
        matches!(self.0.kind, Kind::LoginChanged)
    }

    /// The token was refreshed after the 401, and the request could not be sent again because its body
    /// is gone. The same request, made anew, goes out with the new token.
    ///
    /// Found in the extensions of the 401, with [`Error::find`].
    pub fn is_retryable_by_caller(&self) -> bool {
        matches!(self.0.kind, Kind::RetryableByCaller)
    }

    /// The URL answers 401 whatever token it is sent, so this 401 caused no refresh, or followed one.
    /// Check what the URL wants: another mode, another provider id, a permission.
    ///
    /// Found in the extensions of the 401, with [`Error::find`].
    pub fn is_route_refused(&self) -> bool {
        matches!(self.0.kind, Kind::RouteRefused)
    }

    /// How long the refresh endpoint asked to wait before the next try, where it did (`Retry-After`,
    /// RFC 9110 section 10.2.3).
    pub fn retry_after(&self) -> Option<std::time::Duration> {
        self.refresh_error().and_then(RefreshError::retry_after)
    }

    /// TeamUp's own words on why the refresh failed, where it gave any: code, message, type and
    /// field errors.
    pub fn api_error(&self) -> Option<&ApiError> {
        self.refresh_error().and_then(RefreshError::api_error)
    }

    /// The exchange's own account of its failure, where a failed exchange is the reason.
    pub fn refresh_error(&self) -> Option<&RefreshError> {
        self.0.source.as_deref().and_then(|source| source.downcast_ref())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            Kind::InvalidInput(message)
            | Kind::InvalidRequest(message)
            | Kind::StoredFormat(message) => f.write_str(message),
            Kind::StoredFormatTooNew { version, known } => write!(
                f,
                "the stored record is of format version {version}, and this version of the crate \
                 reads up to {known}; update tower-teamup-auth in this program"
            ),
            Kind::Refresh(FailureClass::Transient) => f.write_str(
                "the access token could not be refreshed for the moment; the next request after a \
                 short pause tries again",
            ),
            Kind::Refresh(FailureClass::OutcomeUnknown) => f.write_str(
                "the refresh was sent and no whole answer came back, so its outcome is unknown; \
                 the next refresh finds out whether the refresh token is spent",
            ),
            Kind::Refresh(
                FailureClass::NotTheEndpoint
                | FailureClass::Configuration
                | FailureClass::ProbablyRejected,
            ) => f.write_str(
                "the refresh endpoint answered in a way that TeamUp does not document; check the \
                 base URL and what stands between this program and the API",
            ),
            // The transaction turns a rejection into `ReauthorizationRequired`.
            Kind::Refresh(FailureClass::Rejected) | Kind::ReauthorizationRequired => f.write_str(
                "re-authorization is required: the refresh token was refused and no newer one is \
                 stored; let the user log in again and hand the new tokens to \
                 `Credentials::log_in`",
            ),
            Kind::RefreshLimit { limit, window_secs } => write!(
                f,
                "the storm guard is open: fresh tokens keep being answered 401, and a refresh for \
                 that reason would have been number {limit} within {window_secs} s; check that \
                 the mode, the provider id and the account's permissions fit the requests"
            ),
            Kind::NotRefreshable(mode) => write!(
                f,
                "this credential can't mint a token for {mode} mode: an M2M token acts in provider \
                 mode only and can't be refreshed; use OAuth tokens for {mode} mode, or issue a \
                 new M2M token if this one has expired"
            ),
            Kind::NoToken(mode) => write!(
                f,
                "the token for {mode} mode was replaced or withdrawn while this request waited for \
                 it; send the request again"
            ),
            Kind::Store => f.write_str(
                "the token store could not be used, so no refresh was started; mend the store, and \
                 the next request tries again; until then requests go on while their token is valid",
            ),
            Kind::Unsaved => f.write_str(
                "the newest tokens have not reached the token store yet, so no further refresh may \
                 start; mend the store, and the write is repeated by itself",
            ),
            Kind::TimedOut => f.write_str(
                "the refresh did not finish within its time limit, because the store, its lock or \
                 the endpoint took too long; try again later, or allow more time with \
                 `CredentialsBuilder::wait_timeout`",
            ),
            Kind::Shutdown => f.write_str(
                "these credentials were shut down, so no refresh is started any more; build new \
                 ones to go on",
            ),
            Kind::SignedOut => f.write_str(
                "these credentials are signed out; let the user log in again and hand the new \
                 tokens to `Credentials::log_in`",
            ),
            Kind::NothingStored => f.write_str(
                "the token store is empty and no tokens were given; let the user log in, and hand \
                 the tokens to `CredentialsBuilder::tokens` beside the store",
            ),
            Kind::Interrupted => f.write_str(
                "the refresh was interrupted: its task panicked, or the runtime it ran on went \
                 away; the next request starts another",
            ),
            Kind::LoginChanged => f.write_str(
                "the login changed while this request waited, and a request is sent under the login \
                 that it was made for; send it again if it is meant for the new login",
            ),
            Kind::RetryableByCaller => f.write_str(
                "the token was refreshed, but the body of this request is gone, so it was not sent \
                 again; send the request once more",
            ),
            Kind::CarriedOut => f.write_str(
                "the token was refreshed, but a redirect was or may have been followed after this \
                 request, so it may have been carried out and was not sent again; fetch what the \
                 redirect led to, or build the client with a redirect policy of this crate",
            ),
            Kind::RouteRefused => f.write_str(
                "this URL answers 401 to fresh tokens too; check whether it wants another mode, \
                 another provider id or another permission",
            ),
            Kind::NoRuntime => f.write_str(
                "a refresh needs a Tokio runtime and there is none here; call the service from \
                 within `tokio::runtime::Runtime::block_on` or a task",
            ),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.0.kind);
        if let Some(source) = &self.0.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
