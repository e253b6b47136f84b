//! The command end to end: processes and real sockets on loopback.

mod commands;
mod fake;
#[path = "../../../tests/support/postgres.rs"]
mod postgres_server;
mod processes;
mod proxy;
mod proxy_misuse;
#[path = "../../../tests/support/redis.rs"]
mod redis_server;
mod stores;
#[path = "../support/mod.rs"]
mod support;
