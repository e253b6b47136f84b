//! The stores in PostgreSQL and SQLite, on real databases.

#[path = "../support/log.rs"]
mod log;
#[path = "../support/polled.rs"]
mod polled;
#[path = "../support/postgres.rs"]
mod postgres_server;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/relay.rs"]
mod relay;

mod conformance;
mod crash;
mod postgres;
mod sealing;
mod sqlite;
mod support;
