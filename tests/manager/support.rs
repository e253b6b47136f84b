//! A family of stores in memory that fail as they are told, and a manager over it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::{Layer, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::manager::{CredentialsManager, ManagerBuilder};
use tower_teamup_auth::store::{
    Attempt, Expected, ListKeys, MemoryLease, MemoryStore, StoreError, StoreFamily, StoredRecord,
    TokenStore,
};
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{AuthLayer, Credentials, CredentialsBuilder, Error, RequestMode, TokenSet};

pub(crate) const MODE: RequestMode = RequestMode::Customer;

/// The limit that a test gives a shutdown; none is ever waited for.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A clone is the same family.
#[derive(Clone, Default)]
pub(crate) struct Family(Arc<Inner>);

#[derive(Default)]
struct Inner {
    stores: Mutex<HashMap<String, MemoryStore>>,
    loads: AtomicUsize,
    loads_fail: AtomicBool,
    saves_fail: AtomicBool,
}

#[derive(Clone)]
pub(crate) struct UserStore {
    store: MemoryStore,
    family: Family,
}

impl Family {
    pub(crate) fn fail_loads(&self, fail: bool) {
        self.0.loads_fail.store(fail, Ordering::Relaxed);
    }

    pub(crate) fn fail_saves(&self, fail: bool) {
        self.0.saves_fail.store(fail, Ordering::Relaxed);
    }

    pub(crate) fn loads(&self) -> usize {
        self.0.loads.load(Ordering::Relaxed)
    }

    pub(crate) fn store(&self, key: &str) -> MemoryStore {
        self.0.stores.lock().unwrap().entry(key.to_owned()).or_default().clone()
    }

    /// What is stored of a user, whatever fails.
    pub(crate) async fn record(&self, key: &str) -> Option<StoredRecord> {
        self.store(key).load().await.unwrap()
    }
}

impl StoreFamily for Family {
    type Store = UserStore;

    fn open(&self, key: &str) -> Result<UserStore, Error> {
        assert_ne!(key, "panics");
        Ok(UserStore { store: self.store(key), family: self.clone() })
    }
}

impl ListKeys for Family {
    async fn list(&self) -> Result<Vec<String>, StoreError> {
        let stores = self.0.stores.lock().unwrap().clone();
        let mut keys = Vec::new();
        for (key, store) in stores {
            if store.load().await?.is_some() {
                keys.push(key);
            }
        }
        Ok(keys)
    }
}

fn down() -> StoreError {
    StoreError::unavailable("the store", "is down")
}

impl TokenStore for UserStore {
    type Lease = MemoryLease;

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        let Inner { loads, loads_fail, .. } = &*self.family.0;
        loads.fetch_add(1, Ordering::Relaxed);
        // Other callers run before the answer is there.
        tokio::task::yield_now().await;
        if loads_fail.load(Ordering::Relaxed) {
            return Err(down());
        }
        self.store.load().await
    }

    async fn try_acquire(&self) -> Result<Attempt<MemoryLease>, StoreError> {
        let attempt = self.store.try_acquire().await?;
        Ok(attempt.lease.map_or_else(Attempt::busy, Attempt::granted))
    }

    async fn release(&self, lease: MemoryLease) -> Result<(), StoreError> {
        self.store.release(lease).await
    }

    async fn save(
        &self,
        lease: &MemoryLease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        if self.family.0.saves_fail.load(Ordering::Relaxed) {
            return Err(down());
        }
        self.store.save(lease, expected, record).await
    }

    async fn delete(&self, lease: &MemoryLease) -> Result<(), StoreError> {
        if self.family.0.saves_fail.load(Ordering::Relaxed) {
            return Err(down());
        }
        self.store.delete(lease).await
    }
}

/// What all users' credentials have in common.
pub(crate) fn template(server: &FakeTeamUp) -> CredentialsBuilder {
    crate::witness::watch();
    let http_client: HyperClient = hyper_client();
    Credentials::builder(MODE).base_url(server.base_url()).refresh_client(http_client)
}

pub(crate) fn builder(server: &FakeTeamUp, family: &Family) -> ManagerBuilder<Family> {
    CredentialsManager::builder(template(server), family.clone())
}

pub(crate) fn manager(server: &FakeTeamUp, family: &Family, most: usize) -> CredentialsManager {
    builder(server, family).max_in_memory(most).build().unwrap()
}

pub(crate) fn tokens(server: &FakeTeamUp, user: &str) -> TokenSet {
    server.issue_tokens_to(user, &[MODE])
}

/// Sends a GET with these credentials and hands out the status.
pub(crate) async fn status(server: &FakeTeamUp, credentials: &Credentials) -> u16 {
    let client: HyperClient = hyper_client();
    let request = Request::get(server.url("/echo"))
        .extension(credentials.clone())
        .body(Full::<Bytes>::default())
        .unwrap();
    AuthLayer::per_request().layer(client).oneshot(request).await.unwrap().status().as_u16()
}

/// How many of these users are kept in memory, although nobody else holds them.
pub(crate) fn in_memory(manager: &CredentialsManager) -> Vec<String> {
    let mut keys: Vec<_> = manager.iter().map(|(key, _)| key.to_string()).collect();
    keys.sort();
    keys
}
