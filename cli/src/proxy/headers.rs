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
    remove_hop_by_hop(headers);
    headers.remove(HOST);
    headers.remove(EXPECT);
    headers.remove(SECRET);
}

/// Removes what an answer says to this proxy alone, and what would make a browser or a client talk to the
/// proxy's host otherwise.
pub(super) fn of_response(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    headers.remove(ALT_SVC);
    headers.remove(STRICT_TRANSPORT_SECURITY);
    headers.remove(ERROR);
}

/// Does the request ask for a websocket (RFC 6455 section 4.1)? A server may leave other upgrades, such as
/// that of `curl --http2`, unheeded (RFC 9110 section 7.8).
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let protocols = headers.get_all(UPGRADE).iter().filter_map(|value| value.to_str().ok());
    protocols
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<_> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse::<HeaderName>().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
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
