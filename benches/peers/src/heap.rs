//! Heap operations, counted in this process.

use crate::counting;
use crate::drive::{Run, Workload};

/// Heap operations of one call, once everything is warm.
pub(crate) fn operations(run: &Run, workload: Workload) -> f64 {
    run(workload, 1);
    let (few, many) = (100, 1100);
    let before = counting::operations();
    run(workload, few);
    let between = counting::operations();
    run(workload, many);
    let after = counting::operations();
    ((after - between) as f64 - (between - before) as f64) / f64::from(many - few)
}
