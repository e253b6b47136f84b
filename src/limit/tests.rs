use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};

use super::{RateLimit, RateLimitLayer, RateLimiter};
use crate::token::Clock;

const MINUTE: Duration = Duration::from_secs(60);

/// Notes when each request arrived, and answers what it is told to.
#[derive(Clone)]
struct Api {
    clock: Clock,
    arrivals: Arc<Mutex<Vec<(u64, u32)>>>,
    /// The next answers; 200 when there are no more.
    answers: Arc<Mutex<Vec<Response<()>>>>,
}

impl Api {
    fn new() -> Self {
        Api { clock: Clock::tokio(), arrivals: Arc::default(), answers: Arc::default() }
    }

    /// The next answer is a 429.
    fn refuse(&self, retry_after: Option<u32>) {
        let mut response = Response::builder().status(429);
        if let Some(seconds) = retry_after {
            response = response.header("retry-after", seconds);
        }
        self.answers.lock().unwrap().push(response.body(()).unwrap());
    }

    fn arrivals(&self) -> Vec<(u64, u32)> {
        self.arrivals.lock().unwrap().clone()
    }

    fn seconds(&self) -> Vec<u64> {
        self.arrivals().iter().map(|(millis, _)| millis / 1000).collect()
    }
}

impl Service<Request<u32>> for Api {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<u32>) -> Self::Future {
        let now = self.clock.now().monotonic;
        self.arrivals.lock().unwrap().push((now, *request.body()));
        let answer = self.answers.lock().unwrap().pop().unwrap_or_else(|| Response::new(()));
        std::future::ready(Ok(answer))
    }
}

fn limited(api: &Api, limiter: &RateLimiter) -> RateLimit<Api> {
    RateLimitLayer::new(limiter.clone()).layer(api.clone())
}

/// Sends this many requests at once, numbered, and waits for all.
async fn send<S>(service: &S, count: u32) -> Vec<u16>
where
    S: Service<Request<u32>, Response = Response<()>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let mut calls = JoinSet::new();
    for number in 0..count {
        let service = service.clone();
        calls.spawn(async move {
            service.oneshot(Request::new(number)).await.unwrap().status().as_u16()
        });
        // Each call is polled before the next one begins.
        tokio::task::yield_now().await;
    }
    calls.join_all().await
}

