//! The command's proxy: which request targets, hosts and heads it forwards with a token. The files are
//! the command's own, included as they are.
#![no_main]

use arbitrary::Arbitrary;
use http::header::{HOST, HeaderName, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Uri};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the command uses more of it")]
#[path = "../../cli/src/browsers.rs"]
mod browsers;
#[allow(dead_code, reason = "the command uses more of it")]
#[path = "../../cli/src/proxy/headers.rs"]
mod headers;
#[allow(dead_code, reason = "the command uses more of it")]
#[path = "../../cli/src/proxy/target.rs"]
mod target;

const BASE: &str = "/api/v2";

#[derive(Arbitrary, Debug)]
struct Received {
    method: String,
    target: Vec<Piece>,
    headers: Vec<(Name, Vec<u8>)>,
}

#[derive(Arbitrary, Debug)]
enum Piece {
    Base,
    Slash,
    Dot,
    Encoded(u8),
    EncodedTwice(u8),
    Parameter,
    RefreshEndpoint,
    Text(String),
}

#[derive(Arbitrary, Debug)]
enum Name {
    Host,
    OwnHost,
    Origin,
    FetchSite,
    Connection,
    TransferEncoding,
    Secret,
    Other(String),
}

/// The segments of a path as the most willing server reads them: decoded until nothing changes.
fn segments(path: &str) -> Vec<Vec<u8>> {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..2 {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let digits = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
            let digits = digits.filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()));
            match digits.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
                Some(byte) if bytes[at] == b'%' => {
                    decoded.push(byte);
                    at += 3;
                }
                _ => {
                    decoded.push(bytes[at]);
                    at += 1;
                }
            }
        }
        bytes = decoded;
    }
    bytes.split(|byte| matches!(byte, b'/' | b'\\')).map(<[u8]>::to_vec).collect()
}

fn check_target(received: &Received) {
    let mut text = String::new();
    for piece in &received.target {
        match piece {
            Piece::Base => text.push_str(BASE),
            Piece::Slash => text.push('/'),
            Piece::Dot => text.push('.'),
            Piece::Encoded(byte) => text.push_str(&format!("%{byte:02x}")),
            Piece::EncodedTwice(byte) => text.push_str(&format!("%25{byte:02X}")),
            Piece::Parameter => text.push_str(";a=b"),
            Piece::RefreshEndpoint => text.push_str("/auth/refresh_access_token"),
            Piece::Text(other) => text.push_str(other),
        }
    }
    let Ok(uri) = text.parse::<Uri>() else { return };
    let method = Method::from_bytes(received.method.as_bytes()).unwrap_or(Method::GET);
    let Ok(forwarded) = target::check(&method, &uri, BASE) else { return };
    assert!(method != Method::CONNECT && method != Method::TRACE);
    assert_eq!(Some(forwarded), uri.path_and_query());
    // However the server behind reads it, it is a path under the base that climbs nowhere.
    let segments = segments(forwarded.path());
    assert_eq!(segments[..3], [&b""[..], b"api", b"v2"], "{text}");
    for segment in &segments {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        assert!(name != b"." && name != b"..", "{text}");
        assert!(!segment.iter().any(u8::is_ascii_control), "{text}");
    }
    let below: Vec<_> = segments[3..].iter().filter(|segment| !segment.is_empty()).collect();
    let is_refresh = below.len() == 2
        && below[0].eq_ignore_ascii_case(b"auth")
        && below[1].eq_ignore_ascii_case(b"refresh_access_token");
    assert!(!is_refresh, "the refresh endpoint is reached by {text}");
}

fn check_head(received: &Received) {
    let hosts = browsers::Hosts::of(([127, 0, 0, 1], 8270).into(), &[]);
    let mut head = HeaderMap::new();
    for (name, value) in &received.headers {
        let name = match name {
            Name::Host | Name::OwnHost => HOST,
            Name::Origin => ORIGIN,
            Name::FetchSite => HeaderName::from_static("sec-fetch-site"),
            Name::Connection => http::header::CONNECTION,
            Name::TransferEncoding => http::header::TRANSFER_ENCODING,
            Name::Secret => headers::SECRET,
            Name::Other(name) => match name.parse() {
                Ok(name) => name,
                Err(_) => continue,
            },
        };
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        head.append(name, value);
    }
    for (name, _) in &received.headers {
        if matches!(name, Name::OwnHost) {
            head.insert(HOST, HeaderValue::from_static("localhost:8270"));
        }
    }
    if let Ok(host) = hosts.check(&head) {
        assert_eq!(head.get_all(HOST).iter().count(), 1);
        let host = host.to_ascii_lowercase();
        assert!(matches!(&*host, "localhost:8270" | "127.0.0.1:8270" | "[::1]:8270"));
        for origin in head.get_all(ORIGIN) {
            let host = origin.as_bytes().strip_prefix(b"http://").expect("its own origin");
            let own = [&b"localhost:8270"[..], b"127.0.0.1:8270", b"[::1]:8270"];
            assert!(own.iter().any(|own| own.eq_ignore_ascii_case(host)));
        }
        for site in head.get_all("sec-fetch-site") {
            assert!(site == "same-origin" || site == "none");
        }
    }
    let named: Vec<HeaderName> = head
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    headers::of_request(&mut head);
    for name in named {
        assert!(!head.contains_key(&name), "{name} was named by Connection");
    }
    for name in ["connection", "host", "te", "trailer", "transfer-encoding", "upgrade", "expect"] {
        assert!(!head.contains_key(name), "{name} is of one connection alone");
    }
    assert!(!head.contains_key(headers::SECRET), "the secret is this proxy's");
}

fuzz_target!(|received: Received| {
    check_target(&received);
    check_head(&received);
});
