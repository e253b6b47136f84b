//! What the manager of many users holds in memory: 100,000 users known, 1,000 alive.
//!
//! ```text
//! cargo test --release -p tests --test manager_memory -- --nocapture
//! ```

use std::alloc::System;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::manager::CredentialsManager;
use tower_teamup_auth::store::{
    Attempt, Expected, LoginId, RecordContent, StoreError, StoreFamily, StoredRecord, TokenStore,
};
use tower_teamup_auth::{Credentials, Error, RequestMode, TokenSet};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MODE: RequestMode = RequestMode::Customer;
const ALIVE: usize = 1_000;

/// As long as those that TeamUp's documentation shows.
const TOKEN: usize = 40;

/// Has a login for whoever is asked for, and holds none in memory.
struct Everybody;

struct Store(Box<str>);

impl StoreFamily for Everybody {
    type Store = Store;

    fn open(&self, key: &str) -> Result<Store, Error> {
        Ok(Store(key.into()))
    }
}

impl TokenStore for Store {
    type Lease = ();

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        let text = |kind| format!("{:-<TOKEN$}", format!("{kind}-{}-", self.0));
        let tokens = TokenSet::new(text("refresh").parse().expect("visible ASCII"));
        let access = text("access").parse().expect("visible ASCII");
        let tokens = tokens.with_access_token(MODE, access, Some(Duration::from_secs(7200)));
        let login: LoginId = "000102030405060708090a0b0c0d0e0f".parse().expect("an id");
        Ok(Some(StoredRecord::new(login, 1, RecordContent::Tokens(tokens))))
    }

    async fn try_acquire(&self) -> Result<Attempt<()>, StoreError> {
        Ok(Attempt::granted(()))
    }

    async fn release(&self, (): ()) -> Result<(), StoreError> {
        Ok(())
    }

    async fn save(&self, (): &(), _: Expected, _: &StoredRecord) -> Result<(), StoreError> {
        Ok(())
    }

    async fn delete(&self, (): &()) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Bytes that are held when so many users were served.
async fn held_after(users: usize) -> usize {
    let http_client: HyperClient = hyper_client();
    let template = Credentials::builder(MODE).refresh_client(http_client);
    let region = Region::new(ALLOCATOR);
    let manager =
        CredentialsManager::builder(template, Everybody).max_in_memory(ALIVE).build().unwrap();
    for user in 0..users {
        let key = format!("user-{user:06}");
        assert!(manager.get(&key).await.unwrap().status().is_ready());
    }
    assert_eq!(manager.iter().count(), ALIVE.min(users));
    let change = region.change();
    change.bytes_allocated - change.bytes_deallocated
}

#[tokio::test]
async fn users_who_are_known_and_not_alive_cost_nothing() {
    held_after(ALIVE).await; // what is made once
    let alive = held_after(ALIVE).await;
    let known = held_after(100 * ALIVE).await;
    println!("1,000 alive: {} bytes each; 100,000 known beside: {known} bytes", alive / ALIVE);
    assert!(known < alive + alive / 10, "{known} after 100,000 users, {alive} after 1,000");
    assert!(alive / ALIVE < 3_000, "{} bytes each", alive / ALIVE);
}
