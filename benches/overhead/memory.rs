//! What is held in memory: for a request in flight, for a credential that is idle.

use std::convert::Infallible;
use std::future::{Future, Pending, pending};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::Service;
use tower_teamup_auth::Credentials;

use crate::counting;
use crate::setup::{credentials_of, layered, token_bytes};
use crate::workloads::get;

/// Never answers.
#[derive(Clone, Debug)]
struct Silent;

impl<B> Service<Request<B>> for Silent {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Pending<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        pending()
    }
}

/// Bytes that one of many requests in flight holds beyond the inner one, on the heap and in its
/// future.
pub(crate) fn per_request_in_flight() -> f64 {
    held_in_flight(layered(Silent)) - held_in_flight(Silent)
}

fn held_in_flight<S>(mut service: S) -> f64
where
    S: Service<Request<http_body_util::Full<Bytes>>>,
{
    const REQUESTS: usize = 10_000;
    let mut cx = Context::from_waker(Waker::noop());
    let mut in_flight: Vec<Pin<Box<S::Future>>> = Vec::with_capacity(REQUESTS);
    let before = counting::live_bytes();
    for _ in 0..REQUESTS {
        assert!(service.poll_ready(&mut cx).is_ready());
        let mut answer = Box::pin(service.call(get()));
        assert!(answer.as_mut().poll(&mut cx).is_pending());
        in_flight.push(answer);
    }
    (counting::live_bytes() - before) as f64 / REQUESTS as f64
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
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
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
