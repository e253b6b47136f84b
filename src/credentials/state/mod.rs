//! The credential as a state machine: every fact once, no task, no clock, no I/O.
//!
//! Callers hand in operations ([`CredentialState::enqueue`]). One worker asks for the next action
//! ([`CredentialState::next`]), runs it, and reports its outcome ([`CredentialState::complete`]).
//! Nothing else changes the state. It stands behind one mutex, and no user code runs under it.
//!
//! ```text
//!            enqueue                      next                        complete
//! caller ──────────────► queue ─► current ──────► action in flight ──────────► facts
//!            ticket                                                  tickets to wake, events
//!
//! a refresh:  AcquireLease ─► Load ─► SendRefresh ─► Save ─► (publish) ─► ReleaseLease ─► wake
//!                  ▲  │busy             │  │unknown: Load, then once more
//!                  └──┴ Sleep, Load     └──┴ rejected: Load, adopt or mark as rejected
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | the facts, and who works on them |
//! | `enqueue` | the operations, and what they change at once |
//! | `next` | which action comes next |
//! | `complete` | what an outcome changes |
//! | `adoption` | which record wins: ours or the store's |
//! | `m2m` | M2M tokens, which are read again or replaced, and never refreshed |
//! | `types` | what goes in and what comes out |

mod adoption;
mod complete;
mod enqueue;
#[cfg(any(fuzzing, test))]
mod explore;
#[cfg(all(test, heavy_tests))]
mod fleet;
mod m2m;
mod next;
#[cfg(test)]
mod tests;
mod types;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

#[cfg(fuzzing)]
pub(crate) use explore::take_chosen_steps;
pub(crate) use types::{
    Action, Effects, Enqueued, Failure, Found, Happened, Minted, Operation, Outcome, Reason,
    RequestFailure, StoreCause, Tick, Ticket,
};

use super::deadlines::{Deadlines, RefreshWindow};
use super::generation::Generation;
use crate::headers::RequestMode;
use crate::refresh::FailureClass;
use crate::store::{Expected, Fingerprint, LoginId, RecordContent, StoredRecord};
use crate::token::{IssuedToken, Moment, RefreshToken, TokenSet};

/// How often the store is read at most while nothing can be refreshed.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// How often a token is refreshed at most without being asked for.
const WARM_PAUSE: Duration = Duration::from_secs(5);

/// So many fingerprints of refresh tokens that were spent or rejected are kept.
const SPENT: usize = 8;

/// What was decided when the credential was built.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Config {
    /// Is there a store? Without one there is nobody to share a lease with, and nothing to save.
    pub(crate) has_store: bool,
    pub(crate) renewal: Renewal,
    pub(crate) base_url: Arc<str>,
    pub(crate) window: RefreshWindow,
    /// How long the lease is waited for.
    pub(crate) lease_wait: Duration,
    pub(crate) limit: RefreshLimit,
    /// The mode that is refreshed in time without being asked for.
    pub(crate) keep_warm: Option<RequestMode>,
}

/// Where the next access token comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Renewal {
    /// From the refresh endpoint.
    Refresh,
    /// An M2M token: from its source, which is read again.
    ReadSource,
    /// An M2M token without a source: from nowhere, until the program brings another.
    Never,
}

/// How many refreshes may be caused by 401s to fresh tokens, for each mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RefreshLimit {
    /// The refresh of this number within the window is refused.
    pub(crate) count: u32,
    pub(crate) window: Duration,
}

/// Every fact of one credential. `L` is the store's lease and `E` an error value; the machine looks
/// into neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CredentialState<L, E> {
    config: Config,
    /// The newest record that this process knows of; `None` before the first login.
    record: Option<StoredRecord>,
    /// Counts the logins that this process has seen.
    login_epoch: u32,
    customer: ModeState<E>,
    provider: ModeState<E>,
    /// `Some` while the newest record is in memory and not yet in the store.
    dirty: Option<Box<Dirty<E>>>,
    /// Of the refresh tokens that were spent or rejected last, oldest first. None of them is sent,
    /// except once more after an unknown outcome.
    spent: VecDeque<Fingerprint>,
    /// `Some` while the record's refresh token was sent and no answer came: it may be spent.
    lost_answer: Option<E>,
    /// What TeamUp said when it refused the record's refresh token, where this process was told.
    rejection: Option<E>,
    lease: Option<Box<HeldLease<L, E>>>,
    lease_wait: Option<LeaseWait>,
    queue: VecDeque<Queued>,
    /// Boxed, as is all that an idle credential has none of.
    current: Option<Box<Current<E>>>,
    in_flight: Option<InFlight>,
    /// Names the worker that is at work, if there is one.
    worker: Option<u32>,
    worker_epoch: u32,
    next_ticket: Ticket,
    /// When the record came that says whether a login is required.
    login_required_since: Moment,
    /// While nothing can be refreshed, the store is read from this moment on if somebody asks.
    next_look: Moment,
    /// A token is refreshed without being asked for from this moment on: one whose life is shorter
    /// than the way to it leads to no endless loop.
    next_warm: Moment,
    closing: bool,
}

