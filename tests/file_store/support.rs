//! A folder to work in, and tokens to keep.

use std::error::Error;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;
use tower_teamup_auth::TokenSet;
use tower_teamup_auth::store::{FileStore, StoreError, TokenStore as _};

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

    /// A store that holds `tokens(1, "old")`.
    pub(crate) async fn filled(&self) -> FileStore {
        let store = self.store();
        let lease = store.lock().await.unwrap();
        store.save(&lease, None, &tokens(1, "old")).await.unwrap();
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

pub(crate) fn tokens(revision: u64, refresh_token: &str) -> TokenSet {
    let text = format!(
        r#"{{"version":1,"revision":{revision},"refresh_token":"{refresh_token}",
            "provider":{{"access_token":"s3cret-access-{refresh_token}","expires_at":null}}}}"#
    );
    TokenSet::from_json(text.as_bytes()).unwrap()
}

/// Does anybody, in whichever process, hold the right to refresh?
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
