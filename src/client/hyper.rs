//! hyper-util as the client, for the API and for the exchange.

use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// A hyper-util client over TLS whose requests carry `B`.
pub type HyperClient<B = Full<bytes::Bytes>> = Client<HttpsConnector<HttpConnector>, B>;

/// A connector for https (rustls, with the roots that Mozilla trusts) and for plain http, which the
/// origin check confines to loopback; HTTP/1.1 and HTTP/2, as the server prefers.
///
/// ```
/// use http_body_util::Full;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
///
/// let client: Client<_, Full<bytes::Bytes>> =
///     Client::builder(TokioExecutor::new()).build(tower_teamup_auth::client::https_connector());
/// ```
pub fn https_connector() -> HttpsConnector<HttpConnector> {
    HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .expect("ring offers what TLS 1.2 and 1.3 need")
        .https_or_http()
        .enable_all_versions()
        .build()
}

/// A ready hyper-util client: [`https_connector`], pooled connections, hyper's defaults.
///
/// It serves for the API and for the exchange alike:
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_teamup_auth::client::{HyperClient, hyper_client};
/// use tower_teamup_auth::{AuthLayer, Credentials, RequestMode, TokenSet};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let http_client: HyperClient = hyper_client();
/// let credentials = Credentials::builder(RequestMode::Provider)
///     .tokens(TokenSet::new("a-refresh-token".parse()?))
///     .refresh_client(http_client.clone())
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
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .build(https_connector())
}
