//! A file on a local disk: the store of a command-line tool, a desktop program, or the processes
//! of one host.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod os;

mod lock;
mod place;
mod read;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};

use tokio::runtime::Handle;

pub use self::lock::FileLease;
use self::place::Place;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use self::write::SaveStep;
use self::write::Steps;
#[cfg(feature = "encryption")]
use super::EncryptionKey;
use super::{Seal, StoreError, Stored, TokenStore};
use crate::token::TokenSet;

/// Keeps the tokens in a file that only this user can read, and shares them among the processes of
/// one host.
///
/// ```
/// use tower_teamup_auth::TokenSet;
/// use tower_teamup_auth::store::{FileStore, TokenStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let home = std::env::temp_dir().join(format!("file-store-doc-{}", std::process::id()));
/// let store = FileStore::new(home.join("my-program/teamup-tokens.json"));
/// store.check().await?; // made the folder, and can write in it
/// assert!(store.load().await?.is_none());
///
/// // What credentials do by themselves when the tokens rotate:
/// let lease = store.lock().await?;
/// store.save(&lease, None, &TokenSet::new("a-refresh-token".parse()?)).await?;
/// # std::fs::remove_dir_all(home)?;
/// # Ok(())
/// # }
/// ```
///
/// # What is written, and how
///
/// The text of [`TokenSet::to_json`], in a file of mode 0600. A folder that does not exist is made,
/// with mode 0700. A save writes a temporary file in the same folder (`.<name>.<number>.tmp`, mode
/// 0600 from its first byte on, whatever the umask), syncs it, renames it over the old file and
/// syncs the folder: a reader sees the old tokens or the new ones, and so does whoever reads after
/// a crash. What a crashed process left behind is removed by the next one that holds the right to
/// refresh.
///
/// # One refresh at a time
///
/// The right to refresh is an advisory lock (`flock`) on a file beside the store, `<name>.lock`,
/// which stays there and must not be removed. The system gives the lock back when its holder dies,
/// however it dies; a holder that is merely stopped keeps it. It works between the processes of one
/// host, and between two stores of one process. For several hosts, use a store that is made for it:
/// locks on network file systems are not to be relied upon.
///
/// # What is refused
///
/// With an error that says what was found and what to do, and without changing it:
/// - a file that others can read or write, that belongs to another user, or that is no regular file;
/// - a symbolic link out of its folder. One to another name in the same folder is followed, and it
///   is that other file which is then replaced. Links on the way to the folder are no matter;
/// - a file that holds no token set, or one of a format that is newer than this crate;
/// - at build, a folder that can't be written. Who else may enter a folder that exists is not looked
///   at.
///
/// # Windows
///
/// The file's permissions are those that its folder hands down: keep it in the user's own profile.
/// The lock is the sidecar opened for one process alone, and a folder is not synced.
#[derive(Clone)]
pub struct FileStore {
    path: PathBuf,
    seal: Seal,
    steps: Steps,
}

