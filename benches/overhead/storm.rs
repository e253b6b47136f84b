//! The storm: 10,000 requests in flight, all answered 401 at once, while the refresh takes 5 ms.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};
use tower_layer::Layer;
use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
use tower_teamup_auth::{AuthLayer, REQUEST_MODE};

use crate::callgrind;
use crate::rounds::best_of;
use crate::setup::{credentials_with, in_a_runtime};
use crate::stopwatch::Stopwatch;
use crate::workloads::{ACCESS_TOKEN, Bare, authorization, get};

const REQUESTS: usize = 10_000;
const REFRESH_TIME: Duration = Duration::from_millis(5);
const ROUNDS: usize = 7;

/// What a storm came to.
pub(crate) struct Storm {
    pub(crate) refresh_requests: u64,
    /// How long it took, over what sending the retries through the bare service takes and the
    /// refresh request: the best round of each.
    pub(crate) ratio: f64,
    /// The same of a program without the layer, as short as it can be.
    pub(crate) ratio_without_layer: f64,
    /// The same, with a refresh request that outlives whoever began it.
    pub(crate) ratio_without_layer_in_a_task: f64,
    pub(crate) milliseconds: f64,
}

pub(crate) fn storm() -> Storm {
    let mut refresh_requests = 0;
    let [retries, without_layer, without_layer_in_a_task, layered] = best_of(ROUNDS, || {
        let retries = in_a_runtime(retries_alone());
        let without_layer = in_a_runtime(storm_without_layer(RefreshRun::ByTheFirst));
        let without_layer_in_a_task = in_a_runtime(storm_without_layer(RefreshRun::InATask));
        let (layered, refreshed) = in_a_runtime(one_storm());
        refresh_requests = refresh_requests.max(refreshed);
        [retries, without_layer, without_layer_in_a_task, layered].map(|time| time.as_secs_f64())
    });
    let floor = retries + REFRESH_TIME.as_secs_f64();
    Storm {
        refresh_requests,
        ratio: layered / floor,
        ratio_without_layer: without_layer / floor,
        ratio_without_layer_in_a_task: without_layer_in_a_task / floor,
        milliseconds: layered * 1000.0,
    }
}

/// Instructions of one request of a storm, beyond those of one that is sent through the bare service when a
/// signal comes: with the layer, and without it where the refresh has a task of its own.
pub(crate) fn instructions() -> [f64; 2] {
    let of = |storm| callgrind::per_round(&["--storm", storm], 1, 2) / REQUESTS as f64;
    let retries = of("retries");
    ["layered", "in_a_task"].map(|storm| of(storm) - retries)
}

/// Runs one kind of storm several times, for whoever counts or profiles it.
pub(crate) fn run(storm: &str, rounds: u32) {
    for _ in 0..rounds {
        let time = match storm {
            "retries" => in_a_runtime(retries_alone()),
            "by_the_first" => in_a_runtime(storm_without_layer(RefreshRun::ByTheFirst)),
            "in_a_task" => in_a_runtime(storm_without_layer(RefreshRun::InATask)),
            "layered" => in_a_runtime(one_storm()).0,
            other => panic!("no storm is called {other}"),
        };
        println!("{storm}: {:.2} ms", time.as_secs_f64() * 1000.0);
    }
}

/// The same tasks, woken by the same signal: each sends one request through the bare service.
async fn retries_alone() -> Duration {
    let (open, gate) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for _ in 0..REQUESTS {
        let mut gate = gate.clone();
        tasks.spawn(async move {
            gate.wait_for(|open| *open).await.expect("the gate opens");
            Bare.oneshot(get()).await.expect("an answer").status()
        });
    }
    until_all_wait(&gate, &tasks).await;
    finish(open, tasks).await
}

async fn one_storm() -> (Duration, u64) {
    let (open, gate) = watch::channel(false);
    let refresh_requests = Arc::new(AtomicU64::new(0));
    let credentials = credentials_with("one", Slow(Arc::clone(&refresh_requests))).await;
    let service = AuthLayer::new(credentials).layer(Gated(gate.clone()));
    let mut tasks = JoinSet::new();
    for _ in 0..REQUESTS {
        let service = service.clone();
        tasks.spawn(async move { service.oneshot(get()).await.expect("an answer").status() });
    }
    until_all_wait(&gate, &tasks).await;
    let elapsed = finish(open, tasks).await;
    (elapsed, refresh_requests.load(Ordering::Relaxed))
}

