//! One line of the journal.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, AsHeaderName, HeaderMap, HeaderName};
use http::request::Parts;
use http::{Method, StatusCode, Uri, Version};
use sha2::{Digest, Sha256};

use super::route::Route;
use crate::headers::{PROVIDER_ID, REQUEST_MODE, RequestMode};
use crate::token::{AccessToken, RefreshToken};

/// `x-caller`: a header by which a test marks one call of a client, so that the journal can tell
/// the retry of a request from a new one.
///
/// The client's middleware sends the header again with the retry. Give each call a value of its
/// own:
///
/// ```
/// use tower_teamup_auth::testing::CALLER;
///
/// let request = http::Request::get("http://127.0.0.1:8080/api/v2/events")
///     .header(CALLER, "call-17")
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
pub const CALLER: HeaderName = HeaderName::from_static("x-caller");

/// What came of a refresh request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefreshOutcome {
    /// An access token for this mode was minted and the refresh token rotated, whether or not the
    /// client got to know.
    Rotated(RequestMode),
    /// Refused: the request was not valid, its mode is refused, or its refresh token is unknown,
    /// expired or revoked.
    Rejected,
    /// Refused: the refresh token had been spent before. What becomes of the login is a
    /// [setting](super::FakeTeamUpBuilder::spent_tokens).
    DoubleSpent,
    /// A fault, a rate limit or a client that hung up in the middle of the request kept the server
    /// from carrying it out.
    Faulted,
}

/// Why an API request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// No `Authorization`, or more than one.
    NoToken,
    /// An `Authorization` of a scheme that is not accepted, or of no known form.
    Scheme,
    /// A token that this server never issued.
    UnknownToken,
    /// A token whose lifetime is over.
    ExpiredToken,
    /// A token that was revoked, on its own or with its login.
    RevokedToken,
    /// No `TeamUp-Request-Mode`.
    ModeMissing,
    /// A `TeamUp-Request-Mode` that is not the token's type.
    ModeMismatch,
    /// No `TeamUp-Provider-ID` where one is required.
    ProviderMissing,
    /// A `TeamUp-Provider-ID` that is no integer.
    ProviderMalformed,
    /// A `TeamUp-Provider-ID` of a provider that the credentials do not reach.
    ProviderInvalid,
    /// Too many requests in a minute.
    RateLimit,
}

/// The body of a request, as it arrived. `Debug` does not show its content.
#[derive(Clone, PartialEq, Eq)]
pub struct Received {
    pub(super) size: u64,
    pub(super) sha256: String,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) head: Bytes,
}

