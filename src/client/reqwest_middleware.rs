//! reqwest-middleware: the work of the layer, as a middleware.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use http::{Extensions, Method, StatusCode, Version};
use reqwest::{Body, Request, Response};
use reqwest_middleware::{Error, Middleware, Next};

use super::redirects::{Recorded, Redirects, note_redirects};
use super::reqwest::into_http;
use crate::body::{RepeatableBody, ReplayBody};
use crate::credentials::{Credentials, Generation, PendingRefresh, RouteKey};
use crate::middleware::ResponseBody;
use crate::middleware::decision::{
    Decision, HeaderPlan, Judgement, RequestView, classify, judge_response, may_be_carried_out,
};
use crate::middleware::saved_body::SaveBody;
use crate::middleware::slow_path::note_retry;
use crate::middleware::token_choice::{self, NoRetry, RetryToken};
use crate::token::Deadline;

/// Adds a token to every request that goes to the API, and retries it once on 401: what
/// [`AuthLayer`](crate::AuthLayer) does, for clients of `reqwest-middleware`.
///
/// ```
/// use reqwest_middleware::ClientBuilder;
/// use tower_teamup_auth::client::{AuthMiddleware, redirects_within_origin};
/// use tower_teamup_auth::testing::FakeTeamUp;
/// use tower_teamup_auth::{Credentials, RequestMode};
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
/// let api = ClientBuilder::new(client).with(AuthMiddleware::new(credentials).records_redirects()).build();
///
/// let response = api
///     .get(format!("{base_url}/events"))
///     .with_extension(RequestMode::Customer) // for this request alone
///     .send()
///     .await?;
/// assert!(response.text().await?.contains(r#""count":25"#));
/// # Ok::<(), tower::BoxError>(())
/// # })?;
/// # Ok::<(), tower::BoxError>(())
/// ```
///
/// A request's own choices ([`RequestMode`](crate::RequestMode),
/// [`ProviderId`](crate::ProviderId), [`Credentials`]) are read from the extensions that
/// `with_extension` fills, and from those that a request brings when it was made of an
/// `http::Request`.
///
/// Like the layer, it keeps a 401 whose token could not be refreshed, with the reason, an
/// [`Error`](crate::Error), in the response's extensions.
///
/// # Redirects
///
/// reqwest follows them by itself, below every middleware. Build the client with
/// [`redirects_within_origin`](super::redirects_within_origin), which tells why, and say so with
/// [`records_redirects`](AuthMiddleware::records_redirects).
///
/// # Beside other middleware
///
/// It works in any order. Above reqwest-retry (`.with(auth).with(retry)`) the attempts of one call
/// share a token; below it (`.with(retry).with(auth)`) each attempt takes the newest, and each may
/// be retried once after a 401. Below reqwest-tracing, one span covers both sends of a retried
/// request; above it, each has its own.
///
/// A body in memory can be sent again and a stream can't, as reqwest's `Request::try_clone` has it. With
/// [`replay_bodies`](AuthMiddleware::replay_bodies) a short stream can. reqwest-retry, for its part, refuses to send a stream at all, and wraps every error that passes
/// it in a `RetryError` of its own.
///
/// # Errors
///
/// Where nothing could be sent, [`reqwest_middleware::Error::Middleware`] holds an
/// [`Error`](crate::Error) of this crate:
///
/// ```
/// fn must_log_in_again(error: &reqwest_middleware::Error) -> bool {
///     let reqwest_middleware::Error::Middleware(error) = error else { return false };
///     error
///         .downcast_ref::<tower_teamup_auth::Error>()
///         .is_some_and(tower_teamup_auth::Error::is_login_required)
/// }
/// ```
///
/// Errors from below come through as they are.
///
/// # Cancel safety
///
/// The future of a request may be dropped at any time. A refresh that it waited for goes on, and
/// the rotated refresh token is kept.
#[derive(Clone, Debug)]
pub struct AuthMiddleware {
    /// `None`: each request brings its own.
    credentials: Option<Credentials>,
    redirects: Redirects,
    /// How much of a stream is recorded, in bytes; `None`: nothing.
    recorded_bytes: Option<usize>,
}

