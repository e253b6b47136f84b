//! The inner service and the refresh endpoint, scripted; it tells the model all that it sees.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{BoxError, Service};
use tower_teamup_auth::{REQUEST_MODE, RequestMode, ResponseBody};

use crate::journal::{Cause, Life, Sender};
use crate::terms::{Answer, Failure, MILLIS, Mint, Refresh, WAIT};
use crate::world::{State, World};

/// What a request has, and what an answer.
pub(crate) type Content = Full<Bytes>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;
pub(crate) type Sent = Result<Response<Body>, BoxError>;

/// What a caller of the layer gets.
pub(crate) type Delivered = Result<Response<ResponseBody<Body>>, BoxError>;

pub(crate) const BASE: &str = "https://api.test/api/v2";
pub(crate) const CALL: &str = "x-call";
const ENDPOINT: &str = "/auth/refresh_access_token";

/// How a refresh request is answered, and after how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefreshAnswer {
    pub(crate) seconds: u64,
    /// The refresh token is spent at once, not when the answer is given.
    pub(crate) spent_first: bool,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With a new pair, if the refresh token is alive.
    Granted,
    /// The same, with `expires_in: null`.
    GrantedForever,
    /// The same, with the text of the access token before.
    GrantedAgain,
    /// A new access token, and the refresh token stays as it is.
    GrantedWithoutRotation,
    /// A new pair, and the connection is lost when all of it has arrived.
    GrantedThenLost,
    /// No connection.
    Unreachable,
    /// 429 and so many seconds of `Retry-After`.
    TooMany(u64),
    /// A status without meaning for the refresh token; 502 and 504 leave the outcome unknown.
    Status(u16),
    /// 400 or 401 and TeamUp's word that the refresh token is not valid, although it is alive.
    Refused(u16),
    /// 400, 401 or 403 in TeamUp's form, with a code that nobody knows.
    Doubted(u16),
    /// TeamUp does not permit the mode.
    Forbidden,
    /// 400, 401 or 403 that is not TeamUp's.
    Foreign(u16),
    /// The connection is lost, and the refresh token is not spent.
    LostBefore,
    /// The connection is lost after the refresh token was spent.
    LostAfter,
    /// A gateway gives up after the refresh token was spent.
    GatewayAfter,
    /// Spent, and the answer can't be read.
    Garbage,
    /// Spent, and the answer has the next refresh token and no access token.
    Faulty,
    /// A page of somebody else's.
    Portal,
    /// Spent, and the program's client panics.
    Panics,
}

impl RefreshAnswer {
    pub(crate) const GRANTED: RefreshAnswer =
        RefreshAnswer { seconds: 0, spent_first: false, kind: Kind::Granted };
}

/// What the API knows.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    /// The refresh token of each login that is alive.
    pub(crate) alive: Vec<usize>,
    pub(crate) access: HashMap<String, RequestMode>,
    pub(crate) lifetime: Option<u64>,
    pub(crate) script: VecDeque<RefreshAnswer>,
    /// Modes that are refused a token, and routes that refuse every one.
    pub(crate) forbidden: BTreeSet<RequestMode>,
    pub(crate) refusing: BTreeSet<String>,
    /// How many access tokens there were, and the newest of each mode, with its login.
    pub(crate) minted: usize,
    pub(crate) newest: HashMap<RequestMode, (usize, String)>,
    /// Requests whose clients have gone before they arrived, and when they arrive.
    pub(crate) late: Vec<(i64, Life, RequestMode, Refresh)>,
    /// What the server has called invalid.
    pub(crate) refused: Vec<Refresh>,
    /// The refresh requests that are under way, and whose.
    pub(crate) under_way: Vec<(Life, Refresh)>,
    /// How often a spent refresh token came again.
    pub(crate) double_spent: usize,
    pub(crate) refresh_requests: usize,
}

