//! How long nothing is tried after a failure.
//!
//! TeamUp allows 250 requests a minute for an IP address, and the refresh endpoint counts by that.
//! Fifty processes that meet an outage together send at most five refresh requests each in the
//! first minute, and fewer in each later one.

use std::time::Duration;

use crate::refresh::FailureClass;

/// A pause that doubles with each consecutive failure, and the most that it grows to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
}

/// Between two attempts to save what is dirty.
pub(crate) const SAVE: Backoff =
    Backoff { first: Duration::from_millis(200), most: Duration::from_secs(30) };

/// After a refresh that failed for any reason that is not the endpoint's answer.
pub(crate) const TRANSIENT: Backoff =
    Backoff { first: Duration::from_secs(5), most: Duration::from_secs(300) };

/// After a read of an M2M source that brought nothing new. Short: an operator who replaces a token
/// that was refused waits for it.
pub(crate) const SOURCE: Backoff =
    Backoff { first: Duration::from_secs(1), most: Duration::from_secs(10) };

const NOT_THE_ENDPOINT: Backoff =
    Backoff { first: Duration::from_secs(1), most: Duration::from_secs(600) };

const PROBABLY_REJECTED: Backoff =
    Backoff { first: Duration::from_secs(60), most: Duration::from_secs(3600) };

/// Before the second refresh request of one refresh.
pub(crate) const SECOND_TRY: Backoff =
    Backoff { first: Duration::from_millis(250), most: Duration::from_millis(250) };

impl Backoff {
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
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let pause = doubled.min(self.most);
        pause + (pause / 2000).saturating_mul(u32::from(jitter.min(1000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_doubles_up_to_its_end_and_the_jitter_adds_up_to_half() {
        let seconds = |failures, jitter| TRANSIENT.pause(failures, jitter).as_millis();
        assert_eq!(seconds(1, 0), 5_000);
        assert_eq!(seconds(2, 0), 10_000);
        assert_eq!(seconds(7, 0), 300_000);
        assert_eq!(seconds(u32::MAX, 1000), 450_000);
        assert_eq!(seconds(1, 1000), 7_500);
    }

    #[test]
    fn fifty_processes_in_an_outage_stay_below_the_rate_limit() {
        // Two requests in the first refresh, one in each later one, as early as the jitter allows.
        let mut sent = vec![0, 250];
        let mut at = 250;
        for failures in 1..12 {
            at += TRANSIENT.pause(failures, 0).as_millis() as u64;
            sent.push(at);
        }
        for start in &sent {
            let in_a_minute =
                sent.iter().filter(|at| (*start..start + 60_000).contains(at)).count();
            assert!(in_a_minute * 50 <= 250, "{in_a_minute} from {start} ms on");
        }
    }
}
