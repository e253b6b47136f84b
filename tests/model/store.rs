//! A store that several processes share, and that fails as it is told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tower_teamup_auth::store::{
    Attempt, Expected, RecordContent, StoreError, StoredRecord, TokenStore,
};

use crate::journal::{Cause, Life};
use crate::terms::{Found, Refresh};
use crate::world::{State, World};

/// How long a lease lasts that runs out, in milliseconds.
const TERM: i64 = 15_000;

/// How long a credential waits for one call, in milliseconds.
const PATIENCE: i64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Acquire,
    Load,
    Save,
    Release,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Fails,
    Panics,
    /// It takes two seconds.
    Slow,
    /// It takes twenty seconds, longer than a credential waits for a store, and is done then.
    Hangs,
    /// It is done, and reported as failed.
    DoneAndFails,
}

/// What the store holds, and what goes wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) record: Option<StoredRecord>,
    /// What it held before.
    before: Option<StoredRecord>,
    /// It has lost a write. What it holds from then on need not be the newest: somebody who knows less may
    /// be the first to write.
    pub(crate) has_lost: bool,
    /// Who wrote the record.
    writer: Option<Life>,
    /// The lease that is valid.
    pub(crate) holder: Option<Grant>,
    grants: usize,
    pub(crate) faults: [VecDeque<Fault>; 4],
    pub(crate) is_read_only: bool,
}

/// One grant of the right to refresh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    number: usize,
    pub(crate) life: Life,
    /// When it runs out, if not renewed. Of the others nobody can tell without asking that they are lost.
    until: Option<i64>,
    /// It was granted when nobody waited for it any longer.
    pub(crate) late: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Lease {
    grant: Grant,
    /// Of one that does not run out: the system gives it back when the last copy is gone.
    lock: Option<Arc<Lock>>,
}

#[derive(Debug)]
struct Lock {
    world: World,
    number: usize,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.world.with(|state| state.kept.release(self.number));
    }
}

/// The store as one life of a process sees it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) world: World,
}

/// The refresh token of a record, if it has one.
pub(crate) fn refresh_of(record: &StoredRecord) -> Option<Refresh> {
    record.tokens().map(|tokens| Refresh::read(tokens.refresh_token().expose()))
}

impl Kept {
    /// The refresh token that is stored.
    pub(crate) fn refresh(&self) -> Option<Refresh> {
        self.record.as_ref().and_then(refresh_of)
    }

    /// The same, if another process would send it.
    pub(crate) fn usable(&self) -> Option<Refresh> {
        let usable = |record: &&StoredRecord| matches!(record.content(), RecordContent::Tokens(_));
        self.record.as_ref().filter(usable).and_then(refresh_of)
    }

    /// What a process finds that has not written it.
    pub(crate) fn found(&self) -> Found {
        let Some(record) = &self.record else { return Found::Nothing };
        match (record.content(), refresh_of(record)) {
            (RecordContent::Tokens(_), Some(refresh)) => Found::Tokens(refresh),
            (_, Some(refresh)) => Found::Rejected(refresh),
            (_, None) => Found::SignedOut,
        }
    }

    fn is_held(&self, number: usize) -> bool {
        self.holder.is_some_and(|holder| holder.number == number)
    }

    fn release(&mut self, number: usize) {
        self.holder.take_if(|holder| holder.number == number);
    }

    /// The life of a process is over.
    pub(crate) fn died(&mut self, life: Life) {
        self.holder.take_if(|grant| grant.life == life && grant.until.is_none());
    }
}

impl State {
    /// Takes the lease away from whoever has it: it has run out.
    pub(crate) fn lease_runs_out(&mut self) {
        let Some(Grant { life, .. }) = self.kept.holder.take() else { return };
        self.journal.incident(Cause::LeaseRanOut, Some(life.process));
        self.model_of(life.process).robbed();
    }

    pub(crate) fn lease_may_run_out(&mut self, now: i64) {
        let until = self.kept.holder.and_then(|grant| grant.until);
        if until.is_some_and(|until| until <= now) {
            self.lease_runs_out();
        }
    }

    /// The store loses its last write, or all that it has.
    pub(crate) fn store_loses(&mut self, all: bool) {
        let before = self.kept.before.take().filter(|_| !all);
        if before == self.kept.record {
            return;
        }
        self.kept.record = before;
        self.kept.has_lost = true;
        self.kept.writer = None;
        self.journal.incident(Cause::LostWrite, None);
        self.model().overtaken();
        self.others().for_each(|other| other.overtaken());
    }

    fn written(&mut self, record: &StoredRecord) {
        self.kept.before = self.kept.record.replace(record.clone());
        self.kept.writer = Some(self.acting());
        if let Some(refresh) = refresh_of(record) {
            self.journal.saved(refresh);
        }
        self.others().for_each(|other| other.overtaken());
    }
}

impl Store {
    fn now(&self) -> i64 {
        self.world.with(|state| state.model().now.mono)
    }

    async fn begin(&self, op: Op) -> Option<Fault> {
        self.world.go_on().await;
        self.world.with(|state| {
            state.model().asks_the_store();
            let fault = state.kept.faults[op as usize].pop_front();
            let fault =
                if op == Op::Save && state.kept.is_read_only { Some(Fault::Fails) } else { fault };
            if fault.is_some() {
                state.model().store_failed();
                // Whoever can't save keeps the lease.
                state.waits_are_long();
            }
            fault
        })
    }

