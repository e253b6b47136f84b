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

#[cfg(any(feature = "hyper-plain", feature = "testing"))]
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

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn what_reqwest_could_not_build_or_connect_was_never_sent() {
    let client = ::reqwest::Client::new();
    let unbuilt = client.get("ftp://127.0.0.1/").send().await.unwrap_err();
    assert!(unbuilt.is_builder() && was_never_sent(&unbuilt), "{unbuilt:?}");

    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", nobody.local_addr().unwrap());
    drop(nobody);
    let unconnected = client.get(&url).send().await.unwrap_err();
    assert!(unconnected.is_connect() && was_never_sent(&unconnected), "{unconnected:?}");

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let (sent, _) = tokio::join!(client.get(&url).send(), async { drop(silent.accept().await) });
    assert!(!was_never_sent(&sent.unwrap_err()));
}

#[cfg(feature = "reqwest-middleware")]
#[tokio::test]
async fn only_reqwests_own_word_counts_below_a_middleware() {
    use ::reqwest_middleware::Error as MiddlewareError;
    let early = || async { ::reqwest::Client::new().get("ftp://127.0.0.1/").send().await };
    let own = MiddlewareError::Reqwest(early().await.unwrap_err());
    assert!(was_never_sent(&own));
    let retried = MiddlewareError::middleware(early().await.unwrap_err());
    assert!(!was_never_sent(&retried));
}
