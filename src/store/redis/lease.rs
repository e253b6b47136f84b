//! The exclusive right to refresh: a key in Redis that runs out unless it is renewed.
//!
//! One task lives a lease from end to end: it takes it, renews it and gives it back. The holder,
//! and the caller who still waits to become one, tell it goodbye when they go, at whichever point,
//! and the task gives back what it took. A goodbye is counted from when it is said until then, so
//! that a process which is about to end can wait for it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::departures::{Departure, Departures};
use super::shared::Shared;
use crate::store::StoreError;
use crate::token::{Clock, Moment};

/// The exclusive right to refresh that a [`RedisStore`](super::RedisStore) grants.
///
/// It is renewed while this value lives. Dropping it gives the right back in the background, and
/// [`TokenStore::settle`](crate::store::TokenStore::settle) waits for that; if it fails, or the
/// process or its runtime ends before, the right runs out by itself at the end of its lifetime.
///
/// ```no_run
/// use tower_teamup_auth::store::{RedisStore, TokenStore};
///
/// # async fn example(store: RedisStore) -> Result<(), tower_teamup_auth::store::StoreError> {
/// let lease = store.lock().await?; // no process of the fleet refreshes now
/// assert!(store.is_held(&lease));
/// drop(lease);
/// store.settle().await; // Redis knows that it is free again
/// # Ok(())
/// # }
/// ```
pub struct RedisLease {
    owner: Arc<str>,
    standing: Arc<Standing>,
    departures: Arc<Departures>,
    /// Used once, when this is dropped.
    goodbye: Option<oneshot::Sender<Departure>>,
}

impl RedisLease {
    /// What stands in the lease's key while it is held.
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// Is it certain, without asking Redis, that nobody else has had the lease since it was granted?
    pub(super) fn is_held(&self) -> bool {
        self.standing.is_good_at(Clock::system().now())
    }

    /// Waits for the lease. Dropping the future gives back what it took.
    pub(super) async fn take(shared: Arc<Shared>) -> Result<RedisLease, StoreError> {
        let owner: Arc<str> = new_owner().into();
        let (goodbye, goodbyes) = oneshot::channel();
        let (grant, granted) = oneshot::channel();
        let standing = Arc::new(Standing::default());
        let lease = RedisLease {
            owner: Arc::clone(&owner),
            standing: Arc::clone(&standing),
            departures: Arc::clone(&shared.departures),
            goodbye: Some(goodbye),
        };
        let holder = Holder { goodbye: goodbyes, departure: None };
        tokio::spawn(live(shared, owner, standing, grant, holder));
        match granted.await {
            Ok(Ok(())) => Ok(lease),
            Ok(Err(error)) => Err(error),
            Err(closed) => Err(StoreError::unavailable(
                "the runtime that waited for the lease is gone",
                closed,
            )),
        }
    }
}

impl Drop for RedisLease {
    /// Counted here and not by the task, which notices later. If the task has ended, the departure
    /// ends with the message that nobody takes.
    fn drop(&mut self) {
        if let Some(goodbye) = self.goodbye.take() {
            let _ = goodbye.send(Departures::begin(&self.departures));
        }
    }
}

impl fmt::Debug for RedisLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLease").finish_non_exhaustive()
    }
}

/// What is known of a lease without asking Redis.
#[derive(Default)]
struct Standing(
    /// Until when Redis keeps the lease at least: a lifetime from the moment before it was last
    /// asked to. `None` before it was granted, and for good once it was lost.
    Mutex<Option<Moment>>,
);

impl Standing {
    fn grant(&self, until: Moment) {
        *self.until() = Some(until);
    }

    fn extend(&self, until: Moment) {
        if let Some(known) = &mut *self.until() {
            *known = until;
        }
    }

    fn lose(&self) {
        *self.until() = None;
    }

    /// By both clocks: the monotonic one stands still while the machine sleeps.
    fn is_good_at(&self, now: Moment) -> bool {
        self.until().is_some_and(|until| !now.has_reached(until))
    }

