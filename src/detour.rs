//! What happens to a request off the straight way: it waits for a token, or it is repeated.
//!
//! ```text
//! no good token ──► wait for the renewal ─────────────────────► ready a service ──► first send
//! 401 ────────────► wait for the renewal ──► drain the 401 ───► ready a service ──► last send
//!                        └─ failed, or the body is gone ──► the 401 is the answer
//! ```
//!
//! Only the first send can lead to a detour after 401, and that detour ends in the last send: no
//! request is sent more than twice, whatever the server answers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::body::RepeatableBody;
use crate::credentials::{Credentials, Renewal};
use crate::drain::Drain;
use crate::error::{BoxError, Error};
use crate::future::Errand;
use crate::turn;

pin_project! {
    #[project = DetourProj]
    pub(crate) enum Detour<S, B, R>
    where
        S: Service<Request<B>>,
    {
        /// The first send waits for a token.
        AwaitToken { renewal: Renewal, request: Option<Request<B>>, errand: Option<Errand<S, B>> },
        /// A request that was answered 401 waits for the renewal. The 401 is kept whole: if no
        /// new token comes, it is the answer.
        AwaitRenewal {
            renewal: Renewal,
            response: Option<Response<R>>,
            errand: Option<Errand<S, B>>,
        },
        /// The 401 is read to its end, so that an HTTP/1.1 connection returns to its pool.
        Draining { #[pin] drain: Drain<R>, request: Option<Request<B>>, service: Option<S> },
        /// A service of the request's own is readied, and then called.
        Readying { service: S, request: Option<Request<B>>, errand: Option<Errand<S, B>> },
    }
}

/// How a detour ends.
pub(crate) enum Leave<S, B, R>
where
    S: Service<Request<B>>,
{
    /// The request was sent; with an errand if a 401 may still lead to a repeat.
    Send { future: S::Future, errand: Option<Errand<S, B>> },
    /// This is the caller's answer.
    Answer(Result<Response<R>, BoxError>),
}

impl<S, B, R> Detour<S, B, R>
where
    S: Service<Request<B>>,
{
    /// The way of a request for which there is no good token.
    pub(crate) fn for_a_token(renewal: Renewal, request: Request<B>, errand: Errand<S, B>) -> Self {
        Detour::AwaitToken { renewal, request: Some(request), errand: Some(errand) }
    }

    /// The way of a request that was answered 401.
    pub(crate) fn after_401(response: Response<R>, mut errand: Errand<S, B>) -> Self
    where
        B: RepeatableBody,
    {
        // Asked now and not later: a body that is still being sent when the 401 comes is never
        // sent again, even if it has come to its end by the time the token is there.
        if errand.copy.as_ref().is_some_and(|copy| !copy.is_complete()) {
            errand.copy = None;
        }
        let mode = errand.sent.choices().mode;
        let generation = errand.sent.generation();
        let renewal = turn::after_401(errand.credentials(), mode, generation);
        Detour::AwaitRenewal { renewal, response: Some(response), errand: Some(errand) }
    }
}

impl<S, B, R> Detour<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: RepeatableBody,
    R: Body,
{
    pub(crate) fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Leave<S, B, R>> {
        loop {
            let next = match self.as_mut().project() {
                DetourProj::AwaitToken { renewal, request, errand } => {
                    let outcome = ready!(Pin::new(renewal).poll(cx));
                    let (request, errand) = (taken(request), taken(errand));
                    match first_send(outcome, request, errand) {
                        Ok(next) => next,
                        Err(error) => return Poll::Ready(Leave::Answer(Err(error.into()))),
                    }
                }
                DetourProj::AwaitRenewal { renewal, response, errand } => {
                    let outcome = ready!(Pin::new(renewal).poll(cx));
                    let (response, errand) = (taken(response), taken(errand));
                    match repeat(outcome, response, errand) {
                        Ok(next) => next,
                        Err(response) => return Poll::Ready(Leave::Answer(Ok(response))),
                    }
                }
                DetourProj::Draining { drain, request, service } => {
                    ready!(drain.poll(cx));
                    let (request, service) = (taken(request), taken(service));
                    Detour::Readying { service, request: Some(request), errand: None }
                }
                DetourProj::Readying { service, request, errand } => {
                    return Poll::Ready(match ready!(service.poll_ready(cx)) {
                        Ok(()) => Leave::Send {
                            future: service.call(taken(request)),
                            errand: errand.take(),
                        },
                        Err(error) => Leave::Answer(Err(error.into())),
                    });
                }
            };
            self.set(next);
        }
    }
}

/// The renewal for a first send is done: put its token on, or the old one if that is all there is
/// and it may still be good.
fn first_send<S, B, R>(
    outcome: Result<(), Error>,
    mut request: Request<B>,
    errand: Errand<S, B>,
) -> Result<Detour<S, B, R>, Error>
where
    S: Service<Request<B>> + Clone,
    B: RepeatableBody,
{
    let Errand { shared, mut sent, .. } = errand;
    let credentials = sent
        .credentials()
        .or(shared.credentials.as_ref())
        .expect("a request is authorized by credentials")
        .clone();
    let choices = sent.choices();
    let snapshot = credentials.snapshot();
    let slot = snapshot.slot(choices.mode);
    let held = turn::after_waiting(&credentials, choices.mode, slot, outcome)?;
    sent.now_sent_with(slot.generation);
    let copy = request.body().try_clone();
    if copy.is_some() {
        sent.record(&request);
    }
    choices.apply(held, request.headers_mut());
    let service = shared.fresh();
    let errand = Errand { shared, sent, copy };
    Ok(Detour::Readying { service, request: Some(request), errand: Some(errand) })
}

/// The renewal after a 401 is done: repeat the request, or deliver the 401.
fn repeat<S, B, R>(
    outcome: Result<(), Error>,
    mut response: Response<R>,
    errand: Errand<S, B>,
) -> Result<Detour<S, B, R>, Response<R>>
where
    S: Service<Request<B>> + Clone,
    R: Body,
{
    let choices = errand.sent.choices();
    let mode = choices.mode;
    let credentials: Credentials = errand.credentials().clone();
    let Errand { shared, mut sent, copy } = errand;
    let copy = copy.and_then(|body| sent.rebuild(body));
    let snapshot = credentials.snapshot();
    let slot = snapshot.slot(mode);
    let (held, mut request) = match turn::for_repeat(&credentials, mode, slot, outcome, copy) {
        Ok(repeat) => repeat,
        Err(reason) => {
            if let Some(reason) = reason {
                response.extensions_mut().insert(reason);
            }
            return Err(response);
        }
    };
    choices.apply(held, request.headers_mut());
    let drain = Drain::new(response.into_body());
    Ok(Detour::Draining { drain, request: Some(request), service: Some(shared.fresh()) })
}

fn taken<T>(place: &mut Option<T>) -> T {
    place.take().expect("polled after it was ready")
}
