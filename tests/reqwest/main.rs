//! The two adapters for reqwest over real sockets: as a tower service under the layer, and as a
//! middleware of reqwest-middleware. What holds for one has to hold for the other, so most tests
//! run with each.

mod bodies;
mod neighbours;
mod origins;
mod overrides;
mod reasons;
mod redirects;
mod refresh_request;
mod statuses;
mod storm;
mod support;
mod timeouts;
#[path = "../support/witness.rs"]
mod witness;
