//! Following the journal while it grows.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::entry::Entry;
use super::journal::Finished;
use super::shared::Shared;

/// The requests that a [`FakeTeamUp`](super::FakeTeamUp) is done with from now on, one after the
/// other; made by [`FakeTeamUp::subscribe`](super::FakeTeamUp::subscribe).
///
/// A subscriber sees every entry or is told how many it missed. It misses entries only where the
/// server was told to [keep no more](super::FakeTeamUpBuilder::keep_entries) than the newest.
///
/// ```
/// use tower_teamup_auth::testing::FakeTeamUp;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = FakeTeamUp::start().await;
/// let mut entries = server.subscribe();
/// // … the program under test runs …
/// server.shutdown().await;
/// while let Some(entry) = entries.next().await {
///     println!("{}", entry?);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Subscription {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    /// How many requests have been handed out, or reported as missed.
    seen: usize,
}

/// A [`Subscription`] was too slow, and entries were discarded before it took them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged {
    missed: usize,
}

impl Subscription {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let changes = shared.changes();
        let seen = shared.lock().journal.finished();
        Subscription { shared, changes, seen }
    }

    /// The next request that is over: answered or given up by its client, and not worked on any
    /// more. `None` once the server has stopped, or its runtime is gone, and everything was handed
    /// out.
    ///
    /// # Errors
    ///
    /// [`Lagged`], once for each gap: how many entries were discarded before this call. The call
    /// after it goes on with the oldest entry that is kept.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Entry, Lagged>> {
        loop {
            self.changes.mark_unchanged();
            if let Some(next) = self.try_next() {
                return Some(next);
            }
            if self.shared.lock().stopped {
                // What was over between the look and the stop.
                return self.try_next();
            }
            // The sender lives in `shared`, so there is no error to meet.
            let _ = self.changes.changed().await;
        }
    }

    /// The next request, if one is over already.
    ///
    /// # Errors
    ///
    /// As [`next`](Subscription::next).
    pub fn try_next(&mut self) -> Option<Result<Entry, Lagged>> {
        let next = self.shared.lock().journal.finished_after(self.seen);
        match next {
            Finished::Nothing => None,
            Finished::Entry(entry) => {
                self.seen += 1;
                Some(Ok(*entry))
            }
            Finished::Missed(missed) => {
                self.seen += missed;
                Some(Err(Lagged { missed }))
            }
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Lagged {
    /// How many entries the subscriber missed.
    pub fn missed(self) -> usize {
        self.missed
    }
}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the subscriber missed {} entries of the journal", self.missed)
    }
}

impl std::error::Error for Lagged {}
