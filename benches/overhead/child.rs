//! The workloads by name, and the figures of one that are the same in each run.

use std::hint::black_box;

use http::Request;
use tower::Service;
use tower_layer::Layer;
use tower_teamup_auth::{AuthLayer, ProviderId, RequestMode};

use crate::necessary::Necessary;
use crate::setup::{credentials_of, in_a_runtime, layered, layered_for_provider};
use crate::workloads::{Bare, WithoutLayer, call, get, large, once, oneshot, post, with};
use crate::{callgrind, counting};

/// Runs `calls` calls of a workload.
pub(crate) fn run(workload: &str, calls: u32) {
    // For every workload alike: what was allocated before, and stays, decides how long glibc looks for
    // the room of a request's headers, which is up to three hundred instructions.
    let (mut layered, mut necessary) = (layered(Bare), Necessary::new());
    for _ in 0..32 {
        call(&mut layered, post());
        call(&mut necessary, post());
    }
    match workload {
        "get" => repeat(layered, calls, |service| call(service, get())),
        "bare_get" => repeat(Bare, calls, |service| call(service, get())),
        "without_layer" => repeat(WithoutLayer::new(), calls, |service| call(service, get())),
        "get_clone" => repeat(layered, calls, |service| oneshot(service, get())),
        "bare_get_clone" => repeat(Bare, calls, |service| oneshot(service, get())),
        "post" => repeat(layered, calls, |service| call(service, post())),
        "bare_post" => repeat(Bare, calls, |service| call(service, post())),
        "once" => repeat(layered, calls, |service| call(service, once())),
        "bare_once" => repeat(Bare, calls, |service| call(service, once())),
        "get_provider_id" => {
            repeat(layered_for_provider(Bare), calls, |service| call(service, get()));
        }
        "get_user" => {
            let user = in_a_runtime(credentials_of("one"));
            let service = AuthLayer::per_request().layer(Bare);
            repeat(service, calls, |service| call(service, with(user.clone())));
        }
        "bare_get_user" => {
            let user = in_a_runtime(credentials_of("one"));
            repeat(Bare, calls, |service| call(service, with(user.clone())));
        }
        "get_mode" => {
            repeat(layered, calls, |service| call(service, with(RequestMode::Provider)));
        }
        "bare_get_mode" => {
            repeat(Bare, calls, |service| call(service, with(RequestMode::Provider)));
        }
        "get_provider" => {
            repeat(layered, calls, |service| call(service, with(ProviderId::new(54664))));
        }
        "bare_get_provider" => {
            repeat(Bare, calls, |service| call(service, with(ProviderId::new(54664))));
        }
        "large" => repeat(layered, calls, |service| call(service, large())),
        "bare_large" => repeat(Bare, calls, |service| call(service, large())),
        "clone_large" => repeat(Bare, calls, |service| {
            let request = large();
            black_box(request.clone());
            call(service, request);
        }),
        "necessary_get" => repeat(necessary, calls, |service| call(service, get())),
        "necessary_get_clone" => repeat(necessary, calls, |service| oneshot(service, get())),
        "necessary_post" => repeat(necessary, calls, |service| call(service, post())),
        "necessary_once" => repeat(necessary, calls, |service| call(service, once())),
        other => panic!("no workload is called {other}"),
    }
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
    let of = |workload| counting::per_call(|calls| run(workload, calls));
    of(workload) - of(bare)
}

/// Bytes of the response future beyond the inner one.
pub(crate) fn future_size() -> usize {
    fn size_of_future<S: Service<Request<B>>, B>(_: &S, _: fn() -> Request<B>) -> usize {
        size_of::<S::Future>()
    }
    size_of_future(&layered(Bare), get) - size_of_future(&Bare, get)
}
