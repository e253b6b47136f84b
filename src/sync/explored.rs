//! The same, as unit tests have it: what it always is, or, within [`explore`], the checker's.
//!
//! | in its place | what is explored | what is not |
//! | --- | --- | --- |
//! | `Mutex` | every order in which threads get it, each time as a single step | |
//! | `ArcSwap`, `AtomicU64` | every order of loads and stores, each one taken as a single step | arc-swap's own algorithm, and memory orders weaker than sequential consistency |
//! | `AsyncMutex` | every order in which tasks come to Tokio's, which is taken as a single step | Tokio's own algorithm |
//! | `sleep` | that it takes a while: others may run | how long; in what order two of them end is free |
//! | `timeout` | | that a limit passes: none ever does |
//! | `Handle` | that a task runs at any time from its start on | |

use std::cell::Cell;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LockResult, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::Guard;
use shuttle::scheduler::Scheduler;

thread_local! {
    /// The checker runs all its threads on one of the system's.
    static EXPLORING: Cell<bool> = const { Cell::new(false) };
    /// How many steps are under way that no other thread may interrupt.
    static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// Runs `scene` once for each schedule of `scheduler`, and hands out how many there were.
///
/// # Panics
///
/// When the scene panics or ends in a deadlock; the schedule is printed.
pub(crate) fn explore(
    scheduler: impl Scheduler + 'static,
    scene: impl Fn() + Send + Sync + 'static,
) -> usize {
    // Its clock stands still, so that no schedule depends on how fast the machine is.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let _clock = runtime.enter();
    let mut config = shuttle::Config::new();
    // A future in a debug build is a large thing.
    config.stack_size = 1 << 18;
    EXPLORING.set(true);
    let _end = End;
    shuttle::Runner::new(scheduler, config).run(scene)
}

struct End;

impl Drop for End {
    fn drop(&mut self) {
        EXPLORING.set(false);
    }
}

fn is_exploring() -> bool {
    EXPLORING.get()
}

/// Here any other thread may run, if that makes a difference.
pub(crate) fn point() {
    if is_exploring() && STEPS.get() == 0 {
        shuttle::sync::atomic::AtomicBool::new(false).load(Ordering::SeqCst);
    }
}

/// Taken as a single step is all that a thread does while it holds one: whatever it loads meanwhile,
/// a store of another thread might as well come before all of it, or after. That leaves one point for
/// each time it is locked, and makes the orders few enough to try them all.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

pub(crate) struct MutexGuard<'a, T> {
    guard: std::sync::MutexGuard<'a, T>,
    _step: Step,
}

/// While it lives, no other thread runs.
struct Step;

impl Step {
    fn begin() -> Self {
        STEPS.set(STEPS.get() + 1);
        Step
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        STEPS.set(STEPS.get() - 1);
    }
}

impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        point();
        let locked = self.0.lock();
        let with_step = |guard| MutexGuard { guard, _step: Step::begin() };
        locked.map(with_step).map_err(|error| PoisonError::new(with_step(error.into_inner())))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[derive(Debug)]
pub(crate) struct ArcSwap<T>(arc_swap::ArcSwap<T>);

impl<T> ArcSwap<T> {
    pub(crate) fn from_pointee(value: T) -> Self {
        ArcSwap(arc_swap::ArcSwap::from_pointee(value))
    }

    pub(crate) fn load(&self) -> Guard<Arc<T>> {
        point();
        self.0.load()
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        point();
        self.0.store(value);
    }
}

#[derive(Debug)]
pub(crate) struct AtomicU64(std::sync::atomic::AtomicU64);

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> Self {
        AtomicU64(std::sync::atomic::AtomicU64::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        point();
        self.0.load(order)
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        point();
        self.0.fetch_add(value, order)
    }
}

#[derive(Debug)]
pub(crate) struct AsyncMutex<T>(tokio::sync::Mutex<T>);

impl<T> AsyncMutex<T> {
    pub(crate) fn new(value: T) -> Self {
        AsyncMutex(tokio::sync::Mutex::new(value))
    }

    pub(crate) async fn lock(&self) -> tokio::sync::MutexGuard<'_, T> {
        point();
        self.0.lock().await
    }
}

pub(crate) async fn sleep(duration: Duration) {
    if is_exploring() {
        shuttle::future::yield_now().await;
    } else {
        tokio::time::sleep(duration).await;
    }
}

pub(crate) async fn timeout<F: Future>(
    limit: Duration,
    future: F,
) -> Result<F::Output, tokio::time::error::Elapsed> {
    if is_exploring() { Ok(future.await) } else { tokio::time::timeout(limit, future).await }
}

pub(crate) enum Handle {
    Plain(tokio::runtime::Handle),
    Explored,
}

/// Resolves to the output of a task. Dropping it leaves the task running.
pub(crate) enum Task<T> {
    Plain(tokio::task::JoinHandle<T>),
    Explored(shuttle::future::JoinHandle<T>),
}

/// The task did not come to its end.
#[derive(Debug)]
pub(crate) struct Gone;

impl<T> Future for Task<T> {
    type Output = Result<T, Gone>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Task::Plain(task) => Pin::new(task).poll(cx).map_err(|_| Gone),
            Task::Explored(task) => Pin::new(task).poll(cx).map_err(|_| Gone),
        }
    }
}

impl Handle {
    pub(crate) fn try_current() -> Result<Self, tokio::runtime::TryCurrentError> {
        if is_exploring() {
            return Ok(Handle::Explored);
        }
        tokio::runtime::Handle::try_current().map(Handle::Plain)
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        match self {
            Handle::Plain(runtime) => Task::Plain(runtime.spawn(task)),
            Handle::Explored => Task::Explored(shuttle::future::spawn(task)),
        }
    }
}
