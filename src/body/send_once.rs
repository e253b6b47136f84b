//! A body that is not sent again, whatever it could do.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::Request;
use http_body::{Body, Frame, SizeHint};
use tower_layer::Layer;
use tower_service::Service;

use super::RepeatableBody;

pin_project_lite::pin_project! {
    /// Wraps any body and declares that it is sent once: for a stream that is gone once it is
    /// read, or for a request that must not reach the API twice.
    ///
    /// ```
    /// use http_body_util::Empty;
    /// use tower_teamup_auth::body::{RepeatableBody, SendOnce};
    ///
    /// let mut body: SendOnce<Empty<&[u8]>> = SendOnce::new(Empty::new());
    /// assert!(body.try_clone().is_none());
    /// ```
    #[derive(Debug, Clone, Default)]
    pub struct SendOnce<B> {
        #[pin]
        inner: B,
    }
}

impl<B> SendOnce<B> {
    /// Wraps `body`.
    pub const fn new(body: B) -> Self {
        SendOnce { inner: body }
    }

    /// The body within.
    pub fn into_inner(self) -> B {
        self.inner
    }
}

impl<B> From<B> for SendOnce<B> {
    fn from(body: B) -> Self {
        SendOnce::new(body)
    }
}

impl<B> RepeatableBody for SendOnce<B> {
    #[inline]
    fn try_clone(&mut self) -> Option<Self> {
        None
    }
}

impl<B: Body> Body for SendOnce<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Wraps the body of every request in [`SendOnce`]: after a 401 the token is refreshed, and the request
/// is not retried.
///
/// It stands outside [`AuthLayer`](crate::AuthLayer), for bodies of a type that says nothing of it, as
/// `axum::body::Body` and tonic's:
///
/// ```
/// use http::{Request, Response};
/// use http_body::Body;
/// use tower::{BoxError, Service, ServiceBuilder};
/// use tower_teamup_auth::body::{SendOnce, SendOnceLayer};
/// use tower_teamup_auth::{AuthLayer, Credentials};
///
/// /// A stack for requests of any body, such as those that a server received.
/// fn proxy<S, B, R>(client: S, credentials: Credentials) -> impl Service<Request<B>, Error = BoxError>
/// where
///     S: Service<Request<SendOnce<B>>, Response = Response<R>> + Clone,
///     S::Error: Into<BoxError>,
///     R: Body<Error: Into<BoxError>>,
/// {
///     ServiceBuilder::new()
///         .layer(SendOnceLayer::new())
///         .layer(AuthLayer::new(credentials))
///         .service(client)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SendOnceLayer {}

impl SendOnceLayer {
    /// A layer that marks bodies as sent once.
    pub const fn new() -> Self {
        SendOnceLayer {}
    }
}

impl<S> Layer<S> for SendOnceLayer {
    type Service = SendOnceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SendOnceService { inner }
    }
}

/// The service that [`SendOnceLayer`] makes.
#[derive(Clone, Debug)]
pub struct SendOnceService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for SendOnceService<S>
where
    S: Service<Request<SendOnce<B>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.inner.call(request.map(SendOnce::new))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tower::{ServiceBuilder, ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn p9_the_layer_has_every_body_sent_once() {
        let client = service_fn(|request: Request<SendOnce<Full<bytes::Bytes>>>| async {
            let mut body = request.into_body();
            Ok::<_, std::convert::Infallible>((
                body.size_hint().exact(),
                body.try_clone().is_some(),
            ))
        });
        let api = ServiceBuilder::new().layer(SendOnceLayer::new()).service(client);
        let sent = api.oneshot(Request::new(Full::from("text"))).await.unwrap();
        assert_eq!(sent, (Some(4), false));
    }
}
