//! The file store, on real files and with real processes.
#![cfg(unix)]

#[cfg(feature = "encryption")]
mod encryption;
mod locking;
#[path = "../support/process.rs"]
mod process;
#[cfg(feature = "testing")]
mod processes;
mod refusals;
#[cfg(feature = "testing")]
mod saving;
#[path = "../support/small_disk.rs"]
mod small_disk;
#[cfg_attr(not(all(feature = "encryption", feature = "testing")), allow(dead_code))]
mod support;
#[path = "../support/witness.rs"]
mod witness;
