//! The future of one request.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::admit::{Judgement, judge};
use crate::body::RepeatableBody;
use crate::credentials::{Credentials, Generation, PendingRefresh};
use crate::detour::{Detour, Leave, Waiting};
use crate::error::{BoxError, Error};
use crate::memo::Memo;
use crate::service::Shared;

pin_project! {
    /// The future of one request through [`Auth`](crate::Auth).
    ///
    /// On the way of a good token it is the inner future and a few words beside it, with no
    /// allocation of its own; only a detour (a wait for a refresh, a repeat after 401) is boxed.
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
        /// Sent. With an errand, a 401 leads to a detour; without, the answer is the caller's,
        /// whatever it is.
        Sent { #[pin] future: S::Future, errand: Option<Errand<S, B>> },
        /// Off the straight way.
        Detour { detour: Pin<Box<Detour<S, B, R>>> },
        /// Nothing could be sent.
        Refused { error: Option<Error> },
    }
}

/// What a request carries along until it is answered.
pub(crate) struct Errand<S, B> {
    pub(crate) shared: Arc<Shared<S>>,
    /// That of the token that it was sent with.
    pub(crate) generation: Generation,
    pub(crate) memo: Memo<B>,
}

impl<S, B> Errand<S, B> {
    pub(crate) fn credentials(&self) -> &Credentials {
        self.memo
            .credentials()
            .or(self.shared.credentials.as_ref())
            .expect("a request is authorized by credentials")
    }
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
{
    pub(crate) fn passing(future: S::Future) -> Self {
        ResponseFuture { state: State::Sent { future, errand: None } }
    }

    #[inline]
    pub(crate) fn sent(future: S::Future, errand: Option<Errand<S, B>>) -> Self {
        ResponseFuture { state: State::Sent { future, errand } }
    }

    pub(crate) fn waiting(
        renewal: PendingRefresh,
        request: Request<B>,
        waiting: Waiting<S>,
    ) -> Self {
        let detour = Box::pin(Detour::for_a_token(renewal, request, waiting));
        ResponseFuture { state: State::Detour { detour } }
    }

    pub(crate) fn refused(error: Error) -> Self {
        ResponseFuture { state: State::Refused { error: Some(error) } }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: RepeatableBody,
    R: Body,
{
    type Output = Result<Response<R>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Sent { future, errand } => {
                    let answer = ready!(future.poll(cx)).map_err(Into::into);
                    match answer {
                        Ok(response) if means_renewal(&response) => match errand.take() {
                            None => return Poll::Ready(Ok(response)),
                            Some(errand) => State::Detour {
                                detour: Box::pin(Detour::after_401(response, errand)),
                            },
                        },
                        answer => {
                            // Whatever it is, it ends this send: what was kept for a repeat is
                            // given back.
                            *errand = None;
                            return Poll::Ready(answer);
                        }
                    }
                }
                StateProj::Refused { error } => {
                    let error = error.take().expect("polled after it was ready");
                    return Poll::Ready(Err(error.into()));
                }
                StateProj::Detour { detour } => match ready!(detour.as_mut().poll(cx)) {
                    Leave::Answer(answer) => return Poll::Ready(answer),
                    Leave::Send { future, errand } => State::Sent { future, errand },
                },
            };
            state.set(next);
        }
    }
}

fn means_renewal<R>(response: &Response<R>) -> bool {
    judge(response.status(), response.headers(), response.extensions()) == Judgement::Renew
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Sent { .. } => "ResponseFuture::Sent",
            State::Detour { .. } => "ResponseFuture::Detour",
            State::Refused { .. } => "ResponseFuture::Refused",
        })
    }
}
