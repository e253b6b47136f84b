//! How a credential is, for a program that shows it, checks it or waits for it.
//!
//! [`Credentials::status`] tells how things are now; [`Credentials::subscribe`] hands out each new
//! [`Status`] as it comes.
//!
//! ```
//! use tower_teamup_auth::Credentials;
//!
//! /// Shows a banner for as long as something is wrong.
//! async fn keep_banner(credentials: Credentials, mut show: impl FnMut(Option<String>)) {
//!     let mut changes = credentials.subscribe();
//!     drop(credentials); // a subscription keeps no credential alive
//!     while let Some(status) = changes.next().await {
//!         show(if status.is_login_required() {
//!             Some("Please log in to TeamUp again.".to_owned())
//!         } else if let Some(unsaved) = status.dirty() {
//!             Some(format!("The login can't be saved: {}", unsaved.error()))
//!         } else {
//!             status.failure().map(|failure| format!("TeamUp is out of reach: {}", failure.error()))
//!         });
//!     }
//! }
//! ```
//!
//! Nothing runs for it: a state is put together when it is asked for, and a credential that nobody
//! subscribes to keeps no list of subscribers. So the passing of time alone is no change: a token
//! that expires while nobody uses it is [`Token::Expired`] the next time that somebody asks.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::Credentials;
use super::core::Core;
use super::failure::Cause;
use super::state::{self, View};
use crate::error::Error;
use crate::headers::RequestMode;
use crate::observe::Chain;
use crate::token::Moment;

/// How a credential is at one moment. [`Credentials::status`] makes it.
///
/// ```
/// use http::StatusCode;
/// use tower_teamup_auth::Credentials;
///
/// /// `GET /healthz`
/// fn healthz(credentials: &Credentials) -> (StatusCode, String) {
///     let state = credentials.status();
///     let status = match state.is_healthy() {
///         true => StatusCode::OK,
///         false => StatusCode::SERVICE_UNAVAILABLE,
///     };
///     (status, state.to_string())
/// }
/// ```
///
/// `Display` is one line for a log or a health check. Neither it nor `Debug` shows a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    mode: RequestMode,
    customer: Token,
    provider: Token,
    refreshing: bool,
    failure: Option<Failure>,
    dirty: Option<Failure>,
    login_required: bool,
    rejected: bool,
    signed_out: bool,
    shut_down: bool,
}

/// What a credential has for requests of one mode.
///
/// ```
/// use tower_teamup_auth::status::{Status, Token};
/// use tower_teamup_auth::RequestMode;
///
/// fn in_words(state: &Status, mode: RequestMode) -> &'static str {
///     match state.token(mode) {
///         Token::Ready { until: Some(_), .. } => "ready for a while",
///         Token::Ready { .. } => "ready",
///         _ => "the next request waits for a refresh",
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Token {
    /// No access token: the next request of this mode waits until one is minted.
    Missing,
    /// A request of this mode is sent at once. `refused`: the API has answered 401 to this very
    /// token, and no newer one could be had.
    #[non_exhaustive]
    Ready {
        /// The API has answered 401 to this token.
        refused: bool,
        /// When the token expires by the wall clock; `None` where that is not known.
        until: Option<SystemTime>,
    },
    /// The next request of this mode waits for a refresh.
    #[non_exhaustive]
    Expired {
        /// When the token expired by the wall clock.
        since: SystemTime,
    },
}

/// Something that went wrong and has not been put right yet.
#[derive(Clone, Debug)]
pub struct Failure {
    since: SystemTime,
    error: Error,
    /// Which event it is: an error made anew of the same one is no news.
    event: state::Failure<Cause>,
}

/// The states of a credential, one after the other. [`Credentials::subscribe`] makes it.
///
/// It keeps no credential alive, and whoever falls behind misses what lies between, never the
/// newest state.
///
/// ```
/// # use tower_teamup_auth::testing::FakeTeamUp;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
/// # let teamup = FakeTeamUp::start().await;
/// # let http_client: tower_teamup_auth::client::HyperClient = tower_teamup_auth::client::hyper_client();
/// # let credentials = tower_teamup_auth::Credentials::builder(tower_teamup_auth::RequestMode::Provider)
/// #     .base_url(teamup.base_url()).tokens(teamup.issue_tokens(&[])).refresh_client(http_client).build().await?;
/// let mut changes = credentials.subscribe();
/// assert!(!changes.next().await.unwrap().is_login_required()); // as it is now
/// credentials.sign_out().await?;
/// while !changes.next().await.unwrap().is_login_required() {} // and as it becomes
/// drop(credentials);
/// assert!(changes.next().await.is_none());
/// # Ok(())
/// # }
/// ```
pub struct Changes {
    credentials: Weak<Core>,
    signals: watch::Receiver<()>,
    /// What was handed out last.
    last: Option<Status>,
}

