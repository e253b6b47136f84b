//! Holding requests back until a test lets them go: the deterministic kind of delay.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::limit::{block_on, within};

/// Where a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The refresh request has arrived; nothing has been rotated.
    RefreshArrival,
    /// The rotation took place; the client does not know yet.
    RefreshAnswer,
    /// The API request has arrived; its token has not been judged.
    ApiArrival,
    /// The API request is judged; the answer has not been sent.
    ApiAnswer,
}

struct Gate {
    place: Place,
    arrived: watch::Sender<usize>,
    /// Closed when the hold is released: whoever waits, and whoever still comes, passes.
    passes: Semaphore,
}

/// The gates that are closed at the moment. A clone is the same list.
#[derive(Clone, Default)]
pub(super) struct Gates(Arc<Mutex<Vec<Arc<Gate>>>>);

/// Holds requests back at one place until the test lets them go.
///
/// Made by [`FakeTeamUp::hold_refresh`](super::FakeTeamUp::hold_refresh) and its like. Dropping it
/// releases everything it holds. A request stays held when its client hangs up, unless the server
/// [aborts](super::FakeTeamUpBuilder::abort_on_disconnect) such requests.
///
/// ```
/// use tower_teamup_auth::testing::FakeTeamUp;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let server = FakeTeamUp::start().await;
/// let hold = server.hold_refresh();
/// // … start what leads to a refresh request, then `hold.arrived(1).await` …
/// assert_eq!(hold.count(), 0);
/// hold.release();
/// # }
/// ```
#[must_use = "a hold that is dropped holds nothing back"]
pub struct Hold {
    gate: Arc<Gate>,
    gates: Gates,
    wait_limit: Duration,
}

impl Gates {
    /// Holds requests at `place` from now on.
    pub(super) fn hold(&self, place: Place, wait_limit: Duration) -> Hold {
        let gate =
            Arc::new(Gate { place, arrived: watch::Sender::new(0), passes: Semaphore::new(0) });
        self.lock().push(Arc::clone(&gate));
        Hold { gate, gates: self.clone(), wait_limit }
    }

    /// Waits at every gate of this place.
    pub(super) async fn pass(&self, place: Place) {
        let gates: Vec<_> =
            self.lock().iter().filter(|gate| gate.place == place).cloned().collect();
        for gate in gates {
            gate.pass().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Gate>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// # Cancel safety
    ///
    /// Dropped while it waits, it takes no pass away from another.
    async fn pass(&self) {
        self.arrived.send_modify(|count| *count += 1);
        if let Ok(pass) = self.passes.acquire().await {
            pass.forget();
        }
    }
}

impl Hold {
    /// Waits until `count` requests, counted from the making of the hold, have arrived at it.
    ///
    /// # Panics
    ///
    /// When that takes longer than the server's
    /// [`wait_limit`](super::FakeTeamUpBuilder::wait_limit).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn arrived(&self, count: usize) {
        let mut arrived = self.gate.arrived.subscribe();
        let waiting = async {
            // The sender lives as long as `self`, so there is no error to meet.
            let _ = arrived.wait_for(|arrived| *arrived >= count).await;
        };
        if within(self.wait_limit, waiting).await.is_none() {
            let (arrived, limit) = (self.count(), self.wait_limit);
            panic!("{arrived} of {count} requests arrived at {self:?} within {limit:?}");
        }
    }

    /// [`arrived`](Hold::arrived) for a test without a runtime.
    ///
    /// # Panics
    ///
    /// As [`arrived`](Hold::arrived) does, and inside a runtime.
    pub fn arrived_blocking(&self, count: usize) {
        block_on(self.arrived(count));
    }

    /// How many requests have arrived at the hold so far, those let through included.
    pub fn count(&self) -> usize {
        *self.gate.arrived.borrow()
    }

    /// Lets `count` requests pass, waiting ones first, and goes on holding the others.
    pub fn let_through(&self, count: usize) {
        self.gate.passes.add_permits(count);
    }

    /// Lets everything pass, and holds nothing any more.
    pub fn release(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gate.passes.close();
        self.gates.lock().retain(|gate| !Arc::ptr_eq(gate, &self.gate));
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("place", &self.gate.place)
            .field("arrived", &self.count())
            .finish_non_exhaustive()
    }
}
