//! reqwest as the client, for the API and for refresh requests.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body::Body as _;
use pin_project_lite::pin_project;
use reqwest::{Body, Client, Request, Response, ResponseBuilderExt, Url};
use tower_service::Service;

use super::redirects::{Recorded, Redirects, note_redirects};
use crate::body::{RepeatableBody, ReplayBody, SendOnce};
use crate::error::BoxError;
use crate::middleware::ResponseBody;
use crate::refresh::{RefreshClient, is_refresh_request};

/// A [`reqwest::Client`] as a tower service from `http::Request` to `http::Response`, so that
/// [`AuthLayer`](crate::AuthLayer) and any other layer can stand above it.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_teamup_auth::client::{ReqwestService, redirects_within_origin};
/// use tower_teamup_auth::testing::FakeTeamUp;
/// use tower_teamup_auth::{AuthLayer, Credentials, RequestMode};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let teamup = FakeTeamUp::start().await;
/// # let (base_url, tokens) = (teamup.base_url(), teamup.issue_tokens(&[]));
/// let client = reqwest::Client::builder().redirect(redirects_within_origin()).build()?;
///
/// let credentials = Credentials::builder(RequestMode::Provider)
///     .base_url(&base_url)
///     .tokens(tokens)
///     .refresh_client(reqwest::Client::new()) // for refresh requests only
///     .build()
///     .await?;
/// let api = ServiceBuilder::new()
///     .layer(AuthLayer::new(credentials))
///     .service(ReqwestService::new(client).records_redirects());
///
/// let request = http::Request::get(format!("{base_url}/events")).body(reqwest::Body::default())?;
/// let response = reqwest::Response::from(api.oneshot(request).await?);
/// assert!(response.text().await?.contains(r#""count":25"#));
/// # Ok::<(), tower::BoxError>(())
/// # })?;
/// # Ok::<(), tower::BoxError>(())
/// ```
///
/// # Time limits
///
/// A refresh request overrides the client's `timeout`. It can't override
/// [`read_timeout`](reqwest::ClientBuilder::read_timeout), which may cut off the response that holds the
/// next refresh token. So hand in a client for refresh requests that has no `read_timeout`.
///
/// # Redirects
///
/// reqwest follows them by itself, below every layer. Build the client with
/// [`redirects_within_origin`](super::redirects_within_origin), which tells why, and say so with
/// [`records_redirects`](ReqwestService::records_redirects); or build it with
/// [`Policy::none`](reqwest::redirect::Policy::none), and say
/// [`follows_no_redirects`](ReqwestService::follows_no_redirects). Without either, a `POST` or another
/// unsafe request is not retried after a 401, because it may have been carried out before a redirect.
///
/// A 401 that another origin gave after a redirect goes to the caller: it says nothing about the token.
///
/// # Bodies
///
/// `B` is the type of the request bodies, [`reqwest::Body`] unless it is told otherwise:
///
/// | body | sent again after a 401 |
/// | --- | --- |
/// | [`reqwest::Body`] in memory | yes |
/// | [`reqwest::Body`] that is a stream | no |
/// | [`ReplayBody`] around a stream, with [`for_bodies`](ReqwestService::for_bodies) | yes, if it was short enough and sent to its end |
/// | [`Bytes`], with [`for_bodies`](ReqwestService::for_bodies) | yes |
///
/// # Responses
///
/// `reqwest::Response::from` makes a response of reqwest's own kind again, its URL included.
pub struct ReqwestService<S = Client, B = Body> {
    inner: S,
    redirects: Redirects,
    body: PhantomData<fn(B)>,
}

impl<B> ReqwestService<Client, B> {
    /// Says that the client was built with
    /// [`redirects_within_origin`](super::redirects_within_origin), so that unsafe requests are retried
    /// where no redirect was followed.
    #[must_use]
    pub fn records_redirects(self) -> Self {
        ReqwestService { redirects: Redirects::Recorded, ..self }
    }
}

impl<S> ReqwestService<S> {
    /// Wraps a [`reqwest::Client`], or any tower service from [`reqwest::Request`] to
    /// [`reqwest::Response`].
    pub const fn new(client: S) -> Self {
        ReqwestService { inner: client, redirects: Redirects::Unknown, body: PhantomData }
    }
}

impl<S, B> ReqwestService<S, B> {
    /// The same client for requests whose bodies are something else that can be made into a
    /// [`reqwest::Body`]. Which, is inferred where the stack tells:
    ///
    /// ```
    /// use tower::{ServiceBuilder, ServiceExt};
    /// use tower_teamup_auth::body::ReplayBodyLayer;
    /// use tower_teamup_auth::client::ReqwestService;
    /// use tower_teamup_auth::{AuthLayer, Credentials};
    ///
    /// # async fn upload(
    /// #     client: reqwest::Client,
    /// #     credentials: Credentials,
    /// #     stream: reqwest::Body,
    /// # ) -> Result<(), tower::BoxError> {
    /// let api = ServiceBuilder::new()
    ///     .layer(ReplayBodyLayer::new())
    ///     .layer(AuthLayer::new(credentials))
    ///     .service(ReqwestService::new(client).for_bodies());
    ///
    /// let request = http::Request::put("https://goteamup.com/api/v2/uploads").body(stream)?;
    /// let response = api.oneshot(request).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn for_bodies<T: Into<Body>>(self) -> ReqwestService<S, T> {
        ReqwestService { inner: self.inner, redirects: self.redirects, body: PhantomData }
    }

    /// Says that the client was built with [`Policy::none`](reqwest::redirect::Policy::none), so that
    /// unsafe requests are retried.
    #[must_use]
    pub fn follows_no_redirects(self) -> Self {
        ReqwestService { redirects: Redirects::NotFollowed, ..self }
    }

    /// The service within.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service within, to be changed.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service within, alone.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<http::Request<B>> for ReqwestService<S, B>
