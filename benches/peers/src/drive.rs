//! How every candidate is called: the same requests, one after the other, each to its end.

use std::future::Future;
use std::hint::{black_box, spin_loop};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::yield_now;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use tower::ServiceExt;
use tower_service::Service;
use tower_teamup_auth::body::SendOnce;

use crate::inner::Inner;
use crate::workloads::{get, once, post};

/// The requests, and the way they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// GET with three headers, one long-lived service.
    Get,
    /// The same through `service.clone().oneshot(request)`.
    GetClone,
    /// POST with eight headers and a fresh body of 1 KiB.
    Post,
    /// GET whose body is declared to be sent once, as a stream's is.
    Once,
}

impl Workload {
    pub(crate) const ALL: [Workload; 4] =
        [Workload::Get, Workload::GetClone, Workload::Post, Workload::Once];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::Get => "get",
            Workload::GetClone => "get_clone",
            Workload::Post => "post",
            Workload::Once => "once",
        }
    }

    pub(crate) fn named(name: &str) -> Workload {
        let known = Workload::ALL.into_iter().find(|workload| workload.name() == name);
        known.unwrap_or_else(|| panic!("no workload is called {name}"))
    }
}

/// Makes so many calls of a workload, through a clone of one's own: several threads may run it, and
/// share then what clones share.
pub(crate) type Run = Box<dyn Fn(Workload, u32) + Send + Sync>;

/// Calls of a tower service.
pub(crate) fn service<S>(service: S) -> Run
where
    S: Service<Request<Full<Bytes>>> + Service<Request<SendOnce<Full<Bytes>>>>,
    S: Clone + Send + 'static,
{
    fn long_lived<S: Service<Request<B>>, B>(service: &mut S, request: Request<B>) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
        assert!(to_its_end(service.call(request)).is_ok());
    }
    // Not every candidate is `Sync`; the lock is taken once in a run.
    let template = Mutex::new(service);
    Box::new(move |workload, calls| {
        let mut service = template.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match workload {
            Workload::Get => repeat(&mut service, calls, |service| long_lived(service, get())),
            Workload::GetClone => repeat(&mut service, calls, |service| {
                assert!(to_its_end(service.clone().oneshot(get())).is_ok());
            }),
            Workload::Post => repeat(&mut service, calls, |service| long_lived(service, post())),
            Workload::Once => repeat(&mut service, calls, |service| long_lived(service, once())),
        }
    })
}

/// What is no service by itself: it only puts headers on a request, and the program sends it.
pub(crate) trait Authorize: Clone + Send + 'static {
    fn authorize(&self, headers: &mut HeaderMap) -> impl Future<Output = ()> + Send;
}

/// Calls of the bare service with headers that something else put in.
///
/// The glue is an `async` block: it neither boxes nor clones, so that its cost is not the candidate's.
pub(crate) fn authorizer<A: Authorize>(authorizer: A) -> Run {
    async fn long_lived<A: Authorize, B>(authorizer: &A, mut request: Request<B>) {
        authorizer.authorize(request.headers_mut()).await;
        assert!(Inner.call(request).await.is_ok());
    }
    async fn cloned<A: Authorize, B>(authorizer: A, mut request: Request<B>) {
        authorizer.authorize(request.headers_mut()).await;
        assert!(Inner.oneshot(request).await.is_ok());
    }
    let template = Mutex::new(authorizer);
    Box::new(move |workload, calls| {
        let mut own = template.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match workload {
            Workload::Get => repeat(&mut own, calls, |own| to_its_end(long_lived(own, get()))),
            Workload::GetClone => {
                repeat(&mut own, calls, |own| to_its_end(cloned(own.clone(), get())));
            }
            Workload::Post => repeat(&mut own, calls, |own| to_its_end(long_lived(own, post()))),
            Workload::Once => repeat(&mut own, calls, |own| to_its_end(long_lived(own, once()))),
        }
    })
}

/// One call after the other, of a candidate that the compiler knows nothing about.
pub(crate) fn repeat<C>(candidate: &mut C, calls: u32, mut one: impl FnMut(&mut C)) {
    for _ in 0..calls {
        one(black_box(candidate));
    }
}

/// Polls a future until it is ready, which on one thread it is at once. Where another thread holds
/// what it waits for, it asks again and again: no candidate pays for a scheduler.
pub(crate) fn to_its_end<F: Future>(future: F) -> F::Output {
    let mut cx = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    let mut polls = 0_u32;
    loop {
        if let Poll::Ready(output) = black_box(future.as_mut().poll(&mut cx)) {
            return output;
        }
        polls += 1;
        if polls.is_multiple_of(1000) { yield_now() } else { spin_loop() }
    }
}
