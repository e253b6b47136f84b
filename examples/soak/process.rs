//! What the process takes of the machine.

use std::alloc::System;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Handle;

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What is allocated and not freed, in MiB: unlike the memory that the process holds, it does not
/// depend on how an allocator keeps what it was given back.
pub(crate) fn allocated_mib() -> u64 {
    let stats = COUNTING.stats();
    (stats.bytes_allocated.saturating_sub(stats.bytes_deallocated) / (1024 * 1024)) as u64
}

/// How many tasks of the runtime are alive.
pub(crate) fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// The same, once it has come down to `base`, or has not within 20 seconds: connections end in
/// tasks of their own.
pub(crate) async fn tasks_after_all(base: usize) -> usize {
    for _ in 0..2000 {
        if tasks() <= base {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tasks()
}

/// The memory that the process holds, in MiB; 0 where the system has no `/proc`.
pub(crate) fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split(' ').rev().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() / 1024
}
