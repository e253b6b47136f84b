//! Where credentials may go.
//!
//! TeamUp's list endpoints return absolute `next` and `previous` URLs, and clients follow them as
//! they come; so does a redirect layer. A token that goes along with whatever URL it is handed can
//! leak. It therefore goes only to the origins (scheme, host and port, RFC 9110 section 4.3.1) that
//! were allowed by name; every other request passes through without it.

use std::fmt;
use std::net::IpAddr;

use http::header::HOST;
use http::uri::{self, Authority, Scheme};
use http::{HeaderMap, Uri};

use crate::error::Error;

/// A scheme, a host and a port, in the form in which they are compared.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// `https`, else `http`.
    is_tls: bool,
    /// In lower case, with its port unless that is the scheme's own: as clients write it.
    authority: Box<str>,
}

/// Names one of the origins that a credential may go to; by default the base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// 0 for the base, then the further ones.
    pub(crate) index: u32,
    /// The request writes it in another form than the one in which it was allowed.
    pub(crate) is_rewritten: bool,
}

impl Allowed {
    pub(crate) const BASE: Allowed = Allowed::at(0);

    const fn at(index: u32) -> Self {
        Allowed { index, is_rewritten: false }
    }
}

/// Why credentials may not go with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAllowed {
    Relative,
    UserInfo,
    Path,
    Origin,
    /// The URI alone would be allowed.
    Host,
}

impl NotAllowed {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            NotAllowed::Relative => "its URI is relative",
            NotAllowed::UserInfo => "its URI names a user",
            NotAllowed::Path => "the path of its URI begins with neither `/` nor `?`",
            NotAllowed::Origin => "its origin is not one that credentials may go to",
            NotAllowed::Host => "its Host header names another host than its URI",
        }
    }
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

    /// The origin that a request goes to, if credentials may go with it.
    ///
    /// # Errors
    ///
    /// Says why they may not. A relative URI names no origin: whoever completes it below this layer
    /// may send it anywhere.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<Allowed, NotAllowed> {
        let origin = self.origin_of(uri)?;
        if !host_agrees(uri, headers) {
            return Err(NotAllowed::Host);
        }
        Ok(origin)
    }

    fn origin_of(&self, uri: &Uri) -> Result<Allowed, NotAllowed> {
        let authority = uri.authority().ok_or(NotAllowed::Relative)?;
        if authority.as_str().contains('@') {
            return Err(NotAllowed::UserInfo);
        }
        if !has_plain_path(uri) {
            return Err(NotAllowed::Path);
        }
        if let Some(origin) = self.allow_as_written(uri) {
            return Ok(origin);
        }
        let asked = Origin::of(uri).ok_or(NotAllowed::Origin)?;
        let all = std::iter::once(&self.base).chain(&self.further);
        match (0..).zip(all).find(|(_, origin)| **origin == asked) {
            Some((index, _)) => Ok(Allowed { index, is_rewritten: true }),
            None => Err(NotAllowed::Origin),
        }
    }

    /// The same without a look at the headers, if the request writes its origin as it was allowed, as
    /// almost every one does.
    #[inline(always)]
    pub(crate) fn allow_as_written(&self, uri: &Uri) -> Option<Allowed> {
        let (scheme, authority) = (uri.scheme()?, uri.authority()?);
        if !has_plain_path(uri) {
            return None;
        }
        if self.base.is_written(scheme, authority) {
            return Some(Allowed::BASE);
        }
        self.allow_further(scheme, authority)
    }

    #[cold]
    fn allow_further(&self, scheme: &Scheme, authority: &Authority) -> Option<Allowed> {
        let mut further = (1..).zip(&self.further);
        let (index, _) = further.find(|(_, origin)| origin.is_written(scheme, authority))?;
        Some(Allowed::at(index))
    }

    /// The URI of `path_and_query` there. `None` for an origin that was rewritten: its form is not
    /// known here.
    pub(crate) fn uri(&self, origin: Allowed, path_and_query: &[u8]) -> Option<Uri> {
        if origin.is_rewritten {
            return None;
        }
        let origin = match origin.index.checked_sub(1) {
            None => &self.base,
            Some(index) => self.further.get(index as usize)?,
        };
        let mut parts = uri::Parts::default();
        parts.scheme = Some(origin.scheme());
        parts.authority = Some(origin.authority.parse().ok()?);
        parts.path_and_query = Some(path_and_query.try_into().ok()?);
        Uri::from_parts(parts).ok()
    }
}

/// Does the path begin as RFC 3986 section 3.3 wants it behind an authority? `http` before 1.5 builds
/// others too. Whoever writes such a URI out and reads it again finds another host:
/// `https://goteamup.com` with the path `.evil.example/` is one.
#[inline(always)]
fn has_plain_path(uri: &Uri) -> bool {
    // An absent path reads as `/`.
    uri.path_and_query().is_none_or(|path| begins_plainly(path.as_str().as_bytes()))
}

#[inline(always)]
fn begins_plainly(path: &[u8]) -> bool {
    matches!(path.first(), Some(b'/' | b'?'))
}

