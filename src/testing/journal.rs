//! What the server saw, in order, and the counts that tests assert on.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

use http::StatusCode;

use super::entry::{Entry, RefreshOutcome};
use super::route::Route;
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
    /// How many entries were discarded: the place of the first one that is kept.
    discarded: usize,
    /// Places of entries, in the order in which the server was done with the requests.
    finished: VecDeque<usize>,
    /// How many of those were discarded, because their entries were.
    finished_discarded: usize,
    /// `Some`: about so many entries are kept.
    limit: Option<usize>,
    counts: Counts,
    /// The callers whose last answered request got a 401, and the login of its token.
    callers: HashMap<String, Option<u64>>,
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
    mixed_logins: usize,
    /// Requests that were answered, or whose clients hung up.
    closed: usize,
    /// Requests that the server works on.
    in_work: usize,
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

    /// How many refresh requests have arrived, whatever came of them.
    pub fn refresh_requests(&self) -> usize {
        self.counts.refresh_requests
    }

    /// How many refresh requests rotated the refresh token, in either mode.
    pub fn rotations(&self) -> usize {
        self.counts.rotations.iter().sum()
    }

    /// How many refresh requests rotated the refresh token and minted an access token for `mode`.
    pub fn rotations_of(&self, mode: RequestMode) -> usize {
        self.counts.rotations[index(mode)]
    }

    /// How many refresh requests were refused, those that spent a token twice not counted.
    pub fn rejected_refresh_requests(&self) -> usize {
        self.counts.rejected_refresh_requests
    }

    /// How many refresh requests brought a refresh token that had been spent before.
    pub fn double_spends(&self) -> usize {
        self.counts.double_spends
    }

    /// How many API requests have arrived, retries included.
    pub fn api_requests(&self) -> usize {
        self.counts.api_requests
    }

    /// How many API requests had their token accepted.
    pub fn authorized(&self) -> usize {
        self.counts.authorized
    }

    /// How many API requests were answered 401.
    pub fn unauthorized(&self) -> usize {
        self.counts.unauthorized
    }

    /// How many API requests were the retry of one that was answered 401, by their
    /// [`CALLER`](super::CALLER).
    pub fn retries(&self) -> usize {
        self.counts.retries
    }

    /// How many of the [`retries`](Journal::retries) carried a token of another login than the
    /// request that was answered 401. A client must never send one.
    pub fn mixed_logins(&self) -> usize {
        self.counts.mixed_logins
    }

    /// How many 401s of API requests were not followed by a retry, so that a caller may have seen
    /// them: one for each [`CALLER`](super::CALLER) whose last answer was a 401, and all that were
    /// answered to requests without the header.
    pub fn unauthorized_to_caller(&self) -> usize {
        self.callers.len() + self.unmarked_unauthorized
    }

    /// How many requests of any kind were answered with this status.
    pub fn answered(&self, status: StatusCode) -> usize {
        self.counts.answers.get(&status.as_u16()).copied().unwrap_or(0)
    }

    /// How many requests have arrived whose clients still wait for an answer.
    pub fn under_way(&self) -> usize {
        self.discarded + self.entries.len() - self.counts.closed
    }

    /// How many requests the server works on, those whose clients have hung up included.
    pub fn in_work(&self) -> usize {
        self.counts.in_work
    }

    /// How many of the oldest entries were discarded, because the server was told to
    /// [keep no more](super::FakeTeamUpBuilder::keep_entries). A test that reads
    /// [`entries`](Journal::entries) to prove something about all requests asserts that this is 0.
    pub fn discarded_entries(&self) -> usize {
        self.discarded
    }

    pub(super) fn keep(&mut self, limit: Option<usize>) {
        self.limit = limit;
    }

    pub(super) fn accept(&mut self) -> u64 {
        self.counts.connections += 1;
        self.counts.connections
    }

    pub(super) fn arrive(&mut self, mut entry: Entry) -> usize {
        self.discard();
        let place = self.discarded + self.entries.len();
        entry.number = place + 1;
        if entry.route == Route::Refresh {
            self.counts.refresh_requests += 1;
        } else if entry.route.is_api() {
            self.counts.api_requests += 1;
            // One 401, one retry: the mark is used up.
            let answered_401 = entry.caller().and_then(|caller| self.callers.remove(caller));
            entry.retry = answered_401.is_some();
            entry.mixed_login = match (answered_401.flatten(), entry.login) {
                (Some(before), Some(now)) => before != now,
                _ => false,
            };
            self.counts.retries += usize::from(entry.retry);
            self.counts.mixed_logins += usize::from(entry.mixed_login);
        }
        self.counts.in_work += 1;
        self.entries.push(entry);
        place
    }

    /// Discards the oldest entries where there are twice as many as are to be kept: seldom, and
    /// then many at once. A request that is not over yet keeps its entry, and all that came after
    /// it.
    fn discard(&mut self) {
        let Some(limit) = self.limit.filter(|limit| self.entries.len() >= limit.saturating_mul(2))
        else {
            return;
        };
        let surplus = &self.entries[..self.entries.len() - limit];
        let over = surplus.iter().take_while(|entry| entry.is_over()).count();
        self.entries.drain(..over);
        self.discarded += over;
        while self.finished.front().is_some_and(|place| *place < self.discarded) {
            self.finished.pop_front();
            self.finished_discarded += 1;
        }
    }

    /// The entry of a request that is not over.
    pub(super) fn entry(&mut self, place: usize) -> &mut Entry {
        &mut self.entries[place - self.discarded]
    }

    pub(super) fn authorize(&mut self, place: usize) {
        self.entry(place).authorized = true;
        self.counts.authorized += 1;
    }

    pub(super) fn set_outcome(&mut self, place: usize, outcome: RefreshOutcome) {
        self.entry(place).refresh_outcome = Some(outcome);
        match outcome {
            RefreshOutcome::Rotated(mode) => self.counts.rotations[index(mode)] += 1,
            RefreshOutcome::Rejected => self.counts.rejected_refresh_requests += 1,
            RefreshOutcome::DoubleSpent => self.counts.double_spends += 1,
            RefreshOutcome::Faulted => {}
        }
    }

    /// The request was answered with `status`, or its client hung up, or its connection was closed
    /// without an answer.
    pub(super) fn close(&mut self, place: usize, status: Option<StatusCode>) {
        self.counts.closed += 1;
        if let Some(status) = status {
            *self.counts.answers.entry(status.as_u16()).or_default() += 1;
        }
        let entry = self.entry(place);
        entry.status = status;
        entry.closed = true;
        let (is_over, login) = (entry.is_over(), entry.login);
        if entry.route.is_api() && status == Some(StatusCode::UNAUTHORIZED) {
            let caller = entry.caller().map(str::to_owned);
            self.counts.unauthorized += 1;
            match caller {
                Some(caller) => {
                    self.callers.insert(caller, login);
                }
                None => self.unmarked_unauthorized += 1,
            }
        }
        if is_over {
            self.finished.push_back(place);
        }
    }

    /// The server has done what it does about the request, or was kept from it.
    pub(super) fn end_work(&mut self, place: usize) {
        self.counts.in_work -= 1;
        let entry = self.entry(place);
        entry.in_work = false;
        let is_over = entry.is_over();
        if entry.route == Route::Refresh && entry.refresh_outcome.is_none() {
            self.set_outcome(place, RefreshOutcome::Faulted);
        }
        if is_over {
            self.finished.push_back(place);
        }
    }

    /// How many requests the server was done with so far.
    pub(super) fn finished(&self) -> usize {
        self.finished_discarded + self.finished.len()
    }

    /// The first request that the server was done with after the first `seen` of them.
    pub(super) fn finished_after(&self, seen: usize) -> Finished {
        let mut missed = self.finished_discarded.saturating_sub(seen);
        let kept = self.finished.iter().skip(seen.saturating_sub(self.finished_discarded));
        for place in kept {
            // A request that was over late may be discarded before those that were over earlier.
            match place.checked_sub(self.discarded) {
                None => missed += 1,
                Some(_) if missed > 0 => break,
                Some(place) => return Finished::Entry(Box::new(self.entries[place].clone())),
            }
        }
        if missed > 0 { Finished::Missed(missed) } else { Finished::Nothing }
    }
}

/// What a subscriber finds next.
pub(super) enum Finished {
    Entry(Box<Entry>),
    /// So many entries were discarded.
    Missed(usize),
    Nothing,
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
