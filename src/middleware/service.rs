//! The service: how a request is handled up to its first send.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::backup::RequestBackup;
use super::context::{PendingRequest, PendingTarget, RetryContext, Shared};
use super::decision::{
    Decision, Overrides, RequestView, Target, append_headers, classify, extension, names_host,
};
use super::future::ResponseFuture;
use super::local_snapshot::SnapshotSource;
use super::response_body::ResponseBody;
use super::token_choice;
use crate::body::RepeatableBody;
use crate::credentials::{Credentials, Freshness};
use crate::error::BoxError;
use crate::headers::ProviderId;
use crate::refresh::is_refresh_request;

/// Adds a token to every request that goes to the API, and retries it once on 401.
///
/// Made by [`Auth::new`], or by an [`AuthLayer`](crate::AuthLayer). The [crate's documentation](crate) tells how a
/// request is handled.
///
/// ```
/// use http::Request;
/// use tower::{Service, ServiceExt};
/// use tower_teamup_auth::client::HyperClient;
/// use tower_teamup_auth::{Auth, BoxError};
///
/// async fn is_reachable(api: &mut Auth<HyperClient>) -> Result<bool, BoxError> {
///     let request = Request::head("https://goteamup.com/api/v2/events").body(Default::default())?;
///     let response = api.ready().await?.call(request).await?;
///     Ok(response.status().is_success())
/// }
/// ```
///
/// # Readiness
///
/// `poll_ready` asks the inner service. Where a request has to wait for a refresh, the readied
/// inner service is released first, and a clone is readied when the token is there. None of the inner
/// stack's capacity is held over the wait, and no response body either: see [`ResponseBody`].
///
/// # Errors
///
/// An error of the inner service comes through as it is, boxed. An [`Error`](crate::Error) of this
/// crate comes where nothing could be sent.
///
/// # Cancel safety
///
/// A response future may be dropped at any time. A refresh that it waited for goes on, and the
/// rotated refresh token is kept.
#[derive(Clone)]
pub struct Auth<S> {
    /// The service that `poll_ready` readies and `call` calls.
    inner: S,
    shared: Arc<Shared<S>>,
    snapshots: SnapshotSource,
}

impl<S: Clone> Auth<S> {
    /// Wraps `inner`: requests go on with the tokens of `credentials`, save those that bring their own
    /// in their extensions.
    ///
    /// ```
    /// use http_body_util::Full;
    /// use tower_teamup_auth::client::{HyperClient, hyper_client};
    /// use tower_teamup_auth::{Auth, Credentials};
    ///
    /// fn api(credentials: Credentials) -> Auth<HyperClient> {
    ///     Auth::new(hyper_client(), credentials)
    /// }
    /// ```
    pub fn new(inner: S, credentials: Credentials) -> Self {
        Auth::with(inner, Some(credentials))
    }

    pub(super) fn with(inner: S, credentials: Option<Credentials>) -> Self {
        let shared = Shared::new(inner.clone(), credentials);
        Auth { inner, shared: Arc::new(shared), snapshots: SnapshotSource::default() }
    }

    /// The same client for the requests of one user: a service over a clone of the inner service, with
    /// the tokens of `credentials`.
    ///
    /// ```
    /// use tower_teamup_auth::client::HyperClient;
    /// use tower_teamup_auth::{Auth, Credentials};
    ///
    /// /// What a handler calls with the credentials of the session.
    /// fn api_of(user: Credentials, api: &Auth<HyperClient>) -> Auth<HyperClient> {
    ///     api.with_credentials(user)
    /// }
    /// ```
    pub fn with_credentials(&self, credentials: Credentials) -> Self {
        Auth::with(self.shared.fresh(), Some(credentials))
    }

    /// Releases whatever capacity `poll_ready` has reserved in the inner service.
    fn release_ready(&mut self) {
        self.inner = self.shared.fresh();
    }
}

impl<S> Auth<S> {
    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, without this one around it.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R> Service<Request<B>> for Auth<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: RepeatableBody,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = BoxError;
    type Future = ResponseFuture<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.authorize_fast(&mut request) {
            Some(context) => ResponseFuture::sent(self.inner.call(request), context),
            None => self.call_slow(request),
        }
    }
}

impl<S: Clone> Auth<S> {
    /// Fast path: empty extensions, no auth headers and no `Host` of its own, fresh token. `None`, with
    /// the request as it came, for any other.
    ///
    /// Some of what it calls is inlined by force, and some that is rare is marked cold: the compiler
    /// would decide otherwise, at the price of a call for each request.
    #[inline]
    fn authorize_fast<B: RepeatableBody>(
        &mut self,
        request: &mut Request<B>,
    ) -> Option<RetryContext<S, B>> {
        if self.snapshots.count_call() {
            self.promote();
        }
        if !request.extensions().is_empty() {
            return self.authorize_with_extensions(request);
        }
        let shared = &self.shared;
        let credentials = shared.credentials.as_ref()?;
        let settings = credentials.settings();
        let origin = settings.origins.allow_as_written(request.uri())?;
        if names_host(request.headers()) {
            return None;
        }
        let loaded;
        let snapshot = match self.snapshots.local(credentials) {
            Some(local) => local,
            None => {
                loaded = credentials.snapshot();
                &loaded
            }
        };
        let slot = snapshot.mode(settings.mode);
        let Freshness::Fresh(token) = slot.freshness(credentials.now()) else {
            return None;
        };
        let backup = RequestBackup::of(request, origin);
        if !append_headers(token, settings.mode, snapshot.provider_id(), request.headers_mut()) {
            return None;
        }
        Some(RetryContext { shared: Arc::clone(shared), generation: slot.generation, backup })
    }

