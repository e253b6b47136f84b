//! How a fake server is told to behave before it starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::server::FakeTeamUp;
use super::settings::Settings;
use crate::headers::{AuthScheme, RequestMode};
use crate::token::Clock;

/// Says how a [`FakeTeamUp`] behaves; [`FakeTeamUp::builder`] makes one.
///
/// Every setting has a default that does what TeamUp's documentation says; where the documentation
/// is silent, the method says so.
///
/// ```
/// use std::time::Duration;
/// use tower_teamup_auth::testing::FakeTeamUp;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let server = FakeTeamUp::builder()
///     .access_token_lifetime(Duration::from_secs(60))
///     .require_provider(54664)
///     .events(250)
///     .start()
///     .await;
/// assert!(server.base_url().ends_with("/api/v2"));
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `start`"]
pub struct FakeTeamUpBuilder {
    settings: Settings,
    clock: Clock,
    port: u16,
}

impl FakeTeamUpBuilder {
    pub(super) fn new() -> Self {
        FakeTeamUpBuilder { settings: Settings::default(), clock: Clock::tokio(), port: 0 }
    }

    /// How long an access token lives. Two hours by default, as clients of the real service see.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.access_token_lifetime = Some(lifetime);
        self
    }

    /// Access tokens live until they are expired or revoked by hand, and the exchange answers
    /// `"expires_in": null`.
    pub fn access_tokens_without_expiry(mut self) -> Self {
        self.settings.access_token_lifetime = None;
        self
    }

    /// How long a refresh token can be exchanged. Without an end by default; TeamUp documents none.
    pub fn refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.refresh_token_lifetime = Some(lifetime);
        self
    }

    /// What the exchange answers as `expires_in`, whatever the lifetime really is: any JSON value,
    /// as text. `"null"`, `"0"`, `"-1"`, `"1e300"`, `"7200.5"` and `"\"7200\""` are what a client
    /// should survive.
    ///
    /// # Panics
    ///
    /// When `json` is not a JSON value.
    pub fn expires_in(mut self, json: &str) -> Self {
        self.settings.expires_in = Some(parse(json));
        self
    }

    /// After a rotation, the access tokens that were minted before for the same mode are dead too.
    /// Off by default: TeamUp's documentation does not say, and some OAuth servers do it.
    pub fn rotation_revokes_access_tokens(mut self, revokes: bool) -> Self {
        self.settings.rotation_revokes_access_tokens = revokes;
        self
    }

    /// Whether a refresh token that comes a second time is refused, and kills its family (RFC 9700
    /// section 4.14.2). On by default; TeamUp's documentation does not say. Where it is off, a spent
    /// refresh token can be exchanged again and again, as some OAuth servers allow for a while.
    pub fn reuse_detection(mut self, detects: bool) -> Self {
        self.settings.reuse_detection = detects;
        self
    }

    /// The status that refuses an unknown, expired or spent refresh token. 400 by default; TeamUp
    /// does not document which of 400, 401 and 403 it is.
    pub fn refused_refresh_status(mut self, status: StatusCode) -> Self {
        self.settings.refused_refresh = status;
        self
    }

    /// API requests must be about this business: a `TeamUp-Provider-ID` header with its id is
    /// required. Call it again to let another business in. Without a call, any integer is taken
    /// and the header may be left out.
    pub fn require_provider(mut self, id: u64) -> Self {
        self.settings.providers.push(id);
        self
    }

    /// Whether an API request with an OAuth token must carry `TeamUp-Request-Mode`. On by default.
    /// Where it is off, a header that is there must still match the token's type. An M2M token acts
    /// in provider mode alone and needs no header.
    pub fn require_mode(mut self, required: bool) -> Self {
        self.settings.mode_required = required;
        self
    }

    /// The status that answers a `TeamUp-Request-Mode` which is missing or does not match the
    /// token's type. 401 by default; clients have seen 401 and 403.
    pub fn mode_mismatch_status(mut self, status: StatusCode) -> Self {
        self.settings.mode_mismatch = status;
        self
    }

    /// The only scheme that is taken in `Authorization`. Call it again to let another in. Without
    /// a call, all three of [`AuthScheme`] are taken.
    pub fn accept_scheme(mut self, scheme: AuthScheme) -> Self {
        self.settings.schemes.push(scheme);
        self
    }

    /// Answers 429 with `Retry-After` to whoever sends more than this many requests in a minute of
    /// the server's clock. A caller is the user behind a token; the refresh endpoint counts the IP
    /// address. No limit by default; TeamUp's is 250.
    pub fn rate_limit(mut self, requests_per_minute: u32) -> Self {
        self.settings.rate_limit = Some(requests_per_minute);
        self
    }

    /// Refuses a request as soon as its head is read, before its body is. Off by default: the body
    /// is read whole, and then the 401 is sent.
    pub fn refuse_before_body(mut self, early: bool) -> Self {
        self.settings.refuse_before_body = early;
        self
    }

    /// How many events there are to page through at `/events`. 25 by default.
    pub fn events(mut self, count: u64) -> Self {
        self.settings.events = count;
        self
    }

    /// The journal keeps the newest `count` entries, and up to as many again, instead of all of
    /// them: for a test that runs for long. Its counts count on. A request that is not over keeps
    /// its entry and those that came after it.
    pub fn keep_entries(mut self, count: usize) -> Self {
        self.settings.kept_entries = Some(count.max(1));
        self
    }

    /// A code may go to this URI, too. Without a call, it goes to loopback alone, to any port and
    /// path (RFC 8252 section 7.3).
    pub fn allow_redirect(mut self, uri: &str) -> Self {
        self.settings.redirect_uris.push(uri.to_owned());
        self
    }

    /// The type of the access token that a login brings. Customer by default, as it is for the
    /// exchange; TeamUp documents none for a login.
    pub fn login_mode(mut self, mode: RequestMode) -> Self {
        self.settings.login_mode = mode;
        self
    }

    /// The password login takes two factors: it answers a pending login first, and this is the
    /// verification code that each person is sent. It has at most 6 characters.
    ///
    /// The businesses that ask for it are those of
    /// [`require_provider`](FakeTeamUpBuilder::require_provider), or
    /// [`login::PROVIDER`](super::login::PROVIDER) where there are none.
    pub fn two_factor(mut self, verification_code: &str) -> Self {
        self.settings.verification_code = Some(verification_code.to_owned());
        self
    }

    /// The clock by which tokens grow old; [`FakeTeamUp::advance`] moves the server ahead of it.
    /// [`Clock::tokio`] by default, so that a test with paused time ages the server's tokens along
    /// with the client's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The port to listen on. A free one by default.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts the server on 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When the port can't be bound, or outside a Tokio runtime with I/O enabled.
    pub async fn start(self) -> FakeTeamUp {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        FakeTeamUp::listen(address, self.settings, self.clock)
            .unwrap_or_else(|error| panic!("the fake TeamUp can't listen on {address}: {error}"))
    }
}

/// A JSON value that a test wrote down.
pub(super) fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("`{json}` is not JSON: {error}"))
}
