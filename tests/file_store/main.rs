//! The file store, on real files and with real processes.
#![cfg(unix)]

mod encryption;
mod locking;
#[path = "../support/process.rs"]
mod process;
mod processes;
mod refusals;
mod saving;
#[path = "../support/small_disk.rs"]
mod small_disk;
mod support;
