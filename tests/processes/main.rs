//! Fleets: real processes that share a store and a FakeTeamUp, and what can happen to them.
#![cfg(unix)]

mod fleet;
mod killed;
#[path = "../support/log.rs"]
mod log;
mod outage;
mod paused;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/redis.rs"]
mod redis_server;
mod shared;
mod stopped;
#[allow(dead_code, reason = "each test takes what it needs")]
#[path = "../support/time.rs"]
mod time;
#[path = "../support/witness.rs"]
mod witness;
mod worker;