/// A clone is the same server.
#[derive(Clone)]
pub(crate) struct Server(pub(crate) World);

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
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
    type Future = Pin<Box<dyn Future<Output = Sent> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let world = self.0.clone();
        let (head, body) = request.into_parts();
        if head.uri.path().ends_with(ENDPOINT) {
            return Box::pin(async move {
                let body = body.collect().await.map_err(Into::into)?.to_bytes();
                world.refresh_request(&body).await
            });
        }
        let is_ours = head.uri.host() == Some("api.test");
        let route = head.uri.path().to_owned();
        let call = text(&head.headers, CALL).and_then(|call| call.parse().ok()).expect("a number");
        let token = text(&head.headers, AUTHORIZATION.as_str());
        let token = token.map(|value| value.trim_start_matches("Bearer "));
        let mode = text(&head.headers, REQUEST_MODE.as_str());
        let sends = world.with(|state| state.model().sent(call, token, mode));
        let (token, mode) = (token.map(str::to_owned), mode.map(str::to_owned));
        Box::pin(async move {
            let body = body.collect().await.map_err(Into::into)?.to_bytes();
            if body != format!("body of {call}") {
                world.must_be(false, "another body was sent");
            }
            let route = is_ours.then_some(route);
            world.answer(call, sends, route, token.as_deref(), mode.as_deref()).await
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().expect("text"))
}

