//! By what the threads and tasks of one credential meet: the mutex, the snapshot's cell, tasks and time.
//!
//! `scripts/interleavings` builds the crate's tests with `cfg(shuttle)`, where a scheduler decides at
//! each of them which thread goes on. See `interleavings`.

#[cfg(not(shuttle))]
pub(crate) use arc_swap::{ArcSwap, Guard};
#[cfg(shuttle)]
pub(crate) use under_shuttle::*;
#[cfg(not(shuttle))]
pub(crate) use {
    std::sync::{Mutex, MutexGuard, atomic::AtomicU64},
    tokio::{
        runtime::Handle,
        spawn,
        time::{Sleep, sleep, sleep as pause, sleep_until, timeout},
    },
};

#[cfg(shuttle)]
mod under_shuttle {
    use std::convert::Infallible;
    use std::future::Future;
    use std::ops::Deref;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use shuttle::rand::{Rng, thread_rng};
    use shuttle::sync::atomic::AtomicBool;
    pub(crate) use shuttle::sync::atomic::AtomicU64;

    pub(crate) use shuttle::sync::{Mutex, MutexGuard};
    use tokio::time::Instant;

    use crate::token::Clock;

    /// A cell whose load and store are one step each: arc-swap itself is not looked into.
    #[derive(Debug)]
    pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

    /// What [`ArcSwap::load`] returns.
    pub(crate) struct Guard<T>(T);

    impl<T> Deref for Guard<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T> ArcSwap<T> {
        pub(crate) fn from_pointee(value: T) -> Self {
            ArcSwap(Mutex::new(Arc::new(value)))
        }

        pub(crate) fn load(&self) -> Guard<Arc<T>> {
            Guard(Arc::clone(&self.0.lock().expect("no panic under the lock")))
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            *self.0.lock().expect("no panic under the lock") = value;
        }
    }

    /// The one runtime that there is.
    #[derive(Clone, Debug)]
    pub(crate) struct Handle;

    impl Handle {
        pub(crate) fn try_current() -> Result<Self, Infallible> {
            Ok(Handle)
        }

        /// Starts a worker.
        pub(crate) fn spawn<F>(&self, task: F)
        where
            F: Future<Output = ()> + Send + 'static,
        {
            let is_mortal = WORKERS_MAY_DIE.load(Ordering::SeqCst) && thread_rng().gen_bool(0.5);
            let polls_left = if is_mortal { thread_rng().gen_range(0..8) } else { u32::MAX };
            spawn(Mortal { task: Box::pin(task), polls_left });
        }
    }

    pub(crate) fn spawn<F>(task: F) -> shuttle::future::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        shuttle::future::spawn(task)
    }

    shuttle::lazy_static! {
        pub(crate) static ref WORKERS_MAY_DIE: AtomicBool = AtomicBool::new(false);

        /// The credential's clock, which pauses put forward.
        pub(crate) static ref CLOCK: Clock = Clock::tokio();

        /// After so many sleeps of one execution no further one ends, so that what has to wake is shown to
        /// wake without a timer.
        static ref SLEEPS_LEFT: AtomicU64 = AtomicU64::new(thread_rng().gen_range(0..12));
    }

    /// Whoever looks again and again: each look may come at any moment, or never.
    pub(crate) fn sleep(_: Duration) -> Sleep {
        Sleep(Box::pin(async {
            let left = SLEEPS_LEFT.load(Ordering::SeqCst);
            SLEEPS_LEFT.store(left.saturating_sub(1), Ordering::SeqCst);
            if left == 0 {
                std::future::pending::<()>().await;
            }
            for _ in 0..thread_rng().gen_range(1..6) {
                shuttle::future::yield_now().await;
            }
        }))
    }

    pub(crate) fn sleep_until(_: Instant) -> Sleep {
        unreachable!("no wait has a limit here")
    }

    /// What [`sleep`] returns.
    pub(crate) struct Sleep(Pin<Box<dyn Future<Output = ()> + Send>>);

    impl Sleep {
        pub(crate) fn deadline(&self) -> Instant {
            unreachable!("no wait has a limit here")
        }
    }

    impl Future for Sleep {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.0.as_mut().poll(cx)
        }
    }

    /// What the state machine waits for: it is over at some moment, and so much time has passed.
    pub(crate) async fn pause(length: Duration) {
        for _ in 0..thread_rng().gen_range(1..6) {
            shuttle::future::yield_now().await;
        }
        CLOCK.shift_wall(length);
    }

    /// No limit is reached: what a limit leads to is the state machine's matter, which is explored.
    pub(crate) async fn timeout<F: Future>(_: Duration, task: F) -> Result<F::Output, Infallible> {
        Ok(task.await)
    }

    /// A task that may be dropped at any of its polls, as one is whose runtime goes away.
    struct Mortal<F> {
        task: Pin<Box<F>>,
        polls_left: u32,
    }

    impl<F: Future<Output = ()>> Future for Mortal<F> {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            if self.polls_left == 0 {
                return Poll::Ready(());
            }
            self.polls_left -= 1;
            self.task.as_mut().poll(cx)
        }
    }
}
