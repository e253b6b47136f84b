//! An allocator that counts, each thread for itself: a count that all threads share would be what
//! they contend for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

pub(crate) struct Counting;

thread_local! {
    /// Allocations and reallocations so far.
    static OPERATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
}

/// Heap operations of one of the calls that `run` makes, once everything is warm.
pub(crate) fn per_call(run: impl Fn(u32)) -> f64 {
    run(1);
    let (few, many) = (100, 1100);
    let before = OPERATIONS.get();
    run(few);
    let between = OPERATIONS.get();
    run(many);
    let after = OPERATIONS.get();
    ((after - between) as f64 - (between - before) as f64) / f64::from(many - few)
}

/// Allocations and reallocations of this thread so far.
pub(crate) fn operations() -> u64 {
    OPERATIONS.get()
}

/// Bytes that this thread has allocated, less those that it has freed.
pub(crate) fn live_bytes() -> i64 {
    LIVE_BYTES.get()
}

/// On a thread that is ending nothing is counted any more.
fn count(operations: u64, bytes: i64) {
    let _ = OPERATIONS.try_with(|count| count.set(count.get() + operations));
    let _ = LIVE_BYTES.try_with(|live| live.set(live.get() + bytes));
}

fn size(layout: Layout) -> i64 {
    layout.size() as i64
}

// The one place where the project's benchmarks need `unsafe`: the trait demands it. Every call goes
// to the system's allocator as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, size(layout));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -size(layout));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(1, new_size as i64 - size(layout));
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
