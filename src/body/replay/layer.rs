//! The layer and the service that wrap the body of every request.

use std::task::{Context, Poll};

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::recorder::Recorder;
use super::{DEFAULT_MAX_BYTES, ReplayBody};

/// Wraps the body of every request in a [`ReplayBody`].
///
/// It stands outside the layer that sends requests again, and it changes nothing else: readiness,
/// answers and errors are the inner service's own.
///
/// It also tells the body of the request's `Content-Length`, if it has one: a client that sends it
/// over HTTP/1.1 drops the body once that many bytes have gone, which a stream that doesn't know
/// its own length would otherwise take for its end being cut off.
///
/// ```
/// use std::convert::Infallible;
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_teamup_auth::body::{ReplayBody, ReplayBodyLayer};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Infallible> {
/// let api = ServiceBuilder::new()
///     .layer(ReplayBodyLayer::new().max_bytes(256 * 1024))
///     .service_fn(|request: Request<ReplayBody<Full<Bytes>>>| async {
///         Ok::<_, Infallible>(Response::new(request.into_body()))
///     });
/// # let api = api;
/// api.oneshot(Request::new(Full::from("an upload"))).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ReplayBodyLayer {
    max_bytes: usize,
}

impl ReplayBodyLayer {
    /// A layer whose bodies keep at most 64 KiB each.
    pub const fn new() -> Self {
        ReplayBodyLayer { max_bytes: DEFAULT_MAX_BYTES }
    }

    /// Sets how many bytes a body may keep, data and trailers together. 64 KiB by default.
    #[must_use]
    pub const fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }
}

impl Default for ReplayBodyLayer {
    fn default() -> Self {
        ReplayBodyLayer::new()
    }
}

impl<S> Layer<S> for ReplayBodyLayer {
    type Service = ReplayBodyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ReplayBodyService { inner, max_bytes: self.max_bytes }
    }
}

/// The service that [`ReplayBodyLayer`] makes.
#[derive(Debug, Clone)]
pub struct ReplayBodyService<S> {
    inner: S,
    max_bytes: usize,
}

impl<S> ReplayBodyService<S> {
    /// The service within.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service within, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service within, alone.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for ReplayBodyService<S>
where
    S: Service<Request<ReplayBody<B>>>,
    B: Body,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let recorder = Recorder::new(self.max_bytes, content_length(request.headers()));
        self.inner.call(request.map(|body| ReplayBody::recorded(body, recorder)))
    }
}

/// A value that can't be read tells nothing of the body; what becomes of it is the client's affair.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
