//! The single flight: who asks for a refresh, which one is under way, who waits for it.
//!
//! A state machine under one mutex, with no task, no clock and no I/O in it. The
//! [driver](super::driver) takes flights from it and reports how they ended; requests come to it
//! only when their token is not good enough.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::completion::{Completion, Outcome, Wait};
use super::memory::{Memory, RefreshLimit};
use super::snapshot::{Generation, SnapshotCell};
use super::status::{View, Watched};
use crate::error::Error;
use crate::headers::RequestMode;
use crate::sync::{Mutex, MutexGuard};
use crate::token::Moment;

#[derive(Debug, Default)]
pub(crate) struct Desk {
    state: Mutex<State>,
    watched: Watched,
}

#[derive(Debug, Default)]
struct State {
    /// The flight that the driver has in hand.
    running: Option<Arc<Flight>>,
    /// The flights to come: at most one for each state of each slot.
    queued: VecDeque<Arc<Flight>>,
    /// `Some` while a driver is at work; completed when it goes home.
    shift: Option<Arc<Completion>>,
    /// `None` where there is nothing to remember, as with most of the many idle credentials that a
    /// service may hold.
    memory: Option<Box<Memory>>,
    /// The driver is to look whether another process was handed new tokens.
    look: bool,
    /// No refresh starts any more.
    closed: bool,
}

/// One refresh: the replacement of one generation.
#[derive(Debug)]
pub(crate) struct Flight {
    /// The generation that this flight replaces; the key under which callers share it.
    pub(crate) generation: Generation,
    pub(crate) reason: Reason,
    done: Arc<Completion>,
}

/// Why a refresh is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The token will expire soon.
    RefreshSoon,
    /// There is no token of this mode, or it has expired.
    Expired,
    /// The API answered 401 to it.
    Unauthorized,
    /// The program asked for it.
    Requested,
}

/// While the refresh token is refused, the store is looked at this often at most.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// What the desk answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// There is nothing to wait for.
    Settled(Outcome),
    /// A driver is at work, and this is the flight's end.
    Joined(Wait),
    /// The same; the asker has to start the driver.
    Start(Wait),
}

impl Flight {
    /// Of the token that is renewed.
    pub(crate) fn mode(&self) -> RequestMode {
        self.generation.mode()
    }
}

impl Desk {
    /// Asks for the replacement of `generation`.
    ///
    /// The cell is looked at under the desk's lock, and a driver publishes before it reports: so a
    /// generation that the cell still holds has no finished flight, and there is never a second
    /// exchange for it.
    pub(crate) fn ask(
        &self,
        cell: &SnapshotCell,
        generation: Generation,
        reason: Reason,
        now: Moment,
        guard: RefreshLimit,
    ) -> Answer {
        let mut state = self.state();
        if cell.load().slot(generation.mode()).generation != generation {
            return Answer::Settled(Ok(()));
        }
        let same = |flight: &&Arc<Flight>| flight.generation == generation;
        if let Some(flight) = state.running.iter().chain(&state.queued).find(same) {
            return Answer::Joined(flight.done.wait());
        }
        if state.closed {
            return Answer::Settled(Err(Error::shutdown()));
        }
        if let Some(error) = state.objection(reason, now, guard) {
            return Answer::Settled(Err(error));
        }
        let flight = Arc::new(Flight { generation, reason, done: Completion::new() });
        let wait = flight.done.wait();
        state.queued.push_back(flight);
        let start = state.shift.is_none();
        if start {
            state.shift = Some(Completion::new());
        }
        drop(state);
        self.watched.signal();
        if start { Answer::Start(wait) } else { Answer::Joined(wait) }
    }

    /// Opens a shift for a driver that has no flight, only a write to repeat. `false`: a driver is
    /// at work already and will see to it.
    pub(crate) fn open_shift(&self) -> bool {
        let mut state = self.state();
        let open = state.shift.is_none();
        if open {
            state.shift = Some(Completion::new());
        }
        open
    }

    /// The refresh token was refused: nothing is sent before there are new tokens, but another
    /// process may bring them.
    pub(crate) fn refuse(&self, error: Error, now: Moment) {
        self.with_memory(|memory| memory.refuse(error, now, now.plus(LOOK_PAUSE)));
    }

    /// A call has just failed for good. If a look at the store is due, the driver is to do it;
    /// `true`: the asker has to start one.
    pub(crate) fn ask_for_a_look(&self, now: Moment) -> bool {
        let mut state = self.state();
        let next = now.plus(LOOK_PAUSE);
        let is_due = |memory: &mut Box<Memory>| memory.is_look_due(now, next);
        if state.closed || !state.memory.as_mut().is_some_and(is_due) {
            return false;
        }
        state.look = true;
        let start = state.shift.is_none();
        if start {
            state.shift = Some(Completion::new());
        }
        start
    }

