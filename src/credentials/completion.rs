//! An event that happens once, and any number of tasks that wait for it.
//!
//! No runtime and no timer: a mutex, a result and the wakers. Whoever waits may go away at any
//! moment, and the event does not notice.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::Error;
use crate::sync::{Mutex, MutexGuard};

/// How it ended; every waiter receives the same.
pub(crate) type Outcome = Result<(), Error>;

#[derive(Debug, Default)]
pub(crate) struct Completion {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `Some` from the moment of completion on, and never changed again.
    outcome: Option<Outcome>,
    /// One place for each waiter; empty once the outcome is there.
    wakers: Vec<Option<Waker>>,
    /// Places in `wakers` whose waiter went away.
    free: Vec<usize>,
}

impl Completion {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Completion::default())
    }

    /// Gives every waiter the outcome, those to come included. A second outcome is ignored: the
    /// first one may have been seen.
    pub(crate) fn complete(&self, outcome: Outcome) {
        let wakers = {
            let mut state = self.state();
            if state.outcome.is_some() {
                return;
            }
            state.outcome = Some(outcome);
            state.free = Vec::new();
            std::mem::take(&mut state.wakers)
        };
        // Outside the lock: a waker may run whatever it likes.
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    pub(crate) fn wait(self: &Arc<Self>) -> Wait {
        Wait { completion: Some(Arc::clone(self)), place: None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a [`Completion`].
#[derive(Debug)]
pub(crate) struct Wait {
    /// `None` once the outcome was handed out.
    completion: Option<Arc<Completion>>,
    /// This waiter's place among the wakers, from its first poll on.
    place: Option<usize>,
}

impl Future for Wait {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let this = &mut *self;
        let completion = this.completion.as_ref().expect("polled after it was ready");
        let mut state = completion.state();
        if let Some(outcome) = state.outcome.clone() {
            drop(state);
            this.completion = None;
            return Poll::Ready(outcome);
        }
        match this.place {
            Some(place) => match &mut state.wakers[place] {
                Some(waker) => waker.clone_from(cx.waker()),
                empty => *empty = Some(cx.waker().clone()),
            },
            None => {
                let waker = Some(cx.waker().clone());
                this.place = Some(match state.free.pop() {
                    Some(place) => {
                        state.wakers[place] = waker;
                        place
                    }
                    None => {
                        state.wakers.push(waker);
                        state.wakers.len() - 1
                    }
                });
            }
        }
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let (Some(completion), Some(place)) = (&self.completion, self.place) else {
            return;
        };
        let mut state = completion.state();
        if state.outcome.is_none() {
            state.wakers[place] = None;
            state.free.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_test::{assert_pending, assert_ready, task};

    #[test]
    fn every_waiter_gets_the_first_outcome() {
        let completion = Completion::new();
        let mut early = task::spawn(completion.wait());
        assert_pending!(early.poll());
        completion.complete(Err(Error::timed_out()));
        completion.complete(Ok(()));
        assert!(early.is_woken());
        assert!(assert_ready!(early.poll()).is_err());
        assert!(assert_ready!(task::spawn(completion.wait()).poll()).is_err());
    }

    #[test]
    fn p2_dropped_waiter_gives_its_place_back_and_wakes_nobody() {
        let completion = Completion::new();
        let mut first = task::spawn(completion.wait());
        assert_pending!(first.poll());
        drop(first);
        let mut second = task::spawn(completion.wait());
        assert_pending!(second.poll());
        assert_eq!(completion.state().wakers.len(), 1);
        completion.complete(Ok(()));
        assert!(second.is_woken());
        assert!(assert_ready!(second.poll()).is_ok());
    }
}
