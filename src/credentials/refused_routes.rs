//! Routes whose 401 is not about the token.
//!
//! Some URL may answer 401 whatever token it is sent: a permission that is missing, say, and reported under
//! the wrong status. Each of its 401s would cost a refresh. So a route is remembered when it has refused a
//! token that was minted for it. Its later 401s pass through, and from time to time one of them is given
//! another chance. Other routes are refreshed for as before.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use http::Method;

use crate::headers::{ProviderId, RequestMode};
use crate::origin::Allowed;
use crate::token::Moment;

/// So many routes are remembered for each credential. The least recently used goes.
const MOST_ROUTES: usize = 64;

/// The first pause between two refreshes that one route causes. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause between two refreshes that one route causes.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);

/// Stands for method, origin, path without query, mode and provider id of a request. In the path, segments
/// of digits and UUIDs count as equal: `/events/7` and `/events/8` are one route.
///
/// A keyed hash: whoever chooses paths can't make two routes collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteKey(u64);

/// The routes of one credential that refuse fresh tokens.
#[derive(Debug, Default)]
pub(crate) struct RefusedRoutes {
    /// The most recently used last.
    routes: Mutex<Vec<RefusedRoute>>,
    /// So that a response on the fast path costs one load, and no lock.
    is_any: AtomicBool,
}

#[derive(Debug)]
struct RefusedRoute {
    key: RouteKey,
    /// From then on its next 401 may cause a refresh.
    next_refresh: Moment,
    pause: Duration,
    /// Its pause was over, and a refresh was caused since.
    was_tried: bool,
}

/// What a 401 of a route may cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteVerdict {
    /// A refresh: nothing is known against the route.
    NotRemembered,
    /// A refresh, although the route has refused fresh tokens: its pause is over. It does not count
    /// for the guard of last resort.
    PauseIsOver,
    /// Nothing: the 401 passes through.
    Refused,
}

impl RouteKey {
    /// `path` may have a query, which is left out.
    pub(crate) fn of(
        method: &Method,
        origin: Allowed,
        path: &[u8],
        mode: RequestMode,
        provider_id: Option<ProviderId>,
    ) -> Self {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
        let mut normalized = Vec::with_capacity(path.len());
        for segment in path.split(|byte| *byte == b'/') {
            normalized.push(b'/');
            // No path holds a NUL, so nothing else reads like it.
            normalized.extend_from_slice(if is_id(segment) { b"\0" } else { segment });
        }
        let provider_id = provider_id.map(ProviderId::get);
        let route = (method.as_str(), origin.index, normalized, mode, provider_id);
        RouteKey(KEY.get_or_init(RandomState::new).hash_one(route))
    }
}

/// Does a segment of a path name one of many: all digits, or a UUID?
fn is_id(segment: &[u8]) -> bool {
    let is_number = !segment.is_empty() && segment.iter().all(u8::is_ascii_digit);
    let is_uuid = segment.len() == 36
        && segment.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    is_number || is_uuid
}

