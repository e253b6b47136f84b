//! The future of one request.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::context::{PendingRequest, RetryContext};
use super::decision::{Judgement, judge_response};
use super::response_body::ResponseBody;
use super::slow_path::{SlowPath, Transition};
use super::token_choice::TokenWait;
use crate::body::RepeatableBody;
use crate::credentials::Credentials;
use crate::error::{BoxError, Error};

pin_project! {
    /// The future of one request through [`Auth`](crate::Auth).
    ///
    /// On the fast path it is the inner future and a few words beside it, with no allocation of its
    /// own. Only a wait for a refresh and a retry are boxed.
    ///
    /// It may be dropped at any time; what happens then is told by [`Auth`](crate::Auth#cancel-safety).
    ///
    /// ```
    /// use std::future::Future;
    ///
    /// use http::{Request, Response};
    /// use http_body_util::Empty;
    /// use bytes::Bytes;
    /// use tower::Service;
    /// use tower_teamup_auth::{Auth, BoxError, ResponseFuture};
    ///
    /// type Body = Empty<Bytes>;
    ///
    /// /// The future has a name, so another service can have it in its own type.
    /// fn send<S>(api: &mut Auth<S>, request: Request<Body>) -> ResponseFuture<S, Body, Body>
    /// where
    ///     S: Service<Request<Body>, Response = Response<Body>> + Clone,
    ///     S::Error: Into<BoxError>,
    /// {
    ///     api.call(request)
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// When it is polled again after it was ready.
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, R>
    where
        S: Service<Request<B>>,
    {
        /// Sent. With a context, a 401 leads to a refresh; without, the answer is the caller's,
        /// whatever it is.
        Sent { #[pin] future: S::Future, context: Option<RetryContext<S, B>> },
        /// The request waits for a token, or is retried.
        SlowPath { slow: Pin<Box<SlowPath<S, B, R>>> },
        /// Nothing was sent.
        Failed { error: Option<Error> },
    }
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
{
    pub(super) fn passed_through(future: S::Future) -> Self {
        ResponseFuture { state: State::Sent { future, context: None } }
    }

    #[inline]
    pub(super) fn sent(future: S::Future, context: RetryContext<S, B>) -> Self {
        ResponseFuture { state: State::Sent { future, context: Some(context) } }
    }

    pub(super) fn for_token(
        wait: TokenWait,
        request: Request<B>,
        pending: PendingRequest<S>,
    ) -> Self {
        let slow = Box::pin(SlowPath::await_token(wait, request, pending));
        ResponseFuture { state: State::SlowPath { slow } }
    }

    pub(super) fn failed(error: Error) -> Self {
        ResponseFuture { state: State::Failed { error: Some(error) } }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: RepeatableBody,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Sent { future, context } => {
                    let response = match ready!(future.poll(cx)) {
                        Ok(response) => response,
                        Err(error) => {
                            *context = None;
                            return Poll::Ready(Err(error.into()));
                        }
                    };
                    if !means_refresh(&response) {
                        if let Some(context) = context {
                            forget_route(context, &response);
                        }
                        // Whatever the answer is, it ends this send, and the backup is given back.
                        *context = None;
                        return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                    }
                    let Some(context) = context.take() else {
                        return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                    };
                    match SlowPath::after_401(response, context) {
                        Ok(slow) => State::SlowPath { slow: Box::pin(slow) },
                        Err(response) => {
                            return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                        }
                    }
                }
                StateProj::Failed { error } => {
                    let error = error.take().expect("polled after it was ready");
                    return Poll::Ready(Err(error.into()));
                }
                StateProj::SlowPath { slow } => match ready!(slow.as_mut().poll(cx)) {
                    Transition::Answer(answer) => return Poll::Ready(answer),
                    Transition::Sent { future, context } => {
                        State::Sent { future, context: Some(context) }
                    }
                },
            };
            state.set(next);
        }
    }
}

fn means_refresh<R>(response: &Response<R>) -> bool {
    judge_response(response.status(), response.headers(), response.extensions())
        == Judgement::Refresh
}

/// An answer other than 401 shows that its route does not refuse fresh tokens.
#[inline]
fn forget_route<S, B, R>(context: &RetryContext<S, B>, response: &Response<R>) {
    let credentials = context.credentials();
    if !credentials.refused_routes().is_empty() && response.status() != StatusCode::UNAUTHORIZED {
        accept_route(context, credentials);
    }
}

#[cold]
fn accept_route<S, B>(context: &RetryContext<S, B>, credentials: &Credentials) {
    if let Some(route) = context.route() {
        credentials.refused_routes().accept(route);
    }
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Sent { .. } => "ResponseFuture::Sent",
            State::SlowPath { .. } => "ResponseFuture::SlowPath",
            State::Failed { .. } => "ResponseFuture::Failed",
        })
    }
}
