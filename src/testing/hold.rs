//! Holding requests back until a test lets them go: the deterministic kind of delay.

use std::fmt;
use std::sync::{Arc, Weak};

use tokio::sync::{Semaphore, watch};

use super::shared::Shared;

/// Where on a request's way it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The exchange has arrived; nothing has been rotated.
    RefreshArrival,
    /// The rotation took place; the client does not know yet.
    RefreshAnswer,
    /// The API request has arrived; its token has not been judged.
    ApiArrival,
    /// The API request is judged; the answer has not been sent.
    ApiAnswer,
}

pub(super) struct Gate {
    place: Place,
    arrived: watch::Sender<usize>,
    /// Closed when the hold is released: whoever waits, and whoever still comes, passes.
    passes: Semaphore,
}

/// The gates that stand at the moment.
#[derive(Default)]
pub(super) struct Gates(Vec<Arc<Gate>>);

/// Holds requests back at one place until the test lets them go.
///
/// Made by [`FakeTeamUp::hold_refresh`](super::FakeTeamUp::hold_refresh) and its like. Dropping it
/// releases everything it holds.
///
/// ```
/// use tower_teamup_auth::testing::FakeTeamUp;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let server = FakeTeamUp::start().await;
/// let hold = server.hold_refresh();
/// // … start what leads to an exchange, then `hold.arrived(1).await` …
/// assert_eq!(hold.count(), 0);
/// hold.release();
/// # }
/// ```
#[must_use = "a hold that is dropped holds nothing back"]
pub struct Hold {
    gate: Arc<Gate>,
    shared: Weak<Shared>,
}

impl Gates {
    pub(super) fn at(&self, place: Place) -> Vec<Arc<Gate>> {
        self.0.iter().filter(|gate| gate.place == place).cloned().collect()
    }
}

impl Gate {
    /// # Cancel safety
    ///
    /// Dropped while it waits, it takes no pass away from another.
    pub(super) async fn pass(&self) {
        self.arrived.send_modify(|count| *count += 1);
        if let Ok(pass) = self.passes.acquire().await {
            pass.forget();
        }
    }
}

impl Hold {
    pub(super) fn new(shared: &Arc<Shared>, place: Place) -> Self {
        let gate =
            Arc::new(Gate { place, arrived: watch::Sender::new(0), passes: Semaphore::new(0) });
        shared.lock().gates.0.push(Arc::clone(&gate));
        Hold { gate, shared: Arc::downgrade(shared) }
    }

    /// Waits until `count` requests, counted from the making of the hold, have arrived at it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn arrived(&self, count: usize) {
        let mut arrived = self.gate.arrived.subscribe();
        // The sender lives as long as `self`, so there is no error to meet.
        let _ = arrived.wait_for(|arrived| *arrived >= count).await;
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
        if let Some(shared) = self.shared.upgrade() {
            shared.lock().gates.0.retain(|gate| !Arc::ptr_eq(gate, &self.gate));
        }
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