impl Credentials {
    /// How this credential is at this moment: ready until when, refreshing, failing since when and
    /// why, waiting for a login. Asks nobody, and may be called as often as one likes.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use tower::service_fn;
    /// use tower_teamup_auth::{BoxError, Credentials, RequestMode, TokenSet};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// # let http_client = service_fn(|_: http::Request<http_body_util::Full<bytes::Bytes>>| async {
    /// #     Err::<http::Response<String>, BoxError>("no network here".into())
    /// # });
    /// let tokens = TokenSet::new("a-refresh-token".parse()?).with_access_token(
    ///     RequestMode::Provider,
    ///     "an-access-token".parse()?,
    ///     Some(Duration::from_secs(7200)),
    /// );
    /// let credentials = Credentials::builder(RequestMode::Provider)
    ///     .tokens(tokens)
    ///     .refresh_client(http_client)
    ///     .build()
    ///     .await?;
    ///
    /// assert!(credentials.status().is_ready());
    /// credentials.sign_out().await?;
    /// assert!(credentials.status().is_login_required());
    /// # Ok::<(), BoxError>(())
    /// # })?;
    /// # Ok::<(), BoxError>(())
    /// ```
    pub fn status(&self) -> Status {
        status_of(&self.core)
    }

    /// The [states](Status) of this credential from now on, the present one first.
    ///
    /// A subscriber costs this credential a few hundred bytes, and no task and no timer.
    ///
    /// ```no_run
    /// # async fn example(credentials: tower_teamup_auth::Credentials) {
    /// let mut changes = credentials.subscribe();
    /// tokio::spawn(async move {
    ///     while let Some(state) = changes.next().await {
    ///         println!("TeamUp: {state}");
    ///     }
    /// });
    /// # }
    /// ```
    pub fn subscribe(&self) -> Changes {
        Changes {
            credentials: Arc::downgrade(&self.core),
            signals: self.core.watched.subscribe(),
            last: None,
        }
    }
}

pub(super) fn status_of(core: &Core) -> Status {
    let now = core.settings.clock.now();
    let (mode, limit) = (core.settings.mode, core.settings.limit);
    core.read(|state| Status::of(&state.view(), mode, limit, now))
}

impl Status {
    fn of(
        view: &View<'_, Cause>,
        mode: RequestMode,
        limit: state::RefreshLimit,
        now: Moment,
    ) -> Self {
        let failure = |event: state::Failure<Cause>, since: Moment| Failure {
            since: since.wall_time(),
            error: super::failure::error(&event, mode, limit, now),
            event,
        };
        let token = |of: RequestMode| {
            let state = match of {
                RequestMode::Customer => view.customer,
                RequestMode::Provider => view.provider,
            };
            let issued = view.record.and_then(|record| record.tokens()?.issued(of));
            match issued {
                None => Token::Missing,
                Some(_) if now.has_reached(state.deadlines.expired) => {
                    Token::Expired { since: state.deadlines.expired.wall_time() }
                }
                Some(issued) => Token::Ready { refused: state.refused, until: issued.expires_at },
            }
        };
        let failing = match mode {
            RequestMode::Customer => &view.customer.failure,
            RequestMode::Provider => &view.provider.failure,
        };
        let required = view.login_required.clone();
        let login_required = required.is_some()
            || failing.as_ref().is_some_and(|failing| failing.latest.is_login_required());
        let rejected = matches!(required, Some(state::Failure::Rejected { .. }));
        let signed_out = matches!(required, Some(state::Failure::SignedOut));
        let failure_now = match (required, failing) {
            (Some(event), _) => Some(failure(event, view.login_required_since)),
            (None, Some(failing)) => Some(failure(failing.latest.clone(), failing.since)),
            (None, None) => None,
        };
        let dirty = view.dirty.and_then(|dirty| {
            Some(failure(state::Failure::Unsaved(dirty.cause.clone()?), dirty.since))
        });
        Status {
            mode,
            customer: token(RequestMode::Customer),
            provider: token(RequestMode::Provider),
            refreshing: view.refreshing,
            failure: failure_now,
            dirty,
            login_required,
            rejected,
            signed_out,
            shut_down: view.closing,
        }
    }

    /// Would a request in the credential's own mode be sent at once, with a token that is valid as
    /// far as is known, and that the API has not refused?
    ///
    /// It is not before the first token of that mode has been minted: to warm up, call
    /// [`Credentials::refresh`].
    pub fn is_ready(&self) -> bool {
        matches!(self.token(self.mode), Token::Ready { refused: false, .. })
    }

