//! A folder to work in, and records to keep.

use std::error::Error;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;
use tower_teamup_auth::store::{Expected, LoginId, RecordContent, StoredRecord, TokenStore as _};
use tower_teamup_auth::store::{FileLease, FileStore, StoreError};
use tower_teamup_auth::{RequestMode, TokenSet};

use crate::witness;

pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    /// In memory where that can be: for tests that sync a thousand times.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        Folder(
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
                .unwrap(),
        )
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    pub(crate) fn tokens(&self) -> PathBuf {
        self.path().join("tokens.json")
    }

    pub(crate) fn store(&self) -> FileStore {
        witness::watch();
        FileStore::new(self.tokens())
    }

    /// A store that holds `record(1, "old")`.
    pub(crate) async fn filled(&self) -> FileStore {
        let store = self.store();
        let lease = acquire(&store).await;
        store.save(&lease, Expected::Empty, &record(1, "old")).await.unwrap();
        store.release(lease).await.unwrap();
        store
    }

    /// Writes a file that only this user can open.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The names in it, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names_in(&self.path())
    }
}

pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

pub(crate) fn login() -> LoginId {
    "07070707070707070707070707070707".parse().unwrap()
}

pub(crate) fn record(revision: u64, refresh_token: &str) -> StoredRecord {
    let access = format!("s3cret-access-{refresh_token}").parse().unwrap();
    let tokens = TokenSet::new(refresh_token.parse().unwrap()).with_access_token(
        RequestMode::Provider,
        access,
        None,
    );
    StoredRecord::new(login(), revision, RecordContent::Tokens(tokens))
}

pub(crate) fn tombstone(revision: u64) -> StoredRecord {
    StoredRecord::new(login(), revision, RecordContent::SignedOut)
}

/// Asks for the lease until it is granted.
pub(crate) async fn acquire(store: &FileStore) -> FileLease {
    loop {
        if let Some(lease) = try_acquire(store).await {
            return lease;
        }
        store.changed().await;
    }
}

pub(crate) async fn try_acquire(store: &FileStore) -> Option<FileLease> {
    store.try_acquire().await.unwrap().lease
}

/// Does anybody, in whichever process, have the lease?
pub(crate) fn is_locked(store: &FileStore) -> bool {
    let mut sidecar = store.path().as_os_str().to_owned();
    sidecar.push(".lock");
    let sidecar = File::open(sidecar).unwrap();
    flock(&sidecar, FlockOperation::NonBlockingLockExclusive).is_err()
}

/// The error and what caused it, as a program would log them.
pub(crate) fn whole_text(error: &StoreError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
