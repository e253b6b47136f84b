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
use tower_service::Service;

use super::connection::HyperConnection;
use super::protocols::Protocols;
use super::proxy::ProxyConnector;
use super::tls::{self, Tls};
use crate::error::BoxError;

/// The connector of a [`HyperClient`](super::HyperClient): plain http, which the origin check of the
/// credentials confines to loopback, and with the feature `hyper` https by rustls.
///
/// [`HyperClientBuilder`](super::HyperClientBuilder) describes what it does.
///
/// # Cancel safety
///
/// A connection that is dropped while it comes up is closed.
#[derive(Clone)]
pub struct HyperConnector {
    /// Shared: hyper-util clones a client, and its connector, for every request.
    inner: Arc<tls::Connector<ProxyConnector>>,
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
        let inner = Arc::new(tls.connector(inner, protocols));
        HyperConnector { inner, no_tls: tls.unusable, connect_timeout }
    }
}

impl Service<Uri> for HyperConnector {
    type Response = HyperConnection;
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
        let mut connector = (*self.inner).clone();
        let limit = self.connect_timeout;
        Box::pin(async move {
            let connecting = async {
                poll_fn(|cx| connector.poll_ready(cx)).await?;
                Ok(HyperConnection(connector.call(destination).await?))
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
