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
use crate::credentials::{Credentials, Renewal};
use crate::detour::{Detour, Leave};
use crate::error::{BoxError, Error};
use crate::sent::Sent;
use crate::service::Shared;

pin_project! {
    /// The future of one request through [`Auth`](crate::Auth).
    ///
    /// On the way of a good token it is the inner future and a few words beside it, with no
    /// allocation of its own; only a detour (a wait for a refresh, a repeat after 401) is boxed.
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
        /// The answer is the caller's, whatever it is.
        Last { #[pin] future: S::Future },
        /// Sent with a token of ours; a 401 leads to a detour.
        First { #[pin] future: S::Future, errand: Option<Errand<S, B>> },
        /// Off the straight way.
        Detour { detour: Pin<Box<Detour<S, B, R>>> },
        /// Nothing could be sent.
        Refused { error: Option<Error> },
    }
}

/// What a request carries along until it is answered.
pub(crate) struct Errand<S, B> {
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) sent: Sent,
    /// `Some` where the body can be sent again, as far as was known before it was sent.
    pub(crate) copy: Option<B>,
}

impl<S, B> Errand<S, B> {
    pub(crate) fn new(shared: Arc<Shared<S>>, sent: Sent, copy: Option<B>) -> Self {
        Errand { shared, sent, copy }
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        self.sent
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
        ResponseFuture { state: State::Last { future } }
    }

    pub(crate) fn sent(future: S::Future, errand: Errand<S, B>) -> Self {
        ResponseFuture { state: State::First { future, errand: Some(errand) } }
    }

    pub(crate) fn waiting(renewal: Renewal, request: Request<B>, errand: Errand<S, B>) -> Self {
        let detour = Box::pin(Detour::for_a_token(renewal, request, errand));
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
                StateProj::Last { future } => return future.poll(cx).map_err(Into::into),
                StateProj::Refused { error } => {
                    let error = error.take().expect("polled after it was ready");
                    return Poll::Ready(Err(error.into()));
                }
                StateProj::First { future, errand } => {
                    let answer = ready!(future.poll(cx));
                    // Whatever it is, the answer ends the first send: what was kept for a repeat
                    // is given back here, unless a 401 takes it along.
                    let errand = errand.take().expect("polled after it was ready");
                    let response = match answer {
                        Ok(response) => response,
                        Err(error) => return Poll::Ready(Err(error.into())),
                    };
                    match judge(response.status(), response.headers(), response.extensions()) {
                        Judgement::Deliver => return Poll::Ready(Ok(response)),
                        Judgement::Renew => {
                            State::Detour { detour: Box::pin(Detour::after_401(response, errand)) }
                        }
                    }
                }
                StateProj::Detour { detour } => match ready!(detour.as_mut().poll(cx)) {
                    Leave::Answer(answer) => return Poll::Ready(answer),
                    Leave::Send { future, errand: None } => State::Last { future },
                    Leave::Send { future, errand } => State::First { future, errand },
                },
            };
            state.set(next);
        }
    }
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Last { .. } => "ResponseFuture::Last",
            State::First { .. } => "ResponseFuture::First",
            State::Detour { .. } => "ResponseFuture::Detour",
            State::Refused { .. } => "ResponseFuture::Refused",
        })
    }
}
