//! How a credential is made, and what is refused before anything runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tokio::runtime::Handle;

use super::Credentials;
use super::build_checks::{
    DEFAULT_BASE_URL, check_scope, check_timers, default_transport, parse_url,
};
use super::core::{ChangeHook, Core, Renewer};
use super::deadlines::RefreshWindow;
use super::first_record::{self, FirstRecord};
#[cfg(feature = "testing")]
use super::settings::RefreshStep;
use super::settings::Settings;
use super::snapshot::Snapshot;
use super::source_client::SourceClient;
use super::state::{Config, CredentialState, RefreshLimit, Renewal};
use super::status::{Status, status_of};
use super::store_client::StoreClient;
use crate::error::Error;
use crate::headers::{AuthScheme, ProviderId, RequestMode};
use crate::m2m::{DynM2mSource, M2mSource};
use crate::origin::{Origin, Origins};
use crate::refresh::{
    DynRefresh, Endpoint, Refresh, RefreshClient, RefreshEncoding, ResponseFormat, Transport,
};
use crate::store::{DynTokenStore, TokenStore};
use crate::token::{AccessToken, Clock, TokenSet};

const DEFAULT_LEEWAY: Duration = Duration::from_secs(300);
const DEFAULT_WAIT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_REFRESH_REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
const DEFAULT_STORE_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_EARLY_WAIT: Duration = Duration::from_secs(3);
const DEFAULT_REFRESH_LIMIT: RefreshLimit =
    RefreshLimit { count: 5, window: Duration::from_secs(30) };

/// Makes [`Credentials`]. Every setting has a default save where the tokens come from and, without
/// the feature `hyper` or `hyper-plain`, what sends refresh requests.
///
/// A builder can be cloned and finished many times: credentials for the many users of one service
/// then share the client for refresh requests.
///
/// ```
/// use std::time::Duration;
/// use tower_teamup_auth::client::{HyperClient, hyper_client};
/// use tower_teamup_auth::store::FileStore;
/// use tower_teamup_auth::{AuthScheme, Credentials, RequestMode, TokenSet};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("tokens.json");
/// let http_client: HyperClient = hyper_client();
/// let credentials = Credentials::builder(RequestMode::Provider)
///     .provider_id(54664)
///     .scheme(AuthScheme::Bearer)
///     .tokens(TokenSet::new("a-refresh-token".parse()?)) // a seed, for an empty store
///     .store(FileStore::new(path))
///     .refresh_client(http_client)
///     .refresh_leeway(Duration::from_secs(120))
///     .build()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CredentialsBuilder {
    mode: RequestMode,
    m2m: Option<M2m>,
    tokens: Option<TokenSet>,
    store: Option<Arc<dyn DynTokenStore>>,
    refresh_by: Option<RefreshBy>,
    provider_id: Option<ProviderId>,
    scheme: AuthScheme,
    base_url: String,
    further_origins: Vec<String>,
    scope: Vec<String>,
    encoding: RefreshEncoding,
    response_format: Option<ResponseFormat>,
    leeway: Duration,
    wait_timeout: Duration,
    refresh_request_timeout: Duration,
    early_wait: Duration,
    store_timeout: Duration,
    refresh_limit: RefreshLimit,
    require_stored: bool,
    keep_warm: bool,
    runtime: Option<Handle>,
    clock: Clock,
    on_change: Option<OnChange>,
    #[cfg(feature = "testing")]
    at_each_step: Option<Arc<dyn Fn(RefreshStep) + Send + Sync>>,
}

/// Told after each change; the function makes the status, which is the newest when it is called.
pub(crate) type OnChange = Arc<dyn Fn(&dyn Fn() -> Status) + Send + Sync>;

#[derive(Clone)]
enum M2m {
    Token(AccessToken),
    Source(Arc<dyn DynM2mSource>),
}

/// What the credentials of one builder have in common, for whoever makes many of them.
pub(crate) struct Common {
    pub(crate) mode: RequestMode,
    pub(crate) clock: Clock,
    pub(crate) runtime: Option<Handle>,
    pub(crate) lease_wait: Duration,
    /// The builder names tokens or a store, which can't be those of every user.
    pub(crate) has_tokens: bool,
}

