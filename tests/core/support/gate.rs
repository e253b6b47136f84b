//! A gate on the way of calls: a test holds them there, and knows how many have come.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Semaphore, watch};

#[derive(Debug)]
pub(crate) struct Gate {
    arrived: watch::Sender<usize>,
    held: AtomicBool,
    passes: Semaphore,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Gate {
            arrived: watch::Sender::new(0),
            held: AtomicBool::new(false),
            passes: Semaphore::new(0),
        }
    }

    /// From now on everybody waits here.
    pub(crate) fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Lets `count` of those that wait, or will wait, go on.
    pub(crate) fn let_through(&self, count: usize) {
        self.passes.add_permits(count);
    }

    /// Nobody waits here any more.
    pub(crate) fn open(&self) {
        self.held.store(false, Ordering::SeqCst);
        self.passes.add_permits(1 << 24);
    }

    /// How many have come so far, those that went on included.
    pub(crate) fn count(&self) -> usize {
        *self.arrived.borrow()
    }

    /// Waits until `count` have come.
    pub(crate) async fn arrived(&self, count: usize) {
        let mut arrived = self.arrived.subscribe();
        arrived.wait_for(|&so_far| so_far >= count).await.expect("the gate outlives the wait");
    }

    pub(crate) async fn pass(&self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
        if self.held.load(Ordering::SeqCst) {
            self.passes.acquire().await.expect("never closed").forget();
        }
    }
}