    async fn suffer<T>(
        &self,
        fault: Option<Fault>,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        tokio::task::yield_now().await;
        let failure = || StoreError::unavailable("the disk", "is full");
        match fault {
            None => {}
            Some(Fault::Fails) => return Err(failure()),
            Some(Fault::Panics) => std::panic::resume_unwind(Box::new("on purpose")),
            Some(Fault::Slow) => tokio::time::sleep(Duration::from_secs(2)).await,
            Some(Fault::Hangs) => {
                let _hanging = Hanging::begin(&self.world);
                tokio::time::sleep(Duration::from_secs(20)).await;
            }
            Some(Fault::DoneAndFails) => {
                work()?;
                self.world.go_on().await;
                return Err(failure());
            }
        }
        work()
    }
}

impl TokenStore for Store {
    type Lease = Lease;

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        let asked = self.now();
        let fault = self.begin(Op::Load).await;
        self.suffer(fault, || {
            Ok(self.world.with(|state| {
                if state.model().now.mono - asked >= PATIENCE {
                    // Nobody waits for it any longer.
                    return None;
                }
                let is_own = state.kept.writer == Some(state.acting());
                let process = state.acting().process;
                state.journal.loaded(process);
                let found = state.kept.found();
                let revision = state.kept.record.as_ref().map_or(0, StoredRecord::revision);
                state.model().loaded((!is_own).then_some(found), revision);
                state.kept.record.clone()
            }))
        })
        .await
    }

    async fn try_acquire(&self) -> Result<Attempt<Lease>, StoreError> {
        let asked = self.now();
        let fault = self.begin(Op::Acquire).await;
        self.suffer(fault, || {
            Ok(self.world.with(|state| {
                // It would give it back with its end.
                let (life, is_over) = (state.acting(), state.is_over());
                let late = state.model().now.mono - asked >= PATIENCE;
                let kept = &mut state.kept;
                if is_over || kept.holder.is_some() {
                    return Attempt::busy();
                }
                kept.grants += 1;
                let number = kept.grants;
                let until = (number % 2 == 0).then_some(asked + TERM);
                let grant = Grant { number, life, until, late };
                kept.holder = Some(grant);
                let lock = until.is_none().then(|| Lock { world: self.world.clone(), number });
                Attempt::granted(Lease { grant, lock: lock.map(Arc::new) })
            }))
        })
        .await
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, StoreError> {
        let asked = self.now();
        self.world.go_on().await;
        tokio::task::yield_now().await;
        self.world.with(|state| {
            if !state.kept.is_held(lease.grant.number) {
                return Err(StoreError::lease_lost());
            }
            let grant = Grant { until: lease.grant.until.map(|_| asked + TERM), ..lease.grant };
            state.kept.holder = Some(grant);
            Ok(Lease { grant, lock: lease.lock.clone() })
        })
    }

    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        // A late one is given back by nobody who would try again; in earnest it would run out.
        let fault = if lease.grant.late { None } else { self.begin(Op::Release).await };
        self.suffer(fault, || {
            self.world.with(|state| {
                state.kept.release(lease.grant.number);
            });
            Ok(())
        })
        .await
    }

    fn time_left(&self, lease: &Lease) -> Option<Duration> {
        let now = self.now();
        lease.grant.until.map(|until| Duration::from_millis((until - now).max(0) as u64))
    }

    async fn save(
        &self,
        lease: &Lease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        let fault = self.begin(Op::Save).await;
        self.world.with(|state| {
            state.model().save_began(record);
            if let (Some(refresh), false) = (refresh_of(record), state.is_over()) {
                state.journal.saved_as(record.login(), refresh.login);
            }
        });
        let _saving = Saving { world: &self.world, refresh: refresh_of(record) };
        self.suffer(fault, || {
            self.world.with(|state| {
                // A lease that runs out is not looked at: the revision must do.
                if lease.lock.is_some() && !state.kept.is_held(lease.grant.number) {
                    return Err(StoreError::lease_lost());
                }
                if state.kept.record.as_ref() != Some(record) {
                    if !expected.allows(state.kept.record.as_ref()) {
                        return Err(StoreError::conflict());
                    }
                    state.written(record);
                }
                Ok(())
            })
        })
        .await
    }

    /// Seldom: a login that another process keeps from being saved for hours is tried all the time.
    async fn changed(&self) {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(200..=1000))).await;
    }

    async fn delete(&self, _: &Lease) -> Result<(), StoreError> {
        self.world.must_be(false, "a record was deleted: a sign-out saves a tombstone");
        Ok(())
    }
}

/// A save that is given up has ended, too.
struct Saving<'a> {
    world: &'a World,
    refresh: Option<Refresh>,
}

impl Drop for Saving<'_> {
    fn drop(&mut self) {
        if let Some(refresh) = self.refresh {
            self.world.with(|state| state.model().save_ended(refresh));
        }
    }
}

/// A call that takes longer than it is waited for.
struct Hanging<'a>(&'a World);

impl<'a> Hanging<'a> {
    fn begin(world: &'a World) -> Self {
        world.with(|state| state.model().store_hangs(true));
        Hanging(world)
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.model().store_hangs(false));
    }
}
