//! TeamUp: it rotates refresh tokens, limits the rate, fails now and then, and never gives up a request
//! because its client has.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Service};
use tower_teamup_auth::{RequestMode, TokenSet};

use crate::world::{Life, World};

pub(crate) type Body = Full<Bytes>;
type Sent = Result<Response<Body>, BoxError>;

pub(crate) const BASE: &str = "https://api.test/api/v2";
pub(crate) const CALL: &str = "x-call";
/// In every token, so that a text that shows one is found.
pub(crate) const SECRET: &str = "sEcReT";
const ENDPOINT: &str = "/auth/refresh_access_token";

/// Two hours, TeamUp's own.
pub(crate) const LIFETIME: u64 = 7_200_000;
/// TeamUp's documented limit for an address. The hosts share one.
const PER_MINUTE: usize = 250;

/// A refresh token as the server knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spendable {
    pub(crate) login: usize,
    pub(crate) index: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    /// The refresh token that was minted with it.
    pub(crate) minted_with: Spendable,
    pub(crate) until: u64,
}

pub(crate) struct Api {
    /// For each login the index of the refresh token that is alive; `None` for a login that has ended.
    pub(crate) alive: Vec<Option<u32>>,
    pub(crate) access: BTreeMap<String, Access>,
    /// The wall clock's time when the simulation began.
    epoch: SystemTime,
    recent: VecDeque<u64>,
    pub(crate) outage_until: u64,
    /// A spent token that comes again ends the login.
    spent_ends_login: bool,
    minted: u64,
}

impl Spendable {
    pub(crate) fn text(self) -> String {
        format!("{SECRET}-r-{}-{}", self.login, self.index)
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(SECRET)?.strip_prefix("-r-")?.split('-');
        let login = parts.next()?.parse().ok()?;
        Some(Spendable { login, index: parts.next()?.parse().ok()? })
    }
}

impl Api {
    #[expect(clippy::disallowed_methods, reason = "the wall clock, where the simulation begins")]
    pub(crate) fn new(rng: &mut fastrand::Rng) -> Self {
        Api {
            epoch: SystemTime::now(),
            alive: Vec::new(),
            access: BTreeMap::new(),
            recent: VecDeque::new(),
            outage_until: 0,
            spent_ends_login: rng.bool(),
            minted: 0,
        }
    }

    fn mint(&mut self, minted_with: Spendable, now: u64) -> String {
        self.minted += 1;
        let token = format!("{SECRET}-a-{}", self.minted);
        self.access.insert(token.clone(), Access { minted_with, until: now + LIFETIME });
        token
    }

    /// A person logs in: the tokens of a new login, and its number.
    pub(crate) fn log_in(&mut self, now: u64) -> (usize, TokenSet) {
        let first = Spendable { login: self.alive.len(), index: 0 };
        self.alive.push(Some(0));
        let access = self.mint(first, now).parse().expect("a token");
        let until = self.epoch + Duration::from_millis(now + LIFETIME);
        let tokens = TokenSet::new(first.text().parse().expect("a token"));
        let tokens = tokens.with_access_token_until(RequestMode::Provider, access, Some(until));
        (first.login, tokens)
    }

    /// TeamUp forgets the newest access token of each login, as after a revocation.
    pub(crate) fn revoke(&mut self) {
        self.access.clear();
    }

    /// When the oldest request of the last minute leaves it, if the limit is reached.
    fn limited(&mut self, now: u64) -> Option<u64> {
        while self.recent.front().is_some_and(|at| at + 60_000 <= now) {
            self.recent.pop_front();
        }
        if self.recent.len() >= PER_MINUTE {
            return self.recent.front().map(|at| (at + 60_000 - now).div_ceil(1000));
        }
        self.recent.push_back(now);
        None
    }
}

/// What becomes of a refresh request, besides what the server decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Unreachable,
    Unavailable,
    LostBefore,
    LostAfter,
    Foreign,
    Slow,
}

/// The server, as one life of a host reaches it. A clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct TeamUp {
    pub(crate) world: World,
    pub(crate) life: Life,
}

impl<B> Service<Request<B>> for TeamUp
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
        let this = self.clone();
        let (head, body) = request.into_parts();
        Box::pin(async move {
            let body = body.collect().await.map_err(Into::into)?.to_bytes();
            if head.uri.path().ends_with(ENDPOINT) {
                return this.refresh(&body).await;
            }
            let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
            let call = text(CALL).and_then(|call| call.parse().ok()).expect("the number of a call");
            let token = text(AUTHORIZATION.as_str()).and_then(|text| text.strip_prefix("Bearer "));
            let token = token.unwrap_or_default().to_owned();
            this.answer(call, &token).await
        })
    }
}

