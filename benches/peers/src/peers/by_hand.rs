//! The floor: two ready-made values, set without the layer.

use super::Peer;
use crate::drive::{self, Run, Workload};
use crate::workloads::WithoutLayer;

pub(crate) const SHARED: Peer = Peer {
    name: "by_hand",
    title: "two ready-made values, the floor",
    package: None,
    over: Some("bare"),
    headers: 2,
    on_401: "passes it on",
    driven: "`HeaderMap::insert` of a clone of one shared value and of a static one.",
    lacks: "Everything but the two headers: no expiry, no refresh, no retry, no look at the \
            origin, no regard for an `Authorization` that the request brings.",
    workloads: &Workload::ALL,
    build: || drive::service(WithoutLayer::new()),
};

pub(crate) const COPIED: Peer = Peer {
    name: "by_hand_copied",
    title: "the same, the value copied for each thread",
    package: None,
    over: Some("bare"),
    headers: 2,
    on_401: "passes it on",
    driven: "As before, but no two threads count references to the same value.",
    lacks: "As before.",
    workloads: &Workload::ALL,
    build: || Box::new(run_anew),
};

fn run_anew(workload: Workload, calls: u32) {
    let run: Run = drive::service(WithoutLayer::new());
    run(workload, calls);
}