impl AuthMiddleware {
    /// A middleware that authorizes requests with `credentials`, save those that bring their own
    /// in their extensions.
    pub fn new(credentials: Credentials) -> Self {
        AuthMiddleware::with(Some(credentials))
    }

    /// A middleware for many users over one client: each request brings its [`Credentials`], and
    /// one that brings none is refused before anything is sent.
    ///
    /// ```
    /// # use reqwest_middleware::ClientBuilder;
    /// # use tower_teamup_auth::{Credentials, client::AuthMiddleware};
    /// # async fn events(client: reqwest::Client, user: Credentials) -> reqwest_middleware::Result<()> {
    /// let api = ClientBuilder::new(client).with(AuthMiddleware::per_request()).build();
    ///
    /// let events = api.get("https://goteamup.com/api/v2/events").with_extension(user).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn per_request() -> Self {
        AuthMiddleware::with(None)
    }

    fn with(credentials: Option<Credentials>) -> Self {
        AuthMiddleware { credentials, redirects: Redirects::Unknown, recorded_bytes: None }
    }

    /// Records each stream while it is sent, up to `max_bytes` bytes, so that it can be sent again after
    /// a 401: what [`ReplayBodyLayer`](crate::body::ReplayBodyLayer) does in a stack. A stream that is
    /// longer, or not sent to its end when the 401 comes, is sent once.
    ///
    /// ```
    /// # use reqwest_middleware::ClientBuilder;
    /// # use tower_teamup_auth::{Credentials, client::AuthMiddleware};
    /// # fn stack(client: reqwest::Client, credentials: Credentials) {
    /// let auth = AuthMiddleware::new(credentials).replay_bodies(64 * 1024);
    /// let api = ClientBuilder::new(client).with(auth).build();
    /// # let _ = api;
    /// # }
    /// ```
    #[must_use]
    pub fn replay_bodies(self, max_bytes: usize) -> Self {
        AuthMiddleware { recorded_bytes: Some(max_bytes), ..self }
    }

    /// Says that the client was built with
    /// [`redirects_within_origin`](super::redirects_within_origin), so that unsafe requests are retried
    /// where no redirect was followed. Middleware below must not send the request from another task.
    #[must_use]
    pub fn records_redirects(self) -> Self {
        AuthMiddleware { redirects: Redirects::Recorded, ..self }
    }

    /// Says that the client was built with [`Policy::none`](reqwest::redirect::Policy::none), so that
    /// unsafe requests are retried.
    #[must_use]
    pub fn follows_no_redirects(self) -> Self {
        AuthMiddleware { redirects: Redirects::NotFollowed, ..self }
    }
}

#[async_trait]
impl Middleware for AuthMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response, Error> {
        // A request of reqwest's own kind shows its extensions to nobody. What an `http::Request`
        // brought along stands there: its overrides, and the mark of a refresh request. That kind has
        // no fragment.
        let fragment = request.url().fragment().map(str::to_owned);
        let request = http::Request::<Body>::try_from(request)?;
        let (uri, own) = (request.uri().clone(), request.extensions().clone());
        let mut request = Request::try_from(request)?;
        request.url_mut().set_fragment(fragment.as_deref());

        let merged;
        let view = RequestView {
            uri: &uri,
            headers: request.headers(),
            extensions: if own.is_empty() {
                extensions
            } else {
                merged = merge(own, extensions);
                &merged
            },
        };
        let (credentials, origin, plan) = match classify(self.credentials.as_ref(), None, &view)
            .map_err(Error::middleware)?
        {
            Decision::Authorize(target) => (target.credentials.clone(), target.origin, target.plan),
            Decision::PassThrough => return next.run(request, extensions).await,
        };

