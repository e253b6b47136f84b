//! How long a request takes through the layer, and without it.
//!
//! ```text
//! cargo bench -p benches --bench times
//! ```
//!
//! What the clock says on a shared machine moves by a quarter and more: compare within one run. The
//! figures that come to the same in each run, and the ratios that are tracked, are those of `--bench overhead`, whose requests
//! and services these are.

#[allow(dead_code, reason = "shared with a benchmark that measures more")]
#[path = "overhead/setup.rs"]
mod setup;
#[allow(dead_code, reason = "shared with a benchmark that measures more")]
#[path = "overhead/workloads.rs"]
mod workloads;

use bytes::Bytes;
use divan::Bencher;
use http::Request;
use http_body_util::Full;
use tower::Service;
use tower_teamup_auth::Auth;
use tower_teamup_auth::body::{RepeatableBody, SendOnce};

use crate::setup::layered;
use crate::workloads::{Bare, WithoutLayer, call, get, once, oneshot, post};

fn main() {
    divan::main();
}

/// What is timed: the bare service, and what stands around it.
trait Subject<B>: Service<Request<B>> + Clone + Sync {
    fn new() -> Self;
}

impl<B> Subject<B> for Bare {
    fn new() -> Self {
        Bare
    }
}

impl<B> Subject<B> for WithoutLayer {
    fn new() -> Self {
        WithoutLayer::new()
    }
}

impl<B: RepeatableBody> Subject<B> for Auth<Bare> {
    fn new() -> Self {
        layered(Bare)
    }
}

/// Calls of one service; making the request is not timed.
fn time<S: Subject<B>, B>(bencher: Bencher<'_, '_>, request: fn() -> Request<B>) {
    let mut service = S::new();
    bencher.with_inputs(request).bench_local_values(|request| call(&mut service, request));
}

#[divan::bench(types = [Bare, WithoutLayer, Auth<Bare>])]
fn get_with_three_headers<S: Subject<Full<Bytes>>>(bencher: Bencher<'_, '_>) {
    time::<S, _>(bencher, get);
}

#[divan::bench(types = [Bare, WithoutLayer, Auth<Bare>], threads = [1, 2])]
fn get_through_clones<S: Subject<Full<Bytes>>>(bencher: Bencher<'_, '_>) {
    let service = S::new();
    bencher.with_inputs(get).bench_values(|request| oneshot(&service, request));
}

#[divan::bench(types = [Bare, WithoutLayer, Auth<Bare>])]
fn post_with_eight_headers<S: Subject<Full<Bytes>>>(bencher: Bencher<'_, '_>) {
    time::<S, _>(bencher, post);
}

#[divan::bench(types = [Bare, WithoutLayer, Auth<Bare>])]
fn get_that_is_sent_once<S: Subject<SendOnce<Full<Bytes>>>>(bencher: Bencher<'_, '_>) {
    time::<S, _>(bencher, once);
}
