//! The requests that are measured, and the service below the layer.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use http_body_util::{Empty, Full};
use tower::{Service, ServiceExt};
use tower_teamup_auth::REQUEST_MODE;
use tower_teamup_auth::body::SendOnce;

/// As long as TeamUp's are said to be.
pub(crate) const ACCESS_TOKEN: &str = "Xk3v9QpL2mZr8TtYw6NbCd4FgHj1KsAe";

/// 72 bytes, as a request for a page of events is.
pub(crate) const URI: &str =
    "https://goteamup.com/api/v2/events?page=1&page_size=100&status=active&a=";

/// Answers 200 to everything, at once.
#[derive(Clone, Debug)]
pub(crate) struct Bare;

impl<B> Service<Request<B>> for Bare {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    // Always, or whether it is inlined would show in the figures of whatever stands around it.
    #[inline(always)]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        drop(black_box(request));
        ready(Ok(Response::new(Empty::new())))
    }
}

/// What injecting costs at least: two ready-made values, put in without the layer.
#[derive(Clone, Debug)]
pub(crate) struct WithoutLayer {
    inner: Bare,
    authorization: HeaderValue,
}

impl WithoutLayer {
    pub(crate) fn new() -> Self {
        WithoutLayer { inner: Bare, authorization: authorization() }
    }
}

/// A ready-made value for `Authorization`.
pub(crate) fn authorization() -> HeaderValue {
    let mut value = HeaderValue::try_from(format!("Bearer {ACCESS_TOKEN}")).expect("visible ASCII");
    value.set_sensitive(true);
    value
}

impl<B> Service<Request<B>> for WithoutLayer {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(REQUEST_MODE, HeaderValue::from_static("provider"));
        self.inner.call(request)
    }
}

/// GET with three headers.
pub(crate) fn get() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = http::Uri::from_static(URI);
    let headers = request.headers_mut();
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert("user-agent", HeaderValue::from_static("studio-dashboard/1.4"));
    headers.insert("x-request-id", HeaderValue::from_static("5f2d3b1c-8a1e-4c39"));
    request
}

/// POST with eight headers and a fresh body of 1 KiB.
pub(crate) fn post() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from(vec![b'x'; 1024])));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static(URI);
    let headers = request.headers_mut();
    headers.reserve(10);
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert("accept-language", HeaderValue::from_static("en"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("content-length", HeaderValue::from_static("1024"));
    headers.insert("idempotency-key", HeaderValue::from_static("0f0e0d0c-0b0a"));
    headers.insert("user-agent", HeaderValue::from_static("studio-dashboard/1.4"));
    headers.insert("x-request-id", HeaderValue::from_static("5f2d3b1c-8a1e-4c39"));
    headers.insert(
        "traceparent",
        HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    );
    request
}

/// GET with 8 KiB of headers.
pub(crate) fn large() -> Request<Full<Bytes>> {
    let mut request = get();
    let name = http::header::COOKIE;
    request.headers_mut().insert(name, HeaderValue::from_static(LARGE));
    request
}

/// 8 KiB of a cookie.
const LARGE: &str = {
    const BYTES: [u8; 8192] = [b'x'; 8192];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => panic!("ASCII"),
    }
};

/// GET that brings something in its extensions.
pub(crate) fn with<T: Clone + Send + Sync + 'static>(extension: T) -> Request<Full<Bytes>> {
    let mut request = get();
    request.extensions_mut().insert(extension);
    request
}

/// GET whose body is declared to be sent once, as a stream's is.
pub(crate) fn once() -> Request<SendOnce<Full<Bytes>>> {
    get().map(SendOnce::new)
}

/// One call of a long-lived service, to its end.
pub(crate) fn call<S, B>(service: &mut S, request: Request<B>)
where
    S: Service<Request<B>>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
    let future = pin!(service.call(request));
    assert!(matches!(black_box(future.poll(&mut cx)), Poll::Ready(Ok(_))));
}

/// One call through a clone, as `svc.clone().oneshot(request)` makes it.
pub(crate) fn oneshot<S, B>(service: &S, request: Request<B>)
where
    S: Service<Request<B>> + Clone,
{
    let mut cx = Context::from_waker(Waker::noop());
    let future = pin!(service.clone().oneshot(request));
    assert!(matches!(black_box(future.poll(&mut cx)), Poll::Ready(Ok(_))));
}
