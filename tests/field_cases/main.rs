//! The cases from real use, each by its number, with real parts: hyper over loopback, files, Redis and
//! processes. Beside each case stands a neighbour of it.
#![cfg(unix)]

mod a_answers;
mod a_processes;
mod a_runtimes;
mod a_subscribers;
mod b_adoption;
mod b_pauses;
mod c_logins;
mod d_generations;
mod f_stores;
mod g_seeds;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/readiness.rs"]
mod readiness;
#[path = "../support/redis.rs"]
mod redis_server;
mod scene;
#[allow(dead_code, reason = "each test program takes what it needs")]
#[path = "../tcp/support.rs"]
mod support;
#[path = "../support/time.rs"]
mod time;
#[path = "../support/witness.rs"]
mod witness;
