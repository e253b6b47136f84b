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
//!     while let Some(state) = changes.next().await {
//!         show(if state.is_login_required() {
//!             Some("Please log in to TeamUp again.".to_owned())
//!         } else if let Some(unsaved) = state.unsaved() {
//!             Some(format!("The login can't be saved: {}", unsaved.error()))
//!         } else {
//!             state.failure().map(|failure| format!("TeamUp is out of reach: {}", failure.error()))
//!         });
//!     }
//! }
//! ```
//!
//! Nothing runs for it: a state is put together when it is asked for, and a credential that nobody
//! subscribes to keeps no list of subscribers. So the passing of time alone is no change: a token
//! that expires while nobody uses it is [`Token::Expired`] the next time that somebody asks.

use std::fmt;
use std::sync::{OnceLock, Weak};
use std::time::SystemTime;

use tokio::sync::watch;

use super::{Credentials, Inner, ModeTokens};
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
#[derive(Clone, Debug)]
pub struct Status {
    mode: RequestMode,
    customer: Token,
    provider: Token,
    refreshing: bool,
    failure: Option<Failure>,
    unsaved: Option<Failure>,
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
    /// A request of this mode is sent at once.
    #[non_exhaustive]
    Ready {
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
    credentials: Weak<Inner>,
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
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
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
        let view = self.inner.desk.view();
        // Not before: a refresh that the view has seen the end of is in the cell by now.
        let snapshot = self.snapshot();
        let now = self.now();
        Status {
            mode: self.inner.settings.mode,
            customer: Token::of(snapshot.slot(RequestMode::Customer), now),
            provider: Token::of(snapshot.slot(RequestMode::Provider), now),
            refreshing: view.refreshing,
            failure: view.failure,
            unsaved: view.unsaved,
            shut_down: view.closed,
        }
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
            credentials: std::sync::Arc::downgrade(&self.inner),
            signals: self.inner.desk.watched().subscribe(),
            last: None,
        }
    }
}

impl Status {
    /// Would a request in the credential's own mode be sent at once, with a token that is valid as
    /// far as is known?
    ///
    /// It is not before the first token of that mode has been minted: to warm up, call
    /// [`Credentials::refresh`].
    pub fn is_ready(&self) -> bool {
        matches!(self.token(self.mode), Token::Ready { .. })
    }

    /// Can a request in the credential's own mode be expected to be sent, at once or after a
    /// refresh? What a health check asks.
    ///
    /// It can while a token is valid, whatever else goes wrong. Without one it can if the last
    /// refresh, if there was any, succeeded, and the credential is not shut down.
    pub fn is_healthy(&self) -> bool {
        !self.is_login_required()
            && (self.is_ready() || (self.failure.is_none() && !self.shut_down))
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
            Token::Ready { until } => until,
            _ => None,
        }
    }

    /// Is a refresh under way, or about to begin?
    pub fn is_refreshing(&self) -> bool {
        self.refreshing
    }

    /// Why no new token could be had, and since when; `None` once a refresh has succeeded, here or
    /// in another process, or new tokens were set. Requests go on while their token is valid.
    ///
    /// A 401 to a token that was just minted is no failure of the refresh: the
    /// [storm guard](crate::CredentialsBuilder::refresh_limit) shows in the 401 itself.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Has the user to authorize the program again? No refresh is tried until then; see
    /// [`Error::is_login_required`]. [`failure`](Status::failure) tells why: the refresh
    /// token was refused, or the user has signed out.
    pub fn is_login_required(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.error.is_login_required())
    }

    /// Why the newest tokens are not in the store, and since when. They are used all the same, the
    /// write is repeated, and no refresh starts before it has succeeded. Let the process run: it
    /// holds the only copy.
    pub fn unsaved(&self) -> Option<&Failure> {
        self.unsaved.as_ref()
    }

    /// Was [`Credentials::shutdown`] called?
    pub fn is_shut_down(&self) -> bool {
        self.shut_down
    }

    /// Would telling the two apart tell anybody anything?
    fn is_same(&self, other: &Status) -> bool {
        let same = |one: &Option<Failure>, other: &Option<Failure>| match (one, other) {
            (Some(one), Some(other)) => one.since == other.since && one.error.is(&other.error),
            (None, None) => true,
            _ => false,
        };
        self.customer == other.customer
            && self.provider == other.provider
            && self.refreshing == other.refreshing
            && self.shut_down == other.shut_down
            && same(&self.failure, &other.failure)
            && same(&self.unsaved, &other.unsaved)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = httpdate::fmt_http_date;
        match self.token(self.mode) {
            Token::Missing => write!(f, "no token for {} mode", self.mode)?,
            Token::Ready { until: None } => write!(f, "ready in {} mode", self.mode)?,
            Token::Ready { until: Some(until) } => {
                write!(f, "ready in {} mode until {}", self.mode, date(until))?;
            }
            Token::Expired { since } => {
                write!(f, "the token for {} mode expired at {}", self.mode, date(since))?;
            }
        }
        if self.refreshing {
            f.write_str("; refreshing")?;
        }
        if let Some(Failure { since, error }) = &self.failure {
            write!(f, "; failing since {}: {}", date(*since), Chain(error))?;
        }
        if let Some(Failure { since, error }) = &self.unsaved {
            write!(f, "; newest tokens unsaved since {}: {}", date(*since), Chain(error))?;
        }
        if self.shut_down {
            f.write_str("; shut down")?;
        }
        Ok(())
    }
}

