//! The API and its refresh endpoint as one service, with a journal.
//!
//! The endpoint is strict: one refresh token is alive at a time, and a spent one that comes again
//! is refused and counted. Tests script what else may happen.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use tower::{BoxError, Service};
use tower_teamup_auth::token::AccessToken;
use tower_teamup_auth::{PROVIDER_ID, REQUEST_MODE, RequestMode, TokenSet};

use super::gate::Gate;
use super::refresh_answers::{RefreshAnswer, answer_refresh_request};
use super::{Body, SECRET, Stopwatch, locked};
use crate::readiness::Counts;

const ENDPOINT: &str = "/auth/refresh_access_token";

/// A clone is the same server.
#[derive(Clone)]
pub(crate) struct Server(Arc<Shared>);

pub(crate) struct Shared {
    /// Where API calls can be held.
    pub(crate) calls: Gate,
    /// Where refresh requests can be held, before anything is rotated.
    pub(crate) refresh_requests: Gate,
    pub(crate) state: Mutex<State>,
    started: Stopwatch,
    /// The readiness of everything above it.
    readiness: Arc<Counts>,
}

/// What the server knows.
pub(crate) struct State {
    journal: Vec<Seen>,
    /// The access tokens that are alive, and the mode of each.
    pub(crate) alive: HashMap<String, RequestMode>,
    /// The one refresh token that is alive.
    pub(crate) refresh_token: String,
    /// How many refresh requests were granted.
    pub(crate) granted: usize,
    /// The refresh tokens that were spent here.
    pub(crate) spent: HashSet<String>,
    /// How often one of them came again.
    pub(crate) double_spent: usize,
    /// How many refresh requests are being answered, and how many were at one time, at most.
    pub(crate) under_way: usize,
    pub(crate) most_under_way: usize,
    /// `expires_in` of what is minted.
    pub(crate) lifetime: Option<u64>,
    next_calls: VecDeque<Call>,
    every_call: Call,
    pub(crate) next_answers: VecDeque<RefreshAnswer>,
    pub(crate) every_answer: RefreshAnswer,
}

