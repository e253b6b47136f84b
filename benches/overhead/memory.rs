//! What is held in memory: for a request in flight, for a credential that is idle.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tower::Service;
use tower_teamup_auth::Credentials;

use crate::counting;
use crate::rounds::best_of;
use crate::setup::{credentials_of, layered, token_bytes};
use crate::stopwatch::Stopwatch;
use crate::workloads::get;

/// Never answers.
#[derive(Clone, Debug)]
struct Silent;

impl<B> Service<Request<B>> for Silent {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Never;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        Never { _state: 0 }
    }
}

/// Has a size, as that of a client has, so that a box of it is an allocation.
struct Never {
    _state: u64,
}

impl Future for Never {
    type Output = Result<Response<Empty<Bytes>>, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

/// Bytes that one of many requests in flight holds beyond the inner one, on the heap and in its
/// future.
pub(crate) fn per_request_in_flight() -> f64 {
    held_in_flight(layered(Silent)) - held_in_flight(Silent)
}

/// Heap operations of one of many requests in flight, beyond those of the inner one.
pub(crate) fn heap_operations_in_flight() -> f64 {
    let of = |operations: u64| operations as f64 / REQUESTS as f64;
    of(in_flight(layered(Silent)).operations) - of(in_flight(Silent).operations)
}

/// Nanoseconds of one of many requests in flight, beyond those of the inner one, from its call to its
/// end.
pub(crate) fn nanoseconds_in_flight() -> f64 {
    let [bare, through] = best_of(20, || {
        [in_flight(Silent), in_flight(layered(Silent))]
            .map(|all| all.elapsed.as_nanos() as f64 / REQUESTS as f64)
    });
    through - bare
}

const REQUESTS: usize = 10_000;

/// What many requests in flight come to.
struct InFlight {
    held: i64,
    operations: u64,
    elapsed: Duration,
}

fn held_in_flight<S>(service: S) -> f64
where
    S: Service<Request<Full<Bytes>>>,
{
    in_flight(service).held as f64 / REQUESTS as f64
}

fn in_flight<S>(mut service: S) -> InFlight
where
    S: Service<Request<Full<Bytes>>>,
{
    let mut cx = Context::from_waker(Waker::noop());
    let mut in_flight: Vec<Pin<Box<S::Future>>> = Vec::with_capacity(REQUESTS);
    let before = (counting::live_bytes(), counting::operations());
    let stopwatch = Stopwatch::start();
    for _ in 0..REQUESTS {
        assert!(service.poll_ready(&mut cx).is_ready());
        let mut answer = Box::pin(service.call(get()));
        assert!(answer.as_mut().poll(&mut cx).is_pending());
        in_flight.push(answer);
    }
    let held = counting::live_bytes() - before.0;
    in_flight.clear();
    let elapsed = stopwatch.elapsed();
    InFlight { held, operations: counting::operations() - before.1, elapsed }
}

/// What idle credentials hold.
pub(crate) struct Idle {
    /// Bytes for each, beside its tokens' own.
    pub(crate) bytes: f64,
    /// The tasks that live for all of them together.
    pub(crate) tasks: usize,
}

/// 100,000 credentials in one process, one user each.
pub(crate) fn idle_credentials() -> Idle {
    const USERS: usize = 100_000;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let users: Vec<String> = (0..USERS).map(|user| format!("user-{user:06}")).collect();
    let tokens: usize = users.iter().map(|user| token_bytes(user)).sum();
    let mut all: Vec<Credentials> = Vec::with_capacity(USERS);
    let before = counting::live_bytes();
    runtime.block_on(async {
        for user in &users {
            all.push(credentials_of(user).await);
        }
    });
    let held = counting::live_bytes() - before;
    Idle {
        bytes: (held as f64 - tokens as f64) / USERS as f64,
        tasks: runtime.metrics().num_alive_tasks(),
    }
}
