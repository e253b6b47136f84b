//! Cores for the threads of a measurement: two threads that share one take turns, and contend for
//! nothing.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Two cores that this process may run on.
pub(crate) fn two() -> [usize; 2] {
    let allowed = sched_getaffinity(None).expect("the cores that this process may run on");
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    let mut next = || cores.next().expect("two cores, which this measurement needs");
    [next(), next()]
}

/// Keeps this thread on one core.
pub(crate) fn stay_on(core: usize) {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).expect("a core that this process may run on");
}
