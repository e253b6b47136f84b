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
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::admit::{Choices, Wishes};
use crate::body::RepeatableBody;
use crate::credentials::{Credentials, PendingRefresh};
use crate::drain::Drain;
use crate::error::{BoxError, Error};
use crate::future::Errand;
use crate::memo::Memo;
use crate::origin::Allowed;
use crate::service::Shared;
use crate::turn;

pin_project! {
    #[project = DetourProj]
    pub(crate) enum Detour<S, B, R>
    where
        S: Service<Request<B>>,
    {
        /// The first send waits for a token.
        AwaitToken { renewal: PendingRefresh, request: Option<Request<B>>, waiting: Option<Waiting<S>> },
        /// A request that was answered 401 waits for the renewal. The 401 is kept whole: if no
        /// new token comes, it is the answer.
        AwaitRenewal {
            renewal: PendingRefresh,
            response: Option<Response<R>>,
            errand: Option<Errand<S, B>>,
        },
        /// The 401 is read to its end, so that an HTTP/1.1 connection returns to its pool.
        Draining { #[pin] drain: Drain<R>, request: Option<Request<B>>, service: Option<S> },
        /// A service of the request's own is readied, and then called.
        Readying { service: S, request: Option<Request<B>>, errand: Option<Errand<S, B>> },
    }
}

/// What a request carries along that waits for its first send.
pub(crate) struct Waiting<S> {
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) credentials: Credentials,
    /// The request brought the credentials itself.
    pub(crate) brought: bool,
    pub(crate) origin: Allowed,
    pub(crate) choices: Choices,
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
    pub(crate) fn for_a_token(
        renewal: PendingRefresh,
        request: Request<B>,
        waiting: Waiting<S>,
    ) -> Self {
        Detour::AwaitToken { renewal, request: Some(request), waiting: Some(waiting) }
    }

    /// The way of a request that was answered 401.
    #[cold]
    pub(crate) fn after_401(response: Response<R>, mut errand: Errand<S, B>) -> Self
    where
        B: RepeatableBody,
    {
        // Asked now and not later: a body that is still being sent when the 401 comes is never
        // sent again, even if it has come to its end by the time the token is there.
        errand.memo.forget_incomplete_body();
        let renewal = turn::after_401(errand.credentials(), errand.generation);
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
    #[cold]
    pub(crate) fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Leave<S, B, R>> {
        loop {
            let next = match self.as_mut().project() {
                DetourProj::AwaitToken { renewal, request, waiting } => {
                    let outcome = ready!(Pin::new(renewal).poll(cx));
                    let (request, waiting) = (taken(request), taken(waiting));
                    match first_send(outcome, request, waiting) {
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
    waiting: Waiting<S>,
) -> Result<Detour<S, B, R>, Error>
where
    S: Service<Request<B>> + Clone,
    B: RepeatableBody,
{
    let Waiting { shared, credentials, brought, origin, choices } = waiting;
    let snapshot = credentials.snapshot();
    let slot = snapshot.slot(choices.mode);
    let held = turn::after_waiting(&credentials, slot, outcome)?;
    let brought = brought.then_some(&credentials);
    let memo = Memo::with_care(&request, origin, brought);
    choices.apply(held, request.headers_mut());
    let service = shared.fresh();
    let errand = Errand { shared, generation: slot.generation, memo };
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
    match authorized_repeat(outcome, errand) {
        Ok((request, service)) => {
            let drain = Drain::new(response.into_body());
            Ok(Detour::Draining { drain, request: Some(request), service: Some(service) })
        }
        Err(reason) => {
            if let Some(reason) = reason {
                response.extensions_mut().insert(reason);
            }
            Err(response)
        }
    }
}

/// The request once more, with a new token on it and a service to send it through; or why there is
/// no repeat.
fn authorized_repeat<S, B>(
    outcome: Result<(), Error>,
    mut errand: Errand<S, B>,
) -> Result<(Request<B>, S), Option<Error>>
where
    S: Service<Request<B>> + Clone,
{
    let credentials = errand.credentials().clone();
    let copy = errand.memo.rebuild(&credentials.settings().origins);
    // What it says, it said before its first send, so its choices are what they were then.
    let copy = copy.and_then(|request| {
        let wishes = Wishes::of(request.extensions(), &credentials);
        let choices = wishes.heed(request.headers()).ok().flatten()?;
        Some((request, choices))
    });
    let snapshot = credentials.snapshot();
    let slot = snapshot.slot(errand.generation.mode());
    let (held, (mut request, choices)) = turn::for_repeat(&credentials, slot, outcome, copy)?;
    choices.apply(held, request.headers_mut());
    Ok((request, errand.shared.fresh()))
}

fn taken<T>(place: &mut Option<T>) -> T {
    place.take().expect("polled after it was ready")
}
