//! The workloads by name, and the figures of one that repeat from run to run.

use std::hint::black_box;

use http::{HeaderValue, Request};
use tower::Service;

use crate::setup::{ACCESS_TOKEN, layered};
use crate::workloads::{Bare, ByHand, call, get, once, oneshot, post};
use crate::{callgrind, counting};

/// Runs `calls` calls of a workload.
pub(crate) fn run(workload: &str, calls: u32) {
    match workload {
        "get" => repeat(layered(Bare), calls, |service| call(service, get())),
        "bare_get" => repeat(Bare, calls, |service| call(service, get())),
        "by_hand" => repeat(by_hand(), calls, |service| call(service, get())),
        "get_clone" => repeat(layered(Bare), calls, |service| oneshot(service, get())),
        "bare_get_clone" => repeat(Bare, calls, |service| oneshot(service, get())),
        "post" => repeat(layered(Bare), calls, |service| call(service, post())),
        "bare_post" => repeat(Bare, calls, |service| call(service, post())),
        "once" => repeat(layered(Bare), calls, |service| call(service, once())),
        "bare_once" => repeat(Bare, calls, |service| call(service, once())),
        other => panic!("no workload is called {other}"),
    }
}

fn by_hand() -> ByHand {
    let mut authorization =
        HeaderValue::try_from(format!("Bearer {ACCESS_TOKEN}")).expect("visible ASCII");
    authorization.set_sensitive(true);
    ByHand { inner: Bare, authorization }
}

fn repeat<S>(mut service: S, calls: u32, one: impl Fn(&mut S)) {
    for _ in 0..calls {
        one(black_box(&mut service));
    }
}

/// Instructions of one call, beyond those of the bare service.
pub(crate) fn instructions(workload: &str, bare: &str) -> f64 {
    callgrind::per_call(&["--workload", workload]) - callgrind::per_call(&["--workload", bare])
}

/// Heap operations of one call, beyond those of the bare service.
pub(crate) fn heap_operations(workload: &str, bare: &str) -> f64 {
    warm_heap_operations(workload) - warm_heap_operations(bare)
}

fn warm_heap_operations(workload: &str) -> f64 {
    run(workload, 1);
    let (few, many) = (100, 1100);
    let before = counting::operations();
    run(workload, few);
    let between = counting::operations();
    run(workload, many);
    let after = counting::operations();
    ((after - between) - (between - before)) as f64 / f64::from(many - few)
}

/// Bytes of the response future beyond the inner one.
pub(crate) fn future_size() -> usize {
    fn size_of_future<S: Service<Request<B>>, B>(_: &S, _: fn() -> Request<B>) -> usize {
        size_of::<S::Future>()
    }
    size_of_future(&layered(Bare), get) - size_of_future(&Bare, get)
}
