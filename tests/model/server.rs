//! The inner service and the refresh endpoint, scripted; it tells the model all that it sees.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Service};
use tower_teamup_auth::{REQUEST_MODE, RequestMode, ResponseBody};

use crate::terms::{Answer, Failure, Refresh};
use crate::world::World;

pub(crate) type Body = Full<Bytes>;
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

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// With a new pair, if the refresh token is alive.
    Granted,
    /// The same, with `expires_in: null`.
    GrantedForever,
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
        let call = text(&head.headers, CALL).and_then(|call| call.parse().ok()).expect("a number");
        let token = text(&head.headers, AUTHORIZATION.as_str());
        let token = token.map(|value| value.trim_start_matches("Bearer "));
        let mode = text(&head.headers, REQUEST_MODE.as_str());
        let sends = world.with(|state| state.model.sent(call, token, mode));
        let (token, mode) = (token.map(str::to_owned), mode.map(str::to_owned));
        Box::pin(async move {
            let body = body.collect().await.map_err(Into::into)?.to_bytes();
            if body != format!("body of {call}") {
                world.with(|state| state.model.broken.push("another body was sent".to_owned()));
            }
            world.answer(call, sends, is_ours, token.as_deref(), mode.as_deref()).await
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
        is_ours: bool,
        token: Option<&str>,
        mode: Option<&str>,
    ) -> Sent {
        let (answer, seconds) = self.with(|state| state.answers[call][(sends - 1).min(1)]);
        pass(seconds).await;
        let answer = self.with(|state| {
            let alive = token.and_then(|token| state.api.access.get(token));
            let answer = match answer {
                Answer::Judged if !is_ours => Answer::Fine,
                Answer::Judged if alive.is_some_and(|alive| Some(alive.as_str()) == mode) => {
                    Answer::Fine
                }
                Answer::Judged => Answer::Unauthorized,
                answer => answer,
            };
            state.model.answered(call, answer);
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
        Ok(response.body(Body::from("answer"))?)
    }

    async fn refresh_request(&self, body: &[u8]) -> Sent {
        let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
        let refresh = Refresh::read(body["refresh_token"].as_str().expect("a refresh token"));
        let mode: RequestMode =
            body["new_access_token_type"].as_str().expect("a mode").parse().expect("a mode");
        let script = self.with(|state| {
            state.api.refresh_requests += 1;
            let stored = state.kept.refresh();
            state.model.refresh_request_began(mode, refresh, stored);
            state.api.script.pop_front().unwrap_or(RefreshAnswer::GRANTED)
        });
        let mut under_way = UnderWay { world: self, mode, ended: false };
        let spent = |kind| {
            matches!(
                kind,
                Kind::Granted
                    | Kind::GrantedForever
                    | Kind::LostAfter
                    | Kind::GatewayAfter
                    | Kind::Garbage
                    | Kind::Faulty
            )
        };
        let mut minted = None;
        if script.spent_first && spent(script.kind) {
            minted = Some(self.spend(mode, refresh, script.kind));
        }
        pass(script.seconds).await;
        if minted.is_none() && spent(script.kind) {
            minted = Some(self.spend(mode, refresh, script.kind));
        }
        let next = Refresh { index: refresh.index + 1, ..refresh };
        let failed = |failure| Err::<String, Failure>(failure);
        let (outcome, answer) = match (script.kind, minted) {
            (_, Some(None)) => (failed(Failure::Refused), json(400, r#"{"code":"invalid_grant"}"#)),
            (Kind::Granted | Kind::GrantedForever, Some(Some((token, lifetime)))) => {
                let body = serde_json::json!({
                    "access_token": token, "expires_in": lifetime, "refresh_token": next.text(),
                });
                (Ok(token), json(200, body.to_string()))
            }
            (Kind::Garbage, _) => (failed(Failure::Unknown), json(200, r#"{"access_tok"#)),
            (Kind::Faulty, _) => {
                let body = serde_json::json!({ "expires_in": 9, "refresh_token": next.text() });
                (failed(Failure::Rotated), json(200, body.to_string()))
            }
            (Kind::Unreachable, _) => (
                failed(Failure::Transient { retry_after: 0 }),
                Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
            ),
            (Kind::TooMany(seconds), _) => {
                let answer = Response::builder().status(429).header("retry-after", seconds);
                let failure = Failure::Transient { retry_after: seconds };
                (failed(failure), Ok(answer.body(Body::default())?))
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
            (Kind::GatewayAfter, _) => (failed(Failure::Unknown), json(504, "{}")),
            (Kind::Portal, _) => {
                let page = Response::builder().header("content-type", "text/html");
                (failed(Failure::Protocol), Ok(page.body(Body::from("<html>"))?))
            }
            (_, _) => (
                failed(Failure::Unknown),
                Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
            ),
        };
        under_way.end(outcome);
        answer
    }

    /// Spends the refresh token: the access token and its lifetime, or `None` if it is not alive.
    fn spend(
        &self,
        mode: RequestMode,
        refresh: Refresh,
        kind: Kind,
    ) -> Option<(String, Option<u64>)> {
        self.with(|state| {
            let alive = &mut state.api.alive[refresh.login];
            if *alive != refresh.index {
                state.api.double_spent += usize::from(refresh.index < *alive);
                return None;
            }
            *alive += 1;
            let next = Refresh { index: *alive, ..refresh };
            let lifetime = match kind {
                Kind::GrantedForever => None,
                _ => state.api.lifetime,
            };
            let from = state.model.refresh_request_since();
            let token = state.model.mint(mode, next, lifetime, from, true);
            state.api.access.insert(token.clone(), mode);
            Some((token, lifetime))
        })
    }
}

fn json(status: u16, body: impl Into<Bytes>) -> Sent {
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Body::from(body.into()))?)
}

/// A refresh request that nobody waits for any longer has an outcome that is unknown.
struct UnderWay<'a> {
    world: &'a World,
    mode: RequestMode,
    ended: bool,
}

impl UnderWay<'_> {
    fn end(&mut self, outcome: Result<String, Failure>) {
        self.ended = true;
        self.world.with(|state| match outcome {
            Ok(token) => state.model.granted(self.mode, token),
            Err(failure) => state.model.refresh_request_failed(self.mode, failure),
        });
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Err(Failure::Unknown));
        }
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
