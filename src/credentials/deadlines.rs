//! From which moment a token is refreshed early, and from which it has expired.

use std::time::Duration;

use crate::token::{IssuedToken, Moment};

/// A token is refreshed this share of its lifetime before its end, at the earliest.
const SHARE_OF_LIFETIME: u32 = 5;

/// How early a token is refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RefreshWindow {
    /// The longest time before a token's end at which it is refreshed.
    pub(crate) leeway: Duration,
    /// From 0 to 1000, drawn once for each credential. It takes away up to half of the window, so
    /// that a fleet that got its tokens together does not refresh in step.
    pub(crate) jitter: u16,
}

/// The two deadlines of one access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Deadlines {
    /// From here on the token is refreshed; it is valid.
    pub(crate) refresh_soon: Moment,
    /// From here on the token has expired.
    pub(crate) expired: Moment,
}

impl Deadlines {
    /// Of a token whose expiry is not known: only a 401 leads to a refresh.
    pub(crate) const UNKNOWN: Deadlines =
        Deadlines { refresh_soon: Moment::NEVER, expired: Moment::NEVER };
}

impl RefreshWindow {
    /// The deadlines of a token that was `issued`, seen at `now`: its lifetime is what is left of
    /// it.
    pub(crate) fn deadlines(&self, issued: &IssuedToken, now: Moment) -> Deadlines {
        let Some(expires_at) = issued.expires_at else {
            return Deadlines::UNKNOWN;
        };
        let lifetime = expires_at.duration_since(now.wall_time()).unwrap_or_default();
        let window = self.leeway.min(lifetime / SHARE_OF_LIFETIME);
        let earlier = (window / 2000).saturating_mul(u32::from(self.jitter.min(1000)));
        let window = window.saturating_sub(earlier);
        let mut expired = now.plus(lifetime);
        // What has expired before did so at its time by the wall clock, and not only now: the clock
        // may be set back yet.
        let overdue = now.wall_time().duration_since(expires_at).unwrap_or_default();
        let overdue = u64::try_from(overdue.as_millis()).unwrap_or(u64::MAX);
        expired.wall = expired.wall.saturating_sub(overdue);
        Deadlines { refresh_soon: now.plus(lifetime.saturating_sub(window)), expired }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::AccessToken;

    fn window(leeway: u64, jitter: u16, lifetime: u64) -> (u64, u64) {
        let window = RefreshWindow { leeway: Duration::from_secs(leeway), jitter };
        let now = Moment { monotonic: 5_000, wall: 1_000_000 };
        let issued = IssuedToken {
            token: AccessToken::new("a").unwrap(),
            expires_at: now.wall_time().checked_add(Duration::from_secs(lifetime)),
        };
        let deadlines = window.deadlines(&issued, now);
        (
            now.until(deadlines.refresh_soon).as_millis() as u64,
            now.until(deadlines.expired).as_millis() as u64,
        )
    }

    #[test]
    fn the_window_is_the_leeway_or_a_share_of_the_lifetime_less_the_jitter() {
        assert_eq!(window(300, 0, 7200), (6_900_000, 7_200_000));
        assert_eq!(window(300, 1000, 7200), (7_050_000, 7_200_000));
        assert_eq!(window(300, 0, 10), (8_000, 10_000));
        assert_eq!(window(0, 500, 10), (10_000, 10_000));
        assert_eq!(window(300, 0, 0), (0, 0));
    }

    #[test]
    fn token_that_had_expired_stays_so_when_the_wall_clock_is_set_back() {
        let window = RefreshWindow { leeway: Duration::from_secs(300), jitter: 0 };
        let now = Moment { monotonic: 5_000, wall: 10_000_000 };
        let issued = IssuedToken {
            token: AccessToken::new("a").unwrap(),
            expires_at: now.wall_time().checked_sub(Duration::from_secs(7_300)),
        };
        let expired = window.deadlines(&issued, now).expired;
        let an_hour_back = now.wall - 3_600_000;
        assert!(now.monotonic >= expired.monotonic && an_hour_back >= expired.wall);
    }

    #[test]
    fn unknown_expiry_never_comes() {
        let window = RefreshWindow { leeway: Duration::MAX, jitter: 1000 };
        let issued = IssuedToken { token: AccessToken::new("a").unwrap(), expires_at: None };
        assert_eq!(window.deadlines(&issued, Moment::PAST), Deadlines::UNKNOWN);
    }
}
