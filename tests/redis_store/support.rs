//! Records and stores for the tests.

use std::error::Error;
use std::time::Duration;

use tower_teamup_auth::TokenSet;
use tower_teamup_auth::store::{
    Attempt, LoginId, RecordContent, RedisSource, RedisStore, StoredRecord, TimedLease, TokenStore,
};
use tower_teamup_auth::token::RefreshToken;

pub(crate) const KEY: &str = "tower-teamup-auth:{user-1}";
pub(crate) const LEASE: &str = "tower-teamup-auth:{user-1}:lease";

/// A lease that no test waits for the end of.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn record(revision: u64, text: &str) -> StoredRecord {
    let login: LoginId = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
    let token = RefreshToken::new(format!("s3cret-{}", text.escape_unicode())).unwrap();
    StoredRecord::new(login, revision, RecordContent::Tokens(TokenSet::new(token)))
}

/// A store whose lease runs out within a test only if the test makes it.
pub(crate) fn store_at(source: impl Into<RedisSource>) -> RedisStore {
    RedisStore::builder(source, "user-1").lease_lifetime(HOUR).build().unwrap()
}

/// A store that gives up soon.
pub(crate) fn impatient(source: impl Into<RedisSource>) -> RedisStore {
    let builder = RedisStore::builder(source, "user-1").lease_lifetime(HOUR);
    builder.timeout(Duration::from_millis(600)).build().unwrap()
}

/// The lease, which nobody else has.
pub(crate) async fn lease(store: &RedisStore) -> TimedLease {
    store.try_acquire().await.unwrap().lease.expect("nobody else has the lease")
}

pub(crate) async fn is_busy(store: &RedisStore) -> bool {
    store.try_acquire().await.unwrap().lease.is_none()
}

pub(crate) fn found(attempt: Attempt<TimedLease>) -> Option<StoredRecord> {
    attempt.record.expect("the store reads the record as well").unwrap()
}

/// All that an error says, its sources included.
pub(crate) fn told(error: &(dyn Error + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    sources.map(|error| format!("{error} {error:?}")).collect::<Vec<_>>().join(": ")
}
