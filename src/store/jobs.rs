//! Work that blocks, away from the async workers: one thread for each queue, at most.
//!
//! A disk that hangs holds one thread, however often the credential tries again; a job whose caller
//! has gone before its turn is never run.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::StoreError;

/// Jobs that run one after the other, in their order.
#[derive(Clone)]
pub(super) struct JobQueue {
    shared: Arc<Mutex<Shared>>,
    thread: Thread,
}

/// Where the jobs run.
#[derive(Clone, Copy, Debug)]
enum Thread {
    /// Tokio's blocking pool: a runtime that ends waits for a job that has begun.
    Pool,
    /// A thread of the queue's own, which nothing waits for.
    #[cfg_attr(not(feature = "keyring"), expect(dead_code, reason = "for the keyring"))]
    Detached,
}

#[derive(Default)]
struct Shared {
    waiting: VecDeque<Box<dyn Job>>,
    /// There is a thread, or there will be one, that takes what is waiting.
    has_thread: bool,
}

trait Job: Send {
    /// Does anybody still wait for the result?
    fn is_wanted(&self) -> bool;

    fn run(self: Box<Self>);
}

struct Work<T, F> {
    work: F,
    answer: oneshot::Sender<std::thread::Result<T>>,
}

impl<T: Send, F: FnOnce() -> T + Send> Job for Work<T, F> {
    fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    fn run(self: Box<Self>) {
        let Work { work, answer } = *self;
        let _ = answer.send(catch_unwind(AssertUnwindSafe(work)));
    }
}

impl JobQueue {
    /// A queue whose jobs a runtime waits for when it ends.
    pub(super) fn new() -> Self {
        JobQueue { shared: Arc::default(), thread: Thread::Pool }
    }

    /// A queue whose jobs are left behind when the program ends.
    #[cfg(feature = "keyring")]
    pub(super) fn detached() -> Self {
        JobQueue { shared: Arc::default(), thread: Thread::Detached }
    }

    /// Runs `work` when its turn comes. `doing` completes "the store did not …", for an error.
    ///
    /// # Cancel safety
    ///
    /// Work that has begun goes on when this is dropped; other work is not begun.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.push(Box::new(Work { work, answer }))?;
        match answered.await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StoreError::panicked(doing)),
            Err(error) => {
                let message = format!("the runtime ended before the store could {doing}");
                Err(StoreError::unavailable(message, error))
            }
        }
    }

    fn push(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let runtime = match self.thread {
            Thread::Detached => None,
            Thread::Pool => Some(Handle::try_current().map_err(|error| {
                let message = "this store needs a Tokio runtime, and there is none here";
                StoreError::unavailable(message, error)
            })?),
        };
        let mut shared = lock(&self.shared);
        // What nobody waits for goes now: a thread that hangs would let it pile up.
        let (wanted, unwanted): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut shared.waiting).into_iter().partition(|job| job.is_wanted());
        shared.waiting = wanted;
        shared.waiting.push_back(job);
        let has_thread = std::mem::replace(&mut shared.has_thread, true);
        drop(shared);
        // A job may hold a lease, which the system frees on drop.
        drop(unwanted);
        if !has_thread {
            let drain = Drain { shared: Arc::clone(&self.shared), is_done: false };
            match runtime {
                Some(runtime) => drop(runtime.spawn_blocking(move || drain.run())),
                None => {
                    let thread = std::thread::Builder::new().name("token-store".to_owned());
                    thread.spawn(move || drain.run()).map_err(|error| {
                        StoreError::unavailable("the system gives no thread", error)
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// Takes the jobs of a queue. If it is dropped before it could (its runtime has ended, say), those
/// who wait are told, and the next job finds another thread.
struct Drain {
    shared: Arc<Mutex<Shared>>,
    is_done: bool,
}

impl Drain {
    fn run(mut self) {
        loop {
            let mut shared = lock(&self.shared);
            let Some(job) = shared.waiting.pop_front() else {
                shared.has_thread = false;
                self.is_done = true;
                return;
            };
            drop(shared);
            if job.is_wanted() {
                job.run();
            }
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        if !self.is_done {
            let mut shared = lock(&self.shared);
            shared.has_thread = false;
            let abandoned = std::mem::take(&mut shared.waiting);
            drop(shared);
            drop(abandoned);
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for JobQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobQueue").field("thread", &self.thread).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    /// A job that says that it has begun and then waits, like one at a disk that hangs.
    fn hanging()
    -> (impl FnOnce() -> Result<(), StoreError> + Send, oneshot::Receiver<()>, mpsc::Sender<()>)
    {
        let (begun, has_begun) = oneshot::channel();
        let (go_on, told_to) = mpsc::channel();
        let work = move || {
            let _ = begun.send(());
            let _ = told_to.recv();
            Ok(())
        };
        (work, has_begun, go_on)
    }

    #[tokio::test]
    async fn f7_jobs_given_up_while_one_hangs_take_no_thread_and_no_room() {
        let queue = JobQueue::new();
        let (work, has_begun, go_on) = hanging();
        let hangs = tokio::spawn({
            let queue = queue.clone();
            async move { queue.run("hang", work).await }
        });
        has_begun.await.unwrap();
        let run = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let run = Arc::clone(&run);
            let given_up = queue.run("be given up", move || {
                run.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
            tokio::select! {
                biased;
                _ = given_up => unreachable!("another job hangs"),
                () = std::future::ready(()) => {}
            }
            assert!(lock(&queue.shared).waiting.len() <= 1);
        }
        go_on.send(()).unwrap();
        hangs.await.unwrap().unwrap();
        assert_eq!(queue.run("answer", || Ok(7)).await.unwrap(), 7);
        assert_eq!(run.load(Ordering::SeqCst), 0, "a job was run that nobody waited for");
    }

    #[tokio::test]
    async fn panic_is_an_error_and_the_queue_goes_on() {
        let queue = JobQueue::new();
        let error = queue.run::<()>("work", || panic!("a test")).await.unwrap_err();
        assert!(error.is_unavailable() && error.to_string().contains("panicked"), "{error}");
        assert_eq!(queue.run("answer", || Ok(7)).await.unwrap(), 7);
    }

    #[test]
    fn job_of_a_runtime_that_ended_is_an_error_and_another_runtime_goes_on() {
        let runtime = |threads| {
            tokio::runtime::Builder::new_current_thread()
                .max_blocking_threads(threads)
                .build()
                .unwrap()
        };
        let queue = JobQueue::new();
        let (ends, goes_on) = (runtime(1), runtime(1));
        // Its only thread is busy, so that the queue's thread never starts.
        let (work, has_begun, go_on) = hanging();
        ends.spawn_blocking(work);
        ends.block_on(has_begun).unwrap();
        let waits = ends.spawn({
            let queue = queue.clone();
            async move { queue.run("work", || Ok(())).await }
        });
        ends.block_on(tokio::task::yield_now());
        assert!(!waits.is_finished());
        ends.shutdown_background();
        go_on.send(()).unwrap();
        // Depending on who is faster, the job was abandoned or was run after all.
        let late = goes_on.block_on(queue.run("work", || Ok(7)));
        let again = goes_on.block_on(queue.run("work", || Ok(8)));
        assert!(late.is_ok() || late.unwrap_err().to_string().contains("the runtime ended"));
        assert_eq!(again.unwrap(), 8);
    }
}
