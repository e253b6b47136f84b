//! What the server saw, in order, and the counts that tests assert on.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use tokio::sync::watch;

use super::entry::{Entry, Exchange};
use super::shared::Shared;
use crate::headers::RequestMode;

/// Every request that a [`FakeTeamUp`](super::FakeTeamUp) saw, in the order of arrival.
///
/// [`FakeTeamUp::journal`](super::FakeTeamUp::journal) takes a copy of it as it stands;
/// [`FakeTeamUp::wait_for`](super::FakeTeamUp::wait_for) shows it as it grows. The counts are kept
/// while requests arrive, so that asking for one costs nothing.
///
/// ```
/// use tower_teamup_auth::testing::FakeTeamUp;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let teamup = FakeTeamUp::start().await;
/// // … the program under test runs …
/// let journal = teamup.journal();
/// assert_eq!((journal.double_spends(), journal.unauthorized_to_caller()), (0, 0), "{journal}");
/// for entry in journal.entries() {
///     println!("{entry}"); // a line of a trace, without a token
/// }
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Journal {
    entries: Vec<Entry>,
    /// Indices into `entries`, in the order in which the requests were over.
    finished: Vec<usize>,
    counts: Counts,
    /// For each caller, whether its last answered request got a 401.
    callers: HashMap<String, bool>,
    unmarked_unauthorized: usize,
}

#[derive(Clone, Default)]
struct Counts {
    connections: u64,
    exchanges: usize,
    rotations: [usize; 2],
    rejected_exchanges: usize,
    double_spends: usize,
    api_requests: usize,
    authorized: usize,
    unauthorized: usize,
    repeats: usize,
}

impl Journal {
    /// The requests, in the order of arrival.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.counts.connections
    }

    /// How many exchanges have arrived, whatever came of them.
    pub fn exchanges(&self) -> usize {
        self.counts.exchanges
    }

    /// How many exchanges rotated the refresh token, in either mode.
    pub fn rotations(&self) -> usize {
        self.counts.rotations.iter().sum()
    }

    /// How many exchanges rotated the refresh token and minted an access token for `mode`.
    pub fn rotations_of(&self, mode: RequestMode) -> usize {
        self.counts.rotations[index(mode)]
    }

    /// How many exchanges were refused, those that spent a token twice not counted.
    pub fn rejected_exchanges(&self) -> usize {
        self.counts.rejected_exchanges
    }

    /// How many exchanges brought a refresh token that had been spent before.
    pub fn double_spends(&self) -> usize {
        self.counts.double_spends
    }

    /// How many API requests have arrived, repeats included.
    pub fn api_requests(&self) -> usize {
        self.counts.api_requests
    }

    /// How many API requests had their token taken.
    pub fn authorized(&self) -> usize {
        self.counts.authorized
    }

    /// How many API requests were answered 401.
    pub fn unauthorized(&self) -> usize {
        self.counts.unauthorized
    }

    /// How many API requests were the repeat of one that was answered 401, by their
    /// [`CALLER`](super::CALLER).
    pub fn repeats(&self) -> usize {
        self.counts.repeats
    }

    /// How many 401s of API requests stand unrepeated, so that a caller may have seen them: one
    /// for each [`CALLER`](super::CALLER) whose last answer was a 401, and all that were answered
    /// to requests without the header.
    pub fn unauthorized_to_caller(&self) -> usize {
        self.callers.values().filter(|unauthorized| **unauthorized).count()
            + self.unmarked_unauthorized
    }

    /// How many requests of any kind were answered with this status.
    pub fn answered(&self, status: StatusCode) -> usize {
        self.entries.iter().filter(|entry| entry.status == Some(status)).count()
    }

    /// How many requests have arrived and are not over yet.
    pub fn under_way(&self) -> usize {
        self.entries.len() - self.finished.len()
    }

    pub(super) fn accept(&mut self) -> u64 {
        self.counts.connections += 1;
        self.counts.connections
    }

    pub(super) fn arrive(&mut self, mut entry: Entry) -> usize {
        entry.number = self.entries.len() + 1;
        if entry.route == super::Route::Refresh {
            self.counts.exchanges += 1;
        } else if entry.route.is_api() {
            self.counts.api_requests += 1;
            if let Some(unauthorized) =
                entry.caller().and_then(|caller| self.callers.get_mut(caller))
            {
                // One 401, one repeat: the flag is used up.
                entry.repeat = std::mem::take(unauthorized);
                self.counts.repeats += usize::from(entry.repeat);
            }
        }
        self.entries.push(entry);
        self.entries.len() - 1
    }

    pub(super) fn entry(&mut self, index: usize) -> &mut Entry {
        &mut self.entries[index]
    }

    pub(super) fn authorize(&mut self, index: usize) {
        self.entries[index].authorized = true;
        self.counts.authorized += 1;
    }

    pub(super) fn settle(&mut self, index: usize, exchange: Exchange) {
        self.entries[index].exchange = Some(exchange);
        match exchange {
            Exchange::Rotated(mode) => self.counts.rotations[self::index(mode)] += 1,
            Exchange::Rejected => self.counts.rejected_exchanges += 1,
            Exchange::DoubleSpent => self.counts.double_spends += 1,
            Exchange::Faulted => {}
        }
    }

    /// The request is over: answered with `status`, or not at all.
    pub(super) fn finish(&mut self, index: usize, status: Option<StatusCode>) {
        let entry = &mut self.entries[index];
        entry.status = status;
        entry.finished = true;
        let unsettled = entry.route == super::Route::Refresh && entry.exchange.is_none();
        if entry.route.is_api() && status == Some(StatusCode::UNAUTHORIZED) {
            self.counts.unauthorized += 1;
            match entry.caller().map(str::to_owned) {
                Some(caller) => {
                    self.callers.insert(caller, true);
                }
                None => self.unmarked_unauthorized += 1,
            }
        }
        self.finished.push(index);
        if unsettled {
            self.settle(index, Exchange::Faulted);
        }
    }
}

fn index(mode: RequestMode) -> usize {
    match mode {
        RequestMode::Customer => 0,
        RequestMode::Provider => 1,
    }
}

impl fmt::Display for Journal {
    /// One line for each request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.entries).finish()
    }
}

/// The requests that a [`FakeTeamUp`](super::FakeTeamUp) answers from now on, one after the other;
/// made by [`FakeTeamUp::subscribe`](super::FakeTeamUp::subscribe).
///
/// None is lost: a subscriber that is slow finds them all.
pub struct Subscription {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    /// How many finished requests have been handed out.
    seen: usize,
}

impl Subscription {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let changes = shared.changes();
        let seen = shared.lock().journal.finished.len();
        Subscription { shared, changes, seen }
    }

    /// The next request that is over, in the order in which they were answered. `None` once the
    /// server has stopped and everything was handed out.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Entry> {
        loop {
            self.changes.mark_unchanged();
            if let Some(entry) = self.try_next() {
                return Some(entry);
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
    pub fn try_next(&mut self) -> Option<Entry> {
        let state = self.shared.lock();
        let index = *state.journal.finished.get(self.seen)?;
        self.seen += 1;
        Some(state.journal.entries[index].clone())
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("seen", &self.seen).finish_non_exhaustive()
    }
}
