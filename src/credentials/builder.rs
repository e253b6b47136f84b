//! How a credential is made, and what is refused before anything runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::ledger::Ledger;
use super::memory::RefreshLimit;
use super::snapshot::{Snapshot, SnapshotCell};
#[cfg(feature = "testing")]
use super::transaction::Step;
use super::vault::Vault;
use super::windows::Windows;
use super::{Credentials, Inner, Settings};
use crate::error::Error;
use crate::headers::{AuthScheme, ProviderId, RequestMode};
use crate::origin::{Origin, Origins};
use crate::refresh::{
    DynRefresh, Endpoint, Refresh, RefreshClient, RefreshEncoding, ResponseFormat, Transport,
};
use crate::store::{DynTokenStore, TokenStore};
use crate::sync::AsyncMutex;
use crate::token::{AccessToken, Clock, TokenSet};

/// The API's base as TeamUp documents it.
const DEFAULT_BASE_URL: &str = "https://goteamup.com/api/v2";

const DEFAULT_LEEWAY: Duration = Duration::from_secs(300);
const DEFAULT_WAIT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_REFRESH_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_STORE_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_STORM_GUARD: RefreshLimit =
    RefreshLimit { limit: 5, window: Duration::from_secs(30) };

/// Makes [`Credentials`]. Every setting has a default save where the tokens come from and what
/// carries the exchange.
///
/// A builder can be cloned and finished many times: credentials for the many users of one service
/// then share the client of the exchange.
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
    m2m: Option<AccessToken>,
    tokens: Option<TokenSet>,
    store: Option<Arc<dyn DynTokenStore>>,
    exchange: Option<Exchange>,
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
    store_timeout: Duration,
    refresh_limit: RefreshLimit,
    clock: Clock,
    #[cfg(feature = "testing")]
    at_each_step: Option<Arc<dyn Fn(Step) + Send + Sync>>,
}

#[derive(Clone)]
enum Exchange {
    Over(Transport),
    With(Arc<dyn DynRefresh>),
}

impl CredentialsBuilder {
    pub(super) fn new(mode: RequestMode) -> Self {
        CredentialsBuilder {
            mode,
            m2m: None,
            tokens: None,
            store: None,
            exchange: None,
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
            store_timeout: DEFAULT_STORE_TIMEOUT,
            refresh_limit: DEFAULT_STORM_GUARD,
            clock: Clock::system(),
            #[cfg(feature = "testing")]
            at_each_step: None,
        }
    }

