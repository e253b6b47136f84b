//! Takes one action after the other from the state, runs it, and reports its outcome. There is one
//! worker for each credential with work to do, and none while it is idle.
//!
//! A worker decides nothing. It may die after any action; the next one goes on from the state.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use super::core::{Core, Renewer};
use super::failure::Cause;
#[cfg(feature = "testing")]
use super::settings::RefreshStep;
use super::state::{Action, Found, Minted, Outcome, RequestFailure};
use super::sync::{self, Handle, sleep};
use crate::headers::RequestMode;
use crate::observe::{Event, emit};
use crate::refresh::{RefreshError, RefreshRequest, RefreshResponse};
use crate::store::{Attempt, DynLease, StoreError, StoredRecord};
use crate::token::{IssuedToken, Moment, RefreshToken};

/// A running worker is polled this often at least, so that one which is not polled is noticed.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// A refresh request whose limit is over gets this much more running time before it is dropped.
const GRACE: Duration = Duration::from_secs(5);

/// The longest sleep that counts as running time at once. A process that stood still for an hour
/// has used up one of them.
const LONGEST_COUNTED: Duration = Duration::from_secs(1);

/// So many references to its credential a worker has: its guard's and its own.
const HELD_BY_WORKER: usize = 2;

type Done = Outcome<DynLease, Cause>;

/// Starts `worker` on `runtime`.
pub(crate) fn start(core: &Arc<Core>, worker: u32, runtime: &Handle) {
    // Made before the task: a runtime that is gone drops the task unpolled, and the guard with it.
    let guard = Guard { core: Arc::clone(core), worker, finished: false };
    runtime.spawn(guard.work());
}

/// Whatever ends a worker, the state is told that it is gone.
struct Guard {
    core: Arc<Core>,
    worker: u32,
    finished: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.finished {
            self.core.worker_gone(self.worker);
        }
    }
}

impl Guard {
    async fn work(mut self) {
        let core = Arc::clone(&self.core);
        let mut work = pin!(run(&core, self.worker));
        let mut beat = pin!(heartbeat());
        let work = poll_fn(|cx| {
            core.heartbeat.fetch_add(1, Ordering::Relaxed);
            // Never ready: it sees to it that the next poll comes.
            let _ = beat.as_mut().poll(cx);
            if core.is_abandoned(HELD_BY_WORKER) {
                return Poll::Ready(false);
            }
            work.as_mut().poll(cx).map(|()| true)
        });
        self.finished = work.await;
    }
}

async fn heartbeat() {
    loop {
        sleep(HEARTBEAT).await;
    }
}

async fn run(core: &Arc<Core>, worker: u32) {
    loop {
        let lease = core.read(|state| state.lease().cloned());
        let lease_left = lease.and_then(|lease| core.store.time_left(&lease));
        let tick = core.tick();
        let action = core.with_state(|state| match state.is_at_work(worker) {
            true => {
                let (action, effects) = state.next(tick, lease_left);
                (Some(action), effects)
            }
            // Another has taken this one's place.
            false => (None, Default::default()),
        });
        let Some(action) = action.filter(|action| *action != Action::Idle) else { return };
        #[cfg(feature = "testing")]
        let step = step_of(&action);
        let began = core.settings.clock.now();
        let asked_mode = match &action {
            Action::SendRefresh { mode, .. } => Some(*mode),
            _ => None,
        };
        let mut odd_lifetime = false;
        let outcome = run_action(core, action, &mut odd_lifetime).await;
        #[cfg(feature = "testing")]
        let step = step.filter(|_| is_success(&outcome));
        #[cfg(feature = "testing")]
        let brought_record = matches!(outcome, Outcome::Acquired { found: Some(_), .. });
        let failure = match &outcome {
            Outcome::Refreshed { .. } => asked_mode.map(|mode| (mode, None)),
            Outcome::RefreshFailed { failure } => {
                asked_mode.map(|mode| (mode, Some(failure.class)))
            }
            _ => None,
        };
        // The outcome is recorded first, before anything is told.
        core.complete(worker, outcome, || {
            if let Some((mode, failure)) = failure {
                let took = began.until(core.settings.clock.now());
                emit(&Event::RefreshAnswered { mode, failure, took });
                if odd_lifetime {
                    emit(&Event::OddLifetime { mode });
                }
            }
        });
        #[cfg(feature = "testing")]
        if let Some(step) = step {
            core.settings.passed(step);
            match step {
                RefreshStep::LeaseAcquired if brought_record => {
                    core.settings.passed(RefreshStep::Loaded);
                }
                RefreshStep::Saved => core.settings.passed(RefreshStep::Published),
                _ => {}
            }
        }
    }
}

