//! A store that fails over: it goes away for a while, and comes back without its last writes and leases.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tower_teamup_auth::store::{Attempt, Expected, StoreError, StoredRecord, TokenStore};
use tower_teamup_auth::token::RefreshToken;

use crate::mischief::goes_on;
use crate::windows::{Window, Windows};

/// As long as a lease of the crate's Redis store. A busy machine keeps it.
const TERM: Duration = Duration::from_secs(10);

/// Clones are the same store.
#[derive(Clone, Debug)]
pub(crate) struct FailoverStore {
    state: Arc<Mutex<State>>,
    granted: Arc<Notify>,
    windows: Windows,
}

#[derive(Clone, Debug, Default)]
struct Data {
    record: Option<StoredRecord>,
    lease: Option<Lease>,
}

#[derive(Debug, Default)]
struct State {
    primary: Data,
    /// What the replica had at its last look.
    replica: Data,
    /// The tokens that writes took the place of which the replica does not have.
    replaced: Vec<RefreshToken>,
    is_away: bool,
    /// One of a thousand: while the soak runs, and not while it starts or judges.
    loses_replies: bool,
    /// Leases that a failover has lost and whose holders have not noticed: meanwhile others may be granted it.
    lost_leases: Vec<Lease>,
    leases: u64,
    failovers: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Lease {
    number: u64,
    until: Instant,
}

#[expect(clippy::disallowed_methods, reason = "a store has a clock of its own")]
fn now() -> Instant {
    Instant::now()
}

fn token_of(data: &Data) -> Option<RefreshToken> {
    Some(data.record.as_ref()?.tokens()?.refresh_token().clone())
}

impl State {
    /// From now on things go wrong. What there is survives the first failover.
    fn begin(&mut self) {
        self.loses_replies = true;
        self.replicate();
    }

    fn replicate(&mut self) {
        self.replica = self.primary.clone();
        self.replaced.clear();
    }

    fn fail_over(&mut self, windows: &Windows) {
        self.is_away = true;
        self.failovers += 1;
        for token in self.replaced.drain(..) {
            windows.open(token, Window::LostWrite);
        }
        // It is not on the replica, or runs out meanwhile.
        self.lost_leases.extend(self.primary.lease.clone());
        self.open_for_lost_leases(windows);
        self.primary = self.replica.clone();
    }

    /// Whoever had a lease goes on, with the token that is stored now as well.
    fn open_for_lost_leases(&mut self, windows: &Windows) {
        self.lost_leases.retain(|lease| lease.until > now());
        if !self.lost_leases.is_empty()
            && let Some(token) = token_of(&self.primary)
        {
            windows.open(token, Window::LostLease);
        }
    }

    fn forget_lost_lease(&mut self, number: u64) {
        self.lost_leases.retain(|lease| lease.number != number);
    }
}

impl FailoverStore {
    pub(crate) fn new(windows: Windows) -> Self {
        FailoverStore { state: Arc::default(), granted: Arc::default(), windows }
    }

    pub(crate) fn failovers(&self) -> usize {
        self.lock().failovers
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replicates, a little late each time, and fails over now and then: at any moment, or soon after a
    /// lease was granted.
    pub(crate) async fn fail_over_now_and_then(self, mut end: watch::Receiver<bool>) {
        self.lock().begin();
        loop {
            let (is_on, fails_over_once_in) = tokio::select! {
                is_on = goes_on(&mut end, 20..300) => (is_on, 20),
                () = self.granted.notified() => (goes_on(&mut end, 0..40).await, 8),
            };
            if !is_on {
                break;
            }
            // Once at least, however short the soak.
            let never_yet = self.failovers() == 0;
            if never_yet || fastrand::u8(..fails_over_once_in) == 0 {
                self.lock().fail_over(&self.windows);
                goes_on(&mut end, 20..800).await;
                self.lock().is_away = false;
            } else {
                self.lock().replicate();
            }
        }
        self.lock().loses_replies = false;
    }

    async fn run<T>(&self, operate: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        let (answer, loses_it) = {
            let mut state = self.lock();
            let answer = (!state.is_away).then(|| operate(&mut state));
            (answer, state.loses_replies && fastrand::u16(..1000) == 0)
        };
        match answer {
            Some(_) if loses_it => {
                Err(StoreError::unavailable("the store that fails over", "the reply was lost"))
            }
            Some(answer) => Ok(answer),
            None => {
                sleep(Duration::from_millis(20)).await;
                Err(StoreError::unavailable("the store that fails over", "it is away"))
            }
        }
    }
}

impl TokenStore for FailoverStore {
    type Lease = Lease;

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        self.run(|state| state.primary.record.clone()).await
    }

    async fn try_acquire(&self) -> Result<Attempt<Lease>, StoreError> {
        let until = now() + TERM;
        self.run(|state| {
            let record = state.primary.record.clone();
            if state.primary.lease.as_ref().is_some_and(|lease| lease.until > now()) {
                return Attempt::busy().with_record(Ok(record));
            }
            state.leases += 1;
            let lease = Lease { number: state.leases, until };
            state.primary.lease = Some(lease.clone());
            self.granted.notify_one();
            Attempt::granted(lease).with_record(Ok(record))
        })
        .await
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, StoreError> {
        let until = now() + TERM;
        let number = lease.number;
        self.run(|state| match &mut state.primary.lease {
            Some(lease) if lease.number == number && lease.until > now() => {
                lease.until = until;
                Ok(lease.clone())
            }
            _ => {
                state.forget_lost_lease(number);
                Err(StoreError::lease_lost())
            }
        })
        .await?
    }

    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        // Whoever gives it back does not use it any more, whether that succeeds or not.
        self.lock().forget_lost_lease(lease.number);
        self.run(|state| {
            state.primary.lease.take_if(|held| held.number == lease.number);
        })
        .await
    }

    fn time_left(&self, lease: &Lease) -> Option<Duration> {
        Some(lease.until.saturating_duration_since(now()))
    }

    async fn save(
        &self,
        _: &Lease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        self.run(|state| {
            let found = state.primary.record.as_ref();
            if found == Some(record) {
                return Ok(());
            }
            if !expected.allows(found) {
                return Err(StoreError::conflict());
            }
            state.replaced.extend(token_of(&state.primary));
            state.primary.record = Some(record.clone());
            state.open_for_lost_leases(&self.windows);
            Ok(())
        })
        .await?
    }

    async fn delete(&self, _: &Lease) -> Result<(), StoreError> {
        self.run(|state| state.primary.record = None).await
    }
}
