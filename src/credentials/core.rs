//! The state behind its mutex, and what has to happen outside of it: snapshots, wakers, events.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use tokio::sync::Notify;

use super::byte_budget::ByteBudget;
use super::failure::{self, Cause};
use super::refused_routes::RefusedRoutes;
use super::report;
use super::settings::Settings;
use super::snapshot::{SharedSnapshot, Snapshot};
use super::source_client::SourceClient;
use super::state::{
    CredentialState, Effects, Enqueued, Failure, Happened, Operation, Outcome, Tick, Ticket,
};
use super::store_client::StoreClient;
use super::sync::{AtomicU64, Mutex, MutexGuard};
use super::waiters::{Ending, Waiter, Waiters};
use super::watched::Watched;
use crate::error::Error;
use crate::headers::RequestMode;
use crate::observe;
use crate::refresh::{DynRefresh, RefreshError};
use crate::store::DynLease;
use crate::token::Moment;

pub(crate) type ChangeHook = Box<dyn Fn(&Core) + Send + Sync>;

pub(crate) type State = CredentialState<DynLease, Cause>;

/// What all handles of one credential share.
pub(crate) struct Core {
    locked: Mutex<Locked>,
    pub(crate) snapshot: SharedSnapshot,
    pub(crate) store: StoreClient,
    pub(crate) renewer: Renewer,
    pub(crate) settings: Settings,
    /// Told when an operation comes, so that a worker which pauses looks again.
    pub(crate) came: Notify,
    /// Counts the polls of the worker.
    pub(crate) heartbeat: AtomicU64,
    pub(crate) watched: Watched,
    pub(crate) refused_routes: RefusedRoutes,
    /// Called after each change, outside of the mutex. Boxed twice: few credentials have one.
    pub(crate) on_change: Option<Box<ChangeHook>>,
    /// What the bodies of kept 401s take together.
    pub(crate) saved_bodies: ByteBudget,
}

/// What brings the next access token.
pub(crate) enum Renewer {
    Refresh(Arc<dyn DynRefresh>),
    /// Of an M2M token: its source, if it has one. Boxed, and no variant of its own where there is
    /// none, so that the enum is as small as its first variant.
    M2m(Option<Box<SourceClient>>),
}

struct Locked {
    state: State,
    /// One for each ticket that somebody waits for.
    waiters: BTreeMap<Ticket, Arc<Waiters>>,
    /// `Some` while an attempt to save has failed and none has succeeded.
    unsaved_since: Option<Moment>,
}

/// What an operation leads to.
pub(crate) enum Submitted {
    Settled(Ending),
    /// `started`: this call has begun it.
    Waits {
        waiter: Waiter,
        started: bool,
    },
}

impl Core {
    pub(crate) fn new(
        state: State,
        snapshot: Snapshot,
        store: StoreClient,
        renewer: Renewer,
        settings: Settings,
    ) -> Self {
        Core {
            locked: Mutex::new(Locked { state, waiters: BTreeMap::new(), unsaved_since: None }),
            snapshot: SharedSnapshot::new(snapshot),
            store,
            renewer,
            settings,
            came: Notify::new(),
            heartbeat: AtomicU64::new(0),
            watched: Watched::default(),
            refused_routes: RefusedRoutes::default(),
            on_change: None,
            saved_bodies: ByteBudget::default(),
        }
    }

    /// Hands an operation in. Whoever does sees to it that a worker takes it up.
    pub(super) fn enqueue(&self, operation: Operation) -> Submitted {
        let tick = self.tick();
        let mut locked = self.locked();
        let (enqueued, effects) = locked.state.enqueue(operation, tick);
        let submitted = match enqueued {
            Enqueued::Settled(ending) => Submitted::Settled(ending),
            Enqueued::Waits { ticket, started } => {
                let waiter = locked.waiters.entry(ticket).or_default().join();
                Submitted::Waits { waiter, started }
            }
        };
        let is_news = effects.changed || effects.publish;
        let after = self.publish(&mut locked, effects);
        drop(locked);
        // A worker that pauses, or whose request is of a login that is gone, looks again. One more who
        // waits for what is queued already is nothing to look for.
        if is_news || !matches!(submitted, Submitted::Waits { started: false, .. }) {
            self.came.notify_one();
        }
        self.tell(after);
        submitted
    }

    /// The number of a new worker, if one is needed and none is at work.
    pub(super) fn begin_worker(&self) -> Option<u32> {
        self.locked().state.start_worker()
    }

    /// The number of a worker in the place of the one at work.
    pub(super) fn begin_replacement(&self) -> Option<u32> {
        self.locked().state.replace_worker()
    }