/// How an API call is answered.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// 200 if the token is alive and of the mode that the request names, else 401.
    Judged,
    /// With this status and these headers.
    Answered(u16, &'static [(&'static str, &'static str)]),
    /// With an error of the client's own, that says this.
    Failed(&'static str),
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Duration,
    pub(crate) is_refresh_request: bool,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: Extensions,
    pub(crate) body: Bytes,
    /// `None` while it is not answered, or if it never is.
    pub(crate) answered: Option<StatusCode>,
    /// The mode of the access token, if it was alive when it arrived.
    pub(crate) token_mode: Option<RequestMode>,
}

impl Server {
    pub(crate) fn new() -> Self {
        crate::witness::watch();
        Server(Arc::new(Shared {
            calls: Gate::new(),
            refresh_requests: Gate::new(),
            state: Mutex::new(State {
                journal: Vec::new(),
                alive: HashMap::new(),
                refresh_token: format!("{SECRET}-refresh-0"),
                granted: 0,
                spent: HashSet::new(),
                double_spent: 0,
                under_way: 0,
                most_under_way: 0,
                lifetime: Some(7200),
                next_calls: VecDeque::new(),
                every_call: Call::Judged,
                next_answers: VecDeque::new(),
                every_answer: RefreshAnswer::Granted,
            }),
            started: Stopwatch::start(),
            readiness: Arc::default(),
        }))
    }

    /// The refresh token that is alive, and no access token.
    pub(crate) fn bare_tokens(&self) -> TokenSet {
        TokenSet::new(locked(&self.0.state).refresh_token.parse().unwrap())
    }

    /// An access token for each mode that the API takes, alive for `lifetime` seconds.
    pub(crate) fn good_tokens(&self, lifetime: Option<u64>) -> TokenSet {
        RequestMode::ALL.into_iter().fold(self.bare_tokens(), |tokens, mode| {
            let text = format!("{SECRET}-{mode}-0");
            locked(&self.0.state).alive.insert(text.clone(), mode);
            let token = AccessToken::new(text).unwrap();
            tokens.with_access_token(mode, token, lifetime.map(Duration::from_secs))
        })
    }

    /// An access token for each mode that expired long ago.
    pub(crate) fn expired_tokens(&self) -> TokenSet {
        RequestMode::ALL.into_iter().fold(self.bare_tokens(), |tokens, mode| {
            let token = AccessToken::new(format!("{SECRET}-{mode}-expired")).unwrap();
            tokens.with_access_token_until(mode, token, Some(SystemTime::UNIX_EPOCH))
        })
    }

    /// From now on no access token is alive that was minted before.
    pub(crate) fn expire_everything(&self) {
        locked(&self.0.state).alive.clear();
    }

    /// From now on this access token is alive.
    pub(crate) fn revive(&self, mode: RequestMode, token: &str) {
        locked(&self.0.state).alive.insert(token.to_owned(), mode);
    }

    /// From now on this refresh token is the one that is alive.
    pub(crate) fn revive_refresh_token(&self, token: &str) {
        locked(&self.0.state).refresh_token = token.to_owned();
    }

    /// Somebody else spends the refresh token, and a new login brings another.
    pub(crate) fn log_in_again(&self, name: &str) -> TokenSet {
        locked(&self.0.state).refresh_token = format!("{SECRET}-refresh-{name}");
        self.bare_tokens()
    }

    pub(crate) fn set_lifetime(&self, seconds: Option<u64>) {
        locked(&self.0.state).lifetime = seconds;
    }

    /// The next API calls are answered like this, in this order.
    pub(crate) fn next_calls(&self, calls: impl IntoIterator<Item = Call>) {
        locked(&self.0.state).next_calls.extend(calls);
    }

    /// Every API call is answered like this, where nothing else was said of the next.
    pub(crate) fn every_call(&self, call: Call) {
        locked(&self.0.state).every_call = call;
    }

    pub(crate) fn next_answers(&self, refresh_requests: impl IntoIterator<Item = RefreshAnswer>) {
        locked(&self.0.state).next_answers.extend(refresh_requests);
    }

    pub(crate) fn every_answer(&self, refresh_request: RefreshAnswer) {
        locked(&self.0.state).every_answer = refresh_request;
    }

    pub(crate) fn readiness(&self) -> &Arc<Counts> {
        &self.0.readiness
    }

    /// Where API calls can be held.
    pub(crate) fn calls(&self) -> &Gate {
        &self.0.calls
    }

    /// Where refresh requests can be held.
    pub(crate) fn refresh_requests(&self) -> &Gate {
        &self.0.refresh_requests
    }

    pub(crate) fn granted(&self) -> usize {
        locked(&self.0.state).granted
    }

    pub(crate) fn double_spent(&self) -> usize {
        locked(&self.0.state).double_spent
    }

    pub(crate) fn most_refresh_requests_at_once(&self) -> usize {
        locked(&self.0.state).most_under_way
    }

    pub(crate) fn live_refresh_token(&self) -> String {
        locked(&self.0.state).refresh_token.clone()
    }

    /// The API calls so far.
    pub(crate) fn seen_calls(&self) -> Vec<Seen> {
        let state = locked(&self.0.state);
        state.journal.iter().filter(|seen| !seen.is_refresh_request).cloned().collect()
    }

    /// The refresh requests so far.
    pub(crate) fn seen_refresh_requests(&self) -> Vec<Seen> {
        let state = locked(&self.0.state);
        state.journal.iter().filter(|seen| seen.is_refresh_request).cloned().collect()
    }

    /// How much time has passed since the server was made.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.started.elapsed()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl Shared {
    fn note(&self, seen: Seen) -> usize {
        let journal = &mut locked(&self.state).journal;
        journal.push(seen);
        journal.len() - 1
    }

    pub(crate) fn note_answer(&self, index: usize, status: StatusCode) {
        locked(&self.state).journal[index].answered = Some(status);
    }

    async fn answer_call(&self, index: usize) -> Result<Response<Body>, BoxError> {
        self.calls.pass().await;
        let (call, alive, mode) = {
            let mut state = locked(&self.state);
            let next = state.next_calls.pop_front();
            let call = next.unwrap_or_else(|| state.every_call.clone());
            let seen = &state.journal[index];
            let alive = seen.token().and_then(|token| state.alive.get(token)).copied();
            (call, alive, seen.mode().map(str::to_owned))
        };
        let (status, headers) = match call {
            Call::Judged if alive.is_some_and(|alive| mode.as_deref() == Some(alive.as_str())) => {
                (200, &[][..])
            }
            Call::Judged => (401, &[][..]),
            Call::Answered(status, headers) => (status, headers),
            Call::Failed(why) => return Err(why.into()),
        };
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(Body::from(format!("answer {index}")))?;
        self.note_answer(index, response.status());
        Ok(response)
    }
}

impl Seen {
    /// The access token, without its scheme.
    pub(crate) fn token(&self) -> Option<&str> {
        self.headers.get(AUTHORIZATION)?.to_str().ok()?.split(' ').nth(1)
    }

    pub(crate) fn mode(&self) -> Option<&str> {
        self.headers.get(REQUEST_MODE)?.to_str().ok()
    }

    pub(crate) fn provider_id(&self) -> Option<&str> {
        self.headers.get(PROVIDER_ID)?.to_str().ok()
    }

    /// A field of a refresh request's JSON body.
    pub(crate) fn field(&self, name: &str) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
        body[name].as_str().expect("a text").to_owned()
    }
}

impl<B> Service<Request<B>> for Server
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(Into::into)?.to_bytes();
            let mut seen = Seen {
                at: shared.started.elapsed(),
                is_refresh_request: head.uri.path().ends_with(ENDPOINT),
                method: head.method,
                uri: head.uri,
                version: head.version,
                headers: head.headers,
                extensions: head.extensions,
                body,
                answered: None,
                token_mode: None,
            };
            let alive = |token| locked(&shared.state).alive.get(token).copied();
            seen.token_mode = seen.token().and_then(alive);
            let is_refresh_request = seen.is_refresh_request;
            let index = shared.note(seen.clone());
            // Never at once: there is always a moment in which a caller can go away.
            tokio::task::yield_now().await;
            if is_refresh_request {
                answer_refresh_request(&shared, index, &seen).await
            } else {
                shared.answer_call(index).await
            }
        })
    }
}