impl TeamUp {
    async fn answer(&self, call: u64, token: &str) -> Sent {
        let TeamUp { world, life } = self;
        world.with(|state| {
            let access = state.api.access.get(token).copied();
            state.oracle.sent(*life, call, token, access, state.now);
        });
        world.pass(*life, world.draw(2..40)).await;
        let is_cut = world.with(|state| state.links[life.host].no_teamup_until > state.now);
        if is_cut {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        }
        let status = world.with(|state| {
            let access = state.api.access.get(token).copied();
            let is_good = access.is_some_and(|found| found.until > state.now);
            state.oracle.answered(*life, access, is_good);
            if is_good { 200 } else { 401 }
        });
        world.pass(*life, world.draw(2..40)).await;
        Ok(Response::builder().status(status).body(Body::default())?)
    }

    async fn refresh(&self, body: &[u8]) -> Sent {
        let TeamUp { world, life } = self;
        let body: serde_json::Value = serde_json::from_slice(body)?;
        let token = body["refresh_token"].as_str().and_then(Spendable::read).expect("a token");
        let (fault, there, back, is_cut) = world.with(|state| {
            let fault = match state.rng.u64(0..1000) {
                _ if state.is_calm => Fault::None,
                0..15 => Fault::Unreachable,
                15..30 => Fault::Unavailable,
                30..40 => Fault::LostBefore,
                40..45 => Fault::LostAfter,
                45..55 => Fault::Foreign,
                55..75 => Fault::Slow,
                _ => Fault::None,
            };
            let is_cut = state.links[life.host].no_teamup_until > state.now;
            (fault, state.rng.u64(5..400), state.rng.u64(5..400), is_cut)
        });
        if is_cut || fault == Fault::Unreachable {
            world.pass(*life, there).await;
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        }
        world.with(|state| state.oracle.refresh_sent(*life, token, state.now));
        // The server works in a task of its own: it goes on if the client hangs up.
        let server = self.clone();
        let login_changes = world.with(|state| state.oracle.login_changes(life.host));
        let mut unanswered =
            Unanswered { server: self, token, login_changes, is_answered: false, is_lost: false };
        let work = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(there)).await;
            server.decide(token, fault)
        });
        let (status, retry_after, answer) = work.await?;
        let slow = if fault == Fault::Slow { world.draw(8_000..15_000) } else { 0 };
        world.pass(*life, back + slow).await;
        if matches!(fault, Fault::LostBefore | Fault::LostAfter) {
            unanswered.is_lost = true;
            return Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
        }
        unanswered.is_answered = true;
        if status == 200 {
            world.with(|state| state.oracle.delivered(*life, token));
        }
        let response = Response::builder().status(status);
        let response = match retry_after {
            Some(seconds) => response.header("retry-after", seconds),
            None => response,
        };
        let kind = if fault == Fault::Foreign { "text/html" } else { "application/json" };
        Ok(response.header("content-type", kind).body(Body::from(answer))?)
    }

    /// What the server does with a refresh request that has arrived: a status, a pause, a body.
    fn decide(&self, token: Spendable, fault: Fault) -> (u16, Option<u64>, String) {
        self.world.with(|state| {
            let now = state.now;
            if fault == Fault::Foreign {
                return (403, None, "<html>blocked</html>".to_owned());
            }
            if let Some(wait) = state.api.limited(now) {
                state.oracle.limited += 1;
                return (429, Some(wait), "{}".to_owned());
            }
            if fault == Fault::Unavailable || state.api.outage_until > now {
                return (503, None, "{}".to_owned());
            }
            if fault == Fault::LostBefore {
                return (500, None, String::new());
            }
            let alive = state.api.alive[token.login];
            if alive != Some(token.index) {
                state.oracle.rejected += 1;
                if alive.is_some_and(|alive| token.index < alive) {
                    state.oracle.spent_twice(self.life, token, now);
                    if state.api.spent_ends_login {
                        state.api.alive[token.login] = None;
                        state.oracle.ended(token.login, "a refresh token was spent twice");
                    }
                }
                return (400, None, r#"{"code":"invalid_grant"}"#.to_owned());
            }
            let next = Spendable { index: token.index + 1, ..token };
            state.api.alive[token.login] = Some(next.index);
            let access = state.api.mint(next, now);
            state.oracle.rotated(self.life, token, now);
            let body = serde_json::json!({
                "access_token": access, "expires_in": LIFETIME / 1000, "refresh_token": next.text(),
            });
            (200, None, body.to_string())
        })
    }
}

/// A refresh request whose answer the client has not read yet. If it never does, the answer is lost.
struct Unanswered<'a> {
    server: &'a TeamUp,
    token: Spendable,
    /// How often the login had changed at the host when the request was sent.
    login_changes: u32,
    is_answered: bool,
    /// The connection has failed.
    is_lost: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            let TeamUp { world, life } = self.server;
            world.with(|state| {
                state.oracle.answer_lost(*life, self.token);
                if !self.is_lost {
                    state.oracle.given_up(*life, self.token, self.login_changes, state.now);
                }
            });
        }
    }
}
