//! What decides how the server answers, as long as no fault is set.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use crate::headers::{AuthScheme, RequestMode};

/// TeamUp's documented size of a page at most.
pub(super) const MAX_PAGE_SIZE: u64 = 100;

/// The size of a page where the request names none. TeamUp documents no default.
pub(super) const DEFAULT_PAGE_SIZE: u64 = 20;

/// What a server does with a refresh token that was used before.
///
/// TeamUp's documentation does not say which of the three it is.
///
/// ```
/// use tower_teamup_auth::testing::{FakeTeamUp, SpentTokens};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let server = FakeTeamUp::builder().spent_tokens(SpentTokens::Refuse).start().await;
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpentTokens {
    /// Refused, and every token of the login is revoked (RFC 9700 section 4.14.2). The default.
    #[default]
    RevokeLogin,
    /// Refused. The login's newest tokens stay valid.
    Refuse,
    /// Accepted again and again, as some OAuth servers allow for a while.
    Accept,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// `None`: without an end, and `expires_in` is null.
    pub(super) access_token_lifetime: Option<Duration>,
    /// `None`: without an end.
    pub(super) refresh_token_lifetime: Option<Duration>,
    /// `Some`: what the refresh endpoint answers, whatever the lifetime is.
    pub(super) expires_in: Option<Value>,
    pub(super) rotation_revokes_access_tokens: bool,
    pub(super) spent_tokens: SpentTokens,
    pub(super) refused_refresh: StatusCode,
    pub(super) refused_refresh_code: String,
    /// Empty: any, or none at all.
    pub(super) providers: Vec<u64>,
    pub(super) mode_required: bool,
    pub(super) mode_mismatch: StatusCode,
    /// Empty: all.
    pub(super) schemes: Vec<AuthScheme>,
    /// A 401 carries `WWW-Authenticate`.
    pub(super) challenges: bool,
    pub(super) rate_limit: Option<u32>,
    /// A 429 carries `Retry-After`.
    pub(super) rate_limit_retry_after: bool,
    pub(super) refuse_before_body: bool,
    pub(super) events: u64,
    /// `Some`: the journal keeps about so many entries.
    pub(super) kept_entries: Option<usize>,
    /// How long a test may wait for the journal or a hold, in real time.
    pub(super) wait_limit: Duration,
    /// Where a code may go besides to loopback.
    pub(super) redirect_uris: Vec<String>,
    /// The type of the access token that a login brings.
    pub(super) login_mode: RequestMode,
    /// `Some`: a password alone does not log in; this is the code that a person is sent.
    pub(super) verification_code: Option<String>,
    /// The authorize page sends another `state` back than it was sent.
    pub(super) wrong_state: bool,
    /// `Some`: the base that `next` and `previous` point to, in place of this server's own.
    pub(super) page_links: Option<String>,
    pub(super) transport: Transport,
}

/// How the server treats its connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Transport {
    /// `Some`: so many connections are served at a time; the others wait.
    pub(super) connection_workers: Option<usize>,
    /// `Some`: so many requests are processed at a time; the others wait.
    pub(super) request_workers: Option<usize>,
    /// `Some`: a connection without a request is closed after this time.
    pub(super) idle_timeout: Option<Duration>,
    /// A connection is closed after each answer, without an announcement.
    pub(super) close_after_answer: bool,
    /// A request is given up when its client hangs up.
    pub(super) abort_on_disconnect: bool,
    #[cfg(feature = "testing-http2")]
    pub(super) http2: Http2Windows,
}

/// How much a client may send before the server reads it, in bytes; hyper's own sizes by default.
#[cfg(feature = "testing-http2")]
#[derive(Clone, Debug, Default)]
pub(super) struct Http2Windows {
    pub(super) stream: Option<u32>,
    pub(super) connection: Option<u32>,
    pub(super) adaptive: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            access_token_lifetime: Some(Duration::from_secs(7200)),
            refresh_token_lifetime: None,
            expires_in: None,
            rotation_revokes_access_tokens: false,
            spent_tokens: SpentTokens::RevokeLogin,
            refused_refresh: StatusCode::BAD_REQUEST,
            refused_refresh_code: "invalid_grant".to_owned(),
            providers: Vec::new(),
            mode_required: true,
            mode_mismatch: StatusCode::FORBIDDEN,
            schemes: Vec::new(),
            challenges: false,
            rate_limit: None,
            rate_limit_retry_after: false,
            refuse_before_body: false,
            events: 25,
            kept_entries: None,
            wait_limit: Duration::from_secs(60),
            redirect_uris: Vec::new(),
            login_mode: RequestMode::Customer,
            verification_code: None,
            wrong_state: false,
            page_links: None,
            transport: Transport::default(),
        }
    }
}

/// A JSON value that a test wrote down.
pub(super) fn parse_json(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("`{json}` is not JSON: {error}"))
}