impl FileStore {
    /// A store in the file at `path`. Nothing is read or made yet.
    ///
    /// A relative path is taken from the working directory of this moment.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        // An empty path has no absolute form; it is refused when the store is first used.
        let path = std::path::absolute(&path).unwrap_or(path);
        FileStore { path, seal: Seal::default(), steps: Steps::default() }
    }

    /// Encrypts the file with `key` (XChaCha20-Poly1305), for a disk or a backup that others see.
    ///
    /// Every process that uses the file needs the same key. A file that was written without one is
    /// refused, as is one that was written with another: whoever can write the file could otherwise
    /// put tokens of their own in it.
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    #[must_use]
    pub fn encrypt_with(mut self, key: EncryptionKey) -> Self {
        self.seal = Seal::with_key(key);
        self
    }

    /// Where the file is, or will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Calls `hook` at each step of a save, on the thread that writes: for tests that end the
    /// process there. No part of the public API.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    #[must_use]
    pub fn on_save_step(mut self, hook: impl Fn(SaveStep) + Send + Sync + 'static) -> Self {
        self.steps = Steps::calling(hook);
        self
    }

    /// Runs `work` where it may block, with a copy of this store.
    async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let runtime = Handle::try_current().map_err(|error| {
            let message = "a file store needs a Tokio runtime, and there is none here";
            StoreError::unavailable(message, error)
        })?;
        let store = self.clone();
        match runtime.spawn_blocking(move || work(store)).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(StoreError::panicked(doing)),
            Err(error) => {
                let message = format!("the runtime ended before the file store could {doing}");
                Err(StoreError::unavailable(message, error))
            }
        }
    }

    fn check_now(&self) -> Result<(), StoreError> {
        let place = Place::make(&self.path)?;
        write::probe(&place)?;
        lock::open(&place).map(drop)
    }

    fn load_now(&self) -> Result<Stored, StoreError> {
        match Place::find(&self.path)? {
            Some(place) => read::tokens(&place, &self.seal),
            None => Ok(None),
        }
    }

    fn save_now(
        &self,
        lease: &FileLease,
        over: Option<u64>,
        tokens: &TokenSet,
    ) -> Result<(), StoreError> {
        let _no_other_write = lease.begin_write();
        let place = lease.place_of(&self.path)?;
        let kept = read::tokens(place, &self.seal)?;
        let text = tokens.to_json();
        // The same save once more: its first try was given up, or failed after the rename.
        if kept.as_ref().is_some_and(|kept| kept.to_json() == text) {
            return write::sync_folder(place);
        }
        if kept.as_ref().map(TokenSet::revision) != over {
            return Err(StoreError::conflict());
        }
        write::replace(place, &self.seal.seal(UNBOUND, text.as_bytes())?, &self.steps)
    }

    fn clear_now(&self, lease: &FileLease) -> Result<(), StoreError> {
        let _no_other_write = lease.begin_write();
        let place = lease.place_of(&self.path)?;
        match read::tokens(place, &self.seal)? {
            Some(_) => write::remove(place),
            None => Ok(()),
        }
    }
}

/// A file may be moved, so what is sealed in it is bound to no place.
const UNBOUND: &str = "";

impl TokenStore for FileStore {
    type Lease = FileLease;

    /// Makes the folder if need be, and a file in it, which is removed again.
    async fn check(&self) -> Result<(), StoreError> {
        self.blocking("check its folder", |store| store.check_now()).await
    }

    async fn load(&self) -> Result<Stored, StoreError> {
        self.blocking("load", |store| store.load_now()).await
    }

    /// Asks for the lock again and again, after 5 ms at first and 50 ms in the end.
    ///
    /// Waiting inside `flock` would take a thread that nothing can call back: it would go on
    /// waiting after this future was dropped, take the lock for nobody, and keep the runtime from
    /// shutting down meanwhile.
    async fn lock(&self) -> Result<FileLease, StoreError> {
        let mut pause = lock::Pause::new();
        loop {
            if let Some(lease) = self.blocking("lock", |store| lock::take(&store.path)).await? {
                return Ok(lease);
            }
            tokio::time::sleep(pause.next()).await;
        }
    }

    /// Saving again what is already there does nothing, so that a save whose outcome is not known
    /// may be repeated.
    async fn save(
        &self,
        lease: &FileLease,
        over: Option<u64>,
        tokens: &TokenSet,
    ) -> Result<(), StoreError> {
        // The writing thread has a share in the lease: if this future is dropped, and the lease
        // after it, the lock is still held until the write has come to its end.
        let (lease, tokens) = (lease.clone(), tokens.clone());
        self.blocking("save", move |store| store.save_now(&lease, over, &tokens)).await
    }

    async fn clear(&self, lease: &FileLease) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.blocking("clear", move |store| store.clear_now(&lease)).await
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.path).finish_non_exhaustive()
    }
}
