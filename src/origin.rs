//! Where credentials may go.
//!
//! TeamUp's list endpoints return absolute `next` and `previous` URLs, and clients follow them as
//! they come; so does a redirect layer. A token that goes along with whatever URL it is handed can
//! leak. It therefore goes only to the origins (scheme, host and port, RFC 9110 section 4.3.1) that
//! were allowed by name; every other request passes through without it.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;

use crate::error::Error;

/// A scheme, a host and a port, in the form in which they are compared.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// `https` or `http`.
    scheme: Scheme,
    /// In lower case, with its port unless that is the scheme's own: as clients write it.
    authority: Box<str>,
}

/// The origins that a credential may go to. Never empty.
#[derive(Clone, Debug)]
pub(crate) struct Origins(Box<[Origin]>);

impl Origin {
    /// Reads the origin of an absolute URL, to which credentials are meant to go.
    ///
    /// # Errors
    ///
    /// When the URL is not absolute, has no host, names a user, or is plain http to anything but
    /// loopback: a bearer token travels over TLS only (RFC 6750 section 5.3).
    pub(crate) fn for_credentials(what: &str, uri: &Uri) -> Result<Self, Error> {
        let refuse = |why: &str| Err(Error::invalid_input(format!("the {what} `{uri}` {why}")));
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return refuse(
                "is relative; write it with its scheme and host, as in `https://goteamup.com/api/v2`",
            );
        };
        if authority.host().is_empty() {
            return refuse("has no host");
        }
        if authority.as_str().contains('@') {
            return Err(Error::invalid_input(format!(
                "the {what} names a user before its host; leave that part out, credentials travel \
                 in the Authorization header"
            )));
        }
        if *scheme != Scheme::HTTPS && *scheme != Scheme::HTTP {
            return refuse("is neither https nor http");
        }
        if *scheme == Scheme::HTTP && !is_loopback(authority.host()) {
            return refuse(
                "is plain http; a token may travel over https only, save to loopback (127.0.0.0/8, \
                 [::1] or localhost)",
            );
        }
        let Some(origin) = Origin::of(uri) else {
            return refuse("has no port that can be used");
        };
        Ok(origin)
    }

    fn of(uri: &Uri) -> Option<Self> {
        let scheme = [Scheme::HTTPS, Scheme::HTTP]
            .into_iter()
            .find(|scheme| uri.scheme() == Some(scheme))?;
        let authority = uri.authority()?;
        let own_port: u16 = if scheme == Scheme::HTTPS { 443 } else { 80 };
        // `port()` is `None` for a port that is no number as well, so ask the text.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("" | ":") => own_port,
            Some(port) => port.strip_prefix(':')?.parse().ok()?,
            None => return None,
        };
        let mut text = authority.host().to_ascii_lowercase();
        if port != own_port {
            text = format!("{text}:{port}");
        }
        Some(Origin { scheme, authority: text.into() })
    }
}

impl Origins {
    pub(crate) fn new(origins: Vec<Origin>) -> Self {
        Origins(origins.into())
    }

    /// May credentials go with a request to `uri`?
    ///
    /// A relative URI names no origin: whoever completes it below this layer may send it anywhere,
    /// so the answer is no.
    #[inline]
    pub(crate) fn allow(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return false;
        };
        // Almost every request is written as its origin is; the rest takes the long way.
        let mut origins = self.0.iter();
        origins.any(|origin| authority.as_str() == &*origin.authority && *scheme == origin.scheme)
            || self.allow_if_rewritten(uri)
    }

    #[cold]
    fn allow_if_rewritten(&self, uri: &Uri) -> bool {
        Origin::of(uri).is_some_and(|origin| self.0.contains(&origin))
    }
}

/// Is `host` this machine, whatever a resolver says? Names other than `localhost` are not asked
/// for.
fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Result<Origin, Error> {
        Origin::for_credentials("base URL", &url.parse().unwrap())
    }

    #[test]
    fn p4_only_the_allowed_origin_is_allowed_however_it_is_written() {
        let origins = Origins::new(vec![origin("https://goteamup.com/api/v2").unwrap()]);
        for ours in [
            "https://goteamup.com/api/v2/events",
            "https://goteamup.com:443/",
            "https://GoTeamUp.com/",
            "HTTPS://goteamup.com/",
            "https://goteamup.com:/",
        ] {
            assert!(origins.allow(&ours.parse().unwrap()), "{ours}");
        }
        for other in [
            "http://goteamup.com/",
            "http://goteamup.com:443/",
            "https://goteamup.com:8443/",
            "https://goteamup.com.evil.example/",
            "https://evil.example/goteamup.com",
            "https://goteamup.com@evil.example/",
            "https://user@goteamup.com/",
            "https://api.goteamup.com/",
            "wss://goteamup.com/",
            "/api/v2/events",
        ] {
            assert!(!origins.allow(&other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn a_base_url_that_credentials_must_not_go_to_is_refused_with_the_reason() {
        for (url, said) in [
            ("/api/v2", "is relative"),
            ("goteamup.com", "is relative"),
            ("http://goteamup.com/api/v2", "is plain http"),
            ("http://localhost.evil.example/", "is plain http"),
            ("ftp://goteamup.com/", "is neither https nor http"),
            ("https://me:secret@goteamup.com/", "names a user"),
        ] {
            let error = origin(url).unwrap_err();
            assert!(error.is_invalid_input());
            assert!(error.to_string().contains(said), "{url}: {error}");
            assert!(!error.to_string().contains("secret"));
        }
        for loopback in [
            "http://127.0.0.1:8080/api",
            "http://localhost:1/",
            "http://[::1]:80/",
            "http://127.9.9.9/",
        ] {
            assert!(origin(loopback).is_ok(), "{loopback}");
        }
    }
}
