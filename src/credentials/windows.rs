//! From which moment a refresh is advised, and from which it is due.

use std::time::Duration;

use crate::token::{IssuedToken, Moment};

/// A refresh is advised this share of a token's lifetime before its end, at most.
const SHARE_OF_LIFETIME: u32 = 5;

/// The part of the window that the jitter may take away.
const SHARE_OF_JITTER: f64 = 0.5;

/// How early a token is renewed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// The longest that a refresh is advised before a token's end.
    pub(crate) leeway: Duration,
    /// Between 0 and 1, drawn once for each credential: a fleet that got its tokens together does
    /// not refresh in step.
    pub(crate) jitter: f64,
}

/// The two deadlines of one access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// From here on a refresh is advised; the token is good.
    pub(crate) advised: Moment,
    /// From here on the token has expired.
    pub(crate) due: Moment,
}

impl Deadlines {
    /// Of a token whose expiry is not known: only a 401 renews it.
    pub(crate) const UNKNOWN: Deadlines = Deadlines { advised: Moment::NEVER, due: Moment::NEVER };
}

impl Windows {
    /// The deadlines of a token that was `issued`, seen at `now`: its lifetime is what is left of
    /// it.
    pub(crate) fn deadlines(&self, issued: &IssuedToken, now: Moment) -> Deadlines {
        let Some(expires_at) = issued.expires_at else {
            return Deadlines::UNKNOWN;
        };
        let lifetime = expires_at.duration_since(now.wall_time()).unwrap_or_default();
        let window = self.leeway.min(lifetime / SHARE_OF_LIFETIME);
        let window = window.mul_f64(1.0 - self.jitter * SHARE_OF_JITTER);
        let mut due = now.plus(lifetime);
        // What has expired before did so at its time by the wall clock, and not only now: the clock
        // may be set back yet.
        let overdue = now.wall_time().duration_since(expires_at).unwrap_or_default();
        due.wall = due.wall.saturating_sub(u64::try_from(overdue.as_millis()).unwrap_or(u64::MAX));
        Deadlines { advised: now.plus(lifetime - window), due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::AccessToken;

    fn window(leeway: u64, jitter: f64, lifetime: u64) -> (u64, u64) {
        let windows = Windows { leeway: Duration::from_secs(leeway), jitter };
        let now = Moment { monotonic: 5_000, wall: 1_000_000 };
        let issued = IssuedToken {
            token: AccessToken::new("a").unwrap(),
            expires_at: now.wall_time().checked_add(Duration::from_secs(lifetime)),
        };
        let deadlines = windows.deadlines(&issued, now);
        (
            now.until(deadlines.advised).as_millis() as u64,
            now.until(deadlines.due).as_millis() as u64,
        )
    }

    #[test]
    fn the_window_is_the_leeway_or_a_share_of_the_lifetime_less_the_jitter() {
        assert_eq!(window(300, 0.0, 7200), (6_900_000, 7_200_000));
        assert_eq!(window(300, 1.0, 7200), (7_050_000, 7_200_000));
        assert_eq!(window(300, 0.0, 10), (8_000, 10_000));
        assert_eq!(window(0, 0.5, 10), (10_000, 10_000));
        assert_eq!(window(300, 0.0, 0), (0, 0));
    }

    #[test]
    fn a_token_that_had_expired_stays_so_when_the_wall_clock_is_set_back() {
        let windows = Windows { leeway: Duration::from_secs(300), jitter: 0.0 };
        let now = Moment { monotonic: 5_000, wall: 10_000_000 };
        let issued = IssuedToken {
            token: AccessToken::new("a").unwrap(),
            expires_at: now.wall_time().checked_sub(Duration::from_secs(7_300)),
        };
        let due = windows.deadlines(&issued, now).due;
        let an_hour_back = now.wall - 3_600_000;
        assert!(now.monotonic >= due.monotonic && an_hour_back >= due.wall);
    }

    #[test]
    fn an_unknown_expiry_never_comes() {
        let windows = Windows { leeway: Duration::MAX, jitter: 1.0 };
        let issued = IssuedToken { token: AccessToken::new("a").unwrap(), expires_at: None };
        assert_eq!(windows.deadlines(&issued, Moment::PAST), Deadlines::UNKNOWN);
    }
}
