//! A file on a local disk: the store of a command-line tool, a desktop program, or the processes
//! of one host.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod os;

mod family;
mod lease;
mod location;
mod names;
mod read;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use self::family::FileFamily;
pub use self::lease::FileLease;
use self::location::Location;
use self::write::Replaced;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use self::write::SaveStep;
use self::write::Steps;
use super::contract::{Attempt, Expected, TokenStore};
use super::jobs::JobQueue;
use super::record::StoredRecord;
#[cfg(feature = "encryption")]
use super::{EncryptionKey, Sealing};
use super::{RecordFormat, StoreError};

/// The kind of store that a sealed record is bound to.
const KIND: &str = "file";

/// Keeps the record in a file that only this user can read, and shares it among the processes of
/// one host.
///
/// ```
/// use tower_teamup_auth::TokenSet;
/// use tower_teamup_auth::store::FileStore;
/// use tower_teamup_auth::store::{Expected, LoginId, RecordContent, StoredRecord, TokenStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let data = folder.path();
/// let store = FileStore::new(data.join("my-program/teamup-tokens.json"));
/// store.check().await?; // makes the folder, and finds out whether it can be written
/// assert!(store.load().await?.is_none());
///
/// // What credentials do by themselves at a login:
/// let lease = store.try_acquire().await?.lease.ok_or("another process has the lease")?;
/// let login: LoginId = "000102030405060708090a0b0c0d0e0f".parse()?;
/// let tokens = TokenSet::new("a-refresh-token".parse()?);
/// let record = StoredRecord::new(login, 1, RecordContent::Tokens(tokens));
/// store.save(&lease, Expected::Empty, &record).await?;
/// store.release(lease).await?;
/// # Ok(())
/// # }
/// ```
///
/// # What is written, and how
///
/// The text of [`StoredRecord::to_json`], in a file of mode 0600. A folder that does not exist is
/// made, with mode 0700. A save writes a temporary file in the same folder (mode 0600 from its first
/// byte on, whatever the umask), syncs it, renames it over the old file and syncs the folder. A
/// reader sees the old record or the new one, and so does whoever reads after a crash. What a
/// crashed process left behind is removed by the next one that has the lease.
///
/// Beside the file there may be:
///
/// | file | what |
/// | --- | --- |
/// | `<name>.lock` | stands for the lease, and must not be removed while programs use the store |
/// | `<name>.unreadable` | what a login replaced because it could not be used; one is kept |
/// | `.<name>.<number>.tmp` | a save that is under way, or that a crash ended |
/// | `<name>.key` | in a [family](FileStore::family), a key that is too long for a file's name |
///
/// What a save costs does not depend on what else is in the folder.
///
/// # The lease
///
/// The lease is an advisory lock (`flock`) on `<name>.lock`. The system gives it back when its
/// holder dies, however it dies; a holder that is merely stopped keeps it. It works between the
/// processes of one host, and between two stores of one process. For several hosts, use a store that
/// is made for it: locks on network file systems are not to be relied upon.
///
/// # What is not trusted
///
/// - A file that everybody can read or write, that belongs to another user or is no regular file, or
///   that holds no record (an empty file after a power loss, say), is [corrupt]. A login moves it to
///   `<name>.unreadable`, and a sign-out replaces it by its tombstone.
/// - A file that was sealed with another key, or whose format is newer than this crate, is [locked].
/// - A file of this user that its group can open is made private, with a warning event: Kubernetes
///   opens files like that at each mount of a volume with an `fsGroup`.
/// - A symbolic link out of its folder is refused. One to another name in the same folder is
///   followed, and it is that other file which is then replaced. Links on the way to the folder are
///   no matter.
/// - [`check`](TokenStore::check) refuses a folder that can't be written, and a file that is mounted
///   by itself: nothing could take its place. Mount its folder.
///
/// [corrupt]: StoreError::is_corrupt
/// [locked]: StoreError::is_locked
///
/// # Threads
///
/// Nothing blocks an async worker. Each store uses one thread of Tokio's blocking pool at most, even
/// on a disk that hangs. A runtime that is dropped waits for a save that has begun; on a disk that
/// hangs, end it with `Runtime::shutdown_timeout`.
///
/// # Windows
///
/// The file's permissions are those that its folder hands down: keep it in the user's own profile.
/// The lease is the lock file opened for one process alone, and a folder is not synced.
#[derive(Clone)]
pub struct FileStore {
    path: PathBuf,
    format: RecordFormat,
    jobs: JobQueue,
    /// A family's key that the file's name is too short for.
    key: Option<Arc<str>>,
    steps: Steps,
}

