//! The wait of one caller for a refresh.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;

use super::core::{Core, Ending, Submitted};
use super::sync::{Handle, sleep};
use crate::error::Error;
use crate::headers::RequestMode;

/// How often a waiter looks whether the worker is still polled.
const LOOK: Duration = Duration::from_secs(1);

/// So many looks in a row without a poll in between, and the worker is replaced. They are counted, and
/// not timed: a process that stood still has seen one at most.
const MISSED: u32 = 2;

/// Resolves when a refresh is done. Dropping it changes nothing for anybody else.
pub(crate) struct PendingRefresh(Kind);

enum Kind {
    Settled(Option<Result<(), Error>>),
    Waiting(Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>),
}

impl PendingRefresh {
    pub(crate) fn new(core: &Arc<Core>, submitted: Submitted, mode: RequestMode) -> Self {
        PendingRefresh(match submitted {
            Submitted::Settled(ending) => {
                Kind::Settled(Some(ending.map_err(|failure| core.error(&failure, mode))))
            }
            Submitted::Waits { ending, .. } => {
                Kind::Waiting(Box::pin(wait(Arc::clone(core), ending, mode)))
            }
        })
    }

    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.0, Kind::Settled(_))
    }
}

/// Waits for the end of an operation, and sees to it that a worker is at it.
async fn wait(
    core: Arc<Core>,
    mut ending: watch::Receiver<Option<Ending>>,
    mode: RequestMode,
) -> Result<(), Error> {
    let mut seen = core.heartbeat.load(Ordering::Relaxed);
    let mut missed = 0_u32;
    loop {
        let ended = ending.borrow_and_update().clone();
        if let Some(ended) = ended {
            return ended.map_err(|failure| core.error(&failure, mode));
        }
        core.ensure_worker()?;
        tokio::select! {
            biased;
            changed = ending.changed() => if changed.is_err() {
                return Err(Error::interrupted());
            },
            () = a_while() => {
                let beats = core.heartbeat.load(Ordering::Relaxed);
                missed = if beats == seen { missed.saturating_add(1) } else { 0 };
                seen = beats;
                if missed >= MISSED {
                    missed = 0;
                    core.replace_worker();
                }
            }
        }
    }
}

/// A look's time. Where no runtime polls there are no timers, and the end of the operation alone wakes.
async fn a_while() {
    match Handle::try_current() {
        Ok(_) => sleep(LOOK).await,
        Err(_) => std::future::pending().await,
    }
}

impl Future for PendingRefresh {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Kind::Settled(ending) => Poll::Ready(ending.take().expect("polled after it was ready")),
            Kind::Waiting(wait) => wait.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for PendingRefresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Settled(_) => "PendingRefresh::Settled",
            Kind::Waiting(_) => "PendingRefresh::Waiting",
        })
    }
}
