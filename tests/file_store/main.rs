//! The file store, on real files and with real processes.
#![cfg(unix)]

mod encryption;
mod locking;
mod processes;
mod refusals;
mod saving;
mod support;
