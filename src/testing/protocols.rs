//! The versions of HTTP that the server speaks.

#[cfg(not(feature = "testing-http2"))]
use hyper::server::conn::http1;
#[cfg(feature = "testing-http2")]
use hyper_util::{rt::TokioExecutor, server::conn::auto};

use super::settings::Transport;

/// HTTP/2 streams of one connection that may be open at a time.
#[cfg(feature = "testing-http2")]
const MAX_STREAMS: u32 = 1000;

/// Requests of one HTTP/2 connection that a client may give up before the server takes it for an
/// attack; a test drops many callers at once.
#[cfg(feature = "testing-http2")]
const MAX_RESETS: usize = 100_000;

/// HTTP/1.1 or, where the client begins with its preface, HTTP/2.
#[cfg(feature = "testing-http2")]
pub(super) fn protocols(transport: &Transport) -> auto::Builder<TokioExecutor> {
    let windows = &transport.http2;
    let mut http = auto::Builder::new(TokioExecutor::new());
    let mut http2 = http.http2();
    http2
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS);
    if let Some(bytes) = windows.stream {
        http2.initial_stream_window_size(bytes);
    }
    if let Some(bytes) = windows.connection {
        http2.initial_connection_window_size(bytes);
    }
    if windows.adaptive {
        http2.adaptive_window(true);
    }
    http
}

/// HTTP/1.1 alone.
#[cfg(not(feature = "testing-http2"))]
pub(super) fn protocols(_: &Transport) -> http1::Builder {
    http1::Builder::new()
}