    /// Is the driver to look at the store? Told once.
    pub(crate) fn take_look(&self) -> bool {
        std::mem::take(&mut self.state().look)
    }

    /// The next flight. `None` closes the driver's shift: from then on another may be opened.
    pub(crate) fn next(&self) -> Option<Arc<Flight>> {
        let mut state = self.state();
        let next = state.queued.pop_front();
        state.running.clone_from(&next);
        if next.is_none() {
            let shift = state.shift.take();
            drop(state);
            if let Some(shift) = shift {
                shift.complete(Ok(()));
            }
        }
        next
    }

    /// Reports how the running flight ended. What it published is in the cell already.
    pub(crate) fn landed(&self, flight: &Flight, outcome: Outcome) {
        self.state().running = None;
        self.watched.signal();
        flight.done.complete(outcome);
    }

    /// Ends every flight in the queue alike.
    pub(crate) fn fail_queued(&self, error: &Error) {
        let queued = std::mem::take(&mut self.state().queued);
        self.watched.signal();
        for flight in queued {
            flight.done.complete(Err(error.clone()));
        }
    }

    /// The driver is gone before its time: nobody may wait for it any longer.
    pub(crate) fn abandon(&self, error: &Error) {
        let (flights, shift) = {
            let mut state = self.state();
            let running = state.running.take();
            let queued = std::mem::take(&mut state.queued);
            (running.into_iter().chain(queued), state.shift.take())
        };
        self.watched.signal();
        for flight in flights {
            flight.done.complete(Err(error.clone()));
        }
        if let Some(shift) = shift {
            shift.complete(Err(error.clone()));
        }
    }

    /// Starts no refresh from now on; the answer is the end of what is under way, if anything is.
    pub(crate) fn close(&self) -> Option<Wait> {
        let mut state = self.state();
        state.closed = true;
        let under_way = state.shift.as_ref().map(Completion::wait);
        drop(state);
        self.watched.signal();
        under_way
    }

    #[cfg(test)]
    fn is_busy(&self) -> bool {
        self.state().shift.is_some()
    }