        let copy = Copy::of(&mut request, self.recorded_bytes).ok_or(NoRetry::Body);
        let (url, method) = (request.url().clone(), request.method().clone());
        let path = uri.path().as_bytes();
        let route = RouteKey::of(&method, origin, path, plan.mode, plan.named_provider());
        let deadline = request.timeout().copied().map(Deadline::after);
        let generation = authorize(&credentials, plan, &mut request, deadline)
            .await
            .map_err(Error::middleware)?;
        let (response, followed) = Recorded::new(next.clone().run(request, extensions)).await;
        let mut response = response?;
        note_redirects(&url, &mut response, followed, self.redirects);
        if judge_reqwest(&response) == Judgement::Deliver {
            if !credentials.refused_routes().is_empty()
                && response.status() != StatusCode::UNAUTHORIZED
            {
                credentials.refused_routes().accept(route);
            }
            return Ok(response);
        }
        let Some(wait) = token_choice::after_401(&credentials, generation, || Some(route)) else {
            response.extensions_mut().insert(crate::Error::route_refused());
            return Ok(response);
        };

        let retry = Retry { credentials: &credentials, generation, plan, copy, deadline };
        let (retry, is_minted) = match retry.prepare(wait, response, &method).await {
            Ok(prepared) => prepared,
            Err(response) => return Ok(*response),
        };
        let mut response = next.run(retry, extensions).await?;
        note_redirects(&url, &mut response, false, self.redirects);
        let route = is_minted.then_some(route);
        if note_retry(&credentials, route, judge_reqwest(&response)) {
            response.extensions_mut().insert(crate::Error::route_refused());
        }
        Ok(response)
    }
}

fn judge_reqwest(response: &Response) -> Judgement {
    judge_response(response.status(), response.headers(), response.extensions())
}

/// All that a request says: `with_extension` takes precedence over the request's own
/// extensions.
fn merge(mut own: Extensions, extensions: &Extensions) -> Extensions {
    own.extend(extensions.clone());
    own
}

/// Sets a token on the request, at once or after a wait, and returns the token's generation.
async fn authorize(
    credentials: &Credentials,
    plan: HeaderPlan,
    request: &mut Request,
    deadline: Option<Deadline>,
) -> Result<Generation, crate::Error> {
    // No snapshot lives across an await: it is borrowed from this thread.
    let (mut next, login) = {
        let snapshot = credentials.snapshot();
        let slot = snapshot.mode(plan.mode);
        match token_choice::before_first_send(credentials, slot) {
            Ok(token) => {
                plan.apply(token, request.headers_mut());
                return Ok(slot.generation);
            }
            Err(wait) => (wait, slot.generation),
        }
    };
    loop {
        let is_early = next.is_early;
        let left = deadline.map_or(Duration::MAX, |deadline| deadline.remaining());
        let outcome = next.begin().at_most(left).await;
        limit(request, deadline);
        let snapshot = credentials.snapshot();
        token_choice::check_login(&snapshot, login)?;
        let slot = snapshot.mode(plan.mode);
        if is_early {
            match token_choice::after_early_wait(credentials, slot) {
                Ok(token) => plan.apply(token, request.headers_mut()),
                Err(again) => {
                    next = again;
                    continue;
                }
            }
        } else {
            plan.apply(
                token_choice::after_wait(credentials, slot, outcome)?,
                request.headers_mut(),
            );
        }
        return Ok(slot.generation);
    }
}

/// What is kept of a request for its retry.
struct Copy {
    request: Request,
    /// Of a stream: what is recorded of it on its way. The body of `request` is empty then.
    recorded: Option<ReplayBody<Body>>,
}

