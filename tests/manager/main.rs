//! `CredentialsManager`: one credential for each of many users, over real sockets.

mod keep_alive;
mod lives;
mod support;
#[allow(dead_code, reason = "these tests take what they need of it")]
#[path = "../support/time.rs"]
mod time;
mod told;
#[path = "../support/witness.rs"]
mod witness;
