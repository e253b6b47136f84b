//! The file store, on real files and with real processes.
#![cfg(unix)]

#[cfg(feature = "testing")]
mod conformance;
mod families;
mod leases;
#[path = "../support/process.rs"]
mod process;
#[cfg(feature = "testing")]
mod processes;
#[cfg(feature = "testing")]
mod saving;
#[cfg(feature = "encryption")]
mod sealing;
#[path = "../support/small_disk.rs"]
mod small_disk;
#[cfg_attr(not(all(feature = "encryption", feature = "testing")), allow(dead_code))]
mod support;
mod trust;
mod unreadable;
#[path = "../support/witness.rs"]
mod witness;
