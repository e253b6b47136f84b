//! A store that fails as it is told, and keeps a log.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_teamup_auth::TokenSet;
use tower_teamup_auth::store::{
    Attempt, Expected, RecordContent, StoreError, StoredRecord, TokenStore,
};

use super::{Stopwatch, locked};

/// A clone is the same store.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    kept: Mutex<Option<StoredRecord>>,
    /// The number of the lease that is granted, if one is.
    lease: Mutex<Option<u64>>,
    script: Mutex<Script>,
    started: Stopwatch,
}

#[derive(Default)]
struct Script {
    log: Vec<(Op, Duration)>,
    faults: HashMap<Op, VecDeque<Fault>>,
    /// What another process saves right before the next save.
    overtaking: Option<StoredRecord>,
    /// The next answers of `time_left`; `false` is no time.
    held: VecDeque<bool>,
    never_held: bool,
    leases: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Check,
    Load,
    Acquire,
    Save,
    Release,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is done as it should be, for a change.
    None,
    Fails,
    /// The record is of a newer format.
    Locked,
    /// It takes so long, and is done then.
    Slow(Duration),
    /// It never ends.
    Hangs,
    /// Its future panics.
    Panics,
    /// The call itself panics, before there is a future.
    PanicsAtOnce,
}

#[derive(Clone, Debug)]
pub(crate) struct Lease(u64);

impl Store {
    pub(crate) fn with_tokens(record: impl Into<StoredRecord>) -> Self {
        let store = Store::empty();
        store.put(Some(record.into()));
        store
    }

    pub(crate) fn empty() -> Self {
        Store(Arc::new(Inner {
            kept: Mutex::default(),
            lease: Mutex::default(),
            script: Mutex::default(),
            started: Stopwatch::start(),
        }))
    }

    /// The next calls of `op` suffer these, one each.
    pub(crate) fn faults(&self, op: Op, faults: impl IntoIterator<Item = Fault>) {
        locked(&self.0.script).faults.entry(op).or_default().extend(faults);
    }

    /// Nothing goes wrong any more.
    pub(crate) fn mend(&self) {
        let mut script = locked(&self.0.script);
        script.faults.clear();
        script.never_held = false;
    }

    /// Another process saves this right before the next save.
    pub(crate) fn overtake_next_save(&self, record: StoredRecord) {
        locked(&self.0.script).overtaking = Some(record);
    }

    /// The next answers of `time_left`: does the lease hold?
    pub(crate) fn held(&self, answers: impl IntoIterator<Item = bool>) {
        locked(&self.0.script).held.extend(answers);
    }

    /// Every lease is lost as soon as it is granted.
    pub(crate) fn never_held(&self) {
        locked(&self.0.script).never_held = true;
    }

    /// What another process puts there, whoever has the lease.
    pub(crate) fn put(&self, record: Option<StoredRecord>) {
        *locked(&self.0.kept) = record;
    }

    /// What another process that refreshes this login puts there: these tokens, `ahead` revisions
    /// later.
    pub(crate) fn put_refreshed(&self, tokens: TokenSet, ahead: u64) {
        let kept = self.record().expect("a record");
        let content = RecordContent::Tokens(tokens);
        self.put(Some(StoredRecord::new(kept.login(), kept.revision() + ahead, content)));
    }

    pub(crate) fn record(&self) -> Option<StoredRecord> {
        locked(&self.0.kept).clone()
    }

    pub(crate) fn kept_tokens(&self) -> TokenSet {
        self.record().expect("a record").tokens().expect("tokens").clone()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.record().expect("a record").revision()
    }

    /// The refresh token that is stored.
    pub(crate) fn refresh_token(&self) -> String {
        self.kept_tokens().refresh_token().expose().to_owned()
    }

    /// When `op` was called.
    pub(crate) fn times(&self, op: Op) -> Vec<Duration> {
        let script = locked(&self.0.script);
        script.log.iter().filter(|(done, _)| *done == op).map(|&(_, at)| at).collect()
    }