    /// Changes the state, and does outside of the mutex what follows.
    pub(crate) fn with_state<T>(
        &self,
        change: impl FnOnce(&mut State) -> (T, Effects<Cause>),
    ) -> T {
        let mut locked = self.locked();
        let (answer, effects) = change(&mut locked.state);
        let after = self.publish(&mut locked, effects);
        drop(locked);
        self.tell(after);
        answer
    }

    /// Reads the state.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.locked().state)
    }

    /// Under the mutex: what requests see follows the state, in the same order.
    fn publish(&self, locked: &mut Locked, effects: Effects<Cause>) -> After {
        if effects.publish {
            let next = self.snapshot.load().followed_by(&locked.state.view(), self.settings.scheme);
            self.snapshot.store(next);
        }
        let waiters = &mut locked.waiters;
        let wake = effects.wake.into_iter();
        let wake = wake.filter_map(|(ticket, ending)| Some((waiters.remove(&ticket)?, ending)));
        let wake = wake.collect();
        let unsaved_since = locked.state.unsaved_since();
        let unsaved = match (locked.unsaved_since, unsaved_since) {
            (None, Some(_)) => Some(Unsaved::Began),
            (Some(since), None) => Some(Unsaved::Ended { since }),
            _ => None,
        };
        locked.unsaved_since = unsaved_since;
        After { wake, happened: effects.happened, changed: effects.changed, unsaved }
    }

    /// Outside of the mutex: wakers, subscribers and recorders are other people's code. A panic in
    /// it is its own and keeps nothing from being done.
    fn tell(&self, after: After) {
        let After { wake, happened, changed, unsaved } = after;
        for (waiters, ending) in wake {
            waiters.end(ending);
        }
        for happened in happened {
            let _ = catch_unwind(AssertUnwindSafe(|| report::emit(&happened, &self.settings)));
        }
        if let Some(unsaved) = unsaved {
            let _ = catch_unwind(AssertUnwindSafe(|| self.tell_unsaved(unsaved)));
        }
        if changed {
            let _ = catch_unwind(AssertUnwindSafe(|| self.watched.signal()));
            if let Some(on_change) = &self.on_change {
                let _ = catch_unwind(AssertUnwindSafe(|| on_change(self)));
            }
        }
    }

    fn tell_unsaved(&self, unsaved: Unsaved) {
        match unsaved {
            Unsaved::Began => observe::unsaved_began(),
            Unsaved::Ended { since } => {
                observe::unsaved_ended(since.until(self.settings.clock.now()));
            }
        }
    }

    /// Takes in the outcome of an action; `first` is run before what follows from it is told.
    pub(crate) fn complete(
        &self,
        worker: u32,
        outcome: Outcome<DynLease, Cause>,
        first: impl FnOnce(),
    ) {
        let tick = self.tick();
        let mut locked = self.locked();
        let effects = locked.state.complete(worker, outcome, tick);
        let after = self.publish(&mut locked, effects);
        drop(locked);
        let _ = catch_unwind(AssertUnwindSafe(first));
        self.tell(after);
    }

    /// The worker is gone: whoever waits is polled, and starts another on its own runtime.
    pub(crate) fn worker_gone(&self, worker: u32) {
        let tick = self.tick();
        let lost = Cause::new(RefreshError::outcome_unknown(
            "the runtime that sent the refresh request went away before the answer came",
        ));
        let mut locked = self.locked();
        let effects = locked.state.worker_gone(worker, lost, tick);
        let after = self.publish(&mut locked, effects);
        let waiting: Vec<_> = locked.waiters.values().cloned().collect();
        drop(locked);
        self.tell(after);
        waiting.iter().for_each(|waiters| waiters.wake_all());
    }

    /// Does only the worker know of this credential, with nothing to do but to keep it warm?
    pub(crate) fn is_abandoned(self: &Arc<Self>, held_by_worker: usize) -> bool {
        Arc::strong_count(self) <= held_by_worker && self.read(|state| state.is_at_rest())
    }

    /// The time, and a number at random.
    pub(crate) fn tick(&self) -> Tick {
        Tick { now: self.settings.clock.now(), jitter: fastrand::u16(0..=1000) }
    }

    /// The error of a failure, as a caller who asked for `mode` sees it.
    pub(crate) fn error(&self, failure: &Failure<Cause>, mode: RequestMode) -> Error {
        let Settings { limit, clock, .. } = &self.settings;
        failure::error(failure, mode, *limit, clock.now())
    }

    fn locked(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left to do when the mutex is free again.
struct After {
    wake: Vec<(Arc<Waiters>, Ending)>,
    happened: Vec<Happened<Cause>>,
    changed: bool,
    unsaved: Option<Unsaved>,
}

enum Unsaved {
    Began,
    Ended { since: Moment },
}

impl Drop for Core {
    fn drop(&mut self) {
        let locked = self.locked.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = locked.unsaved_since.take() {
            self.tell_unsaved(Unsaved::Ended { since });
        }
    }
}
