//! What the layer costs on two threads, over what it costs on one.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::Service;

use crate::cores;
use crate::rounds::best_of;
use crate::setup::layered;
use crate::stopwatch::Stopwatch;
use crate::workloads::{Bare, call, get};

/// So few that a measurement often ends before another program gets its turn on the machine.
const CALLS: u32 = 1_000;
const ROUNDS: usize = 500;

/// The overhead of a call with two threads over that with one: each has a clone of one service.
pub(crate) fn two_over_one() -> f64 {
    let service = layered(Bare);
    let cores = cores::two();
    let [bare_one, one, bare_two, two] = best_of(ROUNDS, || {
        [
            nanoseconds(&Bare, &cores[..1]),
            nanoseconds(&service, &cores[..1]),
            nanoseconds(&Bare, &cores),
            nanoseconds(&service, &cores),
        ]
    });
    (two - bare_two) / (one - bare_one)
}

/// Nanoseconds of one call while one thread for each core makes them: those of the slowest thread.
fn nanoseconds<S>(service: &S, cores: &[usize]) -> f64
where
    S: Service<Request<Full<Bytes>>> + Clone + Send + Sync,
{
    let start = Barrier::new(cores.len());
    let run = |core: usize| {
        cores::stay_on(core);
        let mut service = service.clone();
        for _ in 0..100 {
            call(&mut service, get());
        }
        start.wait();
        let stopwatch = Stopwatch::start();
        for _ in 0..CALLS {
            call(black_box(&mut service), get());
        }
        stopwatch.elapsed()
    };
    let run = &run;
    let slowest = thread::scope(|scope| {
        let threads: Vec<_> = cores.iter().map(|&core| scope.spawn(move || run(core))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).max()
    });
    slowest.unwrap_or(Duration::ZERO).as_nanos() as f64 / f64::from(CALLS)
}