async fn run_action(core: &Arc<Core>, action: Action<DynLease>, odd_lifetime: &mut bool) -> Done {
    match action {
        Action::AcquireLease => match core.store.try_acquire().await {
            Ok(Attempt { lease, record }) => Outcome::Acquired { lease, found: record.map(found) },
            Err(error) => Outcome::NotAcquired { error: Cause::new(error) },
        },
        Action::Load => Outcome::Loaded { found: found(core.store.load().await) },
        Action::SendRefresh { refresh_token, mode } => {
            send_refresh(core, refresh_token, mode, odd_lifetime).await
        }
        Action::ReadSource => read_source(core).await,
        Action::Save { lease, expected, record } => {
            let save = core.store.save(lease, expected, *record);
            match with_renewals(core, save).await {
                Ok(()) => Outcome::Saved,
                Err(error) => Outcome::NotSaved {
                    conflict: error.is_conflict(),
                    lease_lost: error.is_lease_lost(),
                    error: Cause::new(error),
                },
            }
        }
        Action::ReleaseLease { lease } => match core.store.release(lease).await {
            Ok(()) => Outcome::Released,
            Err(error) => Outcome::NotReleased { error: Cause::new(error) },
        },
        Action::Sleep { pause, for_change } => {
            let pause = async {
                tokio::select! {
                    // In this order, so that a simulated run comes out the same each time.
                    biased;
                    () = sync::pause(pause) => {}
                    () = core.came.notified() => {}
                    () = core.store.changed(), if for_change => {}
                }
            };
            with_renewals(core, pause).await;
            Outcome::Woke
        }
        Action::Idle => Outcome::Woke,
    }
}

async fn read_source(core: &Arc<Core>) -> Done {
    let Renewer::M2m(Some(source)) = &core.renewer else { return Outcome::Woke };
    match source.read().await {
        Ok(token) => Outcome::SourceRead { token },
        Err(error) => Outcome::SourceFailed { error: Cause::new(error) },
    }
}

fn found(loaded: Result<Option<StoredRecord>, StoreError>) -> Found<Cause> {
    match loaded {
        Ok(None) => Found::Empty,
        Ok(Some(record)) => Found::Record(Box::new(record)),
        Err(error) if error.is_corrupt() => Found::Corrupt(Cause::new(error)),
        Err(error) if error.is_locked() => Found::Locked(Cause::new(error)),
        Err(error) => Found::Unavailable(Cause::new(error)),
    }
}

/// Sends one refresh request and waits for its answer. Nothing but its own limit ends the wait, or
/// a login that makes the answer worthless.
async fn send_refresh(
    core: &Arc<Core>,
    refresh_token: RefreshToken,
    mode: RequestMode,
    odd_lifetime: &mut bool,
) -> Done {
    let Renewer::Refresh(refresh) = &core.renewer else { return Outcome::Abandoned };
    let refresh = Arc::clone(refresh);
    let limit = core.settings.refresh_request_timeout;
    // The lifetime counts from before the request was sent: the token is never older than that.
    let sent_at = core.settings.clock.now();
    let request = RefreshRequest::new(refresh_token, mode);
    let answer = with_renewals(core, async {
        tokio::select! {
            biased;
            // First: a request that still waits for its client's readiness is not sent for a login
            // that is gone.
            () = obsolete(core) => None,
            answer = catch_panic(|| refresh.refresh(request)) => Some(answer),
            () = counted(limit.saturating_add(GRACE)) => {
                Some(Ok(Err(RefreshError::outcome_unknown(format!(
                    "the endpoint did not answer within {limit:?}"
                )))))
            }
        }
    })
    .await;
    let Some(answer) = answer else { return Outcome::Abandoned };
    let answer = answer.unwrap_or_else(|Panicked| {
        Err(RefreshError::outcome_unknown("the refresh request panicked"))
    });
    match answer {
        Ok(response) => {
            *odd_lifetime = response.odd_lifetime;
            granted(response, sent_at)
        }
        Err(mut error) => Outcome::RefreshFailed {
            failure: RequestFailure {
                class: error.class(),
                retry_after: error.retry_after(),
                rotated: error.take_rotated(),
                error: Cause::new(error),
            },
        },
    }
}

