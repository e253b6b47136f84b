//! A folder with a file for each key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::names::{self, Named};
use super::{FileStore, KIND, read};
use crate::error::Error;
#[cfg(feature = "encryption")]
use crate::store::Sealing;
use crate::store::family::{ListKeys, StoreFamily};
use crate::store::jobs::JobQueue;
use crate::store::{RecordFormat, StoreError};

/// How many threads the stores of one family share: a disk that hangs must not take a thread for
/// each user.
const THREADS: usize = 4;

/// Stores in the files of one folder, one for each key. Made by [`FileStore::family`].
///
/// ```
/// use tower_teamup_auth::store::FileStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let users = FileStore::family(folder.path());
/// let ada = users.open("ada@example.com");
/// // … credentials are built on it and save their tokens …
/// assert!(users.list().await?.is_empty());
/// # Ok(())
/// # }
/// ```
///
/// The stores of a family share four threads at most. Two handles of one key share the lease like
/// two processes. Sealed records are bound to their key.
#[derive(Clone)]
pub struct FileFamily {
    folder: PathBuf,
    format: RecordFormat,
    jobs: Arc<[JobQueue; THREADS]>,
}

impl FileFamily {
    pub(super) fn new(folder: PathBuf) -> Self {
        FileFamily {
            folder: std::path::absolute(&folder).unwrap_or(folder),
            format: RecordFormat::plain(KIND),
            jobs: Arc::new(std::array::from_fn(|_| JobQueue::new())),
        }
    }

    /// Seals every file as `sealing` says.
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    #[must_use]
    pub fn seal_with(mut self, sealing: Sealing) -> Self {
        self.format = self.format.sealed(sealing);
        self
    }

    /// The folder of the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The store of `key`: any text, the empty one included. Two keys never share a file, and no
    /// key leads out of the folder. Nothing is read or made yet.
    pub fn open(&self, key: impl AsRef<str>) -> FileStore {
        let key = key.as_ref();
        let (name, is_in_name) = names::name_of(key);
        let written = (!is_in_name).then(|| Arc::from(key));
        let jobs = self.jobs_of(&name);
        FileStore::of(self.folder.join(name), self.format.for_key(key), jobs, written)
    }

    /// The keys that have a record, tombstones included, in no particular order. Reads the names of
    /// the whole folder.
    ///
    /// # Errors
    ///
    /// When the folder can't be read.
    pub async fn list(&self) -> Result<Vec<String>, StoreError> {
        let folder = self.folder.clone();
        self.jobs_of("").run("list its keys", move || keys_in(&folder)).await
    }

    fn jobs_of(&self, name: &str) -> JobQueue {
        let sum = name
            .bytes()
            .fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        self.jobs[sum % THREADS].clone()
    }
}

impl StoreFamily for FileFamily {
    type Store = FileStore;

    fn open(&self, key: &str) -> Result<FileStore, Error> {
        Ok(FileFamily::open(self, key))
    }
}

impl ListKeys for FileFamily {
    async fn list(&self) -> Result<Vec<String>, StoreError> {
        FileFamily::list(self).await
    }
}

fn keys_in(folder: &Path) -> Result<Vec<String>, StoreError> {
    let failed = |error| {
        let message = format!("the folder {} can't be read", folder.display());
        StoreError::unavailable(message, error)
    };
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut keys = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        match entry.file_name().to_str().and_then(names::key_of) {
            Some(Named::Key(key)) => keys.push(key),
            Some(Named::Long) => {
                let mut path = entry.path().into_os_string();
                path.push(".key");
                // One that is gone belongs to a store that was deleted a moment ago.
                if let Some(key) = read::bytes(Path::new(&path))? {
                    let key = String::from_utf8_lossy(&key).into_owned();
                    keys.push(key);
                }
            }
            None => {}
        }
    }
    Ok(keys)
}

impl fmt::Debug for FileFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileFamily").field("folder", &self.folder).finish_non_exhaustive()
    }
}