pub(crate) async fn pass(seconds: u64) {
    // Never at once: there is always a moment in which a caller can go away.
    tokio::task::yield_now().await;
    if seconds > 0 {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

impl World {
    async fn answer(
        &self,
        call: usize,
        sends: usize,
        route: Option<String>,
        token: Option<&str>,
        mode: Option<&str>,
    ) -> Sent {
        let (answer, seconds) = self.with(|state| state.answers()[call][(sends - 1).min(1)]);
        pass(seconds).await;
        let answer = self.with(|state| {
            let alive = token.and_then(|token| state.api.access.get(token));
            let answer = match answer {
                Answer::Judged if route.is_none() => Answer::Fine,
                Answer::Judged
                    if route.is_some_and(|route| state.api.refusing.contains(&route)) =>
                {
                    Answer::Unauthorized
                }
                Answer::Judged if alive.is_some_and(|alive| Some(alive.as_str()) == mode) => {
                    Answer::Fine
                }
                Answer::Judged => Answer::Unauthorized,
                answer => answer,
            };
            state.model().answered(call, answer);
            answer
        });
        let Some(status) = answer.status() else { return Err(Inner.into()) };
        let response = Response::builder().status(status);
        let response = match answer {
            Answer::InsufficientScope => {
                response.header("www-authenticate", r#"Bearer error="insufficient_scope""#)
            }
            _ => response,
        };
        Ok(response.body(whole("answer"))?)
    }

    async fn refresh_request(&self, body: &[u8]) -> Sent {
        let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
        let refresh = Refresh::read(body["refresh_token"].as_str().expect("a refresh token"));
        let mode: RequestMode =
            body["new_access_token_type"].as_str().expect("a mode").parse().expect("a mode");
        self.lives().await;
        let script = self.with(|state| {
            state.api.refresh_requests += 1;
            let is_stored = state.kept.has_lost || state.kept.refresh() == Some(refresh);
            state.model().refresh_request_began(mode, refresh, is_stored);
            let script = state.api.script.pop_front().unwrap_or(RefreshAnswer::GRANTED);
            match state.api.forbidden.contains(&mode) {
                true => RefreshAnswer { kind: Kind::Forbidden, ..script },
                false => script,
            }
        });
        let mut under_way = UnderWay::begin(self, mode, refresh, script);
        self.go_on().await;
        under_way.arrives(script);
        let spends = script.kind.spends();
        let mut spent = None;
        if script.spent_first && spends {
            spent = Some(under_way.spend());
        }
        pass(script.seconds).await;
        if spent.is_none() && spends {
            spent = Some(under_way.spend());
        }
        self.go_on().await;
        let next = match spent {
            Some(Some(Issued { next, .. })) => next,
            _ => refresh,
        };
        let failed = |failure| Err::<String, Failure>(failure);
        let (outcome, answer) = match (script.kind, spent) {
            (_, Some(None)) => (failed(Failure::Refused), json(400, r#"{"code":"invalid_grant"}"#)),
            (Kind::Garbage, _) => (failed(Failure::Unknown), json(200, r#"{"access_tok"#)),
            (Kind::Faulty, _) => {
                let body = serde_json::json!({ "expires_in": 9, "refresh_token": next.text() });
                (failed(Failure::Rotated), json(200, body.to_string()))
            }
            (Kind::GatewayAfter, _) => (failed(Failure::Unknown), json(504, "{}")),
            (Kind::Panics, _) => std::panic::resume_unwind(Box::new("on purpose")),
            (Kind::LostAfter, _) => (failed(Failure::Unknown), reset()),
            (kind, Some(Some(Issued { token, lifetime, .. }))) => {
                let mut body = serde_json::json!({ "access_token": token, "expires_in": lifetime });
                if kind != Kind::GrantedWithoutRotation {
                    body["refresh_token"] = next.text().into();
                }
                let answer = match kind {
                    Kind::GrantedThenLost => cut_off(body.to_string()),
                    _ => json(200, body.to_string()),
                };
                (Ok(token), answer)
            }
            (Kind::Unreachable, _) => (
                failed(Failure::Transient { retry_after: 0 }),
                Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
            ),
            (Kind::TooMany(seconds), _) => {
                let answer = Response::builder().status(429).header("retry-after", seconds);
                let failure = Failure::Transient { retry_after: seconds };
                (failed(failure), Ok(answer.body(whole(""))?))
            }
            (Kind::Status(status), _) => {
                let failure = match status {
                    502 | 504 => Failure::Unknown,
                    408 | 425 | 429 | 500.. => Failure::Transient { retry_after: 0 },
                    _ => Failure::Protocol,
                };
                (failed(failure), json(status, "{}"))
            }
            (Kind::Refused(status), _) => {
                self.with(|state| state.api.refused.push(refresh));
                (failed(Failure::Refused), json(status, r#"{"code":"invalid_grant"}"#))
            }
            (Kind::Doubted(status), _) => {
                let body = r#"{"type":"client_error","code":"odd","message":"Try again"}"#;
                (failed(Failure::Doubted), json(status, body))
            }
            (Kind::Forbidden, _) => {
                (failed(Failure::Configuration), json(403, r#"{"code":"mode_not_allowed"}"#))
            }
            (Kind::Foreign(status), _) => (failed(Failure::Protocol), json(status, "{}")),
            (Kind::Portal, _) => {
                let page = Response::builder().header("content-type", "text/html");
                (failed(Failure::Protocol), Ok(page.body(whole("<html>"))?))
            }
            (_, _) => (failed(Failure::Unknown), reset()),
        };
        under_way.end(outcome, next);
        answer
    }
}

/// What the server hands out for a refresh token.
struct Issued {
    token: String,
    lifetime: Option<u64>,
    next: Refresh,
}

impl Kind {
    /// Does the server accept the refresh token, if it is alive?
    fn spends(self) -> bool {
        matches!(
            self,
            Kind::Granted
                | Kind::GrantedForever
                | Kind::GrantedAgain
                | Kind::GrantedWithoutRotation
                | Kind::GrantedThenLost
                | Kind::LostAfter
                | Kind::GatewayAfter
                | Kind::Garbage
                | Kind::Faulty
                | Kind::Panics
        )
    }
}

impl State {
    /// The refresh token reaches the server: what comes after it, or `None` if it is not alive.
    fn spend(
        &mut self,
        mode: RequestMode,
        refresh: Refresh,
        kind: Kind,
        sender: Sender,
    ) -> Option<Issued> {
        if self.api.alive[refresh.login] != refresh.index {
            self.api.double_spent += 1;
            self.api.refused.push(refresh);
            self.journal.came_again(refresh, sender);
            return None;
        }
        if kind != Kind::GrantedWithoutRotation {
            self.api.alive[refresh.login] += 1;
            self.journal.spent(sender, refresh);
            if self.is_over() {
                self.journal.answer_lost(refresh);
            }
        }
        let next = Refresh { index: self.api.alive[refresh.login], ..refresh };
        let lifetime = match kind {
            Kind::GrantedForever => None,
            _ => self.api.lifetime,
        };
        let from = self.model().refresh_request_since();
        let mint = Mint { mode, refresh: next, lifetime, from };
        let newest =
            self.api.newest.get(&mode).filter(|(login, _)| *login == refresh.login).cloned();
        let token = match newest {
            Some((_, text)) if kind == Kind::GrantedAgain => {
                self.mint_as(&text, mint, true);
                text
            }
            _ => self.mint(mint, true),
        };
        self.api.newest.insert(mode, (refresh.login, token.clone()));
        self.api.access.insert(token.clone(), mode);
        Some(Issued { token, lifetime, next })
    }

    /// Requests reach the server whose clients have gone.
    pub(crate) fn late_requests_arrive(&mut self, now: i64) {
        let acting = self.acting();
        while let Some(at) = self.api.late.iter().position(|(due, ..)| *due <= now) {
            let (_, life, mode, refresh) = self.api.late.remove(at);
            self.act_as(life);
            let sender = Sender { life, since: 0, wrong: Some(Cause::LateRequest) };
            self.spend(mode, refresh, Kind::LostAfter, sender);
            self.journal.answer_lost(refresh);
        }
        self.act_as(acting);
    }
}

fn whole(text: impl Into<Bytes>) -> Body {
    Content::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// All of the text arrives, and then the connection fails.
fn cut_off(text: String) -> Sent {
    let failure: BoxError = io::Error::from(io::ErrorKind::ConnectionReset).into();
    let frames = [Ok(Frame::data(Bytes::from(text))), Err(failure)];
    let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
    Ok(Response::builder().header("content-type", "application/json").body(body)?)
}

fn reset() -> Sent {
    Err(io::Error::from(io::ErrorKind::ConnectionReset).into())
}

fn json(status: u16, body: impl Into<Bytes>) -> Sent {
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(whole(body))?)
}

/// A refresh request that nobody waits for any longer has an outcome that is unknown, and reaches the server
/// all the same.
struct UnderWay<'a> {
    world: &'a World,
    mode: RequestMode,
    refresh: Refresh,
    kind: Kind,
    /// When the server accepts the refresh token, if it has not done so.
    due: Option<i64>,
    had_lease: bool,
    since: u64,
    ended: bool,
}

impl<'a> UnderWay<'a> {
    fn begin(world: &'a World, mode: RequestMode, refresh: Refresh, script: RefreshAnswer) -> Self {
        let RefreshAnswer { seconds, kind, .. } = script;
        world.with(|state| {
            if seconds >= WAIT.as_secs() / 2 {
                state.waits_are_long();
            }
            let life = state.acting();
            let had_lease =
                !state.has_store() || state.kept.holder.is_some_and(|lease| lease.life == life);
            let mut others = state.api.under_way.iter();
            let is_alone = !had_lease
                || others
                    .all(|(life, other)| other.login != refresh.login || state.is_robbed(*life));
            state.must_be(is_alone, "P1: two refresh requests of one login at once");
            state.api.under_way.push((life, refresh));
            let since = state.journal.last_load(life.process);
            UnderWay { world, mode, refresh, kind, due: None, had_lease, since, ended: false }
        })
    }

    /// It has left the process: the server works on it, whoever waits.
    fn arrives(&mut self, script: RefreshAnswer) {
        let now = self.world.with(|state| state.model().now.mono);
        let due = now + script.seconds as i64 * MILLIS;
        self.due = script.kind.spends().then_some(due);
    }

    fn spend(&mut self) -> Option<Issued> {
        self.due = None;
        self.world.with(|state| {
            let wrong = if state.is_over() {
                Some(Cause::Died)
            } else if !self.had_lease || state.is_robbed(state.acting()) {
                Some(Cause::LeaseRanOut)
            } else {
                None
            };
            let sender = Sender { life: state.acting(), since: self.since, wrong };
            state.spend(self.mode, self.refresh, self.kind, sender)
        })
    }

    fn end(&mut self, outcome: Result<String, Failure>, next: Refresh) {
        self.ended = true;
        let is_known = matches!(outcome, Ok(_) | Err(Failure::Rotated));
        self.world.with(|state| {
            match outcome {
                Ok(token) => state.model().granted(self.mode, token, next),
                Err(failure) => state.model().refresh_request_failed(self.mode, failure),
            }
            let life = state.acting();
            state.api.under_way.retain(|(other, _)| *other != life);
            if !is_known {
                state.journal.answer_lost(self.refresh);
            }
        });
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Some(due) = self.due {
            self.world.with(|state| {
                let life = state.acting();
                state.api.late.push((due, life, self.mode, self.refresh));
            });
        }
        self.end(Err(Failure::Unknown), self.refresh);
    }
}

/// An error of the inner service.
#[derive(Debug)]
pub(crate) struct Inner;

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the inner service fails")
    }
}

impl std::error::Error for Inner {}
