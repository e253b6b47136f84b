//! What can be chosen of a client, with the defaults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connector::HyperConnector;
use super::protocols::Protocols;
use super::tls::Tls;
use super::{HyperClient, proxy};
use crate::error::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// How long a refresh request may stay unacknowledged by the peer's machine. A dead peer is then a
/// failed connection, where it would otherwise be silence for many minutes.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Makes a [`HyperClient`].
///
/// | setting | default |
/// | --- | --- |
/// | trusted roots (feature `hyper`) | those of the operating system |
/// | cryptography (feature `hyper`) | the process's default [`CryptoProvider`], else ring |
/// | proxy | `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, read when the client is built |
/// | connect time-out | 10 s |
/// | TCP keep-alive | after 15 s |
///
/// A proxy is asked for a tunnel (`CONNECT`), also for plain http: it sees the host and the port of
/// a request, and no header of it. A user and a password in the proxy's URL go to the proxy as
/// `Proxy-Authorization`. Loopback is never reached through a proxy.
///
/// With the feature `hyper-plain` alone there is no TLS: a client works over plain http, and
/// each https connection fails with an error that names the feature `hyper`.
///
/// ```
/// use std::time::Duration;
///
/// use tower_teamup_auth::client::{HyperClient, HyperClientBuilder};
///
/// # fn client() -> Result<(), tower_teamup_auth::Error> {
/// let client: HyperClient = HyperClientBuilder::new()
///     .connect_timeout(Duration::from_secs(3))
///     .proxy("http://proxy.company.example:3128")
///     .build()?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
///
/// [`CryptoProvider`]: https://docs.rs/rustls/0.23/rustls/crypto/struct.CryptoProvider.html
#[derive(Clone)]
pub struct HyperClientBuilder {
    #[cfg(feature = "hyper")]
    roots: Vec<Vec<u8>>,
    proxy: Proxy,
    connect_timeout: Duration,
    keepalive: Option<Duration>,
}

#[derive(Clone)]
enum Proxy {
    OfTheEnvironment,
    None,
    /// Its URL may hold a password.
    At(String),
}

impl HyperClientBuilder {
    /// The defaults.
    pub fn new() -> Self {
        HyperClientBuilder {
            #[cfg(feature = "hyper")]
            roots: Vec::new(),
            proxy: Proxy::OfTheEnvironment,
            connect_timeout: CONNECT_TIMEOUT,
            keepalive: Some(KEEPALIVE),
        }
    }

