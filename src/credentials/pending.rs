//! The wait of one caller for a refresh, with its limit.
//!
//! The limit ends the waiting alone. The refresh goes on, for everybody else who waits and for the next
//! request.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::core::{Core, Submitted};
use super::sync::{Handle, Sleep, sleep, sleep_until};
use super::waiters::{Ending, Waiter};
use crate::error::Error;
use crate::headers::RequestMode;

/// How often a waiter looks whether the worker is still polled.
const LOOK: Duration = Duration::from_secs(1);

/// So many looks in a row without a poll in between, and the worker is replaced. They are counted, and
/// not timed: a process that stood still has seen one at most.
const MISSED: u32 = 2;

pin_project! {
    /// Resolves when a refresh is done, or with "timed out" when the limit is reached first. Sees to it
    /// that a worker is at the refresh. Dropping it changes nothing for anybody else.
    pub(crate) struct PendingRefresh {
        core: Arc<Core>,
        mode: RequestMode,
        wait: Wait,
        // The worker's polls, as the last look saw them.
        seen: u64,
        missed: u32,
        // The longest wait. `None` for one without a limit, and once the timer has started.
        longest: Option<Duration>,
        limit: Option<Instant>,
        // Until the next look or the limit, whichever is first: one timer for both, since a timer is the
        // dearest part of a wait. `None` before the first poll, and without a runtime.
        #[pin]
        timer: Option<Sleep>,
    }
}

enum Wait {
    /// The operation has ended already.
    Settled(Option<Ending>),
    Waits(Waiter),
}

impl PendingRefresh {
    /// Waits as long as it takes.
    pub(crate) fn new(core: &Arc<Core>, submitted: Submitted, mode: RequestMode) -> Self {
        let wait = match submitted {
            Submitted::Settled(ending) => Wait::Settled(Some(ending)),
            Submitted::Waits { waiter, .. } => Wait::Waits(waiter),
        };
        let seen = core.heartbeat.load(Ordering::Relaxed);
        let core = Arc::clone(core);
        PendingRefresh {
            core,
            mode,
            wait,
            seen,
            missed: 0,
            longest: None,
            limit: None,
            timer: None,
        }
    }

    /// Waits for `longest` at most, which runs from the first poll. Of several limits the lowest counts.
    pub(crate) fn at_most(mut self, longest: Duration) -> Self {
        self.longest = Some(self.longest.map_or(longest, |before| before.min(longest)));
        self
    }
}

impl Future for PendingRefresh {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let ended = match this.wait {
            Wait::Settled(ending) => Poll::Ready(ending.take().expect("polled after it was ready")),
            Wait::Waits(waiter) => waiter.poll(cx),
        };
        if let Poll::Ready(ended) = ended {
            this.timer.set(None);
            return Poll::Ready(ended.map_err(|failure| this.core.error(&failure, *this.mode)));
        }
        this.core.ensure_worker()?;
        loop {
            if this.timer.is_none() {
                // Where no runtime polls there are no timers, and the end of the operation alone wakes.
                if Handle::try_current().is_err() {
                    return Poll::Pending;
                }
                this.timer.set(Some(next_timer(this.longest, this.limit)));
            }
            let Some(mut timer) = this.timer.as_mut().as_pin_mut() else { return Poll::Pending };
            ready!(timer.as_mut().poll(cx));
            if this.limit.is_some_and(|limit| timer.deadline() >= limit) {
                return Poll::Ready(Err(Error::timed_out()));
            }
            let beats = this.core.heartbeat.load(Ordering::Relaxed);
            *this.missed = if beats == *this.seen { this.missed.saturating_add(1) } else { 0 };
            *this.seen = beats;
            if *this.missed >= MISSED {
                *this.missed = 0;
                this.core.replace_worker();
            }
            this.timer.set(None);
        }
    }
}

/// Until the next look, counted from now, or until the limit. The time is read off the timer, since the
/// clock is not read here.
fn next_timer(longest: &mut Option<Duration>, limit: &mut Option<Instant>) -> Sleep {
    let look = sleep(LOOK);
    if let Some(longest) = longest.take() {
        // None is so far away that no clock shows it.
        *limit = look
            .deadline()
            .checked_add(longest.saturating_sub(LOOK))
            .and_then(|limit| limit.checked_sub(LOOK.saturating_sub(longest)));
    }
    match *limit {
        Some(limit) if limit <= look.deadline() => sleep_until(limit),
        _ => look,
    }
}

impl fmt::Debug for PendingRefresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.wait {
            Wait::Settled(_) => "PendingRefresh::Settled",
            Wait::Waits(_) => "PendingRefresh::Waits",
        })
    }
}