/// A request may say by itself, in `Host`, which host it is for (RFC 9110 section 7.2). Servers and
/// proxies go by it, so it has to name the URI's authority, and once.
fn host_agrees(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else { return true };
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return false };
    let normalized = |authority: &str| -> Option<(String, u16)> {
        let (host, port) = match authority.rsplit_once(':') {
            // In an IPv6 address the last colon may stand within the brackets.
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (authority, ""),
        };
        let own = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        let is_number = port.bytes().all(|digit| digit.is_ascii_digit());
        let port = if port.is_empty() { own } else { port.parse().ok().filter(|_| is_number)? };
        Some((host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(), port))
    };
    let named = host.to_str().ok().and_then(normalized);
    hosts.next().is_none() && named.is_some() && named == normalized(authority.as_str())
}

/// Is `host` this machine, whatever a resolver says? Names other than `localhost` are not asked
/// for.
pub(crate) fn is_loopback(host: &str) -> bool {
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
    use http::HeaderValue;

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
            let origin = origins.origin_of(&uri).unwrap();
            assert_eq!(origins.allow_as_written(&uri), Some(origin));
            let path = uri.path_and_query().unwrap().as_str().as_bytes();
            assert_eq!(origins.uri(origin, path), Some(uri));
        }
        for url in ["http://goteamup.com/", "https://[::1]/", "http://a.example/"] {
            assert!(origins.origin_of(&url.parse().unwrap()).is_err(), "{url}");
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
            assert!(origins.origin_of(&ours.parse().unwrap()).is_ok(), "{ours}");
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
            assert!(origins.origin_of(&other.parse().unwrap()).is_err(), "{other}");
        }
    }

    /// A URI from its parts, with a path that the parser would not have made of a text; `None` with a
    /// version of `http` that refuses it itself.
    fn from_parts(authority: &str, path: &[u8]) -> Option<Uri> {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(authority.parse().unwrap());
        parts.path_and_query = Some(path.try_into().ok()?);
        Uri::from_parts(parts).ok()
    }

    #[test]
    fn e3_a_path_that_begins_with_neither_slash_nor_question_mark_is_another_origin() {
        let origins = Origins::of(&["https://goteamup.com", "https://a.example"]);
        for path in [&b".evil.example/"[..], b":8443/", b"@evil.example/", b"*", b"api/v2", b"#x"] {
            for host in ["goteamup.com", "a.example"] {
                let Some(uri) = from_parts(host, path) else { continue };
                if uri.path().starts_with('/') {
                    // `#x` is a fragment, which no URI keeps.
                    continue;
                }
                assert_eq!(origins.origin_of(&uri), Err(NotAllowed::Path), "{uri:?}");
                assert_eq!(origins.allow_as_written(&uri), None, "{uri:?}");
            }
        }
        assert!(from_parts("goteamup.com", b"*").is_some_and(|uri| uri.path() == "*"));
        for path in [&b"/"[..], b"?page=2", b"", b"/api/v2", b"//evil.example/"] {
            let Some(uri) = from_parts("goteamup.com", path) else { continue };
            assert_eq!(origins.origin_of(&uri), Ok(Allowed::BASE), "{uri:?}");
        }
    }

    fn check(url: &str, hosts: &[&[u8]]) -> Result<Allowed, NotAllowed> {
        let origins = Origins::of(&["https://goteamup.com", "http://[::1]:80"]);
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_bytes(host).unwrap());
        }
        origins.check(&url.parse().unwrap(), &headers)
    }

    #[test]
    fn e2_a_host_header_has_to_name_the_authority_of_the_uri_once() {
        let url = "https://goteamup.com/api/v2";
        for host in [
            "goteamup.com",
            "GoTeamUp.COM",
            "goteamup.com:443",
            "goteamup.com:",
            "goteamup.com.",
            "goteamup.com.:443",
        ] {
            assert_eq!(check(url, &[host.as_bytes()]), Ok(Allowed::BASE), "{host}");
        }
        for host in [
            "evil.example",
            "goteamup.com:80",
            "goteamup.com:8443",
            "goteamup.com..",
            "goteamup.com.evil.example",
            "user@goteamup.com",
            "goteamup.com:+443",
            "goteamup.com:0x1bb",
            "goteamup.com, evil.example",
            "goteamup.com evil.example",
            "",
        ] {
            assert_eq!(check(url, &[host.as_bytes()]), Err(NotAllowed::Host), "{host}");
        }
        let twice: &[&[u8]] = &[b"goteamup.com", b"evil.example"];
        assert_eq!(check(url, twice), Err(NotAllowed::Host));
        assert_eq!(check(url, &[b"goteamup.com", b"goteamup.com"]), Err(NotAllowed::Host));
        assert_eq!(check(url, &[b"goteamup.com\xff"]), Err(NotAllowed::Host));
        assert_eq!(check("https://evil.example/", &[b"goteamup.com"]), Err(NotAllowed::Origin));

        let loopback = "http://[::1]/v2";
        for host in ["[::1]", "[::1]:80"] {
            assert!(check(loopback, &[host.as_bytes()]).is_ok(), "{host}");
        }
        for host in ["[::2]", "[::1]:443", "::1", "[::1"] {
            assert_eq!(check(loopback, &[host.as_bytes()]), Err(NotAllowed::Host), "{host}");
        }
    }

    #[test]
    fn p4_whoever_names_a_user_goes_elsewhere() {
        for url in [
            "https://user@goteamup.com/",
            "https://goteamup.com@goteamup.com/",
            "https://goteamup.com:443@goteamup.com/",
            "https://@goteamup.com/",
        ] {
            assert_eq!(check(url, &[]), Err(NotAllowed::UserInfo), "{url}");
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
