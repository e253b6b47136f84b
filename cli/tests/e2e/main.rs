//! The command end to end: processes and real sockets on loopback.

mod commands;
#[path = "../support/network.rs"]
mod company_network;
mod fake;
mod keyring;
#[path = "../../../tests/support/keyring.rs"]
mod keyring_session;
mod network;
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
mod terminal;
