//! The versions of HTTP that a connector offers.

/// Which versions of HTTP are offered to a TLS server.
pub(super) enum Protocols {
    Http1,
    Http1AndHttp2,
}