#[tokio::test(start_paused = true)]
async fn no_minute_holds_more_requests_than_the_limit_and_none_fails() {
    let api = Api::new();
    let statuses = send(&limited(&api, &RateLimiter::default()), 1000).await;
    assert!(statuses.iter().all(|status| *status == 200));
    let arrivals = api.arrivals();
    assert_eq!(arrivals.len(), 1000);
    for (index, (end, _)) in arrivals.iter().enumerate().skip(240) {
        let (start, _) = arrivals[index - 240];
        assert!(end - start > 60_000, "241 requests between {start} and {end} ms");
    }
    // Nor does anybody wait longer than needed.
    assert_eq!(arrivals.last().unwrap().0 / 1000, 240);
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_go_in_the_order_in_which_they_came() {
    let api = Api::new();
    send(&limited(&api, &RateLimiter::new(3, MINUTE)), 10).await;
    let order: Vec<u32> = api.arrivals().iter().map(|(_, number)| *number).collect();
    assert_eq!(order, (0..10).collect::<Vec<_>>());
    assert_eq!(api.seconds(), [0, 0, 0, 60, 60, 60, 120, 120, 120, 180]);
}

#[tokio::test(start_paused = true)]
async fn services_with_clones_of_a_limiter_share_it_and_others_do_not() {
    let api = Api::new();
    let limiter = RateLimiter::new(2, MINUTE);
    let (first, second) = (limited(&api, &limiter), limited(&api, &limiter));
    tokio::join!(send(&first, 2), send(&second, 2));
    assert_eq!(api.seconds(), [0, 0, 60, 60]);
    send(&limited(&api, &RateLimiter::new(2, MINUTE)), 2).await;
    assert_eq!(api.seconds()[4..], [60, 60]);
}

#[tokio::test(start_paused = true)]
async fn each_request_is_counted_with_the_limiter_that_it_brings() {
    let api = Api::new();
    let service = RateLimitLayer::per_request().layer(api.clone());
    let [anna, ben] = [(); 2].map(|()| RateLimiter::new(1, MINUTE));
    for (number, limiter) in [(1, Some(&anna)), (2, Some(&anna)), (3, Some(&ben)), (4, None)] {
        let mut request = Request::new(number);
        if let Some(limiter) = limiter {
            request.extensions_mut().insert(limiter.clone());
        }
        service.clone().oneshot(request).await.unwrap();
    }
    assert_eq!(api.seconds(), [0, 60, 60, 60]);
}

#[tokio::test(start_paused = true)]
async fn after_a_429_all_wait_as_long_as_retry_after_says() {
    let api = Api::new();
    let limiter = RateLimiter::default();
    api.refuse(Some(30));
    assert_eq!(send(&limited(&api, &limiter), 1).await, [429]);
    assert_eq!(send(&limited(&api, &limiter), 3).await, [200; 3]);
    assert_eq!(api.seconds(), [0, 30, 30, 30]);
}

#[tokio::test(start_paused = true)]
async fn a_429_that_comes_while_others_wait_makes_them_wait_longer() {
    let api = Api::new();
    let limiter = RateLimiter::new(1, MINUTE);
    let service = limited(&api, &limiter);
    let permit = limiter.try_acquire().unwrap();
    let waiting = tokio::spawn({
        let service = service.clone();
        async move { send(&service, 1).await }
    });
    tokio::time::sleep(Duration::from_secs(30)).await;
    limiter.refused(permit, Some(Duration::from_secs(90)));
    waiting.await.unwrap();
    assert_eq!(api.seconds(), [120]);
}

#[tokio::test(start_paused = true)]
async fn pauses_without_retry_after_double_and_begin_anew_after_a_success() {
    let api = Api::new();
    let limiter = RateLimiter::default();
    let service = limited(&api, &limiter);
    let mut pauses = Vec::new();
    for refused in [true, true, true, false, true, false] {
        if refused {
            api.refuse(None);
        }
        send(&service, 1).await;
        pauses.push(api.arrivals().last().unwrap().0);
    }
    let pauses: Vec<u64> = pauses.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // A quarter longer at most, at random.
    for (pause, base) in pauses.iter().zip([1000, 2000, 4000, 0, 1000]) {
        assert!((base..=base * 5 / 4).contains(pause), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_429s_of_one_moment_are_one_pause() {
    let api = Api::new();
    let limiter = RateLimiter::default();
    let permits: Vec<_> = (0..50).map(|_| limiter.try_acquire().unwrap()).collect();
    for permit in permits {
        limiter.refused(permit, None);
    }
    send(&limited(&api, &limiter), 1).await;
    assert!((1000..=1250).contains(&api.arrivals()[0].0), "{:?}", api.arrivals());
}

#[tokio::test(start_paused = true)]
async fn request_that_is_dropped_while_it_waits_takes_no_slot() {
    let api = Api::new();
    let limiter = RateLimiter::new(1, MINUTE);
    let service = limited(&api, &limiter);
    send(&service, 1).await;
    let mut dropped = JoinSet::new();
    for _ in 0..5 {
        let service = service.clone();
        dropped.spawn(async move { send(&service, 1).await });
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    dropped.shutdown().await;
    send(&service, 1).await;
    assert_eq!(api.seconds(), [0, 60]);
}

#[tokio::test(start_paused = true)]
async fn p6_request_that_waits_for_its_turn_holds_no_readiness_of_the_inner_service() {
    let api = Api::new();
    let permits = Arc::new(Semaphore::new(1));
    let inner = ConcurrencyLimit::with_semaphore(api.clone(), Arc::clone(&permits));
    let service = RateLimitLayer::new(RateLimiter::new(1, MINUTE)).layer(inner);
    send(&service, 1).await;
    let waiting = tokio::spawn(async move { send(&service, 1).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(permits.available_permits(), 1);
    waiting.await.unwrap();
    assert_eq!(api.seconds(), [0, 60]);
}

#[tokio::test(start_paused = true)]
async fn time_that_the_inner_service_takes_to_be_ready_is_not_counted_as_sent() {
    let api = Api::new();
    let permits = Arc::new(Semaphore::new(1));
    let inner = ConcurrencyLimit::with_semaphore(api.clone(), Arc::clone(&permits));
    let service = RateLimitLayer::new(RateLimiter::new(1, MINUTE)).layer(inner);
    send(&service, 1).await;
    let waiting = tokio::spawn(async move { send(&service, 2).await });
    tokio::task::yield_now().await;
    // Somebody else holds the inner service while the queued comes, at 60 s.
    let held = permits.acquire().await.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    drop(held);
    waiting.await.unwrap();
    assert_eq!(api.seconds(), [0, 100, 160]);
}