impl FileStore {
    /// A store in the file at `path`. Nothing is read or made yet.
    ///
    /// A relative path is taken from the working directory of this moment.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        FileStore::of(path.into(), RecordFormat::plain(KIND), JobQueue::new(), None)
    }

    /// Stores for many keys (the users of a service, say), each in a file of its own in `folder`.
    ///
    /// ```
    /// use tower_teamup_auth::store::FileStore;
    ///
    /// let users = FileStore::family("/var/lib/my-service/tokens");
    /// let store = users.open("ada@example.com");
    /// assert!(store.path().starts_with("/var/lib/my-service/tokens"));
    /// ```
    pub fn family(folder: impl Into<PathBuf>) -> FileFamily {
        FileFamily::new(folder.into())
    }

    fn of(path: PathBuf, format: RecordFormat, jobs: JobQueue, key: Option<Arc<str>>) -> Self {
        // An empty path has no absolute form; it is refused when the store is first used.
        let path = std::path::absolute(&path).unwrap_or(path);
        FileStore { path, format, jobs, key, steps: Steps::default() }
    }

    /// Seals the file with `key`, for a disk or a backup that others see. The same as
    /// [`seal_with`](FileStore::seal_with) and [`Sealing::new`].
    ///
    /// Every process that uses the file needs the same key.
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    #[must_use]
    pub fn encrypt_with(self, key: EncryptionKey) -> Self {
        self.seal_with(Sealing::new(key))
    }

    /// Seals the file as `sealing` says.
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    #[must_use]
    pub fn seal_with(mut self, sealing: Sealing) -> Self {
        self.format = self.format.sealed(sealing);
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
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        self.jobs.run(doing, move || work(&store)).await
    }

    fn check_now(&self) -> Result<(), StoreError> {
        let location = Location::make(&self.path)?;
        write::probe(&location)?;
        lease::open(&location).map(drop)
    }

    fn load_now(&self) -> Result<Option<StoredRecord>, StoreError> {
        match Location::find(&self.path)? {
            Some(location) => read::record(&location, &self.format),
            None => Ok(None),
        }
    }

    fn try_acquire_now(&self) -> Result<Attempt<FileLease>, StoreError> {
        let location = Location::make(&self.path)?;
        let attempt = match lease::take(&location)? {
            Some(lease) => Attempt::granted(lease),
            None => Attempt::busy(),
        };
        Ok(attempt.with_record(read::record(&location, &self.format)))
    }

    fn save_now(
        &self,
        lease: &FileLease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        let writing = lease.begin_write(&self.path)?;
        let location = writing.location();
        let replaced = match read::record(location, &self.format) {
            // The same save once more: its first try was given up, or failed after the rename.
            Ok(Some(found)) if found == *record => return write::sync_folder(location),
            Ok(found) if expected.allows(found.as_ref()) => Replaced::Gone,
            Ok(_) => return Err(StoreError::conflict()),
            Err(error) if expected == Expected::Anything && is_in_the_way(&error) => {
                if record.is_signed_out() { Replaced::Gone } else { Replaced::SetAside }
            }
            Err(error) => return Err(error),
        };
        let text = self.format.encode(location.name(), record)?;
        if let Some(key) = &self.key {
            write::key(&writing, key)?;
        }
        write::replace(&writing, &text, replaced, &self.steps)?;
        writing.set_deleted(false);
        Ok(())
    }
}

/// Is it what the file holds, and not that it can't be reached?
fn is_in_the_way(error: &StoreError) -> bool {
    error.is_corrupt() || error.is_locked()
}

impl TokenStore for FileStore {
    type Lease = FileLease;

    /// Makes the folder if need be, and a file in it, which is removed again.
    async fn check(&self) -> Result<(), StoreError> {
        self.blocking("check its folder", |store| store.check_now()).await
    }

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        self.blocking("load", |store| store.load_now()).await
    }

    async fn try_acquire(&self) -> Result<Attempt<FileLease>, StoreError> {
        self.blocking("ask for the lease", |store| store.try_acquire_now()).await
    }

    async fn renew(&self, lease: &FileLease) -> Result<FileLease, StoreError> {
        let lease = lease.clone();
        self.blocking("renew the lease", move |_| lease.confirm().map(|()| lease)).await
    }

    async fn release(&self, lease: FileLease) -> Result<(), StoreError> {
        let release = move |_: &Self| {
            lease.release();
            Ok(())
        };
        self.blocking("release the lease", release).await
    }

    fn time_left(&self, lease: &FileLease) -> Option<Duration> {
        lease.is_released().then_some(Duration::ZERO)
    }

    /// # Cancel safety
    ///
    /// The writing thread has a share in the lease: if this future is dropped, and the lease after
    /// it, no other process has the lease before the write has come to its end.
    async fn save(
        &self,
        lease: &FileLease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        let (lease, record) = (lease.clone(), record.clone());
        self.blocking("save", move |store| store.save_now(&lease, expected, &record)).await
    }

    async fn delete(&self, lease: &FileLease) -> Result<(), StoreError> {
        let lease = lease.clone();
        let delete = move |store: &Self| write::remove(&lease.begin_write(&store.path)?);
        self.blocking("delete", delete).await
    }

    /// Resolves after 10 to 50 ms, at random: on one host it costs little to look again, and
    /// processes that met at the lock must not go on meeting there.
    async fn changed(&self) {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(10..=50))).await;
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.path).finish_non_exhaustive()
    }
}
