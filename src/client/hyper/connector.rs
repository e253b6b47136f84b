//! Connections for hyper-util's client: directly or through a proxy, over TLS where the URI says so,
//! and within one time limit.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::proxy::ProxyConnector;
use super::tls::Tls;
use crate::error::BoxError;

/// Which versions of HTTP are offered to a TLS server.
pub(super) enum Protocols {
    Http1,
    Http1AndHttp2,
}

/// The connector of a [`HyperClient`](super::HyperClient): https by rustls, and plain http, which
/// the origin check of the credentials confines to loopback.
///
/// [`HyperClientBuilder`](super::HyperClientBuilder) describes what it does.
///
/// # Cancel safety
///
/// A connection that is dropped while it comes up is closed.
#[derive(Clone)]
pub struct HyperConnector {
    /// Shared: hyper-util clones a client, and its connector, for every request.
    https: Arc<HttpsConnector<ProxyConnector>>,
    /// Why no https connection can be made.
    no_tls: Option<Arc<str>>,
    connect_timeout: Duration,
}

type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

impl HyperConnector {
    pub(super) fn new(
        inner: ProxyConnector,
        tls: Tls,
        protocols: Protocols,
        connect_timeout: Duration,
    ) -> Self {
        let https = HttpsConnectorBuilder::new().with_tls_config(tls.config).https_or_http();
        let https = match protocols {
            Protocols::Http1 => https.enable_http1().wrap_connector(inner),
            Protocols::Http1AndHttp2 => https.enable_all_versions().wrap_connector(inner),
        };
        HyperConnector { https: Arc::new(https), no_tls: tls.unusable, connect_timeout }
    }
}

impl Service<Uri> for HyperConnector {
    type Response = MaybeHttpsStream<MaybeHttpsStream<TokioIo<TcpStream>>>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    /// Always ready; a connection waits for what it needs itself.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        if let Some(why) = &self.no_tls {
            if destination.scheme() == Some(&Scheme::HTTPS) {
                let error = io::Error::other(&**why);
                return Box::pin(async { Err(error.into()) });
            }
        }
        let mut https = HttpsConnector::clone(&self.https);
        let limit = self.connect_timeout;
        Box::pin(async move {
            let connecting = async {
                poll_fn(|cx| https.poll_ready(cx)).await?;
                https.call(destination).await
            };
            tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_elapsed| {
                let message = format!("no connection within {limit:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, message).into())
            })
        })
    }
}

impl fmt::Debug for HyperConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperConnector")
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}
