//! The scripted world: what the server and the store know, and the model that watches them.

use std::error::Error as StdError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tower_teamup_auth::{Error, RequestMode, TokenSet};

use crate::histories::{Begin, Tokens};
use crate::model::{End, Model};
use crate::server::{Delivered, Inner, Knowledge};
use crate::store::Kept;
use crate::terms::{Answer, Now, Refresh, SECRET};
use crate::time::{Stopwatch, wall_time};

/// A clone is the same world.
#[derive(Clone, Debug)]
pub(crate) struct World(Arc<Mutex<State>>);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) model: Model,
    pub(crate) api: Knowledge,
    pub(crate) kept: Kept,
    /// For each call, how its first send is answered and how the second, and after how long.
    pub(crate) answers: Vec<[(Answer, u64); 2]>,
    started: Stopwatch,
    wall_at_start: SystemTime,
    pub(crate) wall_shift: i64,
}

impl State {
    /// The wall clock's time.
    pub(crate) fn wall(&self) -> SystemTime {
        let wall = self.wall_at_start + Duration::from_millis(self.model.now.mono as u64);
        match self.wall_shift {
            shift @ 0.. => wall + Duration::from_millis(shift as u64),
            shift => wall - Duration::from_millis(shift.unsigned_abs()),
        }
    }
}

impl World {
    pub(crate) fn new(begin: &Begin) -> Self {
        World(Arc::new(Mutex::new(State {
            model: Model::new(begin.store, begin.room.is_some()),
            api: Knowledge { alive: vec![0], lifetime: begin.lifetime, ..Knowledge::default() },
            kept: Kept::default(),
            answers: Vec::new(),
            started: Stopwatch::start(),
            wall_at_start: wall_time(),
            wall_shift: 0,
        })))
    }

    /// Looks at the world, or changes it; the model knows what time it is.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mono = state.started.elapsed().as_millis() as i64;
        state.model.now = Now { mono, wall: mono + state.wall_shift };
        look(&mut state)
    }

    pub(crate) fn must_be(&self, holds: bool, what: &str) {
        if !holds {
            self.with(|state| state.model.broken.push(what.to_owned()));
        }
    }

    /// A token set of `refresh`, with access tokens or without.
    pub(crate) fn tokens(&self, refresh: Refresh, tokens: Tokens) -> TokenSet {
        let mut set = TokenSet::new(refresh.text().parse().expect("a token"));
        for mode in RequestMode::ALL {
            let (lifetime, is_alive) = match tokens {
                Tokens::None => continue,
                Tokens::Expired => (Some(0), false),
                Tokens::Good(lifetime) => (lifetime, true),
            };
            set = self.with(|state| {
                let now = state.model.now;
                let token = state.model.mint(mode, refresh, lifetime, now, false);
                if is_alive {
                    state.api.access.insert(token.clone(), mode);
                }
                let wall = state.wall();
                let until = lifetime.map(|lifetime| wall + Duration::from_secs(lifetime));
                set.with_access_token_until(mode, token.parse().expect("a token"), until)
            });
        }
        set
    }

    pub(crate) fn login(&self) -> Refresh {
        self.with(|state| {
            state.api.alive.push(0);
            state.model.login()
        })
    }

    /// Tells the model how a call ended.
    pub(crate) fn call_ended(&self, call: usize, answer: Delivered) {
        let end = match answer {
            Ok(response) => End::Answered {
                status: response.status().as_u16(),
                reason: response.extensions().get::<Error>().cloned(),
            },
            Err(error) if error.is::<Inner>() => End::Inner,
            Err(error) => match error.downcast_ref::<Error>() {
                Some(error) => End::Ours(error.clone()),
                None => {
                    self.must_be(false, &format!("an error of nobody's: {error:?}"));
                    return;
                }
            },
        };
        if let End::Answered { reason: Some(error), .. } | End::Ours(error) = &end {
            let mut shown = format!("{error:?}");
            let mut next: Option<&dyn StdError> = Some(error);
            while let Some(error) = next {
                shown += &error.to_string();
                next = error.source();
            }
            self.must_be(!shown.contains(SECRET), "P5: a secret in an error");
        }
        self.with(|state| state.model.call_ended(call, &end));
    }
}
