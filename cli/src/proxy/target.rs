//! Which request targets lead to the API: paths under its base that every server reads alike.

use http::uri::PathAndQuery;
use http::{Method, Uri};

/// Why a request is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no path (RFC 9112 section 3.2.1).
    Form,
    /// The server behind could read another path in it.
    Ambiguous,
    /// It does not lie under the API's base.
    Elsewhere,
    /// The proxy refreshes by itself.
    RefreshEndpoint,
    /// TRACE would show the token to the client, CONNECT is for another kind of proxy.
    Method,
}

/// The target to forward.
pub(super) fn check<'a>(
    method: &Method,
    uri: &'a Uri,
    base_path: &str,
) -> Result<&'a PathAndQuery, Refusal> {
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(Refusal::Method);
    }
    let (None, None, Some(target)) = (uri.scheme(), uri.authority(), uri.path_and_query()) else {
        return Err(Refusal::Form);
    };
    let path = target.path();
    if !path.starts_with('/') {
        return Err(Refusal::Form);
    }
    if is_ambiguous(path) {
        return Err(Refusal::Ambiguous);
    }
    let Some(below) = path.strip_prefix(base_path) else { return Err(Refusal::Elsewhere) };
    if !below.is_empty() && !below.starts_with('/') {
        return Err(Refusal::Elsewhere);
    }
    let below = below.trim_end_matches('/');
    if below.eq_ignore_ascii_case("/auth/refresh_access_token") {
        return Err(Refusal::RefreshEndpoint);
    }
    Ok(target)
}

/// Could a server that decodes or normalizes the path come to another one?
fn is_ambiguous(path: &str) -> bool {
    if path.contains("//") || path.contains('\\') {
        return true;
    }
    // Most paths have nothing that is encoded, and no dot.
    if !path.contains(['%', '.']) {
        return false;
    }
    // Twice, for a server behind a server.
    let once = decoded(path.as_bytes());
    let twice = decoded(&once);
    let slashes = |path: &[u8]| path.iter().filter(|byte| **byte == b'/').count();
    let is_odd = |byte: &u8| *byte == b'\\' || byte.is_ascii_control();
    slashes(&twice) != slashes(path.as_bytes())
        || twice.iter().any(is_odd)
        || twice.split(|byte| *byte == b'/').any(|segment| {
            // Some servers cut parameters off first.
            let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
            matches!(name, b"." | b"..")
        })
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let pair = (*byte == b'%').then(|| Some((digit(after.first())?, digit(after.get(1))?)));
        match pair.flatten().and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            None => decoded.push(*byte),
        }
    }
    decoded
}

impl Refusal {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Refusal::Form => "the request target has to be a path",
            Refusal::Ambiguous => {
                "the path could be read in two ways: //, ., .., or an encoded slash"
            }
            Refusal::Elsewhere => "the path does not lie under the API's base",
            Refusal::RefreshEndpoint => "the proxy refreshes tokens by itself",
            Refusal::Method => "this method is not forwarded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(target: &str) -> Result<(), Refusal> {
        check(&Method::GET, &target.parse().unwrap(), "/api/v2").map(drop)
    }

    #[test]
    fn paths_under_the_base_are_forwarded() {
        for target in [
            "/api/v2",
            "/api/v2/",
            "/api/v2/events?page=2&next=//x/../y",
            "/api/v2/files/a.b.c/..d/e..",
            "/api/v2/a%20b/%C3%A9/100%",
            "/api/v2/auth/refresh_access_tokens",
        ] {
            assert_eq!(checked(target), Ok(()), "{target}");
        }
    }

    #[test]
    fn p4_paths_that_could_be_read_in_two_ways_are_refused() {
        for target in [
            "//evil.test/api/v2/x",
            "/api/v2//events",
            "/api/v2/../v1",
            "/api/v2/./x",
            "/api/v2/%2e%2e/x",
            "/api/v2/%2E./x",
            "/api/v2/..;a=b/x",
            "/api/v2/%2fx",
            "/api/v2/%5cx",
            "/api/v2/%252e%252e/x",
            "/api/v2/%252fx",
            "/api/v2/%00",
            "/api/v2/%0d%0ax",
        ] {
            assert_eq!(checked(target), Err(Refusal::Ambiguous), "{target}");
        }
    }

    #[test]
    fn p4_targets_that_are_no_path_of_the_api_are_refused() {
        for target in ["/", "/api", "/api/v1/x", "/api/v22/x", "/API/v2/x", "/api/v2x"] {
            assert_eq!(checked(target), Err(Refusal::Elsewhere), "{target}");
        }
        for target in
            ["http://evil.test/api/v2/x", "https://goteamup.com/api/v2/x", "evil.test:443", "*"]
        {
            assert_eq!(checked(target), Err(Refusal::Form), "{target}");
        }
        for target in ["/api/v2/auth/refresh_access_token", "/api/v2/auth/Refresh_access_token/?x"]
        {
            assert_eq!(checked(target), Err(Refusal::RefreshEndpoint), "{target}");
        }
    }

    #[test]
    fn p5_a_method_that_shows_the_token_is_refused() {
        let uri = Uri::from_static("/api/v2/x");
        for method in [Method::TRACE, Method::CONNECT] {
            assert_eq!(check(&method, &uri, "/api/v2"), Err(Refusal::Method));
        }
    }
}
