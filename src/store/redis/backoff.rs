//! Pauses that grow, with jitter, so that a fleet does not ask in step.

use std::time::Duration;

pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Backoff { next: first, longest }
    }

    /// Half of the pause that is due at least, all of it at most.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_never_vanish() {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(250));
        for due in [20, 40, 80, 160, 250, 250] {
            let due = Duration::from_millis(due);
            let pause = backoff.pause();
            assert!(pause >= due / 2 && pause <= due, "{pause:?} for {due:?}");
        }
    }
}
