//! The future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Response, StatusCode};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::limiter::{Permit, Queued, RateLimiter};
use crate::refresh::retry_after;

pin_project! {
    /// The future of a [`RateLimit`](super::RateLimit): waits for its queued, then for the response.
    pub struct ResponseFuture<S, Request>
    where
        S: Service<Request>,
    {
        #[pin]
        state: State<S, Request, S::Future>,
        limiter: Option<RateLimiter>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, Request, F> {
        // In the queue.
        Waiting {
            queued: Pin<Box<dyn Future<Output = Queued> + Send>>,
            // Both are there until the request is sent.
            unsent: Option<(S, Request)>,
        },
        // Has its queued; the inner service is asked whether it is ready.
        Readying { queued: Option<Queued>, unsent: Option<(S, Request)> },
        Sending { #[pin] future: F, permit: Option<Permit> },
    }
}

impl<S: Service<Request>, Request> ResponseFuture<S, Request> {
    pub(super) fn unlimited(future: S::Future) -> Self {
        ResponseFuture { state: State::Sending { future, permit: None }, limiter: None }
    }

    pub(super) fn sending(future: S::Future, limiter: RateLimiter, permit: Permit) -> Self {
        ResponseFuture {
            state: State::Sending { future, permit: Some(permit) },
            limiter: Some(limiter),
        }
    }

    pub(super) fn for_permit(service: S, request: Request, limiter: RateLimiter) -> Self {
        let queued = Box::pin(limiter.clone().queued());
        let unsent = Some((service, request));
        ResponseFuture { state: State::Waiting { queued, unsent }, limiter: Some(limiter) }
    }
}

impl<S, Request, R> Future for ResponseFuture<S, Request>
where
    S: Service<Request, Response = Response<R>> + Clone,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Waiting { queued, unsent } => {
                    let queued = Some(ready!(queued.as_mut().poll(cx)));
                    let unsent = unsent.take();
                    this.state.set(State::Readying { queued, unsent });
                }
                StateProjection::Readying { queued, unsent } => {
                    let (service, _) = unsent.as_mut().expect("polled after it was sent");
                    ready!(service.poll_ready(cx))?;
                    let queued = queued.take().expect("polled after it was sent");
                    let (mut service, request) = unsent.take().expect("it was there just now");
                    match queued.take() {
                        Some(permit) => {
                            let future = service.call(request);
                            this.state.set(State::Sending { future, permit: Some(permit) });
                        }
                        None => {
                            // The readied one is dropped, and with it what it holds.
                            let unsent = Some((service.clone(), request));
                            drop(service);
                            let queued = Box::pin(queued.wait());
                            this.state.set(State::Waiting { queued, unsent });
                        }
                    }
                }
                StateProjection::Sending { future, permit } => {
                    let response = ready!(future.poll(cx))?;
                    if let (Some(limiter), Some(permit)) = (this.limiter, permit.take()) {
                        if response.status() == StatusCode::TOO_MANY_REQUESTS {
                            let now = limiter.clock().now();
                            limiter.refused(permit, retry_after(response.headers(), now));
                        } else {
                            limiter.accepted(permit);
                        }
                    }
                    return Poll::Ready(Ok(response));
                }
            }
        }
    }
}

impl<S: Service<Request>, Request> fmt::Debug for ResponseFuture<S, Request> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