/// What one mode has, beside its token in the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ModeState<E> {
    /// Ends when a refresh of this mode is published.
    pub(crate) generation: u32,
    pub(crate) deadlines: Deadlines,
    /// The API has answered 401 to the token of this generation.
    pub(crate) refused: bool,
    /// Another process has minted the token of this generation.
    pub(crate) is_adopted: bool,
    pub(crate) failure: Option<Box<ModeFailure<E>>>,
    /// When a token was minted because another had been answered 401, oldest first.
    minted_after_401: VecDeque<Moment>,
    limit_reached: bool,
}

/// Refreshes of a mode fail.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ModeFailure<E> {
    pub(crate) latest: Failure<E>,
    pub(crate) since: Moment,
    /// Until then, the latest failure answers everybody.
    pub(crate) until: Moment,
    consecutive: u32,
}

/// The newest record is in memory alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Dirty<E> {
    pub(crate) since: Moment,
    /// `Some` from the first attempt that failed.
    pub(crate) cause: Option<StoreCause<E>>,
    tries: u32,
    next_try: Moment,
    /// The program said that a record which can't be read may be overwritten.
    overwrite: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct HeldLease<L, E> {
    lease: L,
    /// What the next save may replace, as the store was read under this lease; `None` before that.
    seen: Option<Expected>,
    release: Release<E>,
}

/// Was the store told that a lease is given back?
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Release<E> {
    NotBegun,
    /// The store may have been told, so the lease may be another's: nothing is done under it.
    Begun,
    /// The same. It counts as held until it runs out or an operation needs the lease again.
    Failed(E),
}

/// The lease is another's, and waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct LeaseWait {
    since: Moment,
    stage: WaitStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum WaitStage {
    Ask,
    Read,
    Pause,
    /// It was granted, and lost before anything was done under it.
    Lost,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Queued {
    ticket: Option<Ticket>,
    work: Work,
}

/// An operation in the queue. What takes effect at once has done so already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Work {
    Refresh {
        generation: Generation,
        reason: Reason,
    },
    /// Is there something newer in the store than what this generation stands for?
    Look {
        generation: Generation,
        reason: Reason,
    },
    /// What is dirty is saved: a login, a sign-out, or an attempt whose time has come.
    Persist {
        login_epoch: u32,
    },
    Settle {
        close: bool,
    },
}

/// The operation that the worker has in hand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Current<E> {
    queued: Queued,
    /// How it ends, once that is known.
    result: Option<Result<(), Failure<E>>>,
    /// It was checked that it may start.
    started: bool,
    /// The store was read without a lease.
    looked: bool,
    /// Refresh requests that were sent for it.
    sent: u32,
    /// The endpoint has refused the refresh token that was sent; the store may have another.
    rejected: Option<E>,
    /// `Some` while a token was minted and is not published: when its request was sent.
    minted: Option<Moment>,
    /// An attempt to save has failed.
    save_failed: bool,
    conflicts: u32,
    pause_until: Option<Moment>,
}

/// What the worker was told to do and has not reported yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum InFlight {
    AcquireLease,
    Load,
    SendRefresh { login_epoch: u32 },
    ReadSource,
    Save { login: LoginId, revision: u64 },
    ReleaseLease,
    Sleep,
}

/// What the status of a credential is derived from.
#[derive(Clone, Debug)]
pub(crate) struct View<'a, E> {
    pub(crate) record: Option<&'a StoredRecord>,
    pub(crate) customer: &'a ModeState<E>,
    pub(crate) provider: &'a ModeState<E>,
    pub(crate) dirty: Option<&'a Dirty<E>>,
    /// Why a login is required, if it is.
    pub(crate) login_required: Option<Failure<E>>,
    pub(crate) login_required_since: Moment,
    pub(crate) login_epoch: u32,
    pub(crate) refreshing: bool,
    pub(crate) closing: bool,
}

