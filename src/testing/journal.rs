//! What the server saw, in order, and the counts that tests assert on.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use tokio::sync::watch;

use super::entry::{Entry, RefreshOutcome};
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
    /// How many entries were let go: the place of the first one that is kept.
    gone: usize,
    /// Places of entries, in the order in which the requests were over.
    finished: VecDeque<usize>,
    /// How many of those were let go, because their entries were.
    finished_gone: usize,
    /// `Some`: about so many entries are kept.
    limit: Option<usize>,
    counts: Counts,
    /// The callers whose last answered request got a 401.
    callers: HashSet<String>,
    unmarked_unauthorized: usize,
}

#[derive(Clone, Default)]
struct Counts {
    answers: BTreeMap<u16, usize>,
    connections: u64,
    refresh_requests: usize,
    rotations: [usize; 2],
    rejected_refresh_requests: usize,
    double_spends: usize,
    api_requests: usize,
    authorized: usize,
    unauthorized: usize,
    retries: usize,
}

impl Journal {
    /// The requests, in the order of arrival; the newest of them, where the server was told to
    /// [keep no more](super::FakeTeamUpBuilder::keep_entries).
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.counts.connections
    }

    /// How many exchanges have arrived, whatever came of them.
    pub fn refresh_requests(&self) -> usize {
        self.counts.refresh_requests
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
    pub fn rejected_refresh_requests(&self) -> usize {
        self.counts.rejected_refresh_requests
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
    pub fn retries(&self) -> usize {
        self.counts.retries
    }

    /// How many 401s of API requests stand unrepeated, so that a caller may have seen them: one
    /// for each [`CALLER`](super::CALLER) whose last answer was a 401, and all that were answered
    /// to requests without the header.
    pub fn unauthorized_to_caller(&self) -> usize {
        self.callers.len() + self.unmarked_unauthorized
    }

    /// How many requests of any kind were answered with this status.
    pub fn answered(&self, status: StatusCode) -> usize {
        self.counts.answers.get(&status.as_u16()).copied().unwrap_or(0)
    }

    /// How many requests have arrived and are not over yet.
    pub fn under_way(&self) -> usize {
        let arrived = self.gone + self.entries.len();
        arrived - self.finished_so_far()
    }

    fn finished_so_far(&self) -> usize {
        self.finished_gone + self.finished.len()
    }

    pub(super) fn keep(&mut self, limit: Option<usize>) {
        self.limit = limit;
    }

    pub(super) fn accept(&mut self) -> u64 {
        self.counts.connections += 1;
        self.counts.connections
    }

    pub(super) fn arrive(&mut self, mut entry: Entry) -> usize {
        self.let_go();
        let place = self.gone + self.entries.len();
        entry.number = place + 1;
        if entry.route == super::Route::Refresh {
            self.counts.refresh_requests += 1;
        } else if entry.route.is_api() {
            self.counts.api_requests += 1;
            // One 401, one repeat: the mark is used up.
            entry.repeat = entry.caller().is_some_and(|caller| self.callers.remove(caller));
            self.counts.retries += usize::from(entry.repeat);
        }
        self.entries.push(entry);
        place
    }

    /// Lets the oldest entries go where there are twice as many as are to be kept: seldom, and then
    /// many at once. A request that is not over yet keeps its entry, and all that came after it.
    fn let_go(&mut self) {
        let Some(limit) = self.limit.filter(|limit| self.entries.len() >= limit.saturating_mul(2))
        else {
            return;
        };
        let surplus = &self.entries[..self.entries.len() - limit];
        let over = surplus.iter().take_while(|entry| entry.finished).count();
        self.entries.drain(..over);
        self.gone += over;
        while self.finished.front().is_some_and(|place| *place < self.gone) {
            self.finished.pop_front();
            self.finished_gone += 1;
        }
    }

    pub(super) fn entry(&mut self, place: usize) -> &mut Entry {
        &mut self.entries[place - self.gone]
    }

    pub(super) fn authorize(&mut self, place: usize) {
        self.entry(place).authorized = true;
        self.counts.authorized += 1;
    }

    pub(super) fn settle(&mut self, place: usize, exchange: RefreshOutcome) {
        self.entry(place).exchange = Some(exchange);
        match exchange {
            RefreshOutcome::Rotated(mode) => self.counts.rotations[index(mode)] += 1,
            RefreshOutcome::Rejected => self.counts.rejected_refresh_requests += 1,
            RefreshOutcome::DoubleSpent => self.counts.double_spends += 1,
            RefreshOutcome::Faulted => {}
        }
    }

    /// The request is over: answered with `status`, or not at all.
    pub(super) fn finish(&mut self, place: usize, status: Option<StatusCode>) {
        if let Some(status) = status {
            *self.counts.answers.entry(status.as_u16()).or_default() += 1;
        }
        let entry = &mut self.entries[place - self.gone];
        entry.status = status;
        entry.finished = true;
        let unsettled = entry.route == super::Route::Refresh && entry.exchange.is_none();
        if entry.route.is_api() && status == Some(StatusCode::UNAUTHORIZED) {
            self.counts.unauthorized += 1;
            match entry.caller().map(str::to_owned) {
                Some(caller) => {
                    self.callers.insert(caller);
                }
                None => self.unmarked_unauthorized += 1,
            }
        }
        self.finished.push_back(place);
        if unsettled {
            self.settle(place, RefreshOutcome::Faulted);
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
/// None is lost: a subscriber that is slow finds them all, unless the server was told to
/// [keep no more](super::FakeTeamUpBuilder::keep_entries) than the newest.
pub struct Subscription {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    /// How many finished requests have been handed out.
    seen: usize,
}

impl Subscription {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let changes = shared.changes();
        let seen = shared.lock().journal.finished_so_far();
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
        let journal = &state.journal;
        self.seen = self.seen.max(journal.finished_gone);
        loop {
            let place = *journal.finished.get(self.seen - journal.finished_gone)?;
            self.seen += 1;
            // One that was over late may be gone before those that were over earlier.
            if let Some(place) = place.checked_sub(journal.gone) {
                return Some(journal.entries[place].clone());
            }
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("seen", &self.seen).finish_non_exhaustive()
    }
}
