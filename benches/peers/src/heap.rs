//! Heap operations, counted by an allocator of this program's own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::drive::{Run, Workload};

/// Heap operations of one call, once everything is warm.
pub(crate) fn operations(run: &Run, workload: Workload) -> f64 {
    run(workload, 1);
    let (few, many) = (100, 1100);
    let before = OPERATIONS.get();
    run(workload, few);
    let between = OPERATIONS.get();
    run(workload, many);
    let after = OPERATIONS.get();
    ((after - between) as f64 - (between - before) as f64) / f64::from(many - few)
}

/// Counts allocations and reallocations, of each thread apart: a counter that two threads share would
/// slow down the candidates that allocate, and only while two threads are timed.
pub(crate) struct Counting;

thread_local! {
    static OPERATIONS: Cell<u64> = const { Cell::new(0) };
}

// The one place that needs `unsafe`: the trait demands it. Every call goes to the system's allocator
// as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        OPERATIONS.set(OPERATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        OPERATIONS.set(OPERATIONS.get() + 1);
        unsafe { System.realloc(pointer, layout, size) }
    }
}
