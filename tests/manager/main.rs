//! `CredentialsManager`: one credential for each of many users, over real sockets.

mod keep_alive;
mod lives;
mod support;
mod told;
#[path = "../support/witness.rs"]
mod witness;