/// Who runs the refresh request that is written by hand.
#[derive(Clone, Copy)]
enum RefreshRun {
    /// The first caller: should it go away, the new tokens go with it.
    ByTheFirst,
    /// A task of its own, as P2 needs it. It begins after the tasks that were woken before it.
    InATask,
}

/// As little of a storm as a program can do without the layer: each task keeps a clone of its request, the first
/// 401 renews, the others wait for it, and each sends its clone. No origin, no clock, and a 401 is
/// dropped unread.
async fn storm_without_layer(refresh_request: RefreshRun) -> Duration {
    let (open, gate) = watch::channel(false);
    let (renewed, renewal) = watch::channel(authorization());
    let renewed = Arc::new(Mutex::new(Some(renewed)));
    let service = Gated(gate.clone());
    let mut tasks = JoinSet::new();
    for _ in 0..REQUESTS {
        let (mut service, renewed, mut renewal) =
            (service.clone(), Arc::clone(&renewed), renewal.clone());
        tasks.spawn(async move {
            let mut request = get();
            let mut retry = request.clone();
            request.headers_mut().insert(AUTHORIZATION, renewal.borrow().clone());
            request.headers_mut().insert(REQUEST_MODE, HeaderValue::from_static("provider"));
            let answer = service.call(request).await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
            let first = renewed.lock().expect("no task panics").take();
            if let Some(renewed) = first {
                let renew = async move {
                    tokio::time::sleep(REFRESH_TIME).await;
                    renewed.send_replace(HeaderValue::from_static("Bearer another-access-token"));
                };
                match refresh_request {
                    RefreshRun::ByTheFirst => renew.await,
                    RefreshRun::InATask => drop(tokio::spawn(renew)),
                }
            }
            renewal.changed().await.expect("the renewal comes");
            let headers = retry.headers_mut();
            headers.insert(AUTHORIZATION, renewal.borrow_and_update().clone());
            headers.insert(REQUEST_MODE, HeaderValue::from_static("provider"));
            service.call(retry).await.expect("an answer").status()
        });
    }
    until_all_wait(&gate, &tasks).await;
    finish(open, tasks).await
}

/// On one thread a task has run up to the gate once every other has had its turn.
async fn until_all_wait(gate: &watch::Receiver<bool>, tasks: &JoinSet<StatusCode>) {
    assert_eq!(tasks.len(), REQUESTS);
    for _ in 0..2 * REQUESTS {
        tokio::task::yield_now().await;
    }
    assert!(!*gate.borrow());
}

async fn finish(open: watch::Sender<bool>, mut tasks: JoinSet<StatusCode>) -> Duration {
    let stopwatch = Stopwatch::start();
    open.send_replace(true);
    while let Some(status) = tasks.join_next().await {
        assert_eq!(status.expect("no task panics"), StatusCode::OK);
    }
    stopwatch.elapsed()
}

/// Answers the first token 401, once the gate is open, and any other 200 at once.
#[derive(Clone)]
struct Gated(watch::Receiver<bool>);

impl<B> Service<Request<B>> for Gated {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let token = request.headers()[AUTHORIZATION].as_bytes();
        let is_first =
            token.windows(ACCESS_TOKEN.len()).any(|part| part == ACCESS_TOKEN.as_bytes());
        let mut gate = self.0.clone();
        Box::pin(async move {
            let mut response = Response::new(Empty::new());
            if is_first {
                gate.wait_for(|open| *open).await.expect("the gate opens");
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
            Ok(response)
        })
    }
}

/// Takes its time, and counts.
struct Slow(Arc<AtomicU64>);

impl Refresh for Slow {
    async fn refresh(&self, _: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(REFRESH_TIME).await;
        let [access, refresh] = ["another-access-token", "another-refresh-token"];
        Ok(RefreshResponse::new(
            access.parse().expect("a good token"),
            None,
            refresh.parse().expect("a good token"),
        ))
    }
}