impl Received {
    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its SHA-256 digest, in lower-case hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The trailers that came after it, if any.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// Its first 64 KiB. Those of a refresh request or a login hold secrets.
    pub fn bytes(&self) -> &Bytes {
        &self.head
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("size", &self.size)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

/// One request that the server saw, and what it answered.
///
/// `Display` is one line of a trace that a person can follow. Neither it nor `Debug` shows a
/// token: tokens appear as [fingerprints](Entry::token_fingerprint).
#[derive(Clone)]
pub struct Entry {
    pub(super) number: usize,
    pub(super) connection: u64,
    pub(super) version: Version,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: Arc<HeaderMap>,
    pub(super) route: Route,
    pub(super) body: Option<Arc<Received>>,
    pub(super) refresh_token: Option<Arc<str>>,
    /// The login of the token that it carried.
    pub(super) login: Option<u64>,
    /// `Some` where `login` is.
    pub(super) account: Option<Arc<str>>,
    pub(super) refresh_outcome: Option<RefreshOutcome>,
    pub(super) authorized: bool,
    pub(super) refusal: Option<Refusal>,
    pub(super) fault: Option<&'static str>,
    pub(super) retry: bool,
    pub(super) mixed_login: bool,
    pub(super) status: Option<StatusCode>,
    /// Answered, or its client has hung up.
    pub(super) closed: bool,
    /// The server works on it, whether or not its client still waits.
    pub(super) in_work: bool,
}

impl Entry {
    /// The entry of a request whose head has arrived.
    pub(super) fn new(connection: u64, route: Route, head: &Parts) -> Self {
        Entry {
            number: 0,
            connection,
            version: head.version,
            method: head.method.clone(),
            uri: head.uri.clone(),
            headers: Arc::new(head.headers.clone()),
            route,
            body: None,
            refresh_token: None,
            login: None,
            account: None,
            refresh_outcome: None,
            authorized: false,
            refusal: None,
            fault: None,
            retry: false,
            mixed_login: false,
            status: None,
            closed: false,
            in_work: true,
        }
    }

    /// The request's place in the order of arrival, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Which connection it came over, counted from 1.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// Its version of HTTP.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Its path.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// Its query, if there was one.
    pub fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    /// Its headers. `Authorization` is among them, so do not print them all.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first value of a header, where it is text.
    pub fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The `TeamUp-Request-Mode` that it carried.
    pub fn mode(&self) -> Option<&str> {
        self.header(REQUEST_MODE)
    }

    /// The `TeamUp-Provider-ID` that it carried.
    pub fn provider(&self) -> Option<&str> {
        self.header(PROVIDER_ID)
    }

    /// The value of its [`CALLER`] header.
    pub fn caller(&self) -> Option<&str> {
        self.header(CALLER)
    }

    /// Which of the server's places it went to.
    pub fn route(&self) -> Route {
        self.route
    }

    /// Its body, once it has been read whole.
    pub fn body(&self) -> Option<&Received> {
        self.body.as_deref()
    }

    /// Did it carry this token in its `Authorization`?
    pub fn carried_token(&self, token: &AccessToken) -> bool {
        self.credentials().is_some_and(|(_, carried)| carried == token.expose())
    }

    /// Did its body carry this refresh token?
    pub fn carried_refresh_token(&self, token: &RefreshToken) -> bool {
        self.refresh_token.as_deref() == Some(token.expose())
    }

    /// Eight hexadecimal digits that stand for the token it carried: the access token of an API
    /// request, the refresh token of a refresh request. The same token has the same fingerprint.
    pub fn token_fingerprint(&self) -> Option<String> {
        match self.refresh_token.as_deref() {
            Some(token) => Some(fingerprint(token)),
            None => self.credentials().map(|(_, token)| fingerprint(token)),
        }
    }

    /// The login that its access token or refresh token came from, valid or not: logins are counted
    /// from 1 in the order in which they were made. `None`: an M2M token, a token that the server
    /// never issued, or none.
    ///
    /// ```
    /// use tower_teamup_auth::testing::FakeTeamUp;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let server = FakeTeamUp::start().await;
    /// let tokens = server.issue_tokens_to("anna", &[]);
    /// let login = server.login_of(tokens.refresh_token().expose());
    /// assert_eq!(login, Some(1));
    /// // … the program of this login runs …
    /// let journal = server.journal();
    /// let mixed = journal.entries().iter().filter(|entry| entry.login() != login).count();
    /// assert_eq!(mixed, 0, "{journal}");
    /// # }
    /// ```
    pub fn login(&self) -> Option<u64> {
        self.login
    }

    /// The account of its [`login`](Entry::login), as
    /// [`issue_tokens_to`](super::FakeTeamUp::issue_tokens_to) named it.
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// What came of it, if it was a refresh request and is decided.
    pub fn refresh_outcome(&self) -> Option<RefreshOutcome> {
        self.refresh_outcome
    }

    /// Was it an API request whose token was accepted?
    pub fn is_authorized(&self) -> bool {
        self.authorized
    }

    /// Why it was refused, if it was an API request and was.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Which fault it met, in words.
    pub fn fault(&self) -> Option<&'static str> {
        self.fault
    }

    /// Is it the next request of a [`CALLER`] whose request before this one was answered 401?
    pub fn is_retry(&self) -> bool {
        self.retry
    }

    /// Is it a [retry](Entry::is_retry) with a token of another login than the request before it?
    pub fn is_mixed_login(&self) -> bool {
        self.mixed_login
    }

    /// The status that was answered. `None` before the answer, and for a request that got none.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The request got no answer: its client hung up, or a fault closed the connection. The server
    /// may still [work](Entry::is_in_work) on it.
    pub fn is_aborted(&self) -> bool {
        self.closed && self.status.is_none()
    }

    /// The server works on the request, whether or not its client still waits.
    pub fn is_in_work(&self) -> bool {
        self.in_work
    }

    pub(super) fn is_over(&self) -> bool {
        self.closed && !self.in_work
    }

    /// Scheme and token of its `Authorization`, where there is one and it has both.
    pub(super) fn credentials(&self) -> Option<(&str, &str)> {
        self.header(AUTHORIZATION).and_then(|value| value.split_once(' '))
    }
}

pub(super) fn fingerprint(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes())[..4])
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(digit.into(), 16));
        }
        text
    })
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:<5} {:<4} {}", self.number, self.method.as_str(), self.path())?;
        if self.route == Route::Refresh {
            if let Some(fingerprint) = self.token_fingerprint() {
                write!(f, " refresh:{fingerprint}")?;
            }
        } else {
            // The query of the login routes holds a code.
            if let (true, Some(query)) = (self.route.is_api(), self.query()) {
                write!(f, "?{query}")?;
            }
            if let Some(mode) = self.mode() {
                write!(f, " {mode}")?;
            }
            if let Some(fingerprint) = self.token_fingerprint() {
                write!(f, " token:{fingerprint}")?;
            }
            if let Some(provider) = self.provider() {
                write!(f, " provider:{provider}")?;
            }
        }
        if let Some(login) = self.login {
            write!(f, " login:{login}")?;
        }
        if self.retry {
            f.write_str(" (retry)")?;
        }
        if self.mixed_login {
            f.write_str(" (OF ANOTHER LOGIN)")?;
        }
        match self.status {
            Some(status) => write!(f, " -> {}", status.as_u16())?,
            None if self.closed => f.write_str(" -> no answer")?,
            None => f.write_str(" …")?,
        }
        if let Some(outcome) = self.refresh_outcome {
            match outcome {
                RefreshOutcome::Rotated(mode) => write!(f, " rotated, for {mode} mode")?,
                RefreshOutcome::Rejected => f.write_str(" refused")?,
                RefreshOutcome::DoubleSpent => f.write_str(" refused: spent before")?,
                RefreshOutcome::Faulted => f.write_str(" not rotated")?,
            }
        }
        if let Some(refusal) = self.refusal {
            write!(f, " {refusal}")?;
        }
        if let Some(fault) = self.fault {
            write!(f, " [fault: {fault}]")?;
        }
        Ok(())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NoToken => "no token",
            Refusal::Scheme => "scheme not accepted",
            Refusal::UnknownToken => "token unknown",
            Refusal::ExpiredToken => "token expired",
            Refusal::RevokedToken => "token revoked",
            Refusal::ModeMissing => "mode missing",
            Refusal::ModeMismatch => "mode is not the token's",
            Refusal::ProviderMissing => "provider missing",
            Refusal::ProviderMalformed => "provider is no integer",
            Refusal::ProviderInvalid => "provider invalid",
            Refusal::RateLimit => "over the rate limit",
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The line of the trace, and where it came from: a failed assertion prints this.
        write!(f, "Entry({self} | connection {}, {:?})", self.connection, self.version)
    }
}
