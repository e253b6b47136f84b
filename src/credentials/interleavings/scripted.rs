//! TeamUp and a store in a few lines, with a pause wherever the real ones would take their time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response, StatusCode};
use shuttle::future::yield_now;
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceExt, service_fn};

use crate::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
use crate::store::{StoreError, Stored, TokenStore};
use crate::token::{Clock, TokenSet};
use crate::{AuthLayer, Credentials, REQUEST_MODE, RequestMode};

pub(super) type Client = crate::Auth<BoxCloneService<Request<String>, Response<String>, BoxError>>;

/// How an exchange goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Exchange {
    Unreachable,
    /// The refresh token is spent, and the answer lost.
    Lost,
}

/// TeamUp, and the store that processes share. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct World(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Never locked where another thread may run: the checker does not know of it.
    state: Mutex<State>,
    right_to_refresh: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
pub(super) struct State {
    /// The refresh tokens that are alive: one for each login, named after its rotations.
    pub(super) refresh_tokens: Vec<String>,
    /// The access tokens that are alive: their mode, and the rotation that brought them.
    pub(super) alive: HashMap<String, (RequestMode, usize)>,
    pub(super) script: VecDeque<Exchange>,
    pub(super) exchanges: usize,
    under_way: usize,
    pub(super) sends: usize,
    pub(super) kept: Stored,
    /// So many writes fail.
    pub(super) failing_saves: usize,
    /// A write has failed: from then on tokens may be used that are not saved.
    a_save_failed: bool,
    /// What went wrong where a panic would be caught.
    broken: Vec<String>,
}

impl World {
    /// A world whose store holds the tokens of a login.
    pub(super) fn with_tokens(access: &str) -> Self {
        let world = World::default();
        let tokens = world.login("r0", access);
        world.with(|state| state.kept = Some(tokens));
        world
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The tokens of a login, with an access token for each mode that has no known end.
    pub(super) fn login(&self, refresh: &str, access: &str) -> TokenSet {
        self.with(|state| state.refresh_tokens.push(refresh.to_owned()));
        let tokens = TokenSet::new(refresh.parse().expect("a token"));
        RequestMode::ALL.into_iter().fold(tokens, |tokens, mode| {
            let token = format!("{access}-{mode}").parse().expect("a token");
            tokens.with_access_token_until(mode, token, None)
        })
    }

    /// The credential of one process.
    pub(super) async fn process(&self) -> Credentials {
        Credentials::builder(RequestMode::Provider)
            .clock(Clock::tokio())
            .refresh_with(self.clone())
            .store(self.clone())
            .build()
            .await
            .expect("credentials")
    }

    pub(super) fn client(&self, credentials: &Credentials) -> Client {
        let world = self.clone();
        let api = service_fn(move |request: Request<String>| {
            let world = world.clone();
            async move {
                yield_now().await;
                Ok(Response::builder().status(world.judge(&request)).body(String::new())?)
            }
        });
        tower::Layer::layer(&AuthLayer::new(credentials.clone()), BoxCloneService::new(api))
    }

    fn judge(&self, request: &Request<String>) -> StatusCode {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let token = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let mode = header(REQUEST_MODE.as_str());
        self.with(|state| {
            state.sends += 1;
            let alive = token.and_then(|token| state.alive.get(token)).copied();
            let Some((minted_for, rotation)) = alive else { return StatusCode::UNAUTHORIZED };
            if mode != Some(minted_for.as_str()) {
                state.broken.push("P7: the mode in the header is not the token's".to_owned());
            }
            if !state.a_save_failed && rotation_of(&state.kept) < Some(rotation) {
                state.broken.push("P2: a token was used before its pair was saved".to_owned());
            }
            StatusCode::OK
        })
    }

    /// What must be true in the end: nothing went wrong, and the store has the newest tokens.
    pub(super) fn check(&self) {
        self.with(|state| {
            assert!(state.broken.is_empty(), "{:?}", state.broken);
            let kept = state.kept.as_ref().map(|kept| kept.refresh_token().expose());
            let is_alive = kept.is_some_and(|kept| state.refresh_tokens.iter().any(|r| r == kept));
            assert!(is_alive, "P2: the store holds {kept:?}, which is not alive");
        });
    }
}

fn rotation_of(stored: &Stored) -> Option<usize> {
    stored.as_ref()?.refresh_token().expose().trim_start_matches('r').parse().ok()
}

/// One request in provider mode, and what became of it.
pub(super) async fn send(client: &Client) -> Result<StatusCode, BoxError> {
    send_as(client, RequestMode::Provider).await
}

pub(super) async fn send_as(client: &Client, mode: RequestMode) -> Result<StatusCode, BoxError> {
    let request = Request::get("https://goteamup.com/api/v2/events").extension(mode);
    Ok(client.clone().oneshot(request.body(String::new())?).await?.status())
}

impl Refresh for World {
    async fn refresh(&self, request: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        let sent = request.refresh_token().expose().to_owned();
        let exchange = self.with(|state| {
            state.exchanges += 1;
            state.under_way += 1;
            if state.under_way > 1 {
                state.broken.push("P1: two exchanges at once".to_owned());
            }
            let kept = state.kept.as_ref().map(|kept| kept.refresh_token().expose().to_owned());
            if kept.as_ref() != Some(&sent) {
                state.broken.push("P2: an exchange before the last pair was saved".to_owned());
            }
            state.script.pop_front()
        });
        yield_now().await;
        let answer = self.with(|state| {
            state.under_way -= 1;
            if matches!(exchange, Some(Exchange::Unreachable)) {
                return Err(RefreshError::transient("no connection"));
            }
            let Some(alive) = state.refresh_tokens.iter_mut().find(|token| **token == sent) else {
                return Err(RefreshError::rejected("spent"));
            };
            let rotation = 1 + sent.trim_start_matches('r').parse::<usize>().expect("a number");
            *alive = format!("r{rotation}");
            let next = alive.parse().expect("a token");
            let access = format!("a{rotation}-{}", request.mode());
            state.alive.insert(access.clone(), (request.mode(), rotation));
            if matches!(exchange, Some(Exchange::Lost)) {
                return Err(RefreshError::outcome_unknown("the connection was lost"));
            }
            Ok(RefreshResponse::new(access.parse().expect("a token"), None, next))
        });
        yield_now().await;
        answer
    }
}

impl TokenStore for World {
    type Lease = tokio::sync::OwnedMutexGuard<()>;

    async fn load(&self) -> Result<Stored, StoreError> {
        yield_now().await;
        Ok(self.with(|state| state.kept.clone()))
    }

    async fn lock(&self) -> Result<Self::Lease, StoreError> {
        yield_now().await;
        Ok(Arc::clone(&self.0.right_to_refresh).lock_owned().await)
    }

    async fn save(
        &self,
        _: &Self::Lease,
        over: Option<u64>,
        tokens: &TokenSet,
    ) -> Result<(), StoreError> {
        yield_now().await;
        self.with(|state| {
            if state.failing_saves > 0 {
                state.failing_saves -= 1;
                state.a_save_failed = true;
                return Err(StoreError::unavailable("the disk", "is full"));
            }
            if state.kept.as_ref() != Some(tokens) {
                if state.kept.as_ref().map(TokenSet::revision) != over {
                    return Err(StoreError::conflict());
                }
                state.kept = Some(tokens.clone());
            }
            Ok(())
        })
    }

    async fn clear(&self, _: &Self::Lease) -> Result<(), StoreError> {
        yield_now().await;
        self.with(|state| state.kept = None);
        Ok(())
    }
}