impl Token {
    fn of(slot: &ModeTokens, now: Moment) -> Self {
        match &slot.held {
            None => Token::Missing,
            Some(held) => {
                let due = held.deadlines.due;
                if now.has_reached(due) {
                    Token::Expired { since: due.wall_time() }
                } else {
                    Token::Ready { until: (due != Moment::NEVER).then(|| due.wall_time()) }
                }
            }
        }
    }
}

impl Failure {
    pub(super) fn new(error: Error, since: SystemTime) -> Self {
        Failure { since, error }
    }

    /// The same trouble, and `error` as the latest that is known of it.
    pub(super) fn goes_on(&mut self, error: Error) {
        self.error = error;
    }

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
            let state = Credentials { inner: self.credentials.upgrade()? }.status();
            if !self.last.as_ref().is_some_and(|last| last.is_same(&state)) {
                self.last = Some(state.clone());
                return Some(state);
            }
        }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("last", &self.last).finish_non_exhaustive()
    }
}

/// Tells the subscribers of one credential that something may have changed.
#[derive(Debug, Default)]
pub(crate) struct Watched(OnceLock<watch::Sender<()>>);

impl Watched {
    /// To be called after a change, never before it.
    pub(crate) fn signal(&self) {
        if let Some(sender) = self.0.get() {
            sender.send_replace(());
        }
    }

    fn subscribe(&self) -> watch::Receiver<()> {
        self.0.get_or_init(|| watch::channel(()).0).subscribe()
    }
}

/// What the desk knows of a state.
pub(crate) struct View {
    pub(crate) refreshing: bool,
    pub(crate) failure: Option<Failure>,
    pub(crate) unsaved: Option<Failure>,
    pub(crate) closed: bool,
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn calm() -> Status {
        Status {
            mode: RequestMode::Provider,
            customer: Token::Missing,
            provider: Token::Ready { until: None },
            refreshing: false,
            failure: None,
            unsaved: None,
            shut_down: false,
        }
    }

    #[test]
    fn whatever_a_state_tells_makes_it_another() {
        let began = UNIX_EPOCH + Duration::from_secs(1000);
        let trouble = Failure::new(Error::timed_out(), began);
        let mut goes_on = trouble.clone();
        goes_on.goes_on(Error::timed_out());
        let later = Failure { since: began + Duration::from_secs(1), ..trouble.clone() };
        let states = [
            calm(),
            Status { customer: Token::Ready { until: None }, ..calm() },
            Status { provider: Token::Ready { until: Some(began) }, ..calm() },
            Status { refreshing: true, ..calm() },
            Status { shut_down: true, ..calm() },
            Status { failure: Some(trouble.clone()), ..calm() },
            Status { failure: Some(goes_on.clone()), ..calm() },
            Status { failure: Some(later.clone()), ..calm() },
            Status { unsaved: Some(trouble), ..calm() },
            Status { unsaved: Some(goes_on), ..calm() },
            Status { unsaved: Some(later), ..calm() },
        ];
        for (at, state) in states.iter().enumerate() {
            for (other_at, other) in states.iter().enumerate() {
                assert_eq!(state.is_same(&other.clone()), at == other_at, "{state:?}, {other:?}");
            }
        }
    }
}
