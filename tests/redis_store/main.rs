//! `RedisStore` on a real Redis: alone, over TLS, as a cluster, and behind Sentinel.

#[path = "../support/process.rs"]
mod process;
#[path = "../support/redis.rs"]
mod redis_server;
#[path = "../support/relay.rs"]
mod relay;

mod conformance;
mod connections;
mod crash;
mod faults;
mod lease;
mod records;
mod sentinel;
mod support;
