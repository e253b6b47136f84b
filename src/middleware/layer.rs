//! The layer.

use tower_layer::Layer;

use super::service::Auth;
use crate::credentials::Credentials;

/// Wraps a client in [`Auth`]: every request that goes through carries a token.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_teamup_auth::{AuthLayer, Credentials};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// // In place of a real client: answers with what it saw.
/// let http_client = service_fn(|request: Request<Full<Bytes>>| async move {
///     let mode = request.headers()["teamup-request-mode"].clone();
///     Ok::<_, std::io::Error>(Response::new(Full::new(Bytes::copy_from_slice(mode.as_bytes()))))
/// });
/// let credentials = Credentials::m2m("an-m2m-token".parse()?).build().await?;
/// let api = ServiceBuilder::new().layer(AuthLayer::new(credentials)).service(http_client);
///
/// let request = Request::get("https://goteamup.com/api/v2/events").body(Full::default())?;
/// let response = api.oneshot(request).await?;
/// assert_eq!(response.into_body().collect().await?.to_bytes(), "provider");
/// # Ok::<(), tower::BoxError>(())
/// # })?;
/// # Ok::<(), tower::BoxError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AuthLayer {
    /// `None`: each request brings its own.
    credentials: Option<Credentials>,
}

impl AuthLayer {
    /// A layer that authorizes requests with `credentials`, save those that bring their own in
    /// their extensions.
    pub fn new(credentials: Credentials) -> Self {
        AuthLayer { credentials: Some(credentials) }
    }

    /// A layer for many users over one client: each request brings its [`Credentials`] in its
    /// extensions, and one that brings none is refused before anything is sent.
    ///
    /// ```
    /// # use tower_teamup_auth::{AuthLayer, Credentials};
    /// # fn request_for(user: Credentials) -> Result<(), http::Error> {
    /// let layer = AuthLayer::per_request();
    /// let request = http::Request::get("https://goteamup.com/api/v2/events")
    ///     .extension(user)
    ///     .body(())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn per_request() -> Self {
        AuthLayer { credentials: None }
    }
}

impl Auth<()> {
    /// The layer that makes this service, as tower-http's services have it: the same as
    /// [`AuthLayer::new`].
    pub fn layer(credentials: Credentials) -> AuthLayer {
        AuthLayer::new(credentials)
    }
}

impl<S: Clone> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth::with(inner, self.credentials.clone())
    }
}
