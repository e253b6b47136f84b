//! What a request does off the fast path: it waits for a token, or it is retried.
//!
//! ```text
//! no valid token ─► wait for the refresh ───────────────────────────► ready a service ─► first send
//! 401 ────────────► save its body, drop the rest ─► wait for the refresh ─► ready a service ─► retry
//!                                                    └─ no token, or no body ─► the 401 is the answer
//! ```
//!
//! Only a first send can lead to the second line, and that ends in the retry: no request is sent more than
//! twice, whatever the server answers.
//!
//! While a request waits it holds nothing of the inner stack: its readied service was released, and the
//! body of its 401 was saved and dropped.
//!
//! A service may take long to be ready. If the login changes meanwhile, neither the first send nor the retry
//! follows.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response, Version};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::backup::RequestBackup;
use super::context::{PendingRequest, RetryContext};
use super::decision::{Judgement, Overrides, append_headers, judge_response, may_be_carried_out};
use super::response_body::ResponseBody;
use super::saved_body::{SaveBody, without_body};
use super::token_choice::{self, NoRetry, RetryToken, TokenWait};
use crate::body::RepeatableBody;
use crate::credentials::{Credentials, PendingRefresh, ReadyToken, RouteKey, Snapshot};
use crate::error::{BoxError, Error};
use crate::headers::RequestMode;

