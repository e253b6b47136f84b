//! Those who wait for the end of one operation.
//!
//! A list of wakers and not a `tokio::sync::watch`: its future has no name, so that each waiter would need
//! a box, and of ten thousand waiters each pays for what a receiver does besides.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::failure::Cause;
use super::state::Failure;
use super::sync::{Mutex, MutexGuard};

/// How an operation has ended; every waiter receives the same.
pub(super) type Ending = Result<(), Failure<Cause>>;

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
            let place = self.wakers.len();
            self.wakers.push(None);
            place
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

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counted {
        wakes: AtomicUsize,
        panics: bool,
    }

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.wakes.fetch_add(1, Ordering::Relaxed);
            assert!(!self.panics, "a waker of somebody else's");
        }
    }

    fn poll(waiter: &mut Waiter, waker: &Arc<Counted>) -> Poll<Ending> {
        waiter.poll(&Context::from_waker(&Waker::from(Arc::clone(waker))))
    }

    fn wakes(waker: &Counted) -> usize {
        waker.wakes.load(Ordering::Relaxed)
    }

    #[test]
    fn p2_a_waker_that_panics_keeps_nobody_from_being_woken() {
        let all = Arc::new(Waiters::default());
        let wakers = [true, false].map(|panics| Arc::new(Counted { panics, ..Counted::default() }));
        let mut waiters = [all.join(), all.join()];
        for (waiter, waker) in waiters.iter_mut().zip(&wakers) {
            assert!(poll(waiter, waker).is_pending());
        }
        all.wake_all();
        assert_eq!(wakers.each_ref().map(|waker| wakes(waker)), [1, 1]);
        for (waiter, waker) in waiters.iter_mut().zip(&wakers) {
            assert!(poll(waiter, waker).is_pending());
        }
        all.end(Ok(()));
        assert_eq!(wakers.each_ref().map(|waker| wakes(waker)), [2, 2]);
        for (waiter, waker) in waiters.iter_mut().zip(&wakers) {
            assert!(matches!(poll(waiter, waker), Poll::Ready(Ok(()))));
        }
    }

    #[test]
    fn who_joins_after_the_end_is_told_at_once() {
        let all = Arc::new(Waiters::default());
        all.end(Ok(()));
        assert!(poll(&mut all.join(), &Arc::default()).is_ready());
    }

    #[test]
    fn the_waker_of_the_last_poll_counts() {
        let all = Arc::new(Waiters::default());
        let (first, second) = (Arc::default(), Arc::default());
        let mut waiter = all.join();
        for waker in [&first, &second, &second] {
            assert!(poll(&mut waiter, waker).is_pending());
        }
        assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 2));
        all.end(Ok(()));
        assert_eq!((wakes(&first), wakes(&second)), (0, 1));
    }

    #[test]
    fn who_leaves_leaves_nothing_behind() {
        let all = Arc::new(Waiters::default());
        let (leaves, stays) = (Arc::default(), Arc::default());
        let mut waits = all.join();
        assert!(poll(&mut waits, &stays).is_pending());
        for _ in 0..100 {
            let mut waiter = all.join();
            assert!(poll(&mut waiter, &leaves).is_pending());
        }
        assert_eq!(Arc::strong_count(&leaves), 1);
        assert_eq!(all.list().wakers.len(), 2);
        all.end(Ok(()));
        assert_eq!((wakes(&leaves), wakes(&stays)), (0, 1));
    }
}
