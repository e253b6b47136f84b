//! Clients that can send refresh requests.

use std::marker::PhantomData;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::error::BoxError;

/// A client that can send refresh requests, or be made into one that can.
///
/// Every tower service from `http::Request` to `http::Response` is one, if its request body can be
/// made from [`Bytes`]. Clients of another kind are made into one by the feature that is named
/// after them: with the feature `reqwest`, a `reqwest::Client` can be handed over as it is.
///
/// `Kind` keeps the implementations apart. It is inferred, save for a service that takes bodies of
/// any type: name one with `refresh_client::<HttpService<Full<Bytes>>>(service)`.
///
/// A function that sets credentials up over whatever client it is given:
///
/// ```
/// use tower_teamup_auth::refresh::RefreshClient;
/// use tower_teamup_auth::{Credentials, Error, RequestMode, TokenSet};
///
/// async fn connect<Kind>(
///     client: impl RefreshClient<Kind>,
///     tokens: TokenSet,
/// ) -> Result<Credentials, Error> {
///     Credentials::builder(RequestMode::Provider).tokens(tokens).refresh_client(client).build().await
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't carry refresh requests",
    label = "not a tower service from `http::Request` to `http::Response` that is `Clone + Send`",
    note = "a service that is not `Clone` becomes it in a `tower::buffer::Buffer`",
    note = "a `reqwest::Client` can be handed over as it is, with the crate's feature `reqwest`"
)]
pub trait RefreshClient<Kind> {
    /// The body of a refresh request.
    type RequestBody: From<Bytes> + Send + 'static;

    /// The body of its response.
    type ResponseBody: Body<Error: Into<BoxError>> + Send + 'static;

    /// The client as a tower service.
    type Service: Service<
            Request<Self::RequestBody>,
            Response = Response<Self::ResponseBody>,
            Error: Into<BoxError>,
            Future: Send,
        > + Clone
        + Send
        + 'static;

    /// Makes it one.
    fn into_service(self) -> Self::Service;
}

/// The [kind](RefreshClient) of a tower service as it is, whose requests carry `B`.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::service_fn;
/// use tower_teamup_auth::refresh::HttpService;
/// use tower_teamup_auth::{BoxError, Credentials, RequestMode};
///
/// /// Would take a request with any body.
/// async fn send<B>(_: Request<B>) -> Result<Response<String>, BoxError> {
///     Err("no network here".into())
/// }
///
/// let builder = Credentials::builder(RequestMode::Provider)
///     .refresh_client::<HttpService<Full<Bytes>>>(service_fn(send));
/// ```
#[derive(Debug)]
pub struct HttpService<B>(PhantomData<fn(B)>);

impl<S, B, R> RefreshClient<HttpService<B>> for S
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: From<Bytes> + Send + 'static,
    R: Body<Error: Into<BoxError>> + Send + 'static,
{
    type RequestBody = B;
    type ResponseBody = R;
    type Service = S;

    fn into_service(self) -> S {
        self
    }
}