impl RefusedRoutes {
    /// Is none remembered? Then no key has to be made.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_any.load(Ordering::Relaxed)
    }

    /// A route was answered 401: may it cause a refresh at `now`? After `PauseIsOver` its next pause
    /// has begun, so that one request alone is told so.
    pub(crate) fn check(&self, key: RouteKey, now: Moment) -> RouteVerdict {
        if self.is_empty() {
            return RouteVerdict::NotRemembered;
        }
        let mut routes = self.routes();
        let Some(mut route) = take(&mut routes, key) else {
            return RouteVerdict::NotRemembered;
        };
        let verdict = if now.has_reached(route.next_refresh) {
            route.next_refresh = now.plus(route.pause);
            route.was_tried = true;
            RouteVerdict::PauseIsOver
        } else {
            RouteVerdict::Refused
        };
        routes.push(route);
        verdict
    }

    /// A token that was minted for the route was answered 401.
    pub(crate) fn refuse(&self, key: RouteKey, now: Moment) {
        let mut routes = self.routes();
        let pause = match take(&mut routes, key) {
            // Of many requests that waited for one token, the first has said so.
            Some(route) if !route.was_tried => return routes.push(route),
            Some(route) => route.pause.saturating_mul(2).min(LONGEST_PAUSE),
            None => FIRST_PAUSE,
        };
        if routes.len() == MOST_ROUTES {
            routes.remove(0);
        }
        let next_refresh = now.plus(pause);
        routes.push(RefusedRoute { key, next_refresh, pause, was_tried: false });
        self.is_any.store(true, Ordering::Relaxed);
    }

    /// The route gave another answer than 401.
    pub(crate) fn accept(&self, key: RouteKey) {
        let mut routes = self.routes();
        let _ = take(&mut routes, key);
        self.is_any.store(!routes.is_empty(), Ordering::Relaxed);
    }

    /// A login replaced the tokens.
    pub(crate) fn clear(&self) {
        let mut routes = self.routes();
        // With its memory, since most credentials never need any.
        *routes = Vec::new();
        self.is_any.store(false, Ordering::Relaxed);
    }

    fn routes(&self) -> MutexGuard<'_, Vec<RefusedRoute>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(routes: &mut Vec<RefusedRoute>, key: RouteKey) -> Option<RefusedRoute> {
    let at = routes.iter().position(|route| route.key == key)?;
    Some(routes.remove(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment { monotonic: 10_000, wall: 1_000_000_000 };

    fn key(path: &str) -> RouteKey {
        let mode = RequestMode::Provider;
        RouteKey::of(&Method::GET, Allowed::BASE, path.as_bytes(), mode, None)
    }

    fn after(seconds: u64) -> Moment {
        NOW.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn numbers_uuids_and_queries_do_not_make_another_route() {
        let route = key("/api/v2/events/7/customers/1");
        for same in [
            "/api/v2/events/7/customers/1?page=2",
            "/api/v2/events/54664/customers/2",
            "/api/v2/events/7d444840-9dc0-11d1-b245-5ffdce74fad2/customers/1",
            "/api/v2/events/7D444840-9DC0-11D1-B245-5FFDCE74FAD2/customers/1",
        ] {
            assert_eq!(key(same), route, "{same}");
        }
        for other in [
            "/api/v2/events/7/customers",
            "/api/v2/events/7/customers/1/",
            "/api/v2/events/7a/customers/1",
            "/api/v2/events//customers/1",
            "/api/v2/events/:id/customers/1",
            "/api/v2/events/7d444840-9dc0-11d1-b2455-ffdce74fad2/customers/1",
        ] {
            assert_ne!(key(other), route, "{other}");
        }
    }

    #[test]
    fn method_origin_mode_and_provider_id_make_another_route() {
        let elsewhere = Allowed { index: 1, is_rewritten: false };
        let (get, provider) = (&Method::GET, RequestMode::Provider);
        let keys = [
            RouteKey::of(get, Allowed::BASE, b"/", provider, None),
            RouteKey::of(&Method::POST, Allowed::BASE, b"/", provider, None),
            RouteKey::of(get, elsewhere, b"/", provider, None),
            RouteKey::of(get, Allowed::BASE, b"/", RequestMode::Customer, None),
            RouteKey::of(get, Allowed::BASE, b"/", provider, Some(ProviderId::new(1))),
            RouteKey::of(get, Allowed::BASE, b"/", provider, Some(ProviderId::new(2))),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{at}");
        }
        let rewritten = Allowed { is_rewritten: true, ..Allowed::BASE };
        assert_eq!(RouteKey::of(get, rewritten, b"/", provider, None), keys[0]);
    }

    #[test]
    fn b5_a_route_that_is_polled_each_second_for_ten_minutes_causes_few_refreshes() {
        let routes = RefusedRoutes::default();
        let polled = key("/api/v2/reports");
        let mut refreshes = Vec::new();
        for second in 0..600 {
            if routes.check(polled, after(second)) != RouteVerdict::Refused {
                refreshes.push(second);
                routes.refuse(polled, after(second));
            }
        }
        assert_eq!(refreshes, [0, 30, 90, 210, 450]);
        assert_eq!(routes.check(key("/api/v2/events"), after(600)), RouteVerdict::NotRemembered);
    }

    #[test]
    fn b5_one_request_alone_is_told_that_the_pause_is_over() {
        let routes = RefusedRoutes::default();
        assert!(routes.is_empty());
        routes.refuse(key("/a"), NOW);
        assert!(!routes.is_empty());
        assert_eq!(routes.check(key("/a"), after(29)), RouteVerdict::Refused);
        assert_eq!(routes.check(key("/a"), after(30)), RouteVerdict::PauseIsOver);
        assert_eq!(routes.check(key("/a"), after(30)), RouteVerdict::Refused);
        assert_eq!(routes.check(key("/a"), after(60)), RouteVerdict::PauseIsOver);
    }

    #[test]
    fn b5_pauses_end_at_ten_minutes() {
        let routes = RefusedRoutes::default();
        routes.refuse(key("/a"), NOW);
        for hour in 1..20 {
            assert_eq!(routes.check(key("/a"), after(3600 * hour)), RouteVerdict::PauseIsOver);
            routes.refuse(key("/a"), after(3600 * hour));
        }
        let last = 3600 * 19;
        assert_eq!(routes.check(key("/a"), after(last + 599)), RouteVerdict::Refused);
        assert_eq!(routes.check(key("/a"), after(last + 600)), RouteVerdict::PauseIsOver);
    }

    #[test]
    fn b5_many_requests_that_waited_for_one_token_begin_one_pause() {
        let routes = RefusedRoutes::default();
        for _ in 0..100 {
            routes.refuse(key("/a"), NOW);
        }
        assert_eq!(routes.check(key("/a"), after(30)), RouteVerdict::PauseIsOver);
    }

    #[test]
    fn another_answer_or_a_login_forgets_a_route() {
        let routes = RefusedRoutes::default();
        routes.refuse(key("/a"), NOW);
        routes.refuse(key("/b"), NOW);
        routes.accept(key("/a"));
        assert_eq!(routes.check(key("/a"), NOW), RouteVerdict::NotRemembered);
        assert_eq!(routes.check(key("/b"), NOW), RouteVerdict::Refused);
        routes.clear();
        assert!(routes.is_empty());
        assert_eq!(routes.check(key("/b"), NOW), RouteVerdict::NotRemembered);
        routes.refuse(key("/a"), NOW);
        assert_eq!(routes.check(key("/a"), after(30)), RouteVerdict::PauseIsOver, "a first pause");
        routes.accept(key("/a"));
        assert!(routes.is_empty());
    }

    #[test]
    fn the_least_recently_used_of_65_routes_is_forgotten() {
        let routes = RefusedRoutes::default();
        let path = |at: usize| key(&format!("/route-{at}"));
        for at in 0..MOST_ROUTES {
            routes.refuse(path(at), NOW);
        }
        assert_eq!(routes.check(path(0), NOW), RouteVerdict::Refused);
        routes.refuse(path(MOST_ROUTES), NOW);
        assert_eq!(routes.check(path(1), NOW), RouteVerdict::NotRemembered);
        for at in [0, 2, MOST_ROUTES] {
            assert_eq!(routes.check(path(at), NOW), RouteVerdict::Refused, "{at}");
        }
    }
}
