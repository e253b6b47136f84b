//! The state that the server's handles and its connections share.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

use super::families::{Families, Millis, Owner};
use super::faults::FaultPlan;
use super::hold::Gates;
use super::journal::Journal;
use super::login::codes::Codes;
use super::login::two_factor::TwoFactor;
use super::settings::Settings;
use crate::headers::RequestMode;
use crate::token::Clock;

pub(super) struct Shared {
    /// Held for a few instructions at a time and never across an await.
    state: Mutex<State>,
    /// Counts what happened; whoever waits for something looks again when it moves.
    changed: watch::Sender<u64>,
    clock: Clock,
    /// How far the server's time is ahead of `clock`, in milliseconds.
    ahead: AtomicU64,
    gates: Gates,
    /// `http://127.0.0.1:PORT`
    origin: String,
}

pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) families: Families,
    pub(super) codes: Codes,
    pub(super) two_factor: TwoFactor,
    pub(super) refresh_faults: FaultPlan,
    pub(super) api_faults: FaultPlan,
    /// Standing faults of single paths under the API's base.
    pub(super) path_faults: BTreeMap<String, FaultPlan>,
    pub(super) journal: Journal,
    /// What a test put under paths of its own.
    pub(super) pages: BTreeMap<String, Value>,
    /// Where requests with this method for this path are sent instead.
    pub(super) redirects: HashMap<(Method, String), (StatusCode, String)>,
    /// For each caller, when its minute began and how many requests it has sent since.
    pub(super) minutes: HashMap<Caller, (Millis, u32)>,
    /// Modes that the refresh endpoint refuses.
    pub(super) refused_modes: HashSet<RequestMode>,
    pub(super) stopped: bool,
}

/// Whose requests a rate limit counts together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    /// A user, by whichever of their logins.
    Account(Arc<str>),
    M2m(u64),
    /// Everybody comes from 127.0.0.1.
    Address,
}

impl Shared {
    pub(super) fn new(origin: String, settings: Settings, clock: Clock) -> Arc<Self> {
        let mut journal = Journal::default();
        journal.keep(settings.kept_entries);
        Arc::new(Shared {
            state: Mutex::new(State {
                settings,
                families: Families::default(),
                codes: Codes::default(),
                two_factor: TwoFactor::default(),
                refresh_faults: FaultPlan::default(),
                api_faults: FaultPlan::default(),
                path_faults: BTreeMap::new(),
                journal,
                pages: BTreeMap::new(),
                redirects: HashMap::new(),
                minutes: HashMap::new(),
                refused_modes: HashSet::new(),
                stopped: false,
            }),
            changed: watch::Sender::new(0),
            clock,
            ahead: AtomicU64::new(0),
            gates: Gates::default(),
            origin,
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A test's own condition may panic while it looks at the journal; the state is sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then tells everybody who waits for a change.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|count| *count += 1);
        result
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.now().monotonic.saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    /// The server's time of day, in milliseconds since the Unix epoch.
    pub(super) fn wall_millis(&self) -> Millis {
        self.clock.now().wall.saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        // Saturating, so that a test that advances by `Duration::MAX` twice ends in the far future.
        let _ = self.ahead.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |ahead| {
            Some(ahead.saturating_add(by))
        });
    }

    pub(super) fn gates(&self) -> &Gates {
        &self.gates
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }
}

impl State {
    pub(super) fn caller(&self, owner: Owner) -> Caller {
        match owner {
            Owner::Login(login) => Caller::Account(self.families.account(login)),
            Owner::M2m { number, .. } => Caller::M2m(number),
        }
    }

    /// Counts a request of `caller`, and says after how many seconds the next one is allowed if
    /// this one was too many.
    pub(super) fn over_the_limit(&mut self, caller: Caller, now: Millis) -> Option<u64> {
        const MINUTE: Millis = 60_000;
        let limit = self.settings.rate_limit?;
        let (began, sent) = self.minutes.entry(caller).or_insert((now, 0));
        if now.saturating_sub(*began) >= MINUTE {
            (*began, *sent) = (now, 0);
        }
        *sent = sent.saturating_add(1);
        (*sent > limit).then(|| (*began + MINUTE - now).div_ceil(1000))
    }
}
