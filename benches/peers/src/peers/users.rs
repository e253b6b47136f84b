//! What programs write for themselves: the token behind a lock, and the header made anew each time.

use std::sync::{Arc, PoisonError, RwLock};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use tokio::sync::Mutex;
use tower_teamup_auth::REQUEST_MODE;

use super::Peer;
use crate::drive::{self, Authorize, Workload};
use crate::workloads::ACCESS_TOKEN;

pub(crate) const RW_LOCK: Peer = Peer {
    name: "rw_lock",
    title: "`std::sync::RwLock<Arc<String>>` and `format!`",
    package: None,
    over: Some("bare"),
    headers: 2,
    on_401: "passes it on",
    driven: "The `Arc` is cloned out of the lock, the header is made of it, and put in beside a \
             static one.",
    lacks: "Whoever renews the token stands elsewhere: no expiry is looked at, nothing is repeated, \
            and every origin gets it.",
    workloads: &Workload::ALL,
    build: || drive::authorizer(ReadLocked(Arc::new(RwLock::new(Arc::new(ACCESS_TOKEN.into()))))),
};

pub(crate) const MUTEX: Peer = Peer {
    name: "mutex",
    title: "`tokio::sync::Mutex<String>` and `format!`",
    package: None,
    over: Some("bare"),
    headers: 2,
    on_401: "passes it on",
    driven: "The header is made while the lock is held, which is given back before the request is \
             sent.",
    lacks: "As before; and callers stand in line for the lock.",
    workloads: &Workload::ALL,
    build: || drive::authorizer(Locked(Arc::new(Mutex::new(ACCESS_TOKEN.into())))),
};

#[derive(Clone)]
struct ReadLocked(Arc<RwLock<Arc<String>>>);

impl Authorize for ReadLocked {
    async fn authorize(&self, headers: &mut HeaderMap) {
        let token = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        insert(headers, format!("Bearer {token}"));
    }
}

#[derive(Clone)]
struct Locked(Arc<Mutex<String>>);

impl Authorize for Locked {
    async fn authorize(&self, headers: &mut HeaderMap) {
        let authorization = format!("Bearer {}", self.0.lock().await);
        insert(headers, authorization);
    }
}

fn insert(headers: &mut HeaderMap, authorization: String) {
    let mut authorization = HeaderValue::try_from(authorization).expect("visible ASCII");
    authorization.set_sensitive(true);
    headers.insert(AUTHORIZATION, authorization);
    headers.insert(REQUEST_MODE, HeaderValue::from_static("provider"));
}
