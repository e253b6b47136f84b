//! One opaque error, with questions.

pub(crate) mod boxed;
mod find;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::headers::{ParseHeaderError, RequestMode};
use crate::refresh::{ApiError, FailureClass, RefreshError};
use crate::store::StoreError;

pub use boxed::BoxError;
pub(crate) use boxed::SharedError;
pub use find::MayHoldError;

/// What this crate itself has to say when something went wrong.
///
/// Errors of the inner service are never wrapped in it: they reach the caller as they came. Through
/// a tower stack this type arrives boxed, and beside a 401 it stands in the response's extensions, so
/// [find](Error::find) it to ask it:
///
/// ```
/// use tower_teamup_auth::{BoxError, Error};
///
/// fn must_log_in_again(error: &BoxError) -> bool {
///     Error::find(error).is_some_and(Error::is_login_required)
/// }
/// ```
///
/// A clone is cheap: every caller that waited for one failed refresh receives the same error.
/// `Debug` and `Display` show no secret.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: Kind,
    source: Option<SharedError>,
    retry_after: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    InvalidInput(Box<str>),
    InvalidRequest(Box<str>),
    StoredFormat(Box<str>),
    StoredFormatTooNew { version: u64, known: u64 },
    Refresh(FailureClass),
    Rejected { after_lost_answer: bool },
    RefreshLimit { count: u32, window_secs: u64 },
    NotRefreshable(RequestMode),
    NoToken(RequestMode),
    M2mRefused,
    M2mSource,
    NotM2m,
    Store,
    LeaseBusy,
    NotReleased,
    Unsaved,
    TimedOut,
    ShutDown,
    SignedOut,
    NothingStored,
    Interrupted,
    NoRuntime,
    NoTimer,
    NoRevisionLeft,
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

    /// A refresh request failed like this.
    pub(crate) fn refresh(class: FailureClass, cause: SharedError) -> Self {
        Error::caused(Kind::Refresh(class), cause)
    }

    /// TeamUp has refused the refresh token; `cause` is missing where another process was told.
    pub(crate) fn rejected(cause: Option<SharedError>, after_lost_answer: bool) -> Self {
        Error::of(Kind::Rejected { after_lost_answer }).with_source(cause)
    }

    pub(crate) fn refresh_limit(count: u32, window: Duration) -> Self {
        Error::of(Kind::RefreshLimit { count, window_secs: window.as_secs() })
    }

    pub(crate) fn not_refreshable(mode: RequestMode) -> Self {
        Error::of(Kind::NotRefreshable(mode))
    }

    /// The API has refused the M2M token, and there is no other.
    pub(crate) fn m2m_refused() -> Self {
        Error::of(Kind::M2mRefused)
    }

    /// The source of the M2M token could not be read.
    pub(crate) fn m2m_source(cause: SharedError) -> Self {
        Error::caused(Kind::M2mSource, cause)
    }

    /// A credential that is refreshed was handed an M2M token.
    pub(crate) fn not_m2m() -> Self {
        Error::of(Kind::NotM2m)
    }

    /// The refresh succeeded, and by now its token is gone again.
    pub(crate) fn no_token(mode: RequestMode) -> Self {
        Error::of(Kind::NoToken(mode))
    }

    pub(crate) fn store(cause: StoreError) -> Self {
        Error::store_shared(Arc::new(cause))
    }

    pub(crate) fn store_shared(cause: SharedError) -> Self {
        Error::caused(Kind::Store, cause)
    }

    /// Another process had the lease for as long as it was waited for.
    pub(crate) fn lease_busy() -> Self {
        Error::of(Kind::LeaseBusy)
    }

    /// The lease could not be given back.
    pub(crate) fn not_released(cause: SharedError) -> Self {
        Error::caused(Kind::NotReleased, cause)
    }

    /// The newest record has not reached the store. Without a cause, the lease was busy.
    pub(crate) fn unsaved(cause: Option<SharedError>) -> Self {
        let cause = cause.unwrap_or_else(|| Arc::new(Error::lease_busy()));
        Error::caused(Kind::Unsaved, cause)
    }

    pub(crate) fn timed_out() -> Self {
        Error::of(Kind::TimedOut)
    }

    pub(crate) fn shutdown() -> Self {
        Error::of(Kind::ShutDown)
    }

    pub(crate) fn signed_out() -> Self {
        Error::of(Kind::SignedOut)
    }

    pub(crate) fn nothing_stored() -> Self {
        Error::of(Kind::NothingStored)
    }

    /// The refresh ended before its time.
    pub(crate) fn interrupted() -> Self {
        Error::of(Kind::Interrupted)
    }

    pub(crate) fn no_runtime() -> Self {
        Error::of(Kind::NoRuntime)
    }

    /// The runtime has no timers.
    pub(crate) fn no_timer() -> Self {
        Error::of(Kind::NoTimer)
    }

    pub(crate) fn no_revision_left() -> Self {
        Error::of(Kind::NoRevisionLeft)
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

    /// Adds how long nothing is tried again.
    pub(crate) fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        Arc::make_mut(&mut self.0).retry_after = retry_after;
        self
    }

    fn with_source(mut self, source: Option<SharedError>) -> Self {
        Arc::make_mut(&mut self.0).source = source;
        self
    }

    fn of(kind: Kind) -> Self {
        Error(Arc::new(Inner { kind, source: None, retry_after: None }))
    }

    fn caused(kind: Kind, source: SharedError) -> Self {
        Error::of(kind).with_source(Some(source))
    }

    /// Something handed to a builder or a constructor can't be used. Nothing was sent; the text
    /// says what to change.
    pub fn is_invalid_input(&self) -> bool {
        matches!(self.0.kind, Kind::InvalidInput(_) | Kind::NoTimer)
    }

    /// The request itself can't be authorized as it stands: an unknown mode in its header, say, or
    /// no credentials where each request must bring its own. Nothing was sent.
    pub fn is_invalid_request(&self) -> bool {
        matches!(self.0.kind, Kind::InvalidRequest(_) | Kind::NotRefreshable(_) | Kind::NotM2m)
    }

    /// A person has to log in: the refresh token was refused, for sure or probably, or the user has
    /// signed out, or nothing is stored yet. Calls that need a new token fail like this, at once and
    /// locally, until [`Credentials::log_in`](crate::Credentials::log_in) brings tokens, here or in
    /// another process that shares the store: while calls fail, the store is read every 5 seconds.
    pub fn is_login_required(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Rejected { .. }
                | Kind::Refresh(FailureClass::Rejected | FailureClass::ProbablyRejected)
                | Kind::SignedOut
                | Kind::NothingStored
        )
    }

    /// TeamUp refuses what was asked for, whatever the refresh token: a scope, or the mode. Change
    /// the configuration; [`refresh_error`](Error::refresh_error) tells what TeamUp said.
    pub fn is_configuration(&self) -> bool {
        matches!(self.0.kind, Kind::Refresh(FailureClass::Configuration))
    }

    /// The same call may succeed a little later: no connection, a limit reached (429), a fault of
    /// TeamUp's (5xx), a store that is out of reach, or no token within the time limit.
    /// [`retry_after`](Error::retry_after) tells when the next try is worth it, where that is known.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Refresh(FailureClass::Transient)
                | Kind::Store
                | Kind::LeaseBusy
                | Kind::NotReleased
                | Kind::Unsaved
                | Kind::TimedOut
                | Kind::Interrupted
                | Kind::NoToken(_)
                | Kind::M2mSource
                | Kind::RefreshLimit { .. }
        )
    }

    /// The wait for a token reached its limit. The refresh goes on, and its result is used by the
    /// requests that come after it.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, Kind::TimedOut | Kind::LeaseBusy)
    }

    /// The refresh request was sent and its answer never arrived whole, twice: the refresh token may
    /// or may not be spent. The next refresh finds out.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self.0.kind, Kind::Refresh(FailureClass::OutcomeUnknown) | Kind::Interrupted)
    }

    /// What answered is not the refresh endpoint: a firewall, a captive portal, a redirect, a status
    /// that has no meaning there. The login is intact. Check the base URL.
    pub fn is_protocol(&self) -> bool {
        matches!(self.0.kind, Kind::Refresh(FailureClass::NotTheEndpoint))
    }

    /// Fresh tokens keep being answered 401, so no further one is minted for the moment.
    pub fn is_refresh_limited(&self) -> bool {
        matches!(self.0.kind, Kind::RefreshLimit { .. })
    }

    /// The token store could not be read, locked or written, or holds something unreadable.
    pub fn is_store(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Store
                | Kind::NotReleased
                | Kind::Unsaved
                | Kind::StoredFormat(_)
                | Kind::StoredFormatTooNew { .. }
        )
    }

    /// The newest tokens are in memory and not in the store. They are used, and the save is
    /// repeated; no refresh starts before it succeeds.
    pub fn is_unsaved(&self) -> bool {
        matches!(self.0.kind, Kind::Unsaved)
    }

    /// [`Credentials::shutdown`](crate::Credentials::shutdown) was called before.
    pub fn is_shut_down(&self) -> bool {
        matches!(self.0.kind, Kind::ShutDown)
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

    /// The API has refused the M2M token, and where it comes from there is no other: an operator has to
    /// issue a new one. A program hands it over with
    /// [`Credentials::set_m2m_token`](crate::Credentials::set_m2m_token), or puts it where its
    /// [`M2mSource`](crate::m2m::M2mSource) reads it.
    ///
    /// Found in the extensions of the 401, with [`Error::find`].
    pub fn is_m2m_refused(&self) -> bool {
        matches!(self.0.kind, Kind::M2mRefused)
    }

    /// The source of the M2M token could not be read: it failed, panicked or took too long. The last
    /// token stays in use, if there is one.
    pub fn is_m2m_source(&self) -> bool {
        matches!(self.0.kind, Kind::M2mSource)
    }

    /// Finds this crate's error in whatever a call ended with: in an error, however it is boxed and
    /// whatever wraps it, or beside the 401 in the extensions of a response.
    ///
    /// ```
    /// use tower_teamup_auth::{BoxError, Error};
    ///
    /// fn must_log_in_again<B>(answer: &Result<http::Response<B>, BoxError>) -> bool {
    ///     let error = match answer {
    ///         Ok(response) => Error::find(response),
    ///         Err(error) => Error::find(error),
    ///     };
    ///     error.is_some_and(Error::is_login_required)
    /// }
    /// ```
    ///
    /// It takes an `http::Response`, its extensions, a [`BoxError`], a `dyn std::error::Error`, and with
    /// the features of those crates a `reqwest::Response` and a `reqwest_middleware::Error`. A wrapper
    /// that passes its content off as itself hides it, as `reqwest_retry::RetryError::Error` does: match
    /// that first.
    pub fn find(place: &(impl MayHoldError + ?Sized)) -> Option<&Error> {
        place.find_error()
    }

    /// How long it makes no sense to try again: until the backoff of a failed refresh is over, or
    /// what the endpoint asked for (`Retry-After`, RFC 9110 section 10.2.3).
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after.or_else(|| self.refresh_error().and_then(RefreshError::retry_after))
    }

    /// TeamUp's own words on why the refresh failed, where it gave any: code, message, type and
    /// field errors.
    pub fn api_error(&self) -> Option<&ApiError> {
        self.refresh_error().and_then(RefreshError::api_error)
    }

    /// The refresh request's own account of its failure, where one is the reason.
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
                "the access token could not be refreshed for the moment; a request after a pause \
                 tries again",
            ),
            Kind::Refresh(FailureClass::OutcomeUnknown) => f.write_str(
                "the refresh was sent and no whole answer came back, so its outcome is unknown; \
                 the next refresh finds out whether the refresh token is spent",
            ),
            Kind::Refresh(FailureClass::NotTheEndpoint) => f.write_str(
                "what answered the refresh request is not the refresh endpoint as TeamUp documents \
                 it; check the base URL and what stands between this program and the API",
            ),
            Kind::Refresh(FailureClass::Configuration) => f.write_str(
                "TeamUp refuses what the refresh asked for, whatever the refresh token; change the \
                 scopes, the mode or the provider id of these credentials",
            ),
            Kind::Refresh(FailureClass::ProbablyRejected) => f.write_str(
                "TeamUp refused the refresh request and does not document why, so a login is \
                 probably required; let the user log in again and hand the new tokens to \
                 `Credentials::log_in`",
            ),
            Kind::Rejected { after_lost_answer: true } => f.write_str(
                "a login is required: the answer to a refresh request was lost, and the refresh \
                 token was refused afterwards, so it was probably spent by the lost one; let the \
                 user log in again and hand the new tokens to `Credentials::log_in`",
            ),
            Kind::Refresh(FailureClass::Rejected) | Kind::Rejected { .. } => f.write_str(
                "a login is required: TeamUp has refused the refresh token and no newer one is \
                 stored; let the user log in again and hand the new tokens to \
                 `Credentials::log_in`",
            ),
            Kind::RefreshLimit { count, window_secs } => write!(
                f,
                "fresh tokens keep being answered 401, and one more refresh for that reason would \
                 be number {count} within {window_secs} s; check that the mode, the provider id, \
                 the scheme and the account's permissions fit the requests"
            ),
            Kind::NotRefreshable(mode) => write!(
                f,
                "this credential can't mint a token for {mode} mode: an M2M token acts in provider \
                 mode only and can't be refreshed; use OAuth tokens for {mode} mode, or issue a \
                 new M2M token if this one has expired"
            ),
            Kind::M2mRefused => f.write_str(
                "the API refuses the M2M token, and where it comes from there is no other; issue a \
                 new M2M token in TeamUp's dashboard and put it in the place of the old one, or \
                 hand it to `Credentials::set_m2m_token`; if the token is good, check the scheme",
            ),
            Kind::M2mSource => f.write_str(
                "the M2M token could not be read where it comes from; mend its source, and a call \
                 after a pause reads it again; the last token stays in use, if there is one",
            ),
            Kind::NotM2m => f.write_str(
                "these credentials are refreshed, and an M2M token is not; hand the tokens of a \
                 login to `Credentials::log_in`, or begin with `Credentials::m2m`",
            ),
            Kind::NoToken(mode) => write!(
                f,
                "the token for {mode} mode was replaced or withdrawn while this request waited for \
                 it; send the request again"
            ),
            Kind::Store => f.write_str(
                "the token store could not be used; mend the store, and the next call tries again; \
                 requests go on while their token is valid",
            ),
            Kind::LeaseBusy => f.write_str(
                "another process held the lease of the token store for as long as it was waited \
                 for, and saved no newer tokens; look for a process that stands still, or try again \
                 later",
            ),
            Kind::NotReleased => f.write_str(
                "the lease of the token store could not be given back, so other processes wait \
                 until it runs out; mend the store and call again",
            ),
            Kind::Unsaved => f.write_str(
                "the newest tokens have not reached the token store yet, so no further refresh may \
                 start; mend the store, and the write is repeated by itself",
            ),
            Kind::TimedOut => f.write_str(
                "no token came within the time limit of a request, because the store, its lease or \
                 the endpoint took too long; the refresh goes on, so try again later, or allow more \
                 time with `CredentialsBuilder::wait_timeout`",
            ),
            Kind::ShutDown => f.write_str(
                "these credentials were shut down, so no refresh is started any more; build new \
                 ones to go on",
            ),
            Kind::SignedOut => f.write_str(
                "these credentials are signed out; let the user log in again and hand the new \
                 tokens to `Credentials::log_in`",
            ),
            Kind::NothingStored => f.write_str(
                "nobody has logged in yet: the token store is empty and no tokens were given; let the \
                 user log in, and hand the tokens to `Credentials::log_in`",
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
            Kind::NoTimer => f.write_str(
                "the Tokio runtime has no timers, which a refresh needs; build it with `enable_all`",
            ),
            Kind::NoRevisionLeft => f.write_str(
                "the revisions of the token store are used up, so no login can be stored; remove \
                 the stored record and log in again",
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

impl From<ParseHeaderError> for Error {
    fn from(error: ParseHeaderError) -> Self {
        Error::invalid_input(error.expected())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