pin_project! {
    /// Boxed, so that a request on the fast path carries no more than a pointer for it.
    pub(super) struct SlowPath<S, B, R>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        wait: PendingRefresh,
        #[pin]
        stage: Stage<S, B, R>,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<S, B, R>
    where
        S: Service<Request<B>>,
    {
        /// The first send waits for a token.
        AwaitToken { request: Option<Request<B>>, pending: Option<PendingRequest<S>>, is_early: bool },
        /// A request was answered 401, and the refresh was asked for. Where its outcome is known at
        /// once, nothing has to be saved.
        Unauthorized { response: Option<Response<R>>, retry: Option<Retry<S, B>> },
        /// The body of the 401 is read and saved.
        SaveBody { #[pin] save: SaveBody<R>, retry: Option<Retry<S, B>> },
        /// The retry waits for its token. The 401 is the answer if none comes.
        AwaitRefresh { response: Option<Response<ResponseBody<R>>>, retry: Option<Retry<S, B>> },
        /// What is left of a small 401 is read, so that an HTTP/1.1 connection returns to its pool.
        Drain { #[pin] body: SaveBody<R>, request: Option<Request<B>>, retry: Option<SentRetry<S, B>> },
        /// A service of the request's own is readied for the first send, and then called.
        ReadyFirst { service: S, request: Option<Request<B>>, context: Option<RetryContext<S, B>> },
        /// The same for the retry. The 401 is the answer if the login changes meanwhile.
        ReadyRetry {
            service: S,
            request: Option<Request<B>>,
            retry: Option<SentRetry<S, B>>,
            unauthorized: Option<Response<ResponseBody<R>>>,
        },
        /// The retry was sent. Its answer is the caller's.
        Retried { #[pin] future: S::Future, retry: Option<SentRetry<S, B>> },
    }
}

/// A request that was answered 401. Of many that wait, each holds no more than its backup: the request is
/// rebuilt when it is sent again.
struct Retry<S, B> {
    context: RetryContext<S, B>,
    /// Why there is no retry, whatever the refresh brings.
    no_retry: Option<NoRetry>,
    /// It waited for the new token. Otherwise that was there already, for another request.
    has_waited: bool,
}

/// What a retry leaves behind when it is sent.
struct SentRetry<S, B> {
    context: RetryContext<S, B>,
    /// A further 401 says that the route refuses fresh tokens.
    tells_of_route: bool,
}

/// How the slow path ends.
pub(super) enum Transition<S, B, R>
where
    S: Service<Request<B>>,
{
    /// The first send is under way; a 401 may still lead to a retry.
    Sent { future: S::Future, context: RetryContext<S, B> },
    /// This is the caller's answer.
    Answer(Result<Response<ResponseBody<R>>, BoxError>),
}

impl<S, B, R> SlowPath<S, B, R>
where
    S: Service<Request<B>>,
{
    /// Of a request for which there is no valid token.
    pub(super) fn await_token(
        wait: TokenWait,
        request: Request<B>,
        pending: PendingRequest<S>,
    ) -> Self {
        let is_early = wait.is_early;
        let wait = wait.begin();
        let stage = Stage::AwaitToken { request: Some(request), pending: Some(pending), is_early };
        SlowPath { wait, stage }
    }

    /// Of a request that was answered 401.
    ///
    /// # Errors
    ///
    /// Returns the 401 where it says nothing about the token, because the route refuses fresh ones.
    #[cold]
    pub(super) fn after_401(
        mut response: Response<R>,
        mut context: RetryContext<S, B>,
    ) -> Result<Self, Box<Response<R>>>
    where
        B: RepeatableBody,
    {
        // Asked now and not later: a body that has to be recorded while it is sent, and is not complete
        // when the 401 comes, is not sent again, even if it is complete when the token is there.
        context.backup.forget_incomplete_body();
        let route = || context.route();
        let Some(wait) = token_choice::after_401(context.credentials(), context.generation, route)
        else {
            response.extensions_mut().insert(Error::route_refused());
            return Err(Box::new(response));
        };
        let no_retry = match context.backup.method() {
            Some(method) if may_be_carried_out(method, response.extensions()) => {
                Some(NoRetry::CarriedOut)
            }
            Some(_) => None,
            None => Some(NoRetry::Body),
        };
        let retry = Retry { context, no_retry, has_waited: false };
        let stage = Stage::Unauthorized { response: Some(response), retry: Some(retry) };
        Ok(SlowPath { wait, stage })
    }
}

impl<S, B, R> SlowPath<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: RepeatableBody,
    R: Body,
    R::Error: Into<BoxError>,
{
    #[cold]
    pub(super) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Transition<S, B, R>> {
        let mut this = self.project();
        // The wait was polled in this call, and wakes this task.
        let mut is_waited_for = false;
        loop {
            let next = match this.stage.as_mut().project() {
                StageProj::AwaitToken { request, pending, is_early } => {
                    let outcome = ready!(this.wait.as_mut().poll(cx));
                    let (request, pending) = (taken(request), taken(pending));
                    match first_send(outcome, request, pending, *is_early) {
                        FirstSend::Ready(stage) => stage,
                        FirstSend::Wait(again, stage) => {
                            this.wait.set(again.begin());
                            stage
                        }
                        FirstSend::Failed(error) => return answer(Err(error.into())),
                    }
                }
                StageProj::Unauthorized { response, retry } => {
                    let outcome = this.wait.as_mut().poll(cx);
                    let (response, mut retry) = (taken(response), taken(retry));
                    match outcome {
                        Poll::Ready(outcome) => match retry.authorize(outcome) {
                            Ok((request, sent)) => drain(response, request, sent),
                            Err(error) => {
                                return answer(Ok(rejected(
                                    response.map(ResponseBody::inner),
                                    error,
                                )));
                            }
                        },
                        Poll::Pending => {
                            is_waited_for = true;
                            retry.has_waited = true;
                            let save = save(response, retry.context.credentials());
                            Stage::SaveBody { save, retry: Some(retry) }
                        }
                    }
                }
                StageProj::SaveBody { save, retry } => {
                    let response = ready!(save.poll(cx)).map(ResponseBody::saved);
                    Stage::AwaitRefresh { response: Some(response), retry: Some(taken(retry)) }
                }
                StageProj::AwaitRefresh { response, retry } => {
                    if mem::take(&mut is_waited_for) {
                        return Poll::Pending;
                    }
                    let outcome = ready!(this.wait.as_mut().poll(cx));
                    let (response, retry) = (taken(response), taken(retry));
                    match retry.authorize(outcome) {
                        Ok((request, sent)) => ready_retry(request, sent, response),
                        Err(error) => return answer(Ok(rejected(response, error))),
                    }
                }
                StageProj::Drain { body, request, retry } => {
                    let response = ready!(body.poll(cx)).map(ResponseBody::saved);
                    ready_retry(taken(request), taken(retry), response)
                }
                StageProj::ReadyFirst { service, request, context } => {
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        return answer(Err(error.into()));
                    }
                    let context = taken(context);
                    if let Err(error) = check_login(&context) {
                        return answer(Err(error.into()));
                    }
                    let future = service.call(taken(request));
                    return Poll::Ready(Transition::Sent { future, context });
                }
                StageProj::ReadyRetry { service, request, retry, unauthorized } => {
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        return answer(Err(error.into()));
                    }
                    let retry = taken(retry);
                    if let Err(error) = check_login(&retry.context) {
                        return answer(Ok(rejected(taken(unauthorized), error)));
                    }
                    let future = service.call(taken(request));
                    Stage::Retried { future, retry: Some(retry) }
                }
                StageProj::Retried { future, retry } => {
                    let mut response = match ready!(future.poll(cx)) {
                        Ok(response) => response,
                        Err(error) => return answer(Err(error.into())),
                    };
                    taken(retry).note_answer(&mut response);
                    return answer(Ok(response.map(ResponseBody::inner)));
                }
            };
            this.stage.set(next);
        }
    }
}

fn answer<S, B, R>(answer: Result<Response<ResponseBody<R>>, BoxError>) -> Poll<Transition<S, B, R>>
where
    S: Service<Request<B>>,
{
    Poll::Ready(Transition::Answer(answer))
}

/// The service took its time to be ready, and the token was set before that. A request of a login that was
/// left meanwhile is not sent.
fn check_login<S, B>(context: &RetryContext<S, B>) -> Result<(), Error> {
    token_choice::check_login(&context.credentials().snapshot(), context.generation)
}

/// A 401 that is not retried, and says why.
fn rejected<R>(mut response: Response<ResponseBody<R>>, error: Error) -> Response<ResponseBody<R>> {
    response.extensions_mut().insert(error);
    response
}

/// How the wait of a first send ends.
enum FirstSend<S, B, R>
where
    S: Service<Request<B>>,
{
    Ready(Stage<S, B, R>),
    /// It was an early one, and the token has expired meanwhile.
    Wait(TokenWait, Stage<S, B, R>),
    Failed(Error),
}

fn first_send<S, B, R>(
    outcome: Result<(), Error>,
    mut request: Request<B>,
    pending: PendingRequest<S>,
    is_early: bool,
) -> FirstSend<S, B, R>
where
    S: Service<Request<B>> + Clone,
    B: RepeatableBody,
{
    let snapshot = pending.credentials.snapshot();
    let slot = snapshot.mode(pending.target.plan.mode);
    if let Err(error) = token_choice::check_login(&snapshot, pending.generation) {
        return FirstSend::Failed(error);
    }
    let token = if is_early {
        match token_choice::after_early_wait(&pending.credentials, slot) {
            Ok(token) => token,
            Err(wait) => {
                drop(snapshot);
                let (request, pending, is_early) = (Some(request), Some(pending), wait.is_early);
                let stage = Stage::AwaitToken { request, pending, is_early };
                return FirstSend::Wait(wait, stage);
            }
        }
    } else {
        match token_choice::after_wait(&pending.credentials, slot, outcome) {
            Ok(token) => token,
            Err(error) => return FirstSend::Failed(error),
        }
    };
    let target = pending.target.with(&pending.credentials);
    let backup = RequestBackup::of_any(&mut request, target.origin, target.from_extensions);
    target.plan.apply(token, request.headers_mut());
    let generation = slot.generation;
    let shared = pending.shared;
    FirstSend::Ready(Stage::ReadyFirst {
        service: shared.fresh(),
        request: Some(request),
        context: Some(RetryContext { shared, generation, backup }),
    })
}

impl<S, B> Retry<S, B> {
    /// The request with a new token on it, or why there is no retry.
    fn authorize(
        mut self,
        outcome: Result<(), Error>,
    ) -> Result<(Request<B>, SentRetry<S, B>), Error> {
        let credentials = self.context.credentials().clone();
        let snapshot = credentials.snapshot();
        let request = match (&outcome, self.no_retry) {
            (Ok(()), None) => {
                let origins = &credentials.settings().origins;
                self.context.backup.rebuild(origins).ok_or(NoRetry::Body)
            }
            // After a refresh that failed, its error is what counts.
            (_, no_retry) => Err(no_retry.unwrap_or(NoRetry::Body)),
        };
        let generation = self.context.generation;
        let (RetryToken { token, is_minted }, mut request) =
            token_choice::for_retry(&credentials, &snapshot, generation, outcome, request)?;
        authorize(&mut request, &credentials, &snapshot, token, generation.mode())?;
        let tells_of_route = self.has_waited && is_minted;
        Ok((request, SentRetry { context: self.context, tells_of_route }))
    }
}

/// Sets the headers of a request that was rebuilt. Its own headers and extensions are those of the first
/// send, and so is what they say.
fn authorize<B>(
    request: &mut Request<B>,
    credentials: &Credentials,
    snapshot: &Snapshot,
    token: &ReadyToken,
    mode: RequestMode,
) -> Result<(), Error> {
    let has_no_own = request.extensions().is_empty()
        && append_headers(token, mode, snapshot.provider_id(), request.headers_mut());
    if !has_no_own {
        let overrides = Overrides::of(request.extensions());
        overrides.resolve(credentials, request.headers())?.apply(token, request.headers_mut());
    }
    Ok(())
}

fn save<R: Body>(response: Response<R>, credentials: &Credentials) -> SaveBody<R> {
    SaveBody::new(response, credentials.saved_bodies(), credentials.settings().wait_timeout)
}

fn drain<S, B, R>(
    response: Response<R>,
    request: Request<B>,
    retry: SentRetry<S, B>,
) -> Stage<S, B, R>
where
    S: Service<Request<B>> + Clone,
    R: Body,
{
    // An HTTP/2 connection is not worth the reading: its other streams go on as they are.
    if response.version() == Version::HTTP_2 {
        let total = retry.context.credentials().saved_bodies();
        let response = without_body(response, total).map(ResponseBody::saved);
        return ready_retry(request, retry, response);
    }
    let body = save(response, retry.context.credentials());
    Stage::Drain { body, request: Some(request), retry: Some(retry) }
}

fn ready_retry<S, B, R>(
    request: Request<B>,
    retry: SentRetry<S, B>,
    unauthorized: Response<ResponseBody<R>>,
) -> Stage<S, B, R>
where
    S: Service<Request<B>> + Clone,
{
    Stage::ReadyRetry {
        service: retry.context.shared.fresh(),
        request: Some(request),
        retry: Some(retry),
        unauthorized: Some(unauthorized),
    }
}

impl<S, B> SentRetry<S, B> {
    /// A token that was minted for the route and is answered 401 all the same was not what was wrong.
    fn note_answer<R>(self, response: &mut Response<R>) {
        let judgement =
            judge_response(response.status(), response.headers(), response.extensions());
        let credentials = self.context.credentials();
        let is_of_use = self.tells_of_route
            && (judgement == Judgement::Refresh || !credentials.refused_routes().is_empty());
        let route = if is_of_use { self.context.route() } else { None };
        if note_retry(credentials, route, judgement) {
            response.extensions_mut().insert(Error::route_refused());
        }
    }
}

/// Remembers or forgets the route of a retry, as its answer says. Returns `true` if the route refuses
/// fresh tokens.
pub(crate) fn note_retry(
    credentials: &Credentials,
    route: Option<RouteKey>,
    judgement: Judgement,
) -> bool {
    let Some(route) = route else { return false };
    let is_refused = judgement == Judgement::Refresh;
    if is_refused {
        credentials.refused_routes().refuse(route, credentials.now());
    } else if !credentials.refused_routes().is_empty() {
        credentials.refused_routes().accept(route);
    }
    is_refused
}

fn taken<T>(place: &mut Option<T>) -> T {
    place.take().expect("polled after it was ready")
}