impl<L, E> CredentialState<L, E>
where
    L: Clone + PartialEq,
    E: Clone + PartialEq,
{
    /// The state of a credential that starts with this record, which the store holds.
    pub(crate) fn new(config: Config, record: Option<StoredRecord>, now: Moment) -> Self {
        let mut state = CredentialState {
            config,
            record,
            login_epoch: 0,
            customer: ModeState::new(),
            provider: ModeState::new(),
            dirty: None,
            spent: VecDeque::new(),
            lost_answer: None,
            rejection: None,
            lease: None,
            lease_wait: None,
            queue: VecDeque::new(),
            current: None,
            in_flight: None,
            worker: None,
            worker_epoch: 0,
            next_ticket: 0,
            login_required_since: now,
            next_look: now,
            next_warm: now,
            closing: false,
        };
        for mode in RequestMode::ALL {
            state.refresh_deadlines(mode, now);
        }
        if let Some(record) = state.record.clone() {
            state.note_token_of(&record);
        }
        state
    }

    /// A worker begins; `None` if one is at work.
    pub(crate) fn start_worker(&mut self) -> Option<u32> {
        if self.worker.is_some() || !self.has_work() {
            return None;
        }
        Some(self.new_worker())
    }

    /// A worker takes the place of one that is not polled; `None` while a refresh request is under
    /// way, whose answer only that one can receive.
    pub(crate) fn replace_worker(&mut self) -> Option<u32> {
        if matches!(self.in_flight, Some(InFlight::SendRefresh { .. })) || !self.has_work() {
            return None;
        }
        self.in_flight = None;
        Some(self.new_worker())
    }

    fn new_worker(&mut self) -> u32 {
        self.worker_epoch = self.worker_epoch.wrapping_add(1);
        self.worker = Some(self.worker_epoch);
        // Nobody has waited since the last one was lost.
        self.lease_wait = None;
        self.worker_epoch
    }

    /// The worker is gone: it panicked, was aborted, or its runtime went away. Nothing is lost but
    /// the answer to a refresh request that was under way, whose outcome is unknown. `lost` says so.
    pub(crate) fn worker_gone(&mut self, worker: u32, lost: E, tick: Tick) -> Effects<E> {
        let mut effects = Effects::default();
        if self.worker != Some(worker) {
            return effects;
        }
        self.worker = None;
        if let Some(InFlight::SendRefresh { .. }) = self.in_flight {
            let failure = RequestFailure {
                class: FailureClass::OutcomeUnknown,
                retry_after: None,
                rotated: None,
                error: lost,
            };
            self.take_outcome(Outcome::RefreshFailed { failure }, tick, &mut effects);
        }
        self.in_flight = None;
        effects
    }

    /// Is there something to do, and nobody at it?
    pub(crate) fn needs_worker(&self) -> bool {
        self.worker.is_none() && self.has_work()
    }

    /// Is this worker the one that is at work?
    pub(crate) fn is_at_work(&self, worker: u32) -> bool {
        self.worker == Some(worker)
    }

    /// Was the login replaced while its refresh request is under way?
    pub(crate) fn is_request_obsolete(&self) -> bool {
        match self.in_flight {
            Some(InFlight::SendRefresh { login_epoch }) => login_epoch != self.login_epoch,
            _ => false,
        }
    }

    /// The lease that counts as held, given back without success included.
    pub(crate) fn lease(&self) -> Option<&L> {
        self.lease.as_ref().map(|held| &held.lease)
    }

    /// The lease, if it is to be renewed: one that is being given back is not.
    pub(crate) fn lease_to_renew(&self) -> Option<&L> {
        let held = self.lease.as_ref().filter(|held| held.release == Release::NotBegun);
        held.map(|held| &held.lease)
    }

    /// The lease was renewed beside an action.
    pub(crate) fn lease_renewed(&mut self, renewed: L) {
        if let Some(held) = &mut self.lease {
            held.lease = renewed;
        }
    }

    /// Is there nothing that has to be finished, and nothing in memory alone?
    pub(crate) fn is_at_rest(&self) -> bool {
        self.current.is_none()
            && self.queue.is_empty()
            && self.dirty.is_none()
            && self.lease.is_none()
    }

    /// Is there something that a worker has to do?
    pub(crate) fn has_work(&self) -> bool {
        self.current.is_some()
            || !self.queue.is_empty()
            || self.dirty.is_some()
            || self.releasable().is_some()
            || self.next_refresh_unasked().is_some()
    }

    /// Why a login is required, if it is.
    pub(crate) fn login_required(&self) -> Option<Failure<E>> {
        match self.record.as_ref().map(StoredRecord::content) {
            _ if self.config.renewal != Renewal::Refresh => None,
            None => Some(Failure::NothingStored),
            Some(RecordContent::SignedOut) => Some(Failure::SignedOut),
            Some(RecordContent::Rejected(_)) => Some(Failure::Rejected {
                error: self.rejection.clone(),
                after_lost_answer: self.lost_answer.is_some(),
            }),
            Some(RecordContent::Tokens(_)) => None,
        }
    }

    /// Since when the newest record could not be saved, if an attempt has failed.
    pub(crate) fn unsaved_since(&self) -> Option<Moment> {
        self.dirty.as_ref().filter(|dirty| dirty.cause.is_some()).map(|dirty| dirty.since)
    }

    pub(crate) fn view(&self) -> View<'_, E> {
        let is_refresh = |queued: &Queued| matches!(queued.work, Work::Refresh { .. });
        let current = self.current.as_ref().map(|current| &current.queued);
        View {
            record: self.record.as_ref(),
            customer: &self.customer,
            provider: &self.provider,
            dirty: self.dirty.as_deref(),
            login_required: self.login_required(),
            login_required_since: self.login_required_since,
            login_epoch: self.login_epoch,
            refreshing: current.into_iter().chain(&self.queue).any(is_refresh),
            closing: self.closing,
        }
    }

    pub(crate) fn generation(&self, mode: RequestMode) -> Generation {
        let count = self.mode(mode).generation;
        Generation { count, login_epoch: self.login_epoch, mode }
    }

    pub(crate) fn mode(&self, mode: RequestMode) -> &ModeState<E> {
        match mode {
            RequestMode::Customer => &self.customer,
            RequestMode::Provider => &self.provider,
        }
    }

    fn mode_mut(&mut self, mode: RequestMode) -> &mut ModeState<E> {
        match mode {
            RequestMode::Customer => &mut self.customer,
            RequestMode::Provider => &mut self.provider,
        }
    }

    /// The token set of the record, rejected ones included.
    fn tokens(&self) -> Option<&TokenSet> {
        self.record.as_ref()?.tokens()
    }

    fn issued(&self, mode: RequestMode) -> Option<&IssuedToken> {
        self.tokens()?.issued(mode)
    }

    fn refresh_deadlines(&mut self, mode: RequestMode, seen_at: Moment) {
        let window = self.config.window;
        let deadlines = self.issued(mode).map(|issued| window.deadlines(issued, seen_at));
        self.mode_mut(mode).deadlines = deadlines.unwrap_or(Deadlines::UNKNOWN);
    }

    fn note_spent(&mut self, fingerprint: Fingerprint) {
        if !self.spent.contains(&fingerprint) {
            self.spent.push_back(fingerprint);
            if self.spent.len() > SPENT {
                self.spent.pop_front();
            }
        }
    }

    fn forget_spent(&mut self, fingerprint: Fingerprint) {
        self.spent.retain(|spent| *spent != fingerprint);
    }

    fn is_spent(&self, token: &RefreshToken) -> bool {
        self.spent.contains(&Fingerprint::of(token))
    }
}

