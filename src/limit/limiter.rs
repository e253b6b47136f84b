//! Who may send when: a sliding window of send times, and the pause after a 429.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::token::Clock;

/// The default: a little below TeamUp's 250. Requests travel for different times, so the server may
/// see a minute's requests closer together than they were sent.
const DEFAULT_REQUESTS: u32 = 240;
const DEFAULT_PERIOD: Duration = Duration::from_secs(60);

/// The pause after a 429 without `Retry-After`: it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Counts the requests of one caller. A clone counts together with it.
///
/// In any period (a minute by default) at most so many requests are sent, however they are spread:
/// all at once is fine, and then the next one waits for the first to be a period old. Those that
/// wait go in the order in which they came. The default is 240 requests a minute.
///
/// ```
/// use std::time::Duration;
/// use tower_teamup_auth::limit::RateLimiter;
///
/// // One of two processes that act for the same user.
/// let limiter = RateLimiter::new(120, Duration::from_secs(60));
/// let same = limiter.clone();
/// # let _ = same;
/// ```
#[derive(Clone)]
pub struct RateLimiter(Arc<Shared>);

struct Shared {
    requests: usize,
    period: Duration,
    clock: Clock,
    /// Held by the request that is next to go, while it waits. It hands out its one permit in the
    /// order of arrival, so nobody overtakes, and a request that is dropped leaves the queue.
    next: Arc<Semaphore>,
    window: Mutex<Window>,
}

struct Window {
    /// When the last requests were sent, in milliseconds; at most so many as a period takes.
    sent: VecDeque<u64>,
    /// Nothing is sent before.
    paused_until: u64,
    /// Counts the pauses. Of the requests that were under way when one began, a further 429 tells
    /// nothing new.
    pauses: u64,
    /// The pause after the next 429 without `Retry-After`.
    next_pause: Duration,
}

/// Names the pause after which a request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permit(u64);

/// The right to send next. While it is there nobody else takes a permit.
pub(super) struct Queued {
    limiter: RateLimiter,
    _next: OwnedSemaphorePermit,
}

impl Queued {
    /// Waits until a permit is free again.
    pub(super) async fn wait(self) -> Self {
        loop {
            let wait = self.limiter.window().wait(self.limiter.now(), &self.limiter.0);
            match wait {
                None => return self,
                // A pause may begin meanwhile, so look again.
                Some(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// Takes the permit, now that the request is about to be sent: the time counts from here. `None`
    /// if a pause has begun.
    pub(super) fn take(&self) -> Option<Permit> {
        self.limiter.take().ok()
    }
}

impl Window {
    /// How long it takes until a permit may be free; `None` if one is.
    fn wait(&self, now: u64, limits: &Shared) -> Option<Duration> {
        let mut free = self.paused_until;
        if self.sent.len() >= limits.requests {
            // One more, as both readings were rounded down.
            let oldest = self.sent[0].saturating_add(millis(limits.period)).saturating_add(1);
            free = free.max(oldest);
        }
        (now < free).then(|| Duration::from_millis(free.saturating_sub(now)))
    }
}

impl RateLimiter {
    /// At most `requests` in each `period`.
    ///
    /// # Panics
    ///
    /// When `requests` is 0.
    pub fn new(requests: u32, period: Duration) -> Self {
        assert!(requests > 0, "a limit of 0 requests would let nothing go");
        RateLimiter(Arc::new(Shared {
            requests: usize::try_from(requests).unwrap_or(usize::MAX),
            period,
            clock: Clock::tokio(),
            next: Arc::new(Semaphore::new(1)),
            window: Mutex::new(Window {
                sent: VecDeque::new(),
                paused_until: 0,
                pauses: 0,
                next_pause: FIRST_PAUSE,
            }),
        }))
    }

    /// A permit at once, if there is one and nobody waits for one.
    pub(super) fn try_acquire(&self) -> Option<Permit> {
        let _next = self.0.next.try_acquire().ok()?;
        self.take().ok()
    }

    /// Waits until this request is next and a permit is free. Dropped, it leaves the queue.
    pub(super) async fn queued(self) -> Queued {
        let next = Arc::clone(&self.0.next).acquire_owned().await.expect("never closed");
        Queued { limiter: self, _next: next }.wait().await
    }

    fn take(&self) -> Result<Permit, Duration> {
        let now = self.now();
        let mut window = self.window();
        match window.wait(now, &self.0) {
            Some(wait) => Err(wait),
            None => {
                if window.sent.len() >= self.0.requests {
                    window.sent.pop_front();
                }
                window.sent.push_back(now);
                Ok(Permit(window.pauses))
            }
        }
    }

    /// The request of `permit` was answered 429.
    pub(super) fn refused(&self, permit: Permit, retry_after: Option<Duration>) {
        let now = self.now();
        let mut window = self.window();
        let pause = match retry_after {
            Some(wait) => wait,
            None if permit.0 == window.pauses => {
                let pause = window.next_pause;
                window.next_pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                // Other processes of this user may have been refused at the same moment.
                pause.saturating_add(pause.mul_f64(fastrand::f64() / 4.0))
            }
            None => return,
        };
        if permit.0 == window.pauses {
            window.pauses = window.pauses.wrapping_add(1);
        }
        window.paused_until = window.paused_until.max(now.saturating_add(millis(pause)));
    }

    /// The request of `permit` was answered otherwise.
    pub(super) fn accepted(&self, permit: Permit) {
        let mut window = self.window();
        if permit.0 == window.pauses {
            window.next_pause = FIRST_PAUSE;
        }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn now(&self) -> u64 {
        self.0.clock.now().monotonic
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        // Nothing panics under the lock that would leave the window unsound.
        self.0.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for RateLimiter {
    fn default() -> Self {
        RateLimiter::new(DEFAULT_REQUESTS, DEFAULT_PERIOD)
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("requests", &self.0.requests)
            .field("period", &self.0.period)
            .finish_non_exhaustive()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