    pub(crate) fn count(&self, op: Op) -> usize {
        self.times(op).len()
    }

    /// Takes the lease, as another process; `None` if it is held.
    pub(crate) fn acquire_from_outside(&self) -> Option<Lease> {
        let mut lease = locked(&self.0.lease);
        if lease.is_some() {
            return None;
        }
        let mut script = locked(&self.0.script);
        script.leases += 1;
        *lease = Some(script.leases);
        Some(Lease(script.leases))
    }

    pub(crate) fn release_from_outside(&self, lease: Lease) {
        let mut held = locked(&self.0.lease);
        if *held == Some(lease.0) {
            *held = None;
        }
    }

    pub(crate) fn is_leased(&self) -> bool {
        locked(&self.0.lease).is_some()
    }

    fn begin(&self, op: Op) -> Fault {
        let mut script = locked(&self.0.script);
        script.log.push((op, self.0.started.elapsed()));
        let fault = script.faults.get_mut(&op).and_then(VecDeque::pop_front);
        drop(script);
        assert_ne!(fault, Some(Fault::PanicsAtOnce), "as the test wants it");
        fault.unwrap_or(Fault::None)
    }
}

async fn suffer(fault: Fault) -> Result<(), StoreError> {
    tokio::task::yield_now().await;
    match fault {
        Fault::None => Ok(()),
        Fault::Fails => Err(StoreError::unavailable("the disk", "is full")),
        Fault::Locked => Err(StoreError::locked("it has format version 9")),
        Fault::Slow(time) => {
            tokio::time::sleep(time).await;
            Ok(())
        }
        Fault::Hangs => std::future::pending().await,
        Fault::Panics | Fault::PanicsAtOnce => panic!("as the test wants it"),
    }
}

impl TokenStore for Store {
    type Lease = Lease;

    fn check(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        suffer(self.begin(Op::Check))
    }

    fn load(&self) -> impl Future<Output = Result<Option<StoredRecord>, StoreError>> + Send {
        let fault = self.begin(Op::Load);
        let store = self.clone();
        async move {
            suffer(fault).await?;
            Ok(store.record())
        }
    }

    fn try_acquire(&self) -> impl Future<Output = Result<Attempt<Lease>, StoreError>> + Send {
        let fault = self.begin(Op::Acquire);
        let store = self.clone();
        async move {
            suffer(fault).await?;
            Ok(store.acquire_from_outside().map_or_else(Attempt::busy, Attempt::granted))
        }
    }

    fn save(
        &self,
        _: &Lease,
        expected: Expected,
        record: &StoredRecord,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        let fault = self.begin(Op::Save);
        let (store, record) = (self.clone(), record.clone());
        async move {
            suffer(fault).await?;
            let overtaking = locked(&store.0.script).overtaking.take();
            let mut kept = locked(&store.0.kept);
            if let Some(overtaking) = overtaking {
                *kept = Some(overtaking);
            }
            if kept.as_ref() != Some(&record) && !expected.allows(kept.as_ref()) {
                return Err(StoreError::conflict());
            }
            *kept = Some(record);
            Ok(())
        }
    }

    fn time_left(&self, lease: &Lease) -> Option<Duration> {
        let mut script = locked(&self.0.script);
        let answer = script.held.pop_front();
        let holds = !script.never_held && answer.unwrap_or(true);
        drop(script);
        if holds {
            return None;
        }
        // A lease that has run out keeps nobody from the next one.
        self.release_from_outside(lease.clone());
        Some(Duration::ZERO)
    }

    fn release(&self, lease: Lease) -> impl Future<Output = Result<(), StoreError>> + Send {
        let fault = self.begin(Op::Release);
        let store = self.clone();
        async move {
            suffer(fault).await?;
            store.release_from_outside(lease);
            Ok(())
        }
    }

    async fn delete(&self, _: &Lease) -> Result<(), StoreError> {
        self.put(None);
        Ok(())
    }
}
