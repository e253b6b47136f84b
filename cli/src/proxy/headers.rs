//! What of a head is forwarded.

use http::header::{
    ALT_SVC, CONNECTION, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName};

/// The client's proof that it may use this proxy.
pub(super) const SECRET: HeaderName = HeaderName::from_static("teamup-auth-secret");

/// Says of an answer what this proxy has to do with it.
pub(super) const ERROR: HeaderName = HeaderName::from_static("teamup-auth-error");

/// Fields of one connection alone (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes what a request says to this proxy alone. The HTTP client writes `Host` and the framing anew.
pub(super) fn of_request(headers: &mut HeaderMap) {
    remove(headers, &[HOST, EXPECT, SECRET]);
}

/// Removes what an answer says to this proxy alone, and what would make a browser or a client talk to the
/// proxy's host otherwise.
pub(super) fn of_response(headers: &mut HeaderMap) {
    remove(headers, &[ALT_SVC, STRICT_TRANSPORT_SECURITY, ERROR]);
}

/// Does the request ask for a websocket (RFC 6455 section 4.1)? A server may leave other upgrades, such as
/// that of `curl --http2`, unheeded (RFC 9110 section 7.8).
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let protocols = headers.get_all(UPGRADE).iter().filter_map(|value| value.to_str().ok());
    protocols
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// Removes `more`, the fields of one connection alone, and those that `Connection` names.
fn remove(headers: &mut HeaderMap, more: &[HeaderName]) {
    let named = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse::<HeaderName>().ok());
    // A head has few fields: to look at each is less work than to look each name up.
    let is_gone = |name: &&HeaderName| HOP_BY_HOP.contains(name) || more.contains(name);
    let gone: Vec<_> = named.chain(headers.keys().filter(is_gone).cloned()).collect();
    for name in gone {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connection_names_is_not_forwarded() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-One"),
            ("connection", "x-two,, not a name"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic eA=="),
            ("teamup-auth-secret", "s"),
            ("host", "localhost"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        of_request(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-three"]);
    }
}
