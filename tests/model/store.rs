//! A store that other processes share, and that fails as it is told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tower_teamup_auth::TokenSet;
use tower_teamup_auth::store::{StoreError, Stored, TokenStore};

use crate::terms::Refresh;
use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Lock,
    Load,
    Save,
    Clear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Fails,
    /// It takes two seconds.
    Slow,
    Hangs,
    /// It is done, and reported as failed.
    DoneAndFails,
}

/// What the store holds, and what goes wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) tokens: Stored,
    pub(crate) faults: [VecDeque<Fault>; 4],
}

/// A clone is the same store.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) world: World,
    pub(crate) right_to_refresh: Arc<Mutex<()>>,
}

/// The refresh token of a set.
pub(crate) fn refresh_of(tokens: &TokenSet) -> Refresh {
    Refresh::read(tokens.refresh_token().expose())
}

/// The same tokens under another revision, as a store would read them.
pub(crate) fn at_revision(tokens: &TokenSet, revision: u64) -> TokenSet {
    let mut json: serde_json::Value = serde_json::from_str(&tokens.to_json()).expect("JSON");
    json["revision"] = revision.into();
    TokenSet::from_json(json.to_string().as_bytes()).expect("a token set")
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
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::DoneAndFails) => return work().and(Err(failure())),
        }
        work()
    }
}

impl TokenStore for Store {
    type Lease = OwnedMutexGuard<()>;

    async fn load(&self) -> Result<Stored, StoreError> {
        let fault = self.begin(Op::Load);
        self.suffer(fault, || {
            Ok(self.world.with(|state| {
                state.model.loaded(state.stored());
                state.kept.tokens.clone()
            }))
        })
        .await
    }

    async fn lock(&self) -> Result<Self::Lease, StoreError> {
        let fault = self.begin(Op::Acquire);
        let lease = self.right_to_refresh.clone().lock_owned().await;
        self.suffer(fault, || Ok(lease)).await
    }

    async fn save(
        &self,
        _: &Self::Lease,
        over: Option<u64>,
        tokens: &TokenSet,
    ) -> Result<(), StoreError> {
        let fault = self.begin(Op::Save);
        self.world.with(|state| state.model.save_began(refresh_of(tokens)));
        let _saving = Saving { world: &self.world, refresh: refresh_of(tokens) };
        self.suffer(fault, || {
            self.world.with(|state| {
                let kept = &mut state.kept.tokens;
                if kept.as_ref() != Some(tokens) {
                    if kept.as_ref().map(TokenSet::revision) != over {
                        return Err(StoreError::conflict());
                    }
                    *kept = Some(tokens.clone());
                }
                Ok(())
            })
        })
        .await
    }

    async fn clear(&self, _: &Self::Lease) -> Result<(), StoreError> {
        let fault = self.begin(Op::Clear);
        self.suffer(fault, || {
            self.world.with(|state| state.kept.tokens = None);
            Ok(())
        })
        .await
    }
}

/// A save that is given up has ended, too.
struct Saving<'a> {
    world: &'a World,
    refresh: Refresh,
}

impl Drop for Saving<'_> {
    fn drop(&mut self) {
        self.world.with(|state| state.model.save_ended(self.refresh));
    }
}
