//! A store that fails as it is told, and keeps a log.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tower_teamup_auth::TokenSet;
use tower_teamup_auth::store::{StoreError, Stored, TokenStore};

use super::{Stopwatch, locked};

/// A clone is the same store.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    right_to_refresh: Arc<tokio::sync::Mutex<()>>,
    kept: Mutex<Stored>,
    script: Mutex<Script>,
    started: Stopwatch,
}

#[derive(Default)]
struct Script {
    log: Vec<(Op, Duration)>,
    faults: HashMap<Op, VecDeque<Fault>>,
    /// What another process saves right before the next save.
    overtaking: Option<Stored>,
    /// The next answers of `is_held`.
    held: VecDeque<bool>,
    never_held: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Check,
    Load,
    Lock,
    Save,
    IsHeld,
    Clear,
    Settle,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is done as it should be, for a change.
    None,
    Fails,
    /// It takes so long, and is done then.
    Slow(Duration),
    /// It never ends.
    Hangs,
    /// Its future panics.
    Panics,
    /// The call itself panics, before there is a future.
    PanicsAtOnce,
}

pub(crate) struct Lease {
    _right: OwnedMutexGuard<()>,
}

impl Store {
    pub(crate) fn with_tokens(tokens: TokenSet) -> Self {
        Store(Arc::new(Inner {
            right_to_refresh: Arc::default(),
            kept: Mutex::new(Some(tokens)),
            script: Mutex::default(),
            started: Stopwatch::start(),
        }))
    }

    pub(crate) fn empty() -> Self {
        let store = Store::with_tokens(TokenSet::new("none".parse().unwrap()));
        store.put(None);
        store
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

    /// Another process saves these right before the next save.
    pub(crate) fn overtake_next_save(&self, stored: Stored) {
        locked(&self.0.script).overtaking = Some(stored);
    }

    /// The next answers of `is_held`.
    pub(crate) fn held(&self, answers: impl IntoIterator<Item = bool>) {
        locked(&self.0.script).held.extend(answers);
    }

    /// Every lease is lost as soon as it is granted.
    pub(crate) fn never_held(&self) {
        locked(&self.0.script).never_held = true;
    }

    /// What another process puts there, whoever has the right to refresh.
    pub(crate) fn put(&self, stored: Stored) {
        *locked(&self.0.kept) = stored;
    }

    pub(crate) fn kept(&self) -> Stored {
        locked(&self.0.kept).clone()
    }

    /// The refresh token that is kept.
    pub(crate) fn refresh_token(&self) -> String {
        self.kept().expect("tokens").refresh_token().expose().to_owned()
    }

    /// When `op` was called.
    pub(crate) fn times(&self, op: Op) -> Vec<Duration> {
        let script = locked(&self.0.script);
        script.log.iter().filter(|(done, _)| *done == op).map(|&(_, at)| at).collect()
    }

    pub(crate) fn count(&self, op: Op) -> usize {
        self.times(op).len()
    }

    /// Takes the right to refresh, as another process.
    pub(crate) async fn lock_from_outside(&self) -> Lease {
        Lease { _right: Arc::clone(&self.0.right_to_refresh).lock_owned().await }
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

    fn load(&self) -> impl Future<Output = Result<Stored, StoreError>> + Send {
        let fault = self.begin(Op::Load);
        async move {
            suffer(fault).await?;
            Ok(self.kept())
        }
    }

    fn lock(&self) -> impl Future<Output = Result<Lease, StoreError>> + Send {
        let fault = self.begin(Op::Lock);
        async move {
            suffer(fault).await?;
            Ok(self.lock_from_outside().await)
        }
    }

    fn save(
        &self,
        _: &Lease,
        over: Option<u64>,
        tokens: &TokenSet,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        let fault = self.begin(Op::Save);
        async move {
            suffer(fault).await?;
            let overtaking = locked(&self.0.script).overtaking.take();
            let mut kept = locked(&self.0.kept);
            if let Some(overtaking) = overtaking {
                *kept = overtaking;
            }
            if kept.as_ref().map(TokenSet::revision) != over {
                return Err(StoreError::conflict());
            }
            *kept = Some(tokens.clone());
            Ok(())
        }
    }

    fn is_held(&self, _: &Lease) -> bool {
        let _ = self.begin(Op::IsHeld);
        let mut script = locked(&self.0.script);
        let answer = script.held.pop_front();
        !script.never_held && answer.unwrap_or(true)
    }

    fn clear(&self, _: &Lease) -> impl Future<Output = Result<(), StoreError>> + Send {
        let fault = self.begin(Op::Clear);
        async move {
            suffer(fault).await?;
            self.put(None);
            Ok(())
        }
    }

    fn settle(&self) -> impl Future<Output = ()> + Send {
        let fault = self.begin(Op::Settle);
        async move { suffer(fault).await.expect("settling can't fail") }
    }
}
