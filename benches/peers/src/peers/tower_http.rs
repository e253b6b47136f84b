//! tower-http's `SetRequestHeader`, once for each of the two headers.

use http::HeaderValue;
use http::header::AUTHORIZATION;
use tower_http::set_header::SetRequestHeader;
use tower_teamup_auth::REQUEST_MODE;

use super::Peer;
use crate::drive::{self, Run, Workload};
use crate::inner::Inner;
use crate::workloads::authorization;

pub(crate) const SET_TWICE: Peer = Peer {
    name: "tower_http",
    title: "tower-http `SetRequestHeader`, twice",
    package: Some("tower-http"),
    over: Some("bare"),
    headers: 2,
    on_401: "passes it on",
    driven: "`SetRequestHeader::overriding` around `SetRequestHeader::overriding`, with ready-made \
             values.",
    lacks: "The values are fixed once built: no expiry, no refresh, no retry, and every origin \
            gets them.",
    workloads: &Workload::ALL,
    build,
};

fn build() -> Run {
    let mode = HeaderValue::from_static("provider");
    let service = SetRequestHeader::overriding(Inner, REQUEST_MODE, mode);
    drive::service(SetRequestHeader::overriding(service, AUTHORIZATION, authorization()))
}