where
    S: Service<Request, Response = Response>,
    S::Error: From<reqwest::Error>,
    B: Into<Body>,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = ReqwestFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        ReqwestFuture {
            state: match convert(request) {
                Ok(request) => {
                    let asked = request.url().clone();
                    let future = Recorded::new(self.inner.call(request));
                    State::Sent { future, asked, redirects: self.redirects }
                }
                Err(error) => State::Refused { error: Some(error) },
            },
        }
    }
}

impl<S: Clone, B> Clone for ReqwestService<S, B> {
    fn clone(&self) -> Self {
        let redirects = self.redirects;
        ReqwestService { inner: self.inner.clone(), redirects, body: PhantomData }
    }
}

impl<S: fmt::Debug, B> fmt::Debug for ReqwestService<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReqwestService").field(&self.inner).finish()
    }
}

pin_project! {
    /// The future of one request through [`ReqwestService`].
    pub struct ReqwestFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Sent { #[pin] future: Recorded<F>, asked: Url, redirects: Redirects },
        Refused { error: Option<reqwest::Error> },
    }
}

impl<F, E> Future for ReqwestFuture<F>
where
    F: Future<Output = Result<Response, E>>,
    E: From<reqwest::Error>,
{
    type Output = Result<http::Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Sent { future, asked, redirects } => {
                future.poll(cx).map(|(response, followed)| {
                    let mut response = response?;
                    note_redirects(asked, &mut response, followed, *redirects);
                    Ok(into_http(response))
                })
            }
            StateProj::Refused { error } => {
                Poll::Ready(Err(error.take().expect("polled after it was ready").into()))
            }
        }
    }
}

impl<F> fmt::Debug for ReqwestFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestFuture").finish_non_exhaustive()
    }
}

/// Overrides the client's own time limit for a refresh request, whose limit is the credential's: an
/// answer that was cut off is a spent token.
const NO_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

fn convert<B: Into<Body>>(request: http::Request<B>) -> reqwest::Result<Request> {
    let (mut parts, body) = request.into_parts();
    let mut body = body.into();
    let is_refresh = is_refresh_request(&parts.extensions);
    if !parts.uri.path().starts_with('/') {
        // reqwest writes the URI out and reads it again, and such a path would then be read as the
        // end of the host. The bare path in its place is an error, and nothing is sent.
        parts.uri = Uri::default();
    }
    if is_refresh {
        // A redirect takes a body along, to whatever host, unless it is a stream; and the refresh
        // token stands in this one.
        body = Body::wrap(body);
    }
    let mut request = Request::try_from(http::Request::from_parts(parts, body))?;
    if is_refresh {
        *request.timeout_mut() = Some(NO_TIMEOUT);
    }
    Ok(request)
}

/// The same response as one of `http`'s, which names its URL in its extensions.
pub(super) fn into_http(response: Response) -> http::Response<Body> {
    let mut with_url = http::response::Builder::new().url(response.url().clone());
    let mut response = http::Response::<Body>::from(response);
    if let Some(with_url) = with_url.extensions_mut() {
        response.extensions_mut().extend(mem::take(with_url));
    }
    response
}

/// So that [`refresh_client`](crate::CredentialsBuilder::refresh_client) takes a client as it is.
impl RefreshClient<ReqwestService> for Client {
    type RequestBody = Body;
    type ResponseBody = Body;
    type Service = ReqwestService;

    fn into_service(self) -> ReqwestService {
        ReqwestService::new(self)
    }
}

/// In memory: yes, and both share the bytes. A stream: no.
impl RepeatableBody for Body {
    fn try_clone(&mut self) -> Option<Self> {
        if self.as_bytes()?.is_empty() {
            return Some(Body::default());
        }
        // reqwest hands out no share in the bytes of a body, save as the one frame that it is sent in.
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut *self).poll_frame(&mut cx) else {
            return None;
        };
        let bytes = frame.into_data().ok()?;
        *self = Body::from(bytes.clone());
        Some(Body::from(bytes))
    }
}

/// So that `reqwest::Response::from` takes a response that came through [`Auth`](crate::Auth).
impl From<ResponseBody<Body>> for Body {
    fn from(body: ResponseBody<Body>) -> Self {
        body.into_inner().unwrap_or_else(Body::wrap)
    }
}

/// A stream to reqwest, which it never sends twice either.
impl<B> From<SendOnce<B>> for Body
where
    B: http_body::Body + Send + Sync + 'static,
    B::Data: Into<Bytes>,
    B::Error: Into<BoxError>,
{
    fn from(body: SendOnce<B>) -> Self {
        Body::wrap(body)
    }
}

/// A stream to reqwest, on the first send and on the second.
impl<B> From<ReplayBody<B>> for Body
where
    B: http_body::Body + Send + Sync + 'static,
    B::Error: Into<BoxError> + Send + Sync,
{
    fn from(body: ReplayBody<B>) -> Self {
        Body::wrap(body)
    }
}

#[cfg(test)]
mod tests;
