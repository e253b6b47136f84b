//! The layer over real sockets: hyper-util clients against `FakeTeamUp`, HTTP/1.1 and HTTP/2.

mod e7_m2m;
mod p10_no_eviction;
mod p1_one_refresh;
mod p2_dropped_callers;
mod p2_lost_answers;
mod p3_no_loop;
mod p4_origins;
mod p5_silence;
mod p6_capacity;
mod p7_modes;
mod p9_bodies;
#[path = "../support/readiness.rs"]
mod readiness;
mod refresh_endpoint;
mod refresh_faults;
mod standing;
mod support;
#[path = "../support/witness.rs"]
mod witness;
