//! The core in one process: scripted services, paused time, no network.
//!
//! A test whose name begins with `p1_` to `p10_` shows the promise of that number in the crate's
//! guarantees; the rest of the name says what is promised.

mod answers;
mod bodies;
mod build;
mod capacity;
mod dropped_callers;
mod endurance;
mod error_texts;
mod health;
mod modes;
mod one_retry;
mod origins;
mod panics;
#[path = "../support/polled.rs"]
mod polled;
#[path = "../support/readiness.rs"]
mod readiness;
mod retries;
mod secrets;
mod single_flight;
mod status;
mod stores;
mod support;
mod terminal;
#[path = "../support/time.rs"]
mod time;
mod unsaved;
mod waits;
mod windows;
#[path = "../support/witness.rs"]
mod witness;