    /// Trusts further root certificates, beside those of the system. `pem` holds one or more, in PEM.
    ///
    /// ```
    /// use tower_teamup_auth::client::{HyperClient, HyperClientBuilder};
    ///
    /// fn client(company_root: &str) -> Result<HyperClient, tower_teamup_auth::Error> {
    ///     HyperClientBuilder::new().root_certificates(company_root).build()
    /// }
    /// ```
    #[cfg(feature = "hyper")]
    #[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(pem.into());
        self
    }

    /// Goes through this proxy, whatever the environment says. An `http` URL, or with the feature
    /// `hyper` an `https` URL, which may hold a user and a password.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Proxy::At(url.into());
        self
    }

    /// Goes through no proxy, whatever the environment says.
    #[must_use]
    pub fn no_proxy(mut self) -> Self {
        self.proxy = Proxy::None;
        self
    }

    /// How long a connection may take to come up: name resolution, TCP, the proxy's tunnel and TLS
    /// together. 10 seconds by default.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// After how long without traffic TCP asks whether the peer is still there; 15 seconds by
    /// default, `None` for never.
    #[must_use]
    pub fn tcp_keepalive(mut self, idle: Option<Duration>) -> Self {
        self.keepalive = idle;
        self
    }

    /// Makes the client. Nothing is sent; with TLS, the system's root certificates are read.
    ///
    /// Where the system has none, the client comes to be all the same, and each https connection
    /// fails with an error that says so.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid_input`]: a root certificate or the proxy's URL can't be used, or the
    /// connect time-out is zero.
    pub fn build<B>(self) -> Result<HyperClient<B>, Error>
    where
        B: Body + Send,
        B::Data: Send,
    {
        Ok(Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .build(self.build_connector()?))
    }

    pub(super) fn build_connector(self) -> Result<HyperConnector, Error> {
        let http = self.http_connector();
        self.connector(http, Protocols::Http1AndHttp2)
    }

    /// Makes a client for refresh requests, as a credential makes its own without one.
    ///
    /// It speaks HTTP/1.1 and sends nothing twice. It keeps no connection, so it is bound to no runtime.
    /// Where the platform allows, a peer that acknowledges nothing for 20 seconds is a failed connection.
    ///
    /// ```
    /// use tower_teamup_auth::client::{HyperClient, HyperClientBuilder};
    /// use tower_teamup_auth::{Credentials, RequestMode};
    ///
    /// # fn behind(proxy: &str) -> Result<(), tower_teamup_auth::Error> {
    /// let client: HyperClient = HyperClientBuilder::new().proxy(proxy).build_for_refresh()?;
    /// let builder = Credentials::builder(RequestMode::Provider).refresh_client(client);
    /// # drop(builder);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`build`](Self::build).
    pub fn build_for_refresh<B>(self) -> Result<HyperClient<B>, Error>
    where
        B: Body + Send,
        B::Data: Send,
    {
        #[cfg_attr(
            not(any(target_os = "android", target_os = "fuchsia", target_os = "linux")),
            expect(unused_mut, reason = "the user time-out is not everywhere")
        )]
        let mut http = self.http_connector();
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        http.set_tcp_user_timeout(Some(USER_TIMEOUT));
        Ok(Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build(self.connector(http, Protocols::Http1)?))
    }

    fn http_connector(&self) -> HttpConnector {
        let mut http = HttpConnector::new();
        // With TLS, its layer above judges the scheme.
        http.enforce_http(!cfg!(feature = "hyper"));
        http.set_nodelay(true);
        // Shared by the addresses of a host: a dead one leaves time for the others.
        http.set_connect_timeout(Some(self.connect_timeout));
        http.set_keepalive(self.keepalive);
        http.set_keepalive_interval(self.keepalive.map(|_| KEEPALIVE_INTERVAL));
        http.set_keepalive_retries(self.keepalive.map(|_| KEEPALIVE_RETRIES));
        http
    }

    pub(super) fn proxy_rules(&self) -> Result<Option<Matcher>, Error> {
        Ok(match &self.proxy {
            Proxy::OfTheEnvironment => Some(Matcher::from_env()),
            Proxy::None => None,
            Proxy::At(url) => Some(proxy::matcher(url)?),
        })
    }

    fn connector(self, http: HttpConnector, protocols: Protocols) -> Result<HyperConnector, Error> {
        if self.connect_timeout.is_zero() {
            return Err(Error::invalid_input(
                "`connect_timeout` is zero, so no connection could ever come up; give it some \
                 seconds",
            ));
        }
        let matcher = self.proxy_rules()?;
        let tls = self.tls()?;
        let proxied = proxy::ProxyConnector::new(http, &tls, matcher.map(Arc::new));
        Ok(HyperConnector::new(proxied, tls, protocols, self.connect_timeout))
    }

    #[cfg(feature = "hyper")]
    fn tls(&self) -> Result<Tls, Error> {
        let mut roots = Vec::new();
        for pem in &self.roots {
            roots.extend(super::tls::certificates(pem)?);
        }
        Ok(Tls::trusting(roots))
    }

    #[cfg(not(feature = "hyper"))]
    fn tls(&self) -> Result<Tls, Error> {
        Ok(Tls::none())
    }
}

impl Default for HyperClientBuilder {
    fn default() -> Self {
        HyperClientBuilder::new()
    }
}

impl fmt::Debug for HyperClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperClientBuilder")
            .field("connect_timeout", &self.connect_timeout)
            .field("tcp_keepalive", &self.keepalive)
            .finish_non_exhaustive()
    }
}
