//! The leases that were let go of and that Redis may still hold: whoever ends its process waits for
//! them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts the leases of one store on their way back.
#[derive(Default)]
pub(super) struct Departures {
    under_way: AtomicUsize,
    all_over: Notify,
}

impl Departures {
    /// Counts one more, until the value is dropped.
    pub(super) fn begin(departures: &Arc<Departures>) -> Departure {
        departures.under_way.fetch_add(1, Ordering::SeqCst);
        Departure(Arc::clone(departures))
    }

    /// Waits until none is under way.
    pub(super) async fn over(&self) {
        loop {
            // Before the look, so that no end falls between the two unheard.
            let all_over = self.all_over.notified();
            if self.under_way.load(Ordering::SeqCst) == 0 {
                return;
            }
            all_over.await;
        }
    }
}

/// One lease on its way back. Whoever sees to it keeps this until Redis knows, or until there is
/// nothing more to be done.
pub(super) struct Departure(Arc<Departures>);

impl Drop for Departure {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.all_over.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_test::{assert_pending, assert_ready, task};

    #[test]
    fn all_are_waited_for_by_everybody() {
        let departures = Arc::new(Departures::default());
        assert_ready!(task::spawn(departures.over()).poll());
        let (first, second) = (Departures::begin(&departures), Departures::begin(&departures));
        let mut waits = [task::spawn(departures.over()), task::spawn(departures.over())];
        for wait in &mut waits {
            assert_pending!(wait.poll());
        }
        drop(second);
        for wait in &mut waits {
            assert_pending!(wait.poll());
        }
        drop(first);
        for wait in &mut waits {
            assert!(wait.is_woken());
            assert_ready!(wait.poll());
        }
    }
}
