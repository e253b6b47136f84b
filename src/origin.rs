//! Where credentials may go.
//!
//! TeamUp's list endpoints return absolute `next` and `previous` URLs, and clients follow them as
//! they come; so does a redirect layer. A token that goes along with whatever URL it is handed can
//! leak. It therefore goes only to the origins (scheme, host and port, RFC 9110 section 4.3.1) that
//! were allowed by name; every other request passes through without it.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use http::uri::{self, Authority, Scheme};

use crate::error::Error;

/// A scheme, a host and a port, in the form in which they are compared.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// `https`, else `http`.
    is_tls: bool,
    /// In lower case, with its port unless that is the scheme's own: as clients write it.
    authority: Box<str>,
}

/// Names one of the origins that a credential may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowed(
    /// 0 for the base, then the further ones.
    usize,
);

impl Allowed {
    pub(crate) const BASE: Allowed = Allowed(0);

    /// One of them, in another form than the one in which it was allowed.
    pub(crate) const REWRITTEN: Allowed = Allowed(usize::MAX);
}

/// The origins that a credential may go to.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    /// Where almost every request goes.
    base: Origin,
    further: Box<[Origin]>,
}

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
        let is_tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let own_port: u16 = if is_tls { 443 } else { 80 };
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
        Some(Origin { is_tls, authority: text.into() })
    }

    fn scheme(&self) -> Scheme {
        if self.is_tls { Scheme::HTTPS } else { Scheme::HTTP }
    }

    #[inline]
    fn is_written(&self, scheme: &Scheme, authority: &Authority) -> bool {
        let is_scheme = match scheme.as_str() {
            "https" => self.is_tls,
            "http" => !self.is_tls,
            _ => false,
        };
        is_scheme && authority.as_str() == &*self.authority
    }
}

impl Origins {
    pub(crate) fn new(base: Origin, further: Vec<Origin>) -> Self {
        Origins { base, further: further.into() }
    }

    /// The origin that a request to `uri` goes to, if credentials may go with it.
    ///
    /// A relative URI names no origin: whoever completes it below this layer may send it anywhere,
    /// so the answer is no.
    pub(crate) fn allow(&self, uri: &Uri) -> Option<Allowed> {
        self.allow_as_written(uri).or_else(|| {
            let asked = Origin::of(uri)?;
            let is_allowed = asked == self.base || self.further.contains(&asked);
            is_allowed.then_some(Allowed::REWRITTEN)
        })
    }

    /// The same, if the request writes its origin as it was allowed, as almost every one does.
    #[inline(always)]
    pub(crate) fn allow_as_written(&self, uri: &Uri) -> Option<Allowed> {
        let (scheme, authority) = (uri.scheme()?, uri.authority()?);
        if self.base.is_written(scheme, authority) {
            return Some(Allowed::BASE);
        }
        self.allow_further(scheme, authority)
    }

    #[cold]
    fn allow_further(&self, scheme: &Scheme, authority: &Authority) -> Option<Allowed> {
        let mut further = self.further.iter();
        let index = further.position(|origin| origin.is_written(scheme, authority))?;
        Some(Allowed(1 + index))
    }

    /// The URI of `path_and_query` there. `None` for an origin that was rewritten: its form is not
    /// known here.
    pub(crate) fn uri(&self, origin: Allowed, path_and_query: &[u8]) -> Option<Uri> {
        let origin = match origin.0.checked_sub(1) {
            None => &self.base,
            Some(index) => self.further.get(index)?,
        };
        let mut parts = uri::Parts::default();
        parts.scheme = Some(origin.scheme());
        parts.authority = Some(origin.authority.parse().ok()?);
        parts.path_and_query = Some(path_and_query.try_into().ok()?);
        Uri::from_parts(parts).ok()
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
        write!(f, "{}://{}", self.scheme(), self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Result<Origin, Error> {
        Origin::for_credentials("base URL", &url.parse().unwrap())
    }

    impl Origins {
        /// Those of the base URL, which stands first, and of further ones.
        pub(crate) fn of(urls: &[&str]) -> Self {
            let (base, further) = urls.split_first().unwrap();
            let further = further.iter().map(|url| origin(url).unwrap());
            Origins::new(origin(base).unwrap(), further.collect())
        }
    }

    #[test]
    fn debug_shows_an_origin_as_it_is_written() {
        for url in ["https://goteamup.com", "http://127.0.0.1:8080"] {
            assert_eq!(format!("{:?}", origin(url).unwrap()), url);
        }
    }

    #[test]
    fn p4_a_further_origin_is_told_from_the_others() {
        let origins =
            Origins::of(&["https://goteamup.com", "http://[::1]:80", "https://a.example"]);
        for url in [
            "https://goteamup.com/",
            "http://[::1]/v2?page=1",
            "https://a.example/v2",
            "https://a.example?query",
        ] {
            let uri: Uri = url.parse().unwrap();
            let origin = origins.allow(&uri).unwrap();
            assert_eq!(origins.allow_as_written(&uri), Some(origin));
            let path = uri.path_and_query().unwrap().as_str().as_bytes();
            assert_eq!(origins.uri(origin, path), Some(uri));
        }
        for url in ["http://goteamup.com/", "https://[::1]/", "http://a.example/"] {
            assert_eq!(origins.allow(&url.parse().unwrap()), None, "{url}");
        }
    }

    #[test]
    fn p4_only_the_allowed_origin_is_allowed_however_it_is_written() {
        let origins = Origins::of(&["https://goteamup.com/api/v2"]);
        for ours in [
            "https://goteamup.com/api/v2/events",
            "https://goteamup.com:443/",
            "https://GoTeamUp.com/",
            "HTTPS://goteamup.com/",
            "https://goteamup.com:/",
        ] {
            assert!(origins.allow(&ours.parse().unwrap()).is_some(), "{ours}");
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
            assert!(origins.allow(&other.parse().unwrap()).is_none(), "{other}");
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
