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
use crate::workloads::{Bare, call, get, oneshot};

/// So few that a measurement often ends before another program gets its turn on the machine.
const CALLS: u32 = 1_000;
const ROUNDS: usize = 500;

/// How a thread makes a call.
#[derive(Clone, Copy)]
pub(crate) enum How {
    /// Through a service that it keeps.
    Lasting,
    /// Through a clone of the one service that all share, for each call.
    Cloned,
}

/// The overhead of a call with two threads over that with one. Both have a clone of one service, or
/// share it.
pub(crate) fn two_over_one(how: How) -> f64 {
    let service = layered(Bare);
    let cores = cores::two();
    let [bare_one, one, bare_two, two] = best_of(ROUNDS, || {
        [
            nanoseconds(&Bare, &cores[..1], how),
            nanoseconds(&service, &cores[..1], how),
            nanoseconds(&Bare, &cores, how),
            nanoseconds(&service, &cores, how),
        ]
    });
    (two - bare_two) / (one - bare_one)
}

/// Nanoseconds of one call while one thread for each core makes them: those of the slowest thread.
fn nanoseconds<S>(service: &S, cores: &[usize], how: How) -> f64
where
    S: Service<Request<Full<Bytes>>> + Clone + Send + Sync,
{
    let start = Barrier::new(cores.len());
    let run = |core: usize| {
        cores::stay_on(core);
        let mut lasting = service.clone();
        let mut one = || match how {
            How::Lasting => call(black_box(&mut lasting), get()),
            How::Cloned => oneshot(black_box(service), get()),
        };
        for _ in 0..100 {
            one();
        }
        start.wait();
        let stopwatch = Stopwatch::start();
        for _ in 0..CALLS {
            one();
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