fn granted(response: RefreshResponse, sent_at: Moment) -> Done {
    let expires_in = response.expires_in;
    let expires_at = expires_in.and_then(|lifetime| sent_at.wall_time().checked_add(lifetime));
    let issued = IssuedToken { token: response.access_token, expires_at };
    let response = Minted { refresh_token: response.refresh_token, issued };
    Outcome::Refreshed { response, sent_at }
}

/// Resolves when the login of the refresh request that is under way is gone.
async fn obsolete(core: &Arc<Core>) {
    while !core.read(|state| state.is_request_obsolete()) {
        core.came.notified().await;
    }
}

/// Resolves after `limit` of running time: a sequence of short sleeps, each of which counts for its
/// own length at most, however long the process stood still in it.
async fn counted(limit: Duration) {
    let mut left = limit;
    while !left.is_zero() {
        let part = left.min(LONGEST_COUNTED);
        sleep(part).await;
        left = left.saturating_sub(part);
    }
}

/// Runs `work` and renews the lease beside it, each time that half of its term is over.
async fn with_renewals<T>(core: &Arc<Core>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        let lease = core.read(|state| state.lease_to_renew().cloned());
        let left = lease.as_ref().and_then(|lease| core.store.time_left(lease));
        let (Some(lease), Some(left)) = (lease, left) else { return work.await };
        if left.is_zero() {
            return work.await;
        }
        let renewed = async {
            sleep(left / 2).await;
            core.store.renew(lease).await
        };
        tokio::select! {
            biased;
            done = &mut work => return done,
            renewed = renewed => match renewed {
                Ok(lease) => core.with_state(|state| {
                    state.lease_renewed(lease);
                    ((), Default::default())
                }),
                Err(error) if error.is_lease_lost() => return work.await,
                // Tried again after half of what is left.
                Err(_) => {}
            }
        }
    }
}

/// A call panicked. What it said went to the panic hook; the payload may hold a secret, so it is
/// dropped.
#[derive(Debug)]
struct Panicked;

/// Calls and runs the future to its end, or to the panic of either: a function that is not `async`
/// can panic before there is a future.
async fn catch_panic<F: Future>(call: impl FnOnce() -> F) -> Result<F::Output, Panicked> {
    let mut future = pin!(async { call().await });
    poll_fn(|cx| poll_caught(future.as_mut(), cx)).await
}

/// A future that has panicked is not polled again, so nothing sees the state it left behind.
fn poll_caught<F: Future>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Panicked>> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => {
            // A payload may panic when it is dropped.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            Poll::Ready(Err(Panicked))
        }
    }
}

#[cfg(feature = "testing")]
fn step_of(action: &Action<DynLease>) -> Option<RefreshStep> {
    match action {
        Action::AcquireLease => Some(RefreshStep::LeaseAcquired),
        Action::Load => Some(RefreshStep::Loaded),
        Action::SendRefresh { .. } => Some(RefreshStep::Answered),
        Action::Save { .. } => Some(RefreshStep::Saved),
        _ => None,
    }
}

#[cfg(feature = "testing")]
fn is_success(outcome: &Done) -> bool {
    matches!(
        outcome,
        Outcome::Acquired { lease: Some(_), .. }
            | Outcome::Loaded { .. }
            | Outcome::Refreshed { .. }
            | Outcome::Saved
    )
}
