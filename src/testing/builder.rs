//! How a fake server is told to behave before it starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;

use http::StatusCode;

use super::server::FakeTeamUp;
use super::settings::{Settings, SpentTokens, parse_json};
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
    /// `None`: Tokio's, or the system's where the server has a runtime of its own.
    clock: Option<Clock>,
    port: u16,
}

/// # Starting
impl FakeTeamUp {
    /// Starts a server that behaves as TeamUp documents it, on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When no port can be bound, or outside a Tokio runtime with I/O enabled.
    pub async fn start() -> Self {
        FakeTeamUp::builder().start().await
    }

    /// Starts such a server on a thread of its own, with a runtime of its own: for synchronous
    /// tests, and for tests that pause or drop their runtime.
    ///
    /// ```
    /// use tower_teamup_auth::testing::FakeTeamUp;
    ///
    /// let server = FakeTeamUp::start_blocking();
    /// // … run the synchronous program under test against `server.base_url()` …
    /// server.wait_for_blocking(|journal| journal.under_way() == 0);
    /// server.shutdown_blocking();
    /// ```
    ///
    /// # Panics
    ///
    /// When no port can be bound, or no thread started.
    pub fn start_blocking() -> Self {
        FakeTeamUp::builder().start_blocking()
    }

    /// A server that behaves otherwise.
    pub fn builder() -> FakeTeamUpBuilder {
        FakeTeamUpBuilder::new()
    }
}

/// # Tokens
impl FakeTeamUpBuilder {
    fn new() -> Self {
        FakeTeamUpBuilder { settings: Settings::default(), clock: None, port: 0 }
    }

    /// How long an access token lives. Two hours by default, as clients of the real service see.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.access_token_lifetime = Some(lifetime);
        self
    }

    /// Access tokens live until the test expires or revokes them, and the refresh endpoint answers
    /// `"expires_in": null`.
    pub fn access_tokens_without_expiry(mut self) -> Self {
        self.settings.access_token_lifetime = None;
        self
    }

    /// How long a refresh token is valid. Without an end by default; TeamUp documents none.
    pub fn refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.refresh_token_lifetime = Some(lifetime);
        self
    }

    /// What the refresh endpoint answers as `expires_in`, whatever the lifetime really is: any JSON value,
    /// as text. `"null"`, `"0"`, `"-1"`, `"1e300"`, `"7200.5"` and `"\"7200\""` are what a client
    /// should survive.
    ///
    /// # Panics
    ///
    /// When `json` is not a JSON value.
    pub fn expires_in(mut self, json: &str) -> Self {
        self.settings.expires_in = Some(parse_json(json));
        self
    }

    /// After a rotation, the access tokens that were minted before for the same mode are revoked too.
    /// Off by default: TeamUp's documentation does not say, and some OAuth servers do it.
    pub fn rotation_revokes_access_tokens(mut self, revokes: bool) -> Self {
        self.settings.rotation_revokes_access_tokens = revokes;
        self
    }

    /// What becomes of a refresh token that comes a second time, and of its login.
    /// [`SpentTokens::RevokeLogin`] by default.
    pub fn spent_tokens(mut self, spent: SpentTokens) -> Self {
        self.settings.spent_tokens = spent;
        self
    }

    /// True: [`SpentTokens::RevokeLogin`]. False: [`SpentTokens::Accept`].
    pub fn reuse_detection(self, detects: bool) -> Self {
        self.spent_tokens(if detects { SpentTokens::RevokeLogin } else { SpentTokens::Accept })
    }

    /// The status that refuses an unknown, expired or spent refresh token. 400 by default; TeamUp
    /// does not document which of 400, 401 and 403 it is.
    pub fn refused_refresh_status(mut self, status: StatusCode) -> Self {
        self.settings.refused_refresh = status;
        self
    }

    /// The code that refuses it, in TeamUp's error body. `invalid_grant` by default, as in RFC 6749
    /// section 5.2; TeamUp documents none.
    pub fn refused_refresh_code(mut self, code: &str) -> Self {
        code.clone_into(&mut self.settings.refused_refresh_code);
        self
    }
}

/// # API requests
impl FakeTeamUpBuilder {
    /// API requests must name this provider: a `TeamUp-Provider-ID` header with its id is required.
    /// Call it again to accept another provider. Without a call, any integer is accepted and the
    /// header may be left out.
    ///
    /// A request without the header is answered 400 with the code `provider_header_missing`; one
    /// with the id of another provider 403 with `provider_invalid`.
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
    /// token's type. 403 by default, with the code `mode_not_allowed`; clients have seen 401 too.
    pub fn mode_mismatch_status(mut self, status: StatusCode) -> Self {
        self.settings.mode_mismatch = status;
        self
    }

    /// The only scheme that is accepted in `Authorization`. Call it again to accept another.
    /// Without a call, all three of [`AuthScheme`] are accepted.
    pub fn accept_scheme(mut self, scheme: AuthScheme) -> Self {
        self.settings.schemes.push(scheme);
        self
    }

    /// Whether the 401 to an API request carries a `WWW-Authenticate` challenge (RFC 6750 section
    /// 3). Off by default: nobody outside TeamUp knows.
    pub fn challenges(mut self, sent: bool) -> Self {
        self.settings.challenges = sent;
        self
    }

    /// Answers 429 to whoever sends more than this many requests in a minute of the server's clock.
    /// A caller is the user behind a token; places without a token count the IP address. No limit
    /// by default; TeamUp's is 250.
    pub fn rate_limit(mut self, requests_per_minute: u32) -> Self {
        self.settings.rate_limit = Some(requests_per_minute);
        self
    }

