//! What decides how the server answers, as long as nothing is broken on purpose.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use crate::headers::{AuthScheme, RequestMode};

/// TeamUp's documented size of a page at most.
pub(super) const MAX_PAGE_SIZE: u64 = 100;

/// The size of a page where the request names none. TeamUp documents no default.
pub(super) const DEFAULT_PAGE_SIZE: u64 = 20;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// `None`: without an end, and `expires_in` is null.
    pub(super) access_token_lifetime: Option<Duration>,
    /// `None`: without an end.
    pub(super) refresh_token_lifetime: Option<Duration>,
    /// `Some`: what the exchange answers, whatever the lifetime is.
    pub(super) expires_in: Option<Value>,
    pub(super) rotation_revokes_access_tokens: bool,
    pub(super) reuse_detection: bool,
    pub(super) refused_refresh: StatusCode,
    /// Empty: any, or none at all.
    pub(super) providers: Vec<u64>,
    pub(super) mode_required: bool,
    pub(super) mode_mismatch: StatusCode,
    /// Empty: all.
    pub(super) schemes: Vec<AuthScheme>,
    pub(super) rate_limit: Option<u32>,
    pub(super) refuse_before_body: bool,
    pub(super) events: u64,
    /// `Some`: the journal keeps about so many entries.
    pub(super) kept_entries: Option<usize>,
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
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            access_token_lifetime: Some(Duration::from_secs(7200)),
            refresh_token_lifetime: None,
            expires_in: None,
            rotation_revokes_access_tokens: false,
            reuse_detection: true,
            refused_refresh: StatusCode::BAD_REQUEST,
            providers: Vec::new(),
            mode_required: true,
            mode_mismatch: StatusCode::UNAUTHORIZED,
            schemes: Vec::new(),
            rate_limit: None,
            refuse_before_body: false,
            events: 25,
            kept_entries: None,
            redirect_uris: Vec::new(),
            login_mode: RequestMode::Customer,
            verification_code: None,
            wrong_state: false,
            page_links: None,
        }
    }
}