#[derive(Clone)]
enum RefreshBy {
    Client(Transport),
    Program(Arc<dyn DynRefresh>),
}

impl CredentialsBuilder {
    pub(super) fn new(mode: RequestMode) -> Self {
        CredentialsBuilder {
            mode,
            m2m: None,
            tokens: None,
            store: None,
            refresh_by: None,
            provider_id: None,
            scheme: AuthScheme::default(),
            base_url: DEFAULT_BASE_URL.to_owned(),
            further_origins: Vec::new(),
            scope: Vec::new(),
            encoding: RefreshEncoding::default(),
            response_format: None,
            leeway: DEFAULT_LEEWAY,
            wait_timeout: DEFAULT_WAIT_TIMEOUT,
            refresh_request_timeout: DEFAULT_REFRESH_REQUEST_TIMEOUT,
            early_wait: DEFAULT_EARLY_WAIT,
            store_timeout: DEFAULT_STORE_TIMEOUT,
            refresh_limit: DEFAULT_REFRESH_LIMIT,
            require_stored: false,
            keep_warm: false,
            runtime: None,
            clock: Clock::system(),
            on_change: None,
            #[cfg(feature = "testing")]
            at_each_step: None,
        }
    }

    pub(super) fn m2m(token: AccessToken) -> Self {
        let m2m = Some(M2m::Token(token));
        CredentialsBuilder { m2m, ..CredentialsBuilder::new(RequestMode::Provider) }
    }

    pub(super) fn m2m_from(source: impl M2mSource) -> Self {
        let m2m = Some(M2m::Source(Arc::new(source)));
        CredentialsBuilder { m2m, ..CredentialsBuilder::new(RequestMode::Provider) }
    }