    /// Whether such a 429 carries `Retry-After`. Off by default: TeamUp documents none.
    pub fn rate_limit_retry_after(mut self, sent: bool) -> Self {
        self.settings.rate_limit_retry_after = sent;
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

    /// How long a test may wait for the journal or a [`Hold`](super::Hold), in real time; then the
    /// wait panics. One minute by default.
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.settings.wait_limit = limit;
        self
    }
}

/// # Logging in
impl FakeTeamUpBuilder {
    /// A code may go to this URI, too. Without a call, it goes to loopback alone, to any port and
    /// path (RFC 8252 section 7.3).
    pub fn allow_redirect(mut self, uri: &str) -> Self {
        self.settings.redirect_uris.push(uri.to_owned());
        self
    }

    /// The type of the access token that a login brings. Customer by default, as it is for a
    /// refresh request; TeamUp documents none for a login.
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
}

/// # Connections
impl FakeTeamUpBuilder {
    /// Serves so many connections at a time. Each occupies a worker until it is closed, an idle one
    /// too; the others wait. Without a limit by default.
    ///
    /// A client that keeps idle connections can lock itself out of such a server. An
    /// [idle time-out](FakeTeamUpBuilder::idle_timeout) frees the workers.
    pub fn workers(mut self, connections: usize) -> Self {
        self.settings.transport.connection_workers = Some(connections);
        self
    }

    /// Works on so many requests at a time; the others have arrived and wait. A request whose
    /// client has hung up occupies its worker until it is done. Without a limit by default.
    pub fn request_workers(mut self, requests: usize) -> Self {
        self.settings.transport.request_workers = Some(requests);
        self
    }

    /// Closes a connection that has had no request for this time, measured by `tokio::time` in the
    /// server's runtime. Over HTTP/2 a `GOAWAY` comes first. Never by default.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.transport.idle_timeout = Some(timeout);
        self
    }

    /// Closes each connection as soon as an answer was sent, without an announcement. A pool that
    /// takes the connection for a live one meets the close with its next request.
    /// [`Fault::then_close`](super::Fault::then_close) does it for one answer.
    pub fn close_after_answer(mut self, closes: bool) -> Self {
        self.settings.transport.close_after_answer = closes;
        self
    }

    /// Whether the server gives a request up when its client hangs up. Off by default: it goes on,
    /// rotates the refresh token, and the answer is lost.
    pub fn abort_on_disconnect(mut self, aborts: bool) -> Self {
        self.settings.transport.abort_on_disconnect = aborts;
        self
    }

    /// How much of a request's body a client may send on one HTTP/2 stream before the server reads
    /// it, in bytes: its `SETTINGS_INITIAL_WINDOW_SIZE` (RFC 9113 section 6.5.2).
    #[cfg(feature = "testing-http2")]
    #[cfg_attr(docsrs, doc(cfg(feature = "testing-http2")))]
    pub fn http2_stream_window(mut self, bytes: u32) -> Self {
        self.settings.transport.http2.stream = Some(bytes);
        self
    }

    /// The same for all streams of a connection together, in bytes.
    #[cfg(feature = "testing-http2")]
    #[cfg_attr(docsrs, doc(cfg(feature = "testing-http2")))]
    pub fn http2_connection_window(mut self, bytes: u32) -> Self {
        self.settings.transport.http2.connection = Some(bytes);
        self
    }

    /// Whether hyper adapts both windows to the connection's bandwidth; it then overrides the
    /// fixed sizes. Off by default.
    #[cfg(feature = "testing-http2")]
    #[cfg_attr(docsrs, doc(cfg(feature = "testing-http2")))]
    pub fn http2_adaptive_window(mut self, adapts: bool) -> Self {
        self.settings.transport.http2.adaptive = adapts;
        self
    }
}

/// # Starting
impl FakeTeamUpBuilder {
    /// The clock by which tokens grow old; [`FakeTeamUp::advance`] moves the server ahead of it.
    /// [`Clock::tokio`] by default, so that a test with paused time ages the server's tokens along
    /// with the client's; [`Clock::system`] for a server on a thread of its own.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The port to listen on. A free one by default.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts the server on 127.0.0.1, in the current runtime.
    ///
    /// # Panics
    ///
    /// When the port can't be bound, or outside a Tokio runtime with I/O enabled.
    pub async fn start(self) -> FakeTeamUp {
        let address = self.address();
        let clock = self.clock.unwrap_or_else(Clock::tokio);
        let (server, running) = FakeTeamUp::bind(address, self.settings, clock)
            .unwrap_or_else(|error| panic!("the fake TeamUp can't listen on {address}: {error}"));
        tokio::spawn(running);
        server
    }

    /// Starts the server on 127.0.0.1, on a thread and a runtime of its own. Its delays and limits
    /// pass in real time, whatever the test's runtime does. See
    /// [`FakeTeamUp::start_blocking`].
    ///
    /// # Panics
    ///
    /// When the port can't be bound, or no thread started.
    pub fn start_blocking(self) -> FakeTeamUp {
        let address = self.address();
        let clock = self.clock.unwrap_or_else(Clock::system);
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("fake-teamup".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime can be built");
                runtime.block_on(async move {
                    match FakeTeamUp::bind(address, self.settings, clock) {
                        Ok((server, running)) => {
                            let _ = sender.send(Ok(server));
                            running.await;
                        }
                        Err(error) => drop(sender.send(Err(error))),
                    }
                });
            })
            .expect("a thread can be started");
        let server = receiver
            .recv()
            .expect("the server's thread says how its start went")
            .unwrap_or_else(|error| panic!("the fake TeamUp can't listen on {address}: {error}"));
        server.runs_on(thread);
        server
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}
