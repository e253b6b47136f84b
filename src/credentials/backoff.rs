//! How long nothing is tried after a failure.
//!
//! TeamUp allows 250 requests a minute for an IP address, and the refresh endpoint counts by that.
//! Fifty processes that meet an outage together send at most four refresh requests each in any
//! minute. The rest of the limit is left for their other requests.

use std::time::Duration;

use crate::refresh::FailureClass;

/// A pause that is multiplied with each consecutive failure, and the most that it grows to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    factor: u32,
    most: Duration,
}

/// Between two attempts to save what is dirty.
pub(crate) const SAVE: Backoff = Backoff::new(Duration::from_millis(200), 2, 30);

/// After a refresh that failed for any reason that is not the endpoint's answer. Doubled pauses would
/// let a fleet of fifty use up the whole limit.
pub(crate) const TRANSIENT: Backoff = Backoff::new(Duration::from_secs(5), 3, 300);

/// After a read of an M2M source that brought nothing new. Short: an operator who replaces a token
/// that was refused waits for it.
pub(crate) const SOURCE: Backoff = Backoff::new(Duration::from_secs(1), 2, 10);

/// Begins early, because a page in front of the endpoint may be gone at once, and so has to grow
/// faster.
const NOT_THE_ENDPOINT: Backoff = Backoff::new(Duration::from_secs(1), 4, 600);

const PROBABLY_REJECTED: Backoff = Backoff::new(Duration::from_secs(60), 2, 3600);

/// Before the second refresh request of one refresh.
pub(crate) const SECOND_TRY: Backoff = Backoff::new(Duration::from_millis(250), 1, 1);

impl Backoff {
    const fn new(first: Duration, factor: u32, most_seconds: u64) -> Self {
        Backoff { first, factor, most: Duration::from_secs(most_seconds) }
    }

    /// After a refresh request that failed like this; `None` where it is not tried again by itself.
    pub(crate) fn after(class: FailureClass) -> Option<Backoff> {
        match class {
            FailureClass::Transient | FailureClass::OutcomeUnknown => Some(TRANSIENT),
            FailureClass::NotTheEndpoint => Some(NOT_THE_ENDPOINT),
            FailureClass::ProbablyRejected => Some(PROBABLY_REJECTED),
            FailureClass::Configuration | FailureClass::Rejected => None,
        }
    }

    /// After `failures` of them in a row, the latest included. `jitter`, from 0 to 1000, adds up to
    /// half of the pause.
    pub(crate) fn pause(self, failures: u32, jitter: u16) -> Duration {
        let factor = self.factor.saturating_pow(failures.saturating_sub(1));
        let pause = self.first.saturating_mul(factor).min(self.most);
        pause.saturating_add((pause / 2000).saturating_mul(u32::from(jitter.min(1000))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_grows_up_to_its_end_and_the_jitter_adds_up_to_half() {
        let millis = |failures, jitter| TRANSIENT.pause(failures, jitter).as_millis();
        assert_eq!(millis(1, 0), 5_000);
        assert_eq!(millis(2, 0), 15_000);
        assert_eq!(millis(5, 0), 300_000);
        assert_eq!(millis(u32::MAX, 1000), 450_000);
        assert_eq!(millis(1, 1000), 7_500);
    }

    /// `outage` of the tests with processes runs the same with fifty of them.
    #[test]
    fn p3_fifty_processes_in_an_outage_stay_below_the_rate_limit() {
        // As early as the jitter allows. Only these two classes are sent twice in a first refresh.
        for (class, second_try) in [
            (FailureClass::Transient, Some(250)),
            (FailureClass::OutcomeUnknown, Some(250)),
            (FailureClass::NotTheEndpoint, None),
            (FailureClass::ProbablyRejected, None),
        ] {
            let backoff = Backoff::after(class).expect("it is tried again");
            let mut sent: Vec<u64> = std::iter::once(0).chain(second_try).collect();
            let mut at = second_try.unwrap_or(0);
            for failures in 1..12 {
                at += backoff.pause(failures, 0).as_millis() as u64;
                sent.push(at);
            }
            for start in &sent {
                let in_a_minute =
                    sent.iter().filter(|at| (*start..start + 60_000).contains(at)).count();
                assert!(in_a_minute * 50 < 250, "{class:?}: {in_a_minute} from {start} ms on");
            }
        }
    }
}
