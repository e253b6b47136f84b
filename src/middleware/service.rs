//! The service: the way of one request, up to the moment it is sent.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::admit::{Admission, Asked, admit, put_on};
use crate::body::RepeatableBody;
use crate::credentials::{Credentials, Freshness};
use crate::detour::Waiting;
use crate::error::BoxError;
use crate::future::{Errand, ResponseFuture};
use crate::memo::Memo;
use crate::own::Own;
use crate::turn;

/// Puts a token on every request that goes to the API, and repeats it once on 401.
///
/// Made by [`AuthLayer`](crate::AuthLayer); the [crate's documentation](crate) tells what happens
/// to a request on its way.
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
/// inner service is given back first, and another is readied when the token is there: none of the
/// inner stack's capacity is held over a refresh.
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
    own: Own,
}

/// What all clones of one service share.
pub(crate) struct Shared<S> {
    /// Never readied and never called: what is cloned when a request needs a service of its own.
    template: Mutex<S>,
    /// `None`: each request brings its own.
    pub(crate) credentials: Option<Credentials>,
}

impl<S: Clone> Auth<S> {
    pub(crate) fn new(inner: S, credentials: Option<Credentials>) -> Self {
        let shared = Shared { template: Mutex::new(inner.clone()), credentials };
        Auth { inner, shared: Arc::new(shared), own: Own::default() }
    }

    /// Gives back whatever capacity `poll_ready` has reserved in the inner service.
    fn give_back(&mut self) {
        self.inner = self.shared.fresh();
    }
}

impl<S> Auth<S> {
    /// The service within.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service within; what is changed here does not reach other clones, nor repeats.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service within, without this one around it.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone> Shared<S> {
    /// A service that nobody has readied yet.
    pub(crate) fn fresh(&self) -> S {
        self.template.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn copied(&self) -> Self {
        Shared { template: Mutex::new(self.fresh()), credentials: self.credentials.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for Auth<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: RepeatableBody,
    R: Body,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = ResponseFuture<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.authorize_at_once(&mut request) {
            None => self.call_with_care(request),
            errand => ResponseFuture::sent(self.inner.call(request), errand),
        }
    }
}

impl<S: Clone> Auth<S> {
    /// The straight way, which almost every request goes: it has nothing of its own to say, neither
    /// in its extensions nor in its headers, and the token is fresh. `None`, with the request as it
    /// came, for any other.
    ///
    /// Some of what it calls is inlined by force, and some that is rare is marked cold: the compiler
    /// would decide otherwise, at the price of a call for each request.
    #[inline]
    fn authorize_at_once<B: RepeatableBody>(
        &mut self,
        request: &mut Request<B>,
    ) -> Option<Errand<S, B>> {
        if self.own.comes_of_age() {
            self.grow_up();
        }
        let shared = &self.shared;
        let credentials = shared.credentials.as_ref()?;
        let settings = credentials.settings();
        if !request.extensions().is_empty() {
            return None;
        }
        let origin = settings.origins.allow_as_written(request.uri())?;
        let loaded;
        let snapshot = match self.own.newest(credentials) {
            Some(own) => own,
            None => {
                loaded = credentials.snapshot();
                &loaded
            }
        };
        let slot = snapshot.slot(settings.mode);
        let Freshness::Fresh(held) = slot.freshness(credentials.now()) else {
            return None;
        };
        let memo = Memo::of(request, origin);
        if !put_on(held, settings.mode, snapshot.provider_id(), request.headers_mut()) {
            return None;
        }
        Some(Errand { shared: Arc::clone(shared), generation: slot.generation, memo })
    }

    /// Has proved long-lived: from now on it shares nothing with its clones that each request would
    /// have to count.
    #[cold]
    fn grow_up(&mut self) {
        self.shared = Arc::new(self.shared.copied());
        self.own.grow_up(self.shared.credentials.as_ref());
    }

    /// The way of every request.
    #[cold]
    fn call_with_care<B, R>(&mut self, mut request: Request<B>) -> ResponseFuture<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        B: RepeatableBody,
    {
        let shared = &self.shared;
        let grant = match admit(shared.credentials.as_ref(), &Asked::from(&request)) {
            Ok(Admission::Authorize(grant)) => grant,
            Ok(Admission::PassThrough) => {
                return ResponseFuture::passing(self.inner.call(request));
            }
            Err(error) => {
                self.give_back();
                return ResponseFuture::refused(error);
            }
        };
        let choices = match grant.wishes.heed(request.headers()) {
            Ok(Some(choices)) => choices,
            Ok(None) => return ResponseFuture::passing(self.inner.call(request)),
            Err(error) => {
                self.give_back();
                return ResponseFuture::refused(error);
            }
        };
        let snapshot = grant.credentials.snapshot();
        let slot = snapshot.slot(choices.mode);
        match turn::at_first(grant.credentials, slot) {
            Ok(held) => {
                let memo = Memo::with_care(&request, grant.origin, grant.brought());
                choices.apply(held, request.headers_mut());
                let shared = Arc::clone(shared);
                let errand = Errand { shared, generation: slot.generation, memo };
                ResponseFuture::sent(self.inner.call(request), Some(errand))
            }
            Err(renewal) => {
                let waiting = Waiting {
                    shared: Arc::clone(shared),
                    credentials: grant.credentials.clone(),
                    brought: grant.brought,
                    origin: grant.origin,
                    choices,
                };
                self.give_back();
                ResponseFuture::waiting(renewal, request, waiting)
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
    use crate::own::AGE;

    type Body = Empty<bytes::Bytes>;

    async fn answer(_: Request<Body>) -> Result<Response<Body>, Infallible> {
        Ok(Response::default())
    }

    #[tokio::test]
    async fn a_service_that_proves_long_lived_shares_nothing_with_its_clones_any_more() {
        let token = "an-m2m-token".parse().unwrap();
        let credentials = Credentials::m2m(token).build().await.unwrap();
        let mut service = Auth::new(service_fn(answer), Some(credentials));
        let clone = service.clone();
        for calls in 0..2 * u32::from(AGE) {
            let is_shared = Arc::ptr_eq(&service.shared, &clone.shared);
            assert_eq!(is_shared, calls < u32::from(AGE), "after {calls} calls");
            let request = Request::get("https://goteamup.com/api/v2/events");
            let response = service.call(request.body(Body::new()).unwrap());
            assert_eq!(format!("{response:?}"), "ResponseFuture::Sent");
            assert!(response.await.unwrap().status().is_success());
        }
        assert!(Arc::ptr_eq(&clone.shared, &clone.clone().shared));
    }

    #[test]
    fn debug_tells_what_is_within() {
        let service = Auth::new("the inner service", None);
        assert_eq!(
            format!("{service:?}"),
            r#"Auth { inner: "the inner service", credentials: None }"#
        );
    }
}
