//! The inner service alone.

use super::Peer;
use crate::drive::{self, Workload};
use crate::inner::Inner;

pub(crate) const HTTP: Peer = Peer {
    name: "bare",
    title: "the bare service",
    package: None,
    over: None,
    headers: 0,
    on_401: "",
    driven: "",
    lacks: "",
    workloads: &Workload::ALL,
    build: || drive::service(Inner),
};