    pub(super) fn m2m(token: AccessToken) -> Self {
        CredentialsBuilder { m2m: Some(token), ..CredentialsBuilder::new(RequestMode::Provider) }
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

    /// The HTTP client that carries the refresh exchange, and nothing else: any tower service from
    /// requests to responses, such as a `hyper_util` client, whose request body can be made from
    /// [`Bytes`](bytes::Bytes); or, with the feature `reqwest`, a `reqwest::Client`.
    ///
    /// It may be the client below the layer, or even a stack with the layer in it: the exchange
    /// passes through the layer untouched.
    ///
    /// Over HTTP/2, hand in a client of its own, with a connection of its own, where thousands of
    /// requests may be answered 401 at once. Each 401 is kept unread until the refresh is done, and
    /// together they can fill the flow-control window of a shared connection (RFC 9113 section 5.2):
    /// the exchange's answer is then stuck behind them until it is too late, and the rotated token
    /// with it. hyper's client opens a connection with a window of 5 MiB.
    #[must_use]
    pub fn refresh_client<Kind>(mut self, client: impl RefreshClient<Kind>) -> Self {
        self.exchange = Some(Exchange::Over(Transport::over(client.into_service())));
        self
    }

    /// An exchange of the program's own, in place of TeamUp's endpoint.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
    /// use tower_teamup_auth::{Credentials, RequestMode};
    ///
    /// /// Asks a service of ours, which holds the refresh token, for an access token.
    /// struct OurBroker;
    ///
    /// impl Refresh for OurBroker {
    ///     async fn refresh(&self, request: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
    ///         let access_token = ask_the_broker(request.mode()).await?;
    ///         let access_token =
    ///             access_token.parse().map_err(|_| RefreshError::protocol("that is no token"))?;
    ///         // The broker keeps the refresh token, so ours never changes.
    ///         let refresh_token = request.refresh_token().clone();
    ///         Ok(RefreshResponse::new(access_token, Some(Duration::from_secs(600)), refresh_token))
    ///     }
    /// }
    /// # async fn ask_the_broker(_: RequestMode) -> Result<String, RefreshError> {
    /// #     Err(RefreshError::transient("no broker here"))
    /// # }
    ///
    /// let builder = Credentials::builder(RequestMode::Provider).refresh_with(OurBroker);
    /// ```
    #[must_use]
    pub fn refresh_with(mut self, refresh: impl Refresh) -> Self {
        self.exchange = Some(Exchange::With(Arc::new(refresh)));
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

    /// The scopes to ask for with each exchange; none by default, which leaves them as they were
    /// granted (RFC 6749 section 6).
    #[must_use]
    pub fn scope<S: Into<String>>(mut self, scope: impl IntoIterator<Item = S>) -> Self {
        self.scope = scope.into_iter().map(Into::into).collect();
        self
    }

    /// The form in which the exchange is sent; JSON by default.
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
    /// Each credential takes up to half of it away, by a lot drawn once: a fleet that logged in
    /// together does not refresh in step.
    #[must_use]
    pub fn refresh_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How long one refresh may go on beginning things (waiting for the store's lock, exchanges and
    /// their repetitions); 30 seconds by default.
    ///
    /// An exchange that was begun is not cut short by it, because its answer may hold the only copy of
    /// the rotated refresh token. So a refresh can last longer by one
    /// [`refresh_request_timeout`](Self::refresh_request_timeout), and by the store's calls after it.
    #[must_use]
    pub fn wait_timeout(mut self, limit: Duration) -> Self {
        self.wait_timeout = limit;
        self
    }

    /// How long the endpoint may take to answer one exchange; 10 seconds by default. After it the
    /// outcome is unknown, and the exchange is tried once more.
    #[must_use]
    pub fn refresh_request_timeout(mut self, limit: Duration) -> Self {
        self.refresh_request_timeout = limit;
        self
    }

    /// How long the store may take for one call; 5 seconds by default. Waiting for another process
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
        self.refresh_limit = RefreshLimit { limit, window };
        self
    }

    /// The clock that judges the tokens' age, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Calls `hook` as each [`Step`] of a refresh is passed, for tests that stop a process there.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn at_each_step(mut self, hook: impl Fn(Step) + Send + Sync + 'static) -> Self {
        self.at_each_step = Some(Arc::new(hook));
        self
    }

    /// Checks everything, reads the store if there is one, and brings the credential to life.
    ///
    /// Nothing is sent.
    ///
    /// # Errors
    ///
    /// - [`Error::is_invalid_input`]: a base URL that is relative, has no host, or is plain http to
    ///   anything but loopback; an empty scope; a limit of zero; neither tokens nor a store; no
    ///   client for the exchange.
    /// - [`Error::is_store`]: the store can't be read, or holds something that is no token set.
    /// - [`Error::is_login_required`]: the store is empty and no tokens were given.
    pub async fn build(self) -> Result<Credentials, Error> {
        let base = self.check_base_url()?;
        let origins = self.check_origins(&base)?;
        self.check_limits()?;
        self.check_scope()?;
        let windows = Windows { leeway: self.leeway, jitter: fastrand::f64() };
        let now = self.clock.now();
        let vault = Vault::new(self.store.clone(), self.store_timeout);
        let empty = Snapshot::empty(self.provider_id);
        let (refresh, tokens, snapshot) = match &self.m2m {
            Some(token) => {
                if self.tokens.is_some() || self.store.is_some() {
                    return Err(Error::invalid_input(
                        "an M2M token can't be refreshed, so it goes with neither `tokens` nor a \
                         `store`; leave them out, or begin with `Credentials::builder`",
                    ));
                }
                (None, None, empty.with_m2m(token, self.scheme))
            }
            None => {
                let refresh = self.check_exchange(&base)?;
                let tokens = self.initial_tokens(&vault).await?;
                let snapshot = empty.followed_by(Some(&tokens), self.scheme, &windows, now);
                (Some(refresh), Some(tokens), snapshot)
            }
        };
        let settings = Settings {
            mode: self.mode,
            provider_id: self.provider_id,
            scheme: self.scheme,
            origins,
            windows,
            refresh_limit: self.refresh_limit,
            wait_timeout: self.wait_timeout,
            refresh_request_timeout: self.refresh_request_timeout,
            clock: self.clock,
            #[cfg(feature = "testing")]
            at_each_step: self.at_each_step,
        };
        Ok(Credentials {
            inner: Arc::new(Inner {
                cell: SnapshotCell::new(snapshot),
                desk: Default::default(),
                ledger: AsyncMutex::new(Ledger::new(tokens)),
                vault,
                refresh,
                settings,
                refused_routes: Default::default(),
                saved_bodies: Default::default(),
            }),
        })
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
        if self.refresh_limit.limit < 2 || self.refresh_limit.window.is_zero() {
            return Err(Error::invalid_input(
                "the storm guard would refuse every refresh after a 401, or none; it needs a limit \
                 of 2 or more and a window longer than zero",
            ));
        }
        Ok(())
    }

    /// RFC 6749 appendix A.4: a scope token is visible ASCII without `"` and `\`.
    fn check_scope(&self) -> Result<(), Error> {
        for (index, scope) in self.scope.iter().enumerate() {
            if scope.is_empty() {
                return Err(Error::invalid_input(format!(
                    "scope number {index} is empty; leave it out, or call `scope` with no scopes at \
                     all"
                )));
            }
            if !scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte)) {
                return Err(Error::invalid_input(format!(
                    "scope number {index} holds a character that no scope can hold (a space, a \
                     quotation mark, a backslash, a control or non-ASCII character); give each \
                     scope as an item of its own"
                )));
            }
        }
        Ok(())
    }

    fn check_exchange(&self, base: &Uri) -> Result<Arc<dyn DynRefresh>, Error> {
        match &self.exchange {
            Some(Exchange::With(refresh)) => Ok(Arc::clone(refresh)),
            Some(Exchange::Over(transport)) => Ok(Arc::new(Endpoint::new(
                transport.clone(),
                base,
                self.scope.clone(),
                self.encoding,
                self.response_format,
                self.clock.clone(),
            ))),
            None => Err(Error::invalid_input(
                "nothing carries the refresh exchange; hand an HTTP client to `refresh_client`, or \
                 begin with `Credentials::m2m` for a token that is never refreshed",
            )),
        }
    }

    /// What the store holds, or else the seed, saved.
    async fn initial_tokens(&self, vault: &Vault) -> Result<TokenSet, Error> {
        if self.store.is_none() {
            return self.tokens.clone().ok_or_else(|| {
                Error::invalid_input(
                    "there are neither tokens nor a store; hand the tokens of a login to `tokens`, \
                     or a store that holds them to `store`",
                )
            });
        }
        vault.check().await.map_err(Error::store)?;
        if let Some(stored) = vault.load(&None).await.map_err(Error::store)? {
            return Ok(stored);
        }
        let Some(seed) = &self.tokens else {
            return Err(Error::nothing_stored());
        };
        let lease = vault.lock(self.wait_timeout).await.map_err(Error::store)?;
        // Another process may have saved its seed while this one waited.
        if let Some(stored) = vault.load(&None).await.map_err(Error::store)? {
            return Ok(stored);
        }
        vault.save(&lease, None, seed).await.map_err(Error::store)?;
        Ok(seed.clone())
    }
}

fn parse_url(what: &str, url: &str) -> Result<Uri, Error> {
    url.parse().map_err(|error| {
        // The text may hold a password before its host, so it is not repeated.
        Error::invalid_input(format!(
            "the {what} is no URL ({error}); write it as in `{DEFAULT_BASE_URL}`"
        ))
    })
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
