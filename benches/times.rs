//! How long a request takes through the layer, and without it.
//!
//! ```text
//! cargo bench --bench times
//! ```
//!
//! What the clock says on a shared machine moves by a quarter and more: compare within one run. The
//! figures that repeat, and the ratios that are tracked, are those of `--bench overhead`, whose requests
//! and services these are.

#[allow(dead_code, reason = "shared with a benchmark that measures more")]
#[path = "overhead/setup.rs"]
mod setup;
#[allow(dead_code, reason = "shared with a benchmark that measures more")]
#[path = "overhead/workloads.rs"]
mod workloads;

use divan::Bencher;
use http::Request;
use tower::Service;

use crate::setup::layered;
use crate::workloads::{Bare, ByHand, call, get, once, oneshot, post};

fn main() {
    divan::main();
}

/// Calls of one service; making the request is not timed.
fn time<S, B>(bencher: Bencher<'_, '_>, mut service: S, request: fn() -> Request<B>)
where
    S: Service<Request<B>>,
{
    bencher.with_inputs(request).bench_local_values(|request| call(&mut service, request));
}

/// Calls of clones of one service, from any number of threads.
fn time_clones<S, B>(bencher: Bencher<'_, '_>, service: S, request: fn() -> Request<B>)
where
    S: Service<Request<B>> + Clone + Sync,
{
    bencher.with_inputs(request).bench_values(|request| oneshot(&service, request));
}

mod get_with_three_headers {
    use super::*;

    #[divan::bench]
    fn bare(bencher: Bencher<'_, '_>) {
        time(bencher, Bare, get);
    }

    #[divan::bench]
    fn by_hand(bencher: Bencher<'_, '_>) {
        time(bencher, ByHand::new(), get);
    }

    #[divan::bench]
    fn layer(bencher: Bencher<'_, '_>) {
        time(bencher, layered(Bare), get);
    }
}

mod get_through_clones {
    use super::*;

    #[divan::bench(threads = [1, 2])]
    fn bare(bencher: Bencher<'_, '_>) {
        time_clones(bencher, Bare, get);
    }

    #[divan::bench(threads = [1, 2])]
    fn layer(bencher: Bencher<'_, '_>) {
        time_clones(bencher, layered(Bare), get);
    }
}

mod post_with_eight_headers {
    use super::*;

    #[divan::bench]
    fn bare(bencher: Bencher<'_, '_>) {
        time(bencher, Bare, post);
    }

    #[divan::bench]
    fn layer(bencher: Bencher<'_, '_>) {
        time(bencher, layered(Bare), post);
    }
}

mod get_that_is_sent_once {
    use super::*;

    #[divan::bench]
    fn bare(bencher: Bencher<'_, '_>) {
        time(bencher, Bare, once);
    }

    #[divan::bench]
    fn layer(bencher: Bencher<'_, '_>) {
        time(bencher, layered(Bare), once);
    }
}
