//! Those who wait for the end of one operation.
//!
//! A list of wakers and not a `tokio::sync::watch`: its future has no name, so that each waiter would need
//! a box, and of ten thousand waiters each pays for what a receiver does besides.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::core::Ending;
use super::sync::{Mutex, MutexGuard};

/// No waker is cloned, woken or dropped under the mutex: each is other people's code.
#[derive(Default)]
pub(super) struct Waiters(Mutex<List>);

#[derive(Default)]
struct List {
    ending: Option<Ending>,
    /// `None` at a place that nobody has any more.
    wakers: Vec<Option<Waker>>,
    /// The places that are `None`.
    free: Vec<usize>,
}

/// One of them. Leaves when it is dropped.
pub(crate) struct Waiter {
    all: Arc<Waiters>,
    /// `Some` while a waker of its own is in the list.
    place: Option<usize>,
}

impl Waiters {
    pub(super) fn join(self: &Arc<Self>) -> Waiter {
        Waiter { all: Arc::clone(self), place: None }
    }

    /// The operation has ended: wakes everybody.
    pub(super) fn end(&self, ending: Ending) {
        let mut list = self.list();
        list.ending = Some(ending);
        let wakers = mem::take(&mut list.wakers);
        drop(list);
        wakers.into_iter().flatten().for_each(wake);
    }

    /// Wakes everybody, and everybody goes on waiting.
    pub(super) fn wake_all(&self) {
        let mut list = self.list();
        let wakers: Vec<_> = list.wakers.iter_mut().map(Option::take).collect();
        drop(list);
        wakers.into_iter().flatten().for_each(wake);
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A panic is the waker's own, and keeps nobody else from being woken.
fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

impl Waiter {
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Ending> {
        let list = self.all.list();
        if let Some(ending) = list.ending.clone() {
            self.place = None;
            return Poll::Ready(ending);
        }
        let own = self.place.and_then(|place| list.wakers[place].as_ref());
        if own.is_some_and(|own| own.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        drop(list);
        let waker = cx.waker().clone();
        let mut list = self.all.list();
        if let Some(ending) = list.ending.clone() {
            self.place = None;
            drop(list);
            return Poll::Ready(ending);
        }
        let place = *self.place.get_or_insert_with(|| list.new_place());
        let before = list.wakers[place].replace(waker);
        drop(list);
        drop(before);
        Poll::Pending
    }
}

impl List {
    fn new_place(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.wakers.push(None);
            self.wakers.len() - 1
        })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut list = self.all.list();
        // The list is empty once the operation has ended.
        let own = list.wakers.get_mut(place).map(Option::take);
        if own.is_some() {
            list.free.push(place);
        }
        drop(list);
        drop(own);
    }
}