    /// Changes what is remembered.
    pub(crate) fn with_memory<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        let mut state = self.state();
        let mut memory = state.memory.take().unwrap_or_default();
        let result = change(&mut memory);
        state.memory = (!memory.is_blank()).then_some(memory);
        drop(state);
        self.watched.signal();
        result
    }

    /// Why a refresh for this reason must not start at `now`, if it must not.
    pub(crate) fn objection(
        &self,
        reason: Reason,
        now: Moment,
        guard: RefreshLimit,
    ) -> Option<Error> {
        self.state().objection(reason, now, guard)
    }

    /// Why no refresh starts until new tokens are set, if that is so.
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.state().memory.as_ref().and_then(|memory| memory.refusal())
    }

    /// What there is to tell of this credential at this moment.
    pub(crate) fn view(&self) -> View {
        let state = self.state();
        let memory = state.memory.as_ref();
        View {
            refreshing: state.running.is_some() || !state.queued.is_empty(),
            failure: memory.and_then(|memory| memory.trouble().cloned()),
            unsaved: memory.and_then(|memory| memory.why_unsaved().cloned()),
            closed: state.closed,
        }
    }

    pub(crate) fn watched(&self) -> &Watched {
        &self.watched
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn objection(&mut self, reason: Reason, now: Moment, guard: RefreshLimit) -> Option<Error> {
        self.memory.as_mut().and_then(|memory| memory.objection(reason, now, guard))
    }
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::RefreshSoon => "refresh_soon",
            Reason::Expired => "expired",
            Reason::Unauthorized => "unauthorized",
            Reason::Requested => "requested",
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::super::snapshot::Snapshot;
    use super::super::windows::Windows;
    use super::*;
    use crate::headers::AuthScheme;
    use crate::token::{AccessToken, RefreshToken, TokenSet};

    const NOW: Moment = Moment { monotonic: 10_000, wall: 1_000_000_000 };
    const GUARD: RefreshLimit = RefreshLimit { limit: 5, window: Duration::from_secs(30) };
    const MODE: RequestMode = RequestMode::Provider;

    fn publish(cell: &SnapshotCell, access: &str) {
        let tokens = TokenSet::new(RefreshToken::new("r").unwrap()).with_access_token_until(
            MODE,
            AccessToken::new(access).unwrap(),
            None,
        );
        let windows = Windows { leeway: Duration::ZERO, jitter: 0.0 };
        let next = cell.load().followed_by(Some(&tokens), AuthScheme::Bearer, &windows, NOW);
        cell.store(next);
    }

    fn ask(desk: &Desk, cell: &SnapshotCell, generation: Generation) -> Answer {
        desk.ask(cell, generation, Reason::Expired, NOW, GUARD)
    }

    fn generation(cell: &SnapshotCell, mode: RequestMode) -> Generation {
        cell.load().slot(mode).generation
    }

    #[test]
    fn p1_two_askers_of_one_generation_share_one_flight() {
        let (desk, cell) = (Desk::default(), SnapshotCell::new(Snapshot::empty(None)));
        let key = generation(&cell, MODE);
        let Answer::Start(first) = ask(&desk, &cell, key) else { panic!("starts") };
        let Answer::Joined(second) = ask(&desk, &cell, key) else { panic!("joins") };
        let flight = desk.next().unwrap();
        let Answer::Joined(third) = ask(&desk, &cell, key) else { panic!("joins") };

        // Published but not yet reported: a newcomer needs no flight any more.
        publish(&cell, "new");
        assert!(matches!(ask(&desk, &cell, key), Answer::Settled(Ok(()))));
        desk.landed(&flight, Ok(()));
        for wait in [first, second, third] {
            assert!(assert_ready!(task::spawn(wait).poll()).is_ok());
        }
        assert!(desk.next().is_none());
        assert!(matches!(ask(&desk, &cell, key), Answer::Settled(Ok(()))));
    }

    #[test]
    fn two_modes_queue_up_behind_one_driver() {
        let (desk, cell) = (Desk::default(), SnapshotCell::new(Snapshot::empty(None)));
        for (mode, begun) in [(RequestMode::Customer, false), (RequestMode::Provider, true)] {
            let answer = ask(&desk, &cell, generation(&cell, mode));
            assert_eq!(begun, matches!(answer, Answer::Joined(_)));
            assert_ne!(begun, matches!(answer, Answer::Start(_)));
        }
        let first = desk.next().unwrap();
        assert_eq!(first.mode(), RequestMode::Customer);
        desk.landed(&first, Ok(()));
        let second = desk.next().unwrap();
        assert_eq!(second.mode(), RequestMode::Provider);
        desk.landed(&second, Ok(()));
        assert!(desk.is_busy());
        assert!(desk.next().is_none());
        assert!(!desk.is_busy());
    }

    #[test]
    fn p2_driver_that_vanishes_leaves_nobody_waiting() {
        let (desk, cell) = (Desk::default(), SnapshotCell::new(Snapshot::empty(None)));
        let key = generation(&cell, MODE);
        let other = generation(&cell, RequestMode::Customer);
        let Answer::Start(running) = ask(&desk, &cell, key) else { panic!("starts") };
        let Answer::Joined(queued) = ask(&desk, &cell, other) else { panic!("joins") };
        desk.next().unwrap();
        let mut running = task::spawn(running);
        assert_pending!(running.poll());
        desk.abandon(&Error::interrupted());
        assert!(running.is_woken());
        for outcome in [assert_ready!(running.poll()), assert_ready!(task::spawn(queued).poll())] {
            assert!(outcome.unwrap_err().is_outcome_unknown());
        }
        assert!(matches!(ask(&desk, &cell, key), Answer::Start(_)));
    }

    #[test]
    fn a_look_is_asked_for_when_it_is_due_and_never_at_a_closed_desk() {
        let desk = Desk::default();
        let later = NOW.plus(LOOK_PAUSE);
        assert!(!desk.ask_for_a_look(NOW));
        desk.refuse(Error::nothing_stored(), NOW);
        assert!(!desk.ask_for_a_look(NOW));
        assert!(desk.ask_for_a_look(later), "nobody is at work");
        assert!(desk.take_look() && !desk.take_look());
        assert!(!desk.ask_for_a_look(later), "it was just asked for");
        assert!(!desk.ask_for_a_look(later.plus(LOOK_PAUSE)), "somebody is at work");
        assert!(desk.take_look());

        let closed = Desk::default();
        closed.refuse(Error::nothing_stored(), NOW);
        assert!(closed.close().is_none());
        assert!(!closed.ask_for_a_look(later) && !closed.take_look());
    }

    #[test]
    fn a_closed_desk_starts_nothing_and_lets_the_running_flight_land() {
        let (desk, cell) = (Desk::default(), SnapshotCell::new(Snapshot::empty(None)));
        let key = generation(&cell, MODE);
        let Answer::Start(wait) = ask(&desk, &cell, key) else { panic!("starts") };
        let flight = desk.next().unwrap();
        let mut closed = task::spawn(desk.close().unwrap());
        let other = generation(&cell, RequestMode::Customer);
        assert_pending!(closed.poll());
        let Answer::Settled(Err(error)) = ask(&desk, &cell, other) else { panic!("refused") };
        assert!(error.is_shut_down());
        desk.landed(&flight, Ok(()));
        assert!(assert_ready!(task::spawn(wait).poll()).is_ok());
        assert!(desk.next().is_none());
        assert!(assert_ready!(closed.poll()).is_ok());
        assert!(desk.close().is_none());
    }
}
