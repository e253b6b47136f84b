//! What the live credential is built on: locks, the pointer that requests load, tasks and pauses.
//!
//! These are the standard library's, arc-swap's and Tokio's own. In unit tests that are built with
//! `--cfg heavy_tests`, each of them can be taken over by a checker that explores the orders in which
//! threads may run; see `credentials::interleavings`.

#[cfg(all(test, heavy_tests))]
pub(crate) mod explored;

#[cfg(not(all(test, heavy_tests)))]
mod plain {
    pub(crate) use std::sync::atomic::AtomicU64;
    pub(crate) use std::sync::{Mutex, MutexGuard};

    pub(crate) use arc_swap::ArcSwap;
    pub(crate) use tokio::runtime::Handle;
    pub(crate) use tokio::sync::Mutex as AsyncMutex;
    pub(crate) use tokio::time::{sleep, timeout};
}

#[cfg(all(test, heavy_tests))]
pub(crate) use explored::{
    ArcSwap, AsyncMutex, AtomicU64, Handle, Mutex, MutexGuard, sleep, timeout,
};
#[cfg(not(all(test, heavy_tests)))]
pub(crate) use plain::*;