    /// The tokens to begin with. Beside a [`store`](Self::store) they are a seed: they are saved if
    /// the store is empty, and a store that holds tokens already is believed instead, because
    /// they are newer than any that a program carries in its configuration.
    #[must_use]
    pub fn tokens(mut self, tokens: TokenSet) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Where the tokens come from and go back to. Without a store they live in memory, and the
    /// rotated refresh token is lost when the program ends.
    #[must_use]
    pub fn store(mut self, store: impl TokenStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// The HTTP client that sends the refresh requests, and nothing else: any tower service from
    /// requests to responses, such as a `hyper_util` client, whose request body can be made from
    /// [`Bytes`](bytes::Bytes); or, with the feature `reqwest`, a `reqwest::Client`.
    ///
    /// With the feature `hyper` none need be given: the process then has one of this crate's own,
    /// which speaks HTTP/1.1, keeps no idle connection, and goes through the proxy that the
    /// environment names. With `hyper-plain` alone it has no TLS.
    ///
    /// Hand in a client of its own rather than the client of the API, for what is a good limit there
    /// can cost the login here: a response that a time-out cuts off, or that waits behind 401s on a
    /// full HTTP/2 connection, may hold the only copy of the rotated refresh token. A client's connections
    /// end with the runtime that made them: one that is used in several runtimes keeps no idle
    /// connections, or a response under way on one can be lost when another runtime ends.
    #[must_use]
    pub fn refresh_client<Kind>(mut self, client: impl RefreshClient<Kind>) -> Self {
        self.refresh_by = Some(RefreshBy::Client(Transport::over(client.into_service())));
        self
    }

    /// A refresh of the program's own, in place of TeamUp's endpoint.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_teamup_auth::refresh::{RefreshError, RefreshRequest, RefreshResponse};
    /// use tower_teamup_auth::{Credentials, RequestMode};
    ///
    /// # async fn ask_our_broker(_: RequestMode) -> Result<String, RefreshError> {
    /// #     Err(RefreshError::transient("no broker here"))
    /// # }
    /// // A service of ours holds the refresh token, and is asked for access tokens.
    /// let refresh = |request: RefreshRequest| async move {
    ///     let access_token = ask_our_broker(request.mode()).await?;
    ///     let access_token =
    ///         access_token.parse().map_err(|_| RefreshError::outcome_unknown("that is no token"))?;
    ///     Ok(RefreshResponse::without_rotation(access_token, Some(Duration::from_secs(600))))
    /// };
    ///
    /// let builder = Credentials::builder(RequestMode::Provider).refresh_with(refresh);
    /// ```
    #[must_use]
    pub fn refresh_with(mut self, refresh: impl Refresh) -> Self {
        self.refresh_by = Some(RefreshBy::Program(Arc::new(refresh)));
        self
    }

    /// The provider_id that requests are about, for credentials that can reach several. A request may
    /// say otherwise: see [`ProviderId`].
    #[must_use]
    pub fn provider_id(mut self, id: impl Into<ProviderId>) -> Self {
        self.provider_id = Some(id.into());
        self
    }

    /// The word in front of the token; [`AuthScheme::Bearer`] by default.
    #[must_use]
    pub fn scheme(mut self, scheme: AuthScheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// The API's base, `https://goteamup.com/api/v2` by default. Its origin is the one that
    /// credentials go to, and the refresh endpoint lies below it.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// One more origin that credentials may go to, as a URL whose path does not matter.
    ///
    /// ```
    /// use tower_teamup_auth::{Credentials, RequestMode};
    ///
    /// let builder = Credentials::builder(RequestMode::Customer).allow_origin("https://files.goteamup.com");
    /// ```
    #[must_use]
    pub fn allow_origin(mut self, url: impl Into<String>) -> Self {
        self.further_origins.push(url.into());
        self
    }

    /// The scopes to ask for with each refresh request; none by default, which leaves them as they were
    /// granted (RFC 6749 section 6).
    #[must_use]
    pub fn scope<S: Into<String>>(mut self, scope: impl IntoIterator<Item = S>) -> Self {
        self.scope = scope.into_iter().map(Into::into).collect();
        self
    }

    /// The encoding of the refresh request; JSON by default.
    #[must_use]
    pub fn refresh_encoding(mut self, encoding: RefreshEncoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Asks the endpoint for one form of answer, with its `format` query parameter. By default
    /// nothing is asked for, and it answers in JSON. What counts is what it does answer in.
    #[must_use]
    pub fn response_format(mut self, format: ResponseFormat) -> Self {
        self.response_format = Some(format);
        self
    }

    /// How long before a token's end a refresh is advised, at most: 5 minutes by default, and never
    /// more than a fifth of the token's lifetime. A refresh that is advised runs beside the
    /// requests, which go on with the old token.
    ///
    /// Each credential takes up to half of it away, at random, chosen once: a fleet that logged in
    /// together does not refresh in step.
    #[must_use]
    pub fn refresh_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How long one caller waits for a token: 30 seconds by default. It includes the wait for the
    /// lease, the refresh, and the reading of a 401.
    ///
    /// It ends the waiting and nothing else: the refresh goes on, and its result is used by whoever
    /// asks next. Another process that holds the lease is waited for this long, too.
    #[must_use]
    pub fn wait_timeout(mut self, limit: Duration) -> Self {
        self.wait_timeout = limit;
        self
    }

    /// How long the one request that starts an early refresh waits for it: 3 seconds by default. It
    /// then goes on with the old token, which is still valid. Zero: nobody waits, which is for
    /// programs that never end right after a request.
    #[must_use]
    pub fn early_wait(mut self, limit: Duration) -> Self {
        self.early_wait = limit;
        self
    }

    /// How long the endpoint may take to answer a refresh request: two minutes by default, and the
    /// only thing that ends the wait for its answer, which may hold the one copy of the rotated
    /// refresh token.
    ///
    /// It counts running time: a process that stood still (a stopped process, a frozen container)
    /// has used up a second of it at most. When it is over, 5 more seconds are counted before the
    /// request is dropped; its outcome is then unknown, and one further request is sent.
    #[must_use]
    pub fn refresh_request_timeout(mut self, limit: Duration) -> Self {
        self.refresh_request_timeout = limit;
        self
    }

    /// Makes an empty store an error of [`build`](Self::build), for a fleet whose processes are logged
    /// in elsewhere: a store that has lost its data is then noticed at once.
    #[must_use]
    pub fn require_stored(mut self) -> Self {
        self.require_stored = true;
        self
    }

    /// Refreshes the token of the credential's own mode in time, without waiting for a request. A
    /// task and a timer live as long as the credential.
    #[must_use]
    pub fn keep_warm(mut self) -> Self {
        self.keep_warm = true;
        self
    }

    /// Runs refreshes on this runtime, and not on that of whoever asks: for programs that make a
    /// runtime for each call.
    #[must_use]
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// How long the store, or the [source](crate::m2m) of an M2M token, may take for one call; 5
    /// seconds by default. Waiting for another process
    /// to finish its refresh is bounded by [`wait_timeout`](Self::wait_timeout) instead.
    #[must_use]
    pub fn store_timeout(mut self, limit: Duration) -> Self {
        self.store_timeout = limit;
        self
    }

    /// When fresh tokens keep being answered 401, the refresh of number `limit` within `window` is
    /// refused and the 401 passes through; 5 within 30 seconds by default.
    #[must_use]
    pub fn refresh_limit(mut self, limit: u32, window: Duration) -> Self {
        self.refresh_limit = RefreshLimit { count: limit, window };
        self
    }

    /// The clock that judges the tokens' age, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Calls `hook` as each [`RefreshStep`] of a refresh is passed, for tests that stop a process there.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn at_each_step(mut self, hook: impl Fn(RefreshStep) + Send + Sync + 'static) -> Self {
        self.at_each_step = Some(Arc::new(hook));
        self
    }

    /// Checks everything, reads the store if there is one, and brings the credential to life.
    ///
    /// Nothing is sent to TeamUp. A store that is empty, without [`tokens`](Self::tokens), gives a
    /// credential that waits for its first login: requests fail at once with an error of which
    /// [`Error::is_login_required`] is true, and [`Credentials::log_in`] starts it.
    ///
    /// # Errors
    ///
    /// - [`Error::is_invalid_input`]: a base URL that is relative, has no host, or is plain http to
    ///   anything but loopback; an empty scope; a limit of zero; a runtime without timers; without
    ///   the feature `hyper`, no client for refresh requests (with `hyper-plain`: none for https).
    /// - [`Error::is_store`]: the store can't be used, or its record is sealed with another key or has a
    ///   newer format. What is no record at all (an empty or torn file, say) is an error only with
    ///   [`tokens`](Self::tokens) or [`require_stored`](Self::require_stored): without them the
    ///   credential is signed out, an event tells why, and a login replaces what is stored.
    /// - [`Error::is_login_required`]: the store is empty, no tokens were given, and
    ///   [`require_stored`](Self::require_stored) was set.
    pub async fn build(self) -> Result<Credentials, Error> {
        let base = self.check_base_url()?;
        let origins = self.check_origins(&base)?;
        self.check_limits()?;
        check_scope(&self.scope)?;
        if !matches!(self.m2m, Some(M2m::Token(_))) {
            check_timers()?;
        }
        let window = RefreshWindow { leeway: self.leeway, jitter: fastrand::u16(0..=1000) };
        let base_url: Arc<str> = self.base_url.trim_end_matches('/').into();
        let store = StoreClient::new(self.store.clone(), self.store_timeout, Arc::clone(&base_url));
        let (renewer, record) = match &self.m2m {
            Some(m2m) => {
                if self.tokens.is_some() || self.store.is_some() {
                    return Err(Error::invalid_input(
                        "an M2M token can't be refreshed, so it goes with neither `tokens` nor a \
                         `store`; leave them out, or begin with `Credentials::builder`",
                    ));
                }
                let (renewer, token) = match m2m {
                    M2m::Token(token) => (Renewer::M2m(None), Some(token)),
                    M2m::Source(source) => {
                        let source = SourceClient::new(Arc::clone(source), self.store_timeout);
                        (Renewer::M2m(Some(Box::new(source))), None)
                    }
                };
                (renewer, Some(first_record::of_m2m_token(token)))
            }
            None => {
                let refresh = self.check_refresh_client(&base)?;
                let first = FirstRecord {
                    store: &store,
                    seed: self.tokens.as_ref(),
                    base_url: &base_url,
                    require_stored: self.require_stored,
                    lease_wait: self.wait_timeout,
                    clock: &self.clock,
                };
                (Renewer::Refresh(refresh), first.find().await?)
            }
        };
        let config = Config {
            has_store: store.has_store(),
            renewal: match &renewer {
                Renewer::Refresh(_) => Renewal::Refresh,
                Renewer::M2m(Some(_)) => Renewal::ReadSource,
                Renewer::M2m(None) => Renewal::Never,
            },
            base_url,
            window,
            lease_wait: self.wait_timeout,
            limit: self.refresh_limit,
            keep_warm: self.keep_warm.then_some(self.mode),
        };
        let settings = Settings {
            mode: self.mode,
            provider_id: self.provider_id,
            scheme: self.scheme,
            origins,
            limit: self.refresh_limit,
            wait_timeout: self.wait_timeout,
            early_wait: self.early_wait,
            refresh_request_timeout: self.refresh_request_timeout,
            clock: self.clock,
            runtime: self.runtime,
            #[cfg(feature = "testing")]
            at_each_step: self.at_each_step,
        };
        let state = CredentialState::new(config, record, settings.clock.now());
        let snapshot =
            Snapshot::empty(settings.provider_id).followed_by(&state.view(), settings.scheme);
        let mut core = Core::new(state, snapshot, store, renewer, settings);
        if let Some(on_change) = self.on_change {
            let hook: ChangeHook = Box::new(move |core| on_change(&|| status_of(core)));
            core.on_change = Some(Box::new(hook));
        }
        let core = Arc::new(core);
        if self.keep_warm {
            core.ensure_worker()?;
        }
        Ok(Credentials { core })
    }

    /// Makes the credential of one user of many: over this store, whose changes are told.
    pub(crate) fn for_user(mut self, store: Arc<dyn DynTokenStore>, on_change: OnChange) -> Self {
        self.store = Some(store);
        self.on_change = Some(on_change);
        self
    }

    /// The store as this builder's credentials use it.
    pub(crate) fn store_client(&self, store: Arc<dyn DynTokenStore>) -> StoreClient {
        let base_url = self.base_url.trim_end_matches('/').into();
        StoreClient::new(Some(store), self.store_timeout, base_url)
    }

    pub(crate) fn common(&self) -> Common {
        Common {
            mode: self.mode,
            clock: self.clock.clone(),
            runtime: self.runtime.clone(),
            lease_wait: self.wait_timeout,
            has_tokens: self.tokens.is_some() || self.m2m.is_some() || self.store.is_some(),
        }
    }

    fn check_base_url(&self) -> Result<Uri, Error> {
        let base = parse_url("base URL", &self.base_url)?;
        if base.query().is_some() || self.base_url.contains('#') {
            return Err(Error::invalid_input(format!(
                "the base URL `{}` has a query or a fragment; leave that part out",
                self.base_url
            )));
        }
        Ok(base)
    }

    fn check_origins(&self, base: &Uri) -> Result<Origins, Error> {
        let base = Origin::for_credentials("base URL", base)?;
        let further = self.further_origins.iter().map(|url| {
            Origin::for_credentials("allowed origin", &parse_url("allowed origin", url)?)
        });
        Ok(Origins::new(base, further.collect::<Result<_, _>>()?))
    }

    fn check_limits(&self) -> Result<(), Error> {
        for (name, limit) in [
            ("wait_timeout", self.wait_timeout),
            ("refresh_request_timeout", self.refresh_request_timeout),
            ("store_timeout", self.store_timeout),
        ] {
            if limit.is_zero() {
                return Err(Error::invalid_input(format!(
                    "`{name}` is zero, so no call could ever succeed; give it some seconds"
                )));
            }
        }
        if self.refresh_limit.count < 2 || self.refresh_limit.window.is_zero() {
            return Err(Error::invalid_input(
                "`refresh_limit` would refuse every refresh after a 401, or none; it needs a count \
                 of 2 or more and a window longer than zero",
            ));
        }
        Ok(())
    }

    fn check_refresh_client(&self, base: &Uri) -> Result<Arc<dyn DynRefresh>, Error> {
        let transport = match &self.refresh_by {
            Some(RefreshBy::Program(refresh)) => return Ok(Arc::clone(refresh)),
            Some(RefreshBy::Client(transport)) => transport.clone(),
            None => default_transport(base)?,
        };
        Ok(Arc::new(Endpoint::new(
            transport,
            base,
            self.scope.clone(),
            self.encoding,
            self.response_format,
            self.clock.clone(),
        )))
    }
}

impl fmt::Debug for CredentialsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsBuilder")
            .field("mode", &self.mode)
            .field("provider_id", &self.provider_id)
            .field("scheme", &self.scheme)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}
