//! A lease with a term: who has it, and until when it is certainly valid.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::token::{Clock, Moment};

/// Is `lifetime` one that a store may give to its leases?
pub(crate) fn check_lifetime(lifetime: Duration) -> Result<(), Error> {
    if (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&lifetime) {
        return Ok(());
    }
    Err(Error::invalid_input(format!(
        "a lease lifetime of {lifetime:?} is out of range: 1 s at least, 1 h at most"
    )))
}

/// The exclusive right to refresh, granted by a store over a network or a database.
///
/// It ends by itself unless it is renewed. It is data: dropping it has no effect.
#[derive(Clone)]
pub struct TimedLease {
    /// 128 random bits in hexadecimal: no other grant has them, in any process.
    owner: Arc<str>,
    /// The store keeps the lease until then at least.
    valid_until: Moment,
}

impl TimedLease {
    /// The lease that the store is about to be asked for. To be made before the request is sent:
    /// the store's own term begins later.
    pub(crate) fn request(term: Duration) -> Self {
        let mut bits = [0; 16];
        // Never from the process id or a seeded generator: two containers may share both.
        getrandom::fill(&mut bits).expect("the operating system has a source of randomness");
        let owner = bits.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        TimedLease { owner, valid_until: end_of(term) }
    }

    /// The same lease for a whole term more. To be made before the request is sent.
    pub(crate) fn renewed(&self, term: Duration) -> Self {
        TimedLease { owner: Arc::clone(&self.owner), valid_until: end_of(term) }
    }

    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// How much longer it is certainly valid, by both clocks: the monotonic one stands still while
    /// the machine sleeps, and the wall clock can be set back.
    pub(crate) fn time_left(&self) -> Duration {
        let now = Clock::system().now();
        let left = |now: u64, end: u64| Duration::from_millis(end.saturating_sub(now));
        left(now.monotonic, self.valid_until.monotonic).min(left(now.wall, self.valid_until.wall))
    }
}

/// A term from now, less what the two clocks may differ by: one part in a hundred, and the
/// coarseness of this one.
fn end_of(term: Duration) -> Moment {
    let margin = (term / 100).saturating_add(Duration::from_millis(10));
    Clock::system().now().plus(term.saturating_sub(margin))
}

impl fmt::Debug for TimedLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedLease").field("owner", &self.owner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f6_no_two_grants_have_the_same_owner_whatever_the_seeds() {
        let term = Duration::from_secs(10);
        // Two processes that begin with equal pseudo-random seeds, and with equal process ids.
        let owners = [(); 2].map(|()| {
            fastrand::seed(7);
            TimedLease::request(term).owner().to_owned()
        });
        assert_ne!(owners[0], owners[1]);
    }

    #[test]
    fn p1_a_lease_ends_here_before_it_ends_in_the_store() {
        let lease = TimedLease::request(Duration::from_secs(10));
        assert!(lease.time_left() <= Duration::from_millis(9890), "{:?}", lease.time_left());
        assert!(lease.time_left() > Duration::from_secs(5));
        let renewed = lease.renewed(Duration::from_secs(60));
        assert_eq!(renewed.owner(), lease.owner());
        assert!(renewed.time_left() > lease.time_left());
    }
}