impl Copy {
    /// Of a stream, up to `max_bytes` bytes are recorded; without it there is no copy of one.
    fn of(request: &mut Request, max_bytes: Option<usize>) -> Option<Self> {
        if let Some(request) = request.try_clone() {
            return Some(Copy { request, recorded: None });
        }
        let mut stream = ReplayBody::with_max_bytes(request.body_mut().take()?, max_bytes?);
        let copy = request.try_clone();
        let recorded = stream.try_clone();
        *request.body_mut() = Some(stream.into());
        Some(Copy { request: copy?, recorded: Some(recorded?) })
    }

    /// Can it be sent? Asked when the 401 has come: from then on, a body that is not complete never
    /// will be.
    fn is_complete(&self) -> bool {
        self.recorded.as_ref().is_none_or(ReplayBody::is_complete)
    }

    fn into_request(self) -> Request {
        let Copy { mut request, recorded } = self;
        if let Some(recorded) = recorded {
            *request.body_mut() = Some(recorded.into());
        }
        request
    }
}

/// A request that was answered 401.
struct Retry<'a> {
    credentials: &'a Credentials,
    generation: Generation,
    plan: HeaderPlan,
    copy: Result<Copy, NoRetry>,
    /// The end of the request's own time limit.
    deadline: Option<Deadline>,
}

impl Retry<'_> {
    /// Waits for a new token. Returns the request with that token, and whether it was minted after the
    /// 401.
    ///
    /// # Errors
    ///
    /// Returns the 401 where there is no retry, with the reason in its extensions.
    async fn prepare(
        mut self,
        wait: PendingRefresh,
        response: Response,
        method: &Method,
    ) -> Result<(Request, bool), Box<Response>> {
        if may_be_carried_out(method, response.extensions()) {
            self.copy = Err(NoRetry::CarriedOut);
        } else if self.copy.as_ref().is_ok_and(|copy| !copy.is_complete()) {
            self.copy = Err(NoRetry::Body);
        }
        let left = self.deadline.map_or(Duration::MAX, |deadline| deadline.remaining());
        let longest = self.credentials.settings().wait_timeout.min(left);
        let mut wait = pin!(wait.at_most(left));
        let bodies = self.credentials.saved_bodies();
        let save = |response| SaveBody::new(into_http(response), bodies, longest);
        match poll_once(wait.as_mut()).await {
            // Nothing has to be waited for, so nothing has to be saved.
            Some(outcome) => match self.authorize(outcome) {
                Ok((retry, _)) => {
                    if response.version() != Version::HTTP_2 {
                        drop(save(response).await);
                    }
                    Ok((retry, false))
                }
                Err(error) => Err(Box::new(rejected(response, error))),
            },
            None => {
                let saved = save(response).await.map(ResponseBody::saved);
                let outcome = wait.await;
                self.authorize(outcome).map_err(|error| {
                    let saved = saved.map(Body::from);
                    Box::new(rejected(Response::from(saved), error))
                })
            }
        }
    }

    /// The copy with a new token on it and whether this process has minted that, or why there is no
    /// retry.
    fn authorize(self, outcome: Result<(), crate::Error>) -> Result<(Request, bool), crate::Error> {
        let Retry { credentials, generation, plan, copy, deadline } = self;
        let snapshot = credentials.snapshot();
        let (RetryToken { token, is_minted }, copy) =
            token_choice::for_retry(credentials, &snapshot, generation, outcome, copy)?;
        let mut retry = copy.into_request();
        plan.apply(token, retry.headers_mut());
        limit(&mut retry, deadline);
        Ok((retry, is_minted))
    }
}

/// A request's own time limit covers its waits too: what is left of it is for the send.
fn limit(request: &mut Request, deadline: Option<Deadline>) {
    if let Some(deadline) = deadline {
        *request.timeout_mut() = Some(deadline.remaining());
    }
}

/// A 401 that is not retried, and says why.
fn rejected(mut response: Response, error: crate::Error) -> Response {
    response.extensions_mut().insert(error);
    response
}

/// The output of a future that is ready at once.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