    fn until(&self) -> MutexGuard<'_, Option<Moment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the task knows of whoever holds its lease or waits for it.
struct Holder {
    goodbye: oneshot::Receiver<Departure>,
    /// `Some` once it was told that nobody holds the lease or waits for it any more. It is over when
    /// the task is.
    departure: Option<Departure>,
}

impl Holder {
    /// Lets `pause` pass, unless the holder is gone or goes meanwhile.
    async fn is_gone_within(&mut self, pause: Duration) -> bool {
        if self.departure.is_none() {
            // An error says that the pause is over: nobody goes without a goodbye.
            self.departure = timeout(pause, &mut self.goodbye).await.ok().and_then(Result::ok);
        }
        self.departure.is_some()
    }
}

/// A name that no other holder bears, in this process or another. The process id keeps apart what
/// was forked from one seed, and tells whoever looks into Redis where the holder runs.
fn new_owner() -> String {
    format!("{}-{:016x}{:016x}", std::process::id(), fastrand::u64(..), fastrand::u64(..))
}

/// The life of a lease. A call to Redis is never given up half-way: only its answer tells whether
/// there is something to give back.
async fn live(
    shared: Arc<Shared>,
    owner: Arc<str>,
    standing: Arc<Standing>,
    grant: oneshot::Sender<Result<(), StoreError>>,
    mut holder: Holder,
) {
    match take(&shared, &owner, &standing, &mut holder).await {
        Ok(true) => {
            // Whoever doesn't wait for it any more says goodbye as well.
            let _ = grant.send(Ok(()));
            if !renew(&shared, &owner, &standing, &mut holder).await {
                return;
            }
        }
        Ok(false) => return,
        Err(error) => {
            let _ = grant.send(Err(error));
        }
    }
    give_back(&shared, &owner).await;
}

/// Waits until the lease is free and takes it; false if nobody waits for it any more and it was not
/// taken.
async fn take(
    shared: &Shared,
    owner: &str,
    standing: &Standing,
    holder: &mut Holder,
) -> Result<bool, StoreError> {
    let mut pauses = Backoff::new(Duration::from_millis(20), Duration::from_millis(250));
    loop {
        let until = a_lifetime_from_now(shared);
        let Some(left) = shared.hold(owner).await? else {
            standing.grant(until);
            return Ok(true);
        };
        if holder.is_gone_within(pauses.pause().min(left)).await {
            return Ok(false);
        }
    }
}

/// Renews the lease until its holder lets go; false if somebody else has it by then.
async fn renew(shared: &Shared, owner: &str, standing: &Standing, holder: &mut Holder) -> bool {
    let mut pause = shared.lease_lifetime / 3;
    while !holder.is_gone_within(pause).await {
        pause = match renew_once(shared, owner, standing).await {
            Ok(true) => shared.lease_lifetime / 3,
            Ok(false) => return false,
            Err(_) => shared.lease_lifetime / 10,
        };
    }
    true
}

/// Renews the lease; false if somebody else has it.
///
/// A lease that is gone without anybody else having it (Redis was restarted, say, or this process
/// was stopped for too long) is taken again, because its holder may be in the midst of an exchange.
/// But it counts as lost: another may have had it in the meantime, and have spent the refresh token.
async fn renew_once(shared: &Shared, owner: &str, standing: &Standing) -> Result<bool, StoreError> {
    let until = a_lifetime_from_now(shared);
    if shared.keep(owner).await? {
        standing.extend(until);
        return Ok(true);
    }
    standing.lose();
    Ok(shared.hold(owner).await?.is_none())
}

fn a_lifetime_from_now(shared: &Shared) -> Moment {
    Clock::system().now().plus(shared.lease_lifetime)
}

/// Gives the lease back, and keeps trying for as long as it can still stand in Redis.
async fn give_back(shared: &Shared, owner: &str) {
    let mut pauses = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    let given_back = async {
        while shared.release(owner).await.is_err() {
            sleep(pauses.pause()).await;
        }
    };
    let _ = timeout(shared.lease_lifetime, given_back).await;
}
