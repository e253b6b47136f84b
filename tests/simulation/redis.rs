//! Redis, as the crate's store uses it: one record, a lease that runs out, and a replica that lags.

use std::time::Duration;

use tokio::time::Instant;
use tower_teamup_auth::store::{Attempt, Expected, StoreError, StoredRecord, TokenStore};

use crate::teamup::Spendable;
use crate::world::{Life, State, World};

/// The terms and limits of the crate's own store.
const TERM: u64 = 10_000;
const OPERATION_LIMIT: u64 = 3_000;

#[derive(Clone, Debug, Default)]
struct Data {
    record: Option<StoredRecord>,
    lease: Option<(u64, u64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Redis {
    primary: Data,
    /// What the replica had at its last look.
    replica: Data,
    pub(crate) down_until: u64,
    owners: u64,
    holder: Option<Life>,
}

/// The refresh token of a record, if a host would send it.
fn token_of(record: &StoredRecord) -> Option<Spendable> {
    record.tokens().and_then(|tokens| Spendable::read(tokens.refresh_token().expose()))
}

impl Redis {
    /// The replica takes over what the primary has.
    pub(crate) fn replicate(&mut self) {
        self.replica = self.primary.clone();
    }

    /// The replica takes the place of the primary. What it did not have yet is lost.
    pub(crate) fn fail_over(&mut self, now: u64, downtime: u64) {
        self.primary = self.replica.clone();
        self.down_until = now + downtime;
    }

    pub(crate) fn begin_with(&mut self, record: StoredRecord) {
        self.primary.record = Some(record);
        self.replicate();
    }

    pub(crate) fn record(&self) -> Option<&StoredRecord> {
        self.primary.record.as_ref()
    }

    /// The newest refresh token that is stored.
    pub(crate) fn stored(&self) -> Option<Spendable> {
        self.record().and_then(token_of)
    }

    /// Who was granted the lease last, if it has not run out.
    pub(crate) fn holder(&self, now: u64) -> Option<Life> {
        self.holder.filter(|_| self.primary.lease.is_some_and(|(_, until)| until > now))
    }
}

/// The store of one life of a host.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) world: World,
    pub(crate) life: Life,
}

#[derive(Clone, Debug)]
pub(crate) struct Lease {
    owner: u64,
    until: Instant,
}

impl Store {
    /// Sends an operation and waits for its reply. Either can be lost.
    async fn run<T>(&self, operate: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        let Store { world, life } = self;
        world.pass(*life, world.draw(1..4)).await;
        let (is_lost, reply_is_lost) = world.with(|state| {
            let link = &state.links[life.host];
            let is_cut = link.no_redis_until > state.now || state.redis.down_until > state.now;
            (is_cut, !state.is_calm && state.rng.u64(0..2000) == 0)
        });
        if is_lost {
            world.pass(*life, OPERATION_LIMIT).await;
            return Err(StoreError::unavailable("Redis", "no reply"));
        }
        let answer = world.with(operate);
        if reply_is_lost {
            world.pass(*life, OPERATION_LIMIT).await;
            return Err(StoreError::unavailable("Redis", "the reply was lost"));
        }
        world.pass(*life, world.draw(1..4)).await;
        Ok(answer)
    }

    #[expect(clippy::disallowed_methods, reason = "the simulation has a clock of its own, paused")]
    fn end_of_term() -> Instant {
        Instant::now() + Duration::from_millis(TERM)
    }
}

impl TokenStore for Store {
    type Lease = Lease;

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        self.run(|state| state.redis.primary.record.clone()).await
    }

    async fn try_acquire(&self) -> Result<Attempt<Lease>, StoreError> {
        // Counted from before the question, so that the host never believes in it for too long.
        let until = Store::end_of_term();
        let life = self.life;
        self.run(move |state| {
            let now = state.now;
            let redis = &mut state.redis;
            let record = redis.primary.record.clone();
            if redis.primary.lease.is_some_and(|(_, until)| until > now) {
                return Attempt::busy().with_record(Ok(record));
            }
            redis.owners += 1;
            let owner = redis.owners;
            redis.primary.lease = Some((owner, now + TERM));
            redis.holder = Some(life);
            Attempt::granted(Lease { owner, until }).with_record(Ok(record))
        })
        .await
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, StoreError> {
        let (owner, until) = (lease.owner, Store::end_of_term());
        self.run(move |state| {
            let now = state.now;
            match &mut state.redis.primary.lease {
                Some((holder, ends)) if *holder == owner && *ends > now => {
                    *ends = now + TERM;
                    Ok(Lease { owner, until })
                }
                _ => Err(StoreError::lease_lost()),
            }
        })
        .await?
    }

    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        self.run(move |state| {
            let held = &mut state.redis.primary.lease;
            if held.is_some_and(|(holder, _)| holder == lease.owner) {
                *held = None;
            }
        })
        .await
    }

    #[expect(clippy::disallowed_methods, reason = "the simulation has a clock of its own, paused")]
    fn time_left(&self, lease: &Lease) -> Option<Duration> {
        Some(lease.until.saturating_duration_since(Instant::now()))
    }

    async fn save(
        &self,
        _: &Lease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        let record = record.clone();
        self.run(move |state| {
            let found = &mut state.redis.primary.record;
            if found.as_ref() == Some(&record) {
                return Ok(());
            }
            if !expected.allows(found.as_ref()) {
                return Err(StoreError::conflict());
            }
            let token = token_of(&record);
            *found = Some(record);
            state.oracle.saved(token);
            Ok(())
        })
        .await?
    }

    async fn delete(&self, _: &Lease) -> Result<(), StoreError> {
        self.run(|state| state.redis.primary.record = None).await
    }
}