    /// Can a request in the credential's own mode be expected to be served, at once or after a
    /// refresh? What a health check asks.
    ///
    /// It can while a token is valid and not refused, whatever else goes wrong. Without one it can
    /// if no login is required, the last refresh, if there was any, succeeded, and the credential is
    /// not shut down.
    pub fn is_healthy(&self) -> bool {
        self.is_ready() || !(self.login_required || self.failure.is_some() || self.shut_down)
    }

    /// What there is for requests in `mode`.
    pub fn token(&self, mode: RequestMode) -> Token {
        match mode {
            RequestMode::Customer => self.customer,
            RequestMode::Provider => self.provider,
        }
    }

    /// When the token of the credential's own mode expires by the wall clock, if there is a valid
    /// one and its expiry is known.
    pub fn ready_until(&self) -> Option<SystemTime> {
        match self.token(self.mode) {
            Token::Ready { until, .. } => until,
            _ => None,
        }
    }

    /// Is a refresh under way, or about to begin?
    pub fn is_refreshing(&self) -> bool {
        self.refreshing
    }

    /// Why no new token of the credential's own mode could be had, and since when; `None` once a
    /// refresh has succeeded, here or in another process, or somebody has logged in. Requests go on
    /// while their token is valid.
    ///
    /// A 401 to a token that was just minted is no failure of the refresh.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Must a person log in? See [`Error::is_login_required`]. [`failure`](Status::failure) tells
    /// why: the refresh token was refused, the user has signed out, or nobody has logged in yet.
    pub fn is_login_required(&self) -> bool {
        self.login_required
    }

    /// Has TeamUp refused the refresh token, for sure? An access token that is still valid goes on
    /// being sent.
    pub fn is_rejected(&self) -> bool {
        self.rejected
    }

    /// Has the user signed out?
    pub fn is_signed_out(&self) -> bool {
        self.signed_out
    }

    /// Why the newest tokens are not in the store, and since when. They are used all the same, the
    /// save is repeated, and no refresh starts before it has succeeded. Let the process run: it
    /// holds the only copy.
    pub fn dirty(&self) -> Option<&Failure> {
        self.dirty.as_ref()
    }

    /// Was [`Credentials::shutdown`] called?
    pub fn is_shut_down(&self) -> bool {
        self.shut_down
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.token(self.mode) {
            Token::Missing => write!(f, "no token for {} mode", self.mode)?,
            Token::Ready { until: None, .. } => write!(f, "ready in {} mode", self.mode)?,
            Token::Ready { until: Some(until), .. } => {
                write!(f, "ready in {} mode until {}", self.mode, Date(until))?;
            }
            Token::Expired { since } => {
                write!(f, "the token for {} mode expired at {}", self.mode, Date(since))?;
            }
        }
        if let Token::Ready { refused: true, .. } = self.token(self.mode) {
            f.write_str("; the API has refused this token")?;
        }
        if self.refreshing {
            f.write_str("; refreshing")?;
        }
        if let Some(Failure { since, error, .. }) = &self.failure {
            write!(f, "; failing since {}: {}", Date(*since), Chain(error))?;
        }
        if let Some(Failure { since, error, .. }) = &self.dirty {
            write!(f, "; newest tokens unsaved since {}: {}", Date(*since), Chain(error))?;
        }
        if self.shut_down {
            f.write_str("; shut down")?;
        }
        Ok(())
    }
}

/// A time in the format of HTTP (RFC 9110 section 5.6.7), which ends with the year 9999.
struct Date(SystemTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The first second of the year 10000.
        const YEAR_10000: u64 = 253_402_300_800;
        match self.0.duration_since(UNIX_EPOCH) {
            Ok(since) if since < Duration::from_secs(YEAR_10000) => {
                f.write_str(&httpdate::fmt_http_date(self.0))
            }
            Ok(_) => f.write_str("a time after the year 9999"),
            Err(_) => f.write_str("a time before 1970"),
        }
    }
}

impl PartialEq for Failure {
    fn eq(&self, other: &Self) -> bool {
        self.since == other.since && self.event == other.event
    }
}

impl Failure {
    /// When it began, by the wall clock.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// The latest error that it led to.
    pub fn error(&self) -> &Error {
        &self.error
    }
}

impl Changes {
    /// Waits for a state that is another than the one handed out last; the first time, hands out
    /// the present one at once. `None` when the last handle of the credential is gone.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped has handed out nothing: the next one does.
    pub async fn next(&mut self) -> Option<Status> {
        loop {
            if self.last.is_some() {
                self.signals.changed().await.ok()?;
            }
            let status = Credentials { core: self.credentials.upgrade()? }.status();
            if self.last.as_ref() != Some(&status) {
                self.last = Some(status.clone());
                return Some(status);
            }
        }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("last", &self.last).finish_non_exhaustive()
    }
}
