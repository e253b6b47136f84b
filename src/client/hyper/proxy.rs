//! TCP connections, directly or through the tunnel of an HTTP proxy (RFC 9110 section 9.3.6).

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::{Authority, Scheme};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::protocols::Protocols;
use super::tls::{self, Tls};
use crate::error::{BoxError, Error};
use crate::origin::is_loopback;

/// Plain TCP, or TLS to the proxy.
type Stream = tls::Stream<TokioIo<TcpStream>>;

#[derive(Clone)]
pub(super) struct ProxyConnector {
    direct: HttpConnector,
    to_proxy: tls::Connector<HttpConnector>,
    matcher: Option<Arc<Matcher>>,
}

impl ProxyConnector {
    pub(super) fn new(http: HttpConnector, tls: &Tls, matcher: Option<Arc<Matcher>>) -> Self {
        // A tunnel is asked for in HTTP/1.1.
        let to_proxy = tls.connector(http.clone(), Protocols::Http1);
        ProxyConnector { direct: http, to_proxy, matcher }
    }

    pub(super) fn proxy_for(&self, destination: &Uri) -> Option<Intercept> {
        if destination.host().is_some_and(is_loopback) {
            return None;
        }
        self.matcher.as_ref()?.intercept(destination)
    }
}

impl Service<Uri> for ProxyConnector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let Some(proxy) = self.proxy_for(&destination) else {
            let connecting = self.direct.call(destination);
            return Box::pin(async move { Ok(tls::plain(connecting.await?)) });
        };
        if let Err(why) = check(&proxy, TLS) {
            return Box::pin(async move { Err(io::Error::other(why).into()) });
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.to_proxy.clone());
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        Box::pin(async move {
            let destination = with_port(destination)?;
            poll_fn(|cx| tunnel.poll_ready(cx)).await?;
            Ok(tunnel.call(destination).await?)
        })
    }
}

/// Whether a proxy can be spoken to over TLS.
const TLS: bool = cfg!(feature = "hyper");

/// The rules for one proxy for everything.
pub(super) fn matcher(url: &str) -> Result<Matcher, Error> {
    let matcher = Matcher::builder().all(url.to_owned()).build();
    // Any host outside loopback will do.
    let proxy = matcher.intercept(&Uri::from_static("https://goteamup.com/"));
    proxy.ok_or(UNUSABLE).and_then(|proxy| check(&proxy, TLS)).map_err(Error::invalid_input)?;
    Ok(matcher)
}

/// The URL may hold a password, also where its host should stand, so it is not repeated.
fn check(proxy: &Intercept, tls: bool) -> Result<(), &'static str> {
    let scheme = proxy.uri().scheme();
    if scheme != Some(&Scheme::HTTP) && scheme != Some(&Scheme::HTTPS) {
        return Err(NOT_HTTP);
    }
    if scheme == Some(&Scheme::HTTPS) && !tls {
        return Err(NO_TLS);
    }
    // A password with a `#` or `/` in it ends the authority early, and stands where the port should.
    let authority = proxy.uri().authority().map(Authority::as_str).unwrap_or_default();
    let port = authority.strip_prefix(proxy.uri().host().unwrap_or_default());
    match port {
        Some("") => Ok(()),
        Some(_) if proxy.uri().port_u16().is_some() => Ok(()),
        _ => Err(UNUSABLE),
    }
}

const NOT_HTTP: &str = "the proxy's URL is neither http nor https, and no other proxy is supported; \
    name an HTTP proxy, or exempt the host with `NO_PROXY`";

const NO_TLS: &str = "the proxy's URL is https, which needs the feature `hyper` of \
    tower-teamup-auth; switch it on, or name a proxy over plain http";

const UNUSABLE: &str = "the proxy's URL can't be used; write it as in \
    `http://proxy.example:3128`, with special characters of a password percent-encoded";

/// A tunnel needs a port; hyper-util takes 443 where there is none.
fn with_port(destination: Uri) -> Result<Uri, http::Error> {
    if destination.scheme() != Some(&Scheme::HTTP) || destination.port().is_some() {
        return Ok(destination);
    }
    let mut parts = destination.into_parts();
    if let Some(authority) = parts.authority.take() {
        parts.authority = Some(Authority::try_from(format!("{}:80", authority.host()))?);
    }
    Ok(Uri::from_parts(parts)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnel_goes_to_the_port_of_the_scheme() {
        for (destination, authority) in [
            ("http://teamup.test/a", "teamup.test:80"),
            ("http://teamup.test:8080/", "teamup.test:8080"),
            ("http://[2001:db8::1]/", "[2001:db8::1]:80"),
            ("https://teamup.test/", "teamup.test"),
        ] {
            let uri = with_port(Uri::from_static(destination)).unwrap();
            assert_eq!(uri.authority().unwrap(), authority);
        }
    }

    #[test]
    fn p5_proxy_url_that_cannot_be_used_is_refused_and_not_repeated() {
        for (url, says) in [
            ("socks5://user:s3cret@proxy.test:1080", "neither http nor https"),
            ("http://user:s3cret#1@proxy.test", "can't be used"),
            ("http://user:s3cret/1@proxy.test", "can't be used"),
            ("ftp://user:s3cret@proxy.test", "can't be used"),
            ("", "can't be used"),
        ] {
            let error = matcher(url).unwrap_err();
            assert!(error.is_invalid_input() && error.to_string().contains(says), "{error}");
            assert!(!format!("{error:?} {error}").contains("s3cret"), "{error:?}");
        }
        for url in ["http://user:s3cret@proxy.test", "http://[2001:db8::1]:3128/", "proxy:80"] {
            assert!(matcher(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn proxy_over_tls_needs_the_feature_that_has_tls() {
        let url = "https://user:s3cret@proxy.test";
        assert_eq!(matcher(url).is_ok(), TLS);
        let matcher = Matcher::builder().all(url).build();
        let proxy = matcher.intercept(&Uri::from_static("http://teamup.test/")).unwrap();
        assert_eq!(check(&proxy, true), Ok(()));
        let why = check(&proxy, false).unwrap_err();
        assert!(why.contains("the feature `hyper`") && !why.contains("s3cret"), "{why}");
    }
}
