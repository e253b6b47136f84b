use std::fmt;
use std::io::{Error, ErrorKind};

use super::*;

#[derive(Debug)]
struct Outer(Error);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outer")
    }
}

impl StdError for Outer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn only_what_happens_while_connecting_proves_that_nothing_was_sent() {
    for (kind, never_sent) in [
        (ErrorKind::ConnectionRefused, true),
        (ErrorKind::AddrNotAvailable, true),
        (ErrorKind::ConnectionReset, false),
        (ErrorKind::ConnectionAborted, false),
        (ErrorKind::BrokenPipe, false),
        (ErrorKind::UnexpectedEof, false),
        (ErrorKind::TimedOut, false),
        (ErrorKind::HostUnreachable, false),
        (ErrorKind::NetworkUnreachable, false),
        (ErrorKind::NotFound, false),
        (ErrorKind::Other, false),
    ] {
        assert_eq!(was_never_sent(&Error::from(kind)), never_sent, "{kind:?}");
        assert_eq!(was_never_sent(&Outer(kind.into())), never_sent, "{kind:?} inside");
    }
}

#[cfg(any(feature = "hyper", feature = "testing"))]
#[tokio::test]
async fn whatever_kept_hyper_util_from_connecting_nothing_was_sent() {
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let connector = tower::service_fn(|_: http::Uri| {
        let failure = Error::from(ErrorKind::HostUnreachable);
        std::future::ready(Err::<TokioIo<tokio::net::TcpStream>, _>(failure))
    });
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let request = http::Request::get("http://127.0.0.1/").body(String::new()).unwrap();
    let error = client.request(request).await.unwrap_err();
    assert!(was_never_sent(&error), "{error:?}");
}