impl<E> ModeState<E> {
    fn new() -> Self {
        ModeState {
            generation: 0,
            deadlines: Deadlines::UNKNOWN,
            refused: false,
            is_adopted: false,
            failure: None,
            minted_after_401: VecDeque::new(),
            limit_reached: false,
        }
    }
}

impl<E> ModeFailure<E> {
    /// Is an explicit request of the program enough to try again?
    fn ends_when_asked(&self) -> bool {
        matches!(
            self.latest,
            Failure::Request {
                class: FailureClass::Configuration
                    | FailureClass::NotTheEndpoint
                    | FailureClass::ProbablyRejected,
                ..
            } | Failure::M2mRefused { .. }
                | Failure::M2mSource { .. }
        )
    }
}

impl<E> Dirty<E> {
    fn new(since: Moment, overwrite: bool) -> Box<Self> {
        Box::new(Dirty { since, cause: None, tries: 0, next_try: since, overwrite })
    }
}

impl<E> Current<E> {
    fn new(queued: Queued) -> Box<Self> {
        Box::new(Current {
            queued,
            result: None,
            started: false,
            looked: false,
            sent: 0,
            rejected: None,
            minted: None,
            save_failed: false,
            conflicts: 0,
            pause_until: None,
        })
    }
}

/// The revision after `known`; `None` at the end of the numbers.
fn next_revision(known: u64) -> Option<u64> {
    known.checked_add(1).filter(|next| *next <= StoredRecord::MAX_REVISION)
}
