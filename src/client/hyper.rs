//! hyper-util as the client, for the API and for refresh requests.

mod builder;
mod connection;
mod connector;
#[cfg(not(feature = "hyper"))]
mod no_tls;
mod protocols;
mod proxy;
#[cfg(all(test, heavy_tests, feature = "hyper"))]
mod tests;
#[cfg(feature = "hyper")]
mod tls;

pub use self::builder::HyperClientBuilder;
pub use self::connection::HyperConnection;
pub use self::connector::HyperConnector;

use http_body_util::Full;
use hyper_util::client::legacy::Client;
#[cfg(not(feature = "hyper"))]
use no_tls as tls;

/// A hyper-util client whose requests carry `B`.
pub type HyperClient<B = Full<bytes::Bytes>> = Client<HyperConnector, B>;

/// A ready hyper-util client: pooled connections, HTTP/1.1 and HTTP/2 as the server prefers, and the
/// defaults of [`HyperClientBuilder`].
///
/// It trusts the certificates that the system trusts, goes through the proxy that the environment
/// names, and gives up connecting after ten seconds. With the feature `hyper-plain` alone it sends
/// plain HTTP/1.1, to loopback or to a sidecar that does the TLS.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_teamup_auth::client::{HyperClient, hyper_client};
/// use tower_teamup_auth::{AuthLayer, Credentials, RequestMode, TokenSet};
///
/// # #[cfg(feature = "hyper")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let http_client: HyperClient = hyper_client();
/// let credentials = Credentials::builder(RequestMode::Provider)
///     .tokens(TokenSet::new("a-refresh-token".parse()?))
///     .build()
///     .await?;
/// let api = ServiceBuilder::new().layer(AuthLayer::new(credentials)).service(http_client);
/// # Ok::<(), tower::BoxError>(())
/// # })?;
/// # Ok::<(), tower::BoxError>(())
/// ```
pub fn hyper_client<B>() -> HyperClient<B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    HyperClientBuilder::new().build().expect("the defaults hold nothing that could be wrong")
}

/// The connector of [`hyper_client`], for a client with settings of its own.
///
/// ```
/// use http_body_util::Full;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
///
/// let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new())
///     .http2_only(true)
///     .build(tower_teamup_auth::client::https_connector());
/// ```
pub fn https_connector() -> HyperConnector {
    let connector = HyperClientBuilder::new().build_connector();
    connector.expect("the defaults hold nothing that could be wrong")
}
