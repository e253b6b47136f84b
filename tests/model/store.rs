//! A store that other processes share, and that fails as it is told.

use std::collections::VecDeque;
use std::time::Duration;

use tower_teamup_auth::store::{
    Attempt, Expected, RecordContent, StoreError, StoredRecord, TokenStore,
};

use crate::terms::Refresh;
use crate::world::World;

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
    /// Another process wrote the record.
    pub(crate) by_neighbour: bool,
    /// The lease that is valid. One that another process has taken away is not.
    pub(crate) holder: Option<Lease>,
    leases: usize,
    pub(crate) faults: [VecDeque<Fault>; 4],
}

/// One grant of the right to refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    number: usize,
    /// It was granted when nobody waited for it any longer.
    pub(crate) late: bool,
}

impl Lease {
    /// Of some leases can be told without asking that they are lost, of the others not.
    fn tells(self) -> bool {
        self.number % 2 == 0
    }
}

/// A clone is the same store.
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
}

impl Store {
    fn begin(&self, op: Op) -> Option<Fault> {
        self.world.with(|state| {
            let fault = state.kept.faults[op as usize].pop_front();
            if fault.is_some() {
                state.model.store_failed();
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
            Some(Fault::Slow) => tokio::time::sleep(Duration::from_secs(2)).await,
            Some(Fault::Hangs) => {
                self.world.with(|state| state.model.store_hangs(true));
                tokio::time::sleep(Duration::from_secs(20)).await;
                self.world.with(|state| state.model.store_hangs(false));
            }
            Some(Fault::DoneAndFails) => return work().and(Err(failure())),
        }
        work()
    }
}

impl TokenStore for Store {
    type Lease = Lease;

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        let fault = self.begin(Op::Load);
        self.suffer(fault, || {
            Ok(self.world.with(|state| {
                state.model.loaded(state.kept.refresh(), state.kept.by_neighbour);
                state.kept.record.clone()
            }))
        })
        .await
    }

    async fn try_acquire(&self) -> Result<Attempt<Lease>, StoreError> {
        let fault = self.begin(Op::Acquire);
        self.suffer(fault, || {
            Ok(self.world.with(|state| {
                let kept = &mut state.kept;
                if kept.holder.is_some() {
                    return Attempt::busy();
                }
                kept.leases += 1;
                let lease = Lease { number: kept.leases, late: fault == Some(Fault::Hangs) };
                kept.holder = Some(lease);
                Attempt::granted(lease)
            }))
        })
        .await
    }

    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        // A late one is given back by nobody who would try again; in earnest it would run out.
        let fault = (!lease.late).then(|| self.begin(Op::Release)).flatten();
        self.suffer(fault, || {
            self.world.with(|state| {
                state.kept.holder.take_if(|holder| *holder == lease);
            });
            Ok(())
        })
        .await
    }

    fn time_left(&self, lease: &Lease) -> Option<Duration> {
        let is_lost = self.world.with(|state| state.kept.holder != Some(*lease));
        (is_lost && lease.tells()).then_some(Duration::ZERO)
    }

    async fn save(
        &self,
        lease: &Lease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        let fault = self.begin(Op::Save);
        self.world.with(|state| state.model.save_began(record));
        let _saving = Saving { world: &self.world, refresh: refresh_of(record) };
        self.suffer(fault, || {
            self.world.with(|state| {
                let kept = &mut state.kept;
                if kept.holder != Some(*lease) {
                    return Err(StoreError::lease_lost());
                }
                if kept.record.as_ref() != Some(record) {
                    if !expected.allows(kept.record.as_ref()) {
                        return Err(StoreError::conflict());
                    }
                    kept.record = Some(record.clone());
                    kept.by_neighbour = false;
                }
                Ok(())
            })
        })
        .await
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
            self.world.with(|state| state.model.save_ended(refresh));
        }
    }
}
