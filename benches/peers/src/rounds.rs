//! Nanoseconds, measured in rounds.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::cores;
use crate::drive::{Run, Workload};
use crate::stopwatch::Stopwatch;

pub(crate) const ROUNDS: usize = 151;
const CALLS: u32 = 3000;

/// Nanoseconds of one GET on one thread and on two, of every candidate in every round.
pub(crate) struct Rounds(Vec<Vec<[f64; 2]>>);

impl Rounds {
    /// Lets every candidate take its turn in each round, so that whatever else the machine does
    /// meets all of them.
    pub(crate) fn of(candidates: &[Run]) -> Rounds {
        let cores = cores::two();
        let round = |number: usize| {
            let mut times = vec![[0.0; 2]; candidates.len()];
            for turn in 0..candidates.len() {
                // Who comes after whom changes from round to round.
                let at = (number + turn) % candidates.len();
                times[at] = [1, 2].map(|threads| nanoseconds(&candidates[at], &cores[..threads]));
            }
            times
        };
        // The first one warms up.
        round(0);
        Rounds((0..ROUNDS).map(round).collect())
    }

    /// The median of what a candidate costs over its bare service, on one thread and on two.
    pub(crate) fn over(&self, candidate: usize, bare: usize) -> [f64; 2] {
        [0, 1].map(|threads| {
            median(self.0.iter().map(|round| round[candidate][threads] - round[bare][threads]))
        })
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Nanoseconds of one call while one thread for each core makes them, the mean of the threads.
fn nanoseconds(run: &Run, cores: &[usize]) -> f64 {
    let arrived = AtomicUsize::new(0);
    let one = |core: usize| {
        // Awake until all are there.
        cores::stay_on(core);
        arrived.fetch_add(1, Ordering::AcqRel);
        while arrived.load(Ordering::Acquire) < cores.len() {
            spin_loop();
        }
        let stopwatch = Stopwatch::start();
        run(Workload::Get, CALLS);
        stopwatch.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    let one = &one;
    let sum: f64 = thread::scope(|scope| {
        let threads: Vec<_> = cores.iter().map(|&core| scope.spawn(move || one(core))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum()
    });
    sum / cores.len() as f64
}
