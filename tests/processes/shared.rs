//! The store that the processes of a test share.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;
use tower_teamup_auth::TokenSet;
use tower_teamup_auth::store::{Expected, FileStore, RedisStore, StoredRecord, TokenStore};

use crate::redis_server::{RedisServer, until};

const KEY: &str = "user-1";
const LEASE: &str = "tower-teamup-auth:{user-1}:lease";

/// A folder or a Redis server of the test's own.
pub(crate) enum Shared {
    File(TempDir),
    Redis(RedisServer),
}

impl Shared {
    pub(crate) fn file() -> Self {
        Shared::File(tempfile::tempdir().unwrap())
    }

    pub(crate) fn redis() -> Self {
        Shared::Redis(RedisServer::start())
    }

    /// What another process needs to know to find it.
    pub(crate) fn place(&self) -> OsString {
        match self {
            Shared::File(_) => self.path().into(),
            Shared::Redis(server) => server.url().into(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Shared::File(folder) => folder.path().canonicalize().unwrap().join("tokens.json"),
            Shared::Redis(_) => panic!("a Redis has no path"),
        }
    }

    pub(crate) fn server(&self) -> &RedisServer {
        match self {
            Shared::Redis(server) => server,
            Shared::File(_) => panic!("a file has no server"),
        }
    }

    /// Puts the tokens of a login there.
    pub(crate) async fn seed(&self, tokens: &TokenSet) {
        match self {
            Shared::File(_) => save_first(&FileStore::new(self.path()), tokens).await,
            Shared::Redis(server) => save_first(&redis_store(server.url(), HOUR), tokens).await,
        }
        assert_eq!(self.lease_owner(), None);
    }

    pub(crate) async fn load(&self) -> Option<StoredRecord> {
        match self {
            Shared::File(_) => FileStore::new(self.path()).load().await.unwrap(),
            Shared::Redis(server) => redis_store(server.url(), HOUR).load().await.unwrap(),
        }
    }

    /// Sees that what a dead process held does not lock the others out permanently.
    pub(crate) fn outlive_the_dead(&self) {
        match self {
            Shared::File(_) => assert!(self.is_file_unlocked()),
            Shared::Redis(_) => self.expire_lease(),
        }
    }

    /// Lets the lease run out now instead of later.
    pub(crate) fn expire_lease(&self) {
        let left: i64 = self.server().query(&["PTTL", LEASE]);
        assert!(left > 0, "the lease is not held, or has no end");
        assert!(self.server().query::<bool>(&["PEXPIRE", LEASE, "1"]));
        self.until_lease_is_over();
    }

    pub(crate) fn until_lease_is_over(&self) {
        until("the lease has run out", || !self.server().query::<bool>(&["EXISTS", LEASE]));
    }

    /// Who has the lease; of a file nobody, once its lock is free.
    pub(crate) fn lease_owner(&self) -> Option<String> {
        match self {
            Shared::File(_) => (!self.is_file_unlocked()).then(|| "somebody".to_owned()),
            Shared::Redis(server) => server.query(&["GET", LEASE]),
        }
    }

    fn is_file_unlocked(&self) -> bool {
        let mut sidecar = self.path().into_os_string();
        sidecar.push(".lock");
        let sidecar = File::open(sidecar).unwrap();
        flock(&sidecar, FlockOperation::NonBlockingLockExclusive).is_ok()
    }
}

async fn save_first(store: &impl TokenStore, tokens: &TokenSet) {
    store.check().await.unwrap();
    let lease = store.try_acquire().await.unwrap().lease.expect("nobody has the lease");
    store.save(&lease, Expected::Empty, &tokens.clone().into()).await.unwrap();
    store.release(lease).await.unwrap();
}

/// So long that nothing runs out within a test unless the test makes it.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn redis_store(url: String, lease_lifetime: Duration) -> RedisStore {
    RedisStore::builder(url, KEY).lease_lifetime(lease_lifetime).build().unwrap()
}
