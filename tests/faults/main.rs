//! What goes wrong around credentials, and what goes on meanwhile: requests that hold a valid token
//! are answered, the newest tokens live on in memory and reach the store when it is back, and the
//! event log says what happened.
#![cfg(unix)]

mod clock;
mod disk;
#[path = "../support/log.rs"]
mod log;
mod login;
mod meddled;
#[path = "../support/process.rs"]
mod process;
mod redis;
#[path = "../support/redis.rs"]
mod redis_server;
mod scene;
mod slow;
#[path = "../support/small_disk.rs"]
mod small_disk;
mod unsaved;
