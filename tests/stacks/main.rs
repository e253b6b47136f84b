//! The layer inside tower stacks: above and below each layer that people put beside it, over
//! hyper-util and real sockets.
//!
//! "Above" means nearer to the caller than `AuthLayer`, "below" nearer to the client.

mod boxes;
mod buffer;
mod decompression;
mod headers;
mod limits;
mod ordering;
mod others;
#[path = "../support/readiness.rs"]
mod readiness;
mod redirects;
mod retries;
mod support;
mod timeouts;
mod trace;
mod whole;
#[path = "../support/witness.rs"]
mod witness;