    /// The same for a request whose extensions may bring credentials, a mode or a provider id.
    fn authorize_with_extensions<B: RepeatableBody>(
        &mut self,
        request: &mut Request<B>,
    ) -> Option<RetryContext<S, B>> {
        let shared = &self.shared;
        let extensions = request.extensions();
        let brought = extension::<Credentials>(extensions);
        if is_refresh_request(extensions) || shared.must_learn_origins(brought) {
            return None;
        }
        let credentials = brought.or(shared.credentials.as_ref())?;
        let settings = credentials.settings();
        let origin = settings.origins.allow_as_written(request.uri())?;
        if names_host(request.headers()) {
            return None;
        }
        let from_extensions = brought.is_some();
        let overrides = Overrides::of(extensions);
        let mode = overrides.mode.unwrap_or(settings.mode);
        let snapshot = credentials.snapshot();
        let slot = snapshot.mode(mode);
        let Freshness::Fresh(token) = slot.freshness(credentials.now()) else {
            return None;
        };
        let backup = RequestBackup::of_any(request, origin, from_extensions);
        let own = overrides.provider_id.map(ProviderId::header_value);
        let provider_id = own.as_ref().or(snapshot.provider_id());
        let generation = slot.generation;
        let headers = request.headers_mut();
        if !append_headers(token, mode, provider_id, headers) {
            return None;
        }
        Some(RetryContext { shared: Arc::clone(shared), generation, backup })
    }

    /// Makes the private copies of what each request would otherwise share with other clones.
    #[cold]
    fn promote(&mut self) {
        self.shared = Arc::new(self.shared.private_copy());
        self.snapshots.promote(self.shared.credentials.as_ref());
    }

    /// Handles any request.
    #[cold]
    fn call_slow<B, R>(&mut self, mut request: Request<B>) -> ResponseFuture<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        B: RepeatableBody,
    {
        let shared = Arc::clone(&self.shared);
        let known = shared.known_origins.get();
        let view = RequestView::from(&request);
        let target = match classify(shared.credentials.as_ref(), known, &view) {
            Ok(Decision::Authorize(target)) => target,
            Ok(Decision::PassThrough) => {
                return ResponseFuture::passed_through(self.inner.call(request));
            }
            Err(error) => {
                self.release_ready();
                return ResponseFuture::failed(error);
            }
        };
        shared.learn_origins(&target);
        let snapshot = target.credentials.snapshot();
        let slot = snapshot.mode(target.plan.mode);
        let generation = slot.generation;
        match token_choice::before_first_send(target.credentials, slot) {
            Ok(token) => {
                let Target { origin, from_extensions, plan, .. } = target;
                let backup = RequestBackup::of_any(&mut request, origin, from_extensions);
                plan.apply(token, request.headers_mut());
                let context = RetryContext { shared, generation, backup };
                ResponseFuture::sent(self.inner.call(request), context)
            }
            Err(wait) => {
                let pending = PendingRequest {
                    credentials: target.credentials.clone(),
                    target: PendingTarget::from(&target),
                    shared: Arc::clone(&shared),
                    generation,
                };
                self.release_ready();
                ResponseFuture::for_token(wait, request, pending)
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Auth<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("inner", &self.inner)
            .field("credentials", &self.shared.credentials)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Empty;
    use tower::service_fn;

    use super::*;
    use crate::middleware::local_snapshot::CALLS_UNTIL_PROMOTED;

    type Body = Empty<bytes::Bytes>;

    async fn answer(_: Request<Body>) -> Result<Response<Body>, Infallible> {
        Ok(Response::default())
    }

    #[tokio::test]
    async fn after_16_calls_a_service_shares_nothing_with_its_clones() {
        let token = "an-m2m-token".parse().unwrap();
        let credentials = Credentials::m2m(token).build().await.unwrap();
        let mut service = Auth::new(service_fn(answer), credentials);
        let clone = service.clone();
        for calls in 0..2 * u32::from(CALLS_UNTIL_PROMOTED) {
            let is_shared = Arc::ptr_eq(&service.shared, &clone.shared);
            assert_eq!(is_shared, calls < u32::from(CALLS_UNTIL_PROMOTED), "after {calls} calls");
            let request = Request::get("https://goteamup.com/api/v2/events");
            let response = service.call(request.body(Body::new()).unwrap());
            assert_eq!(format!("{response:?}"), "ResponseFuture::Sent");
            assert!(response.await.unwrap().status().is_success());
        }
        assert!(Arc::ptr_eq(&clone.shared, &clone.clone().shared));
    }

    #[test]
    fn debug_tells_what_is_within() {
        let service = Auth::with("the inner service", None);
        assert_eq!(
            format!("{service:?}"),
            r#"Auth { inner: "the inner service", credentials: None }"#
        );
    }
}
