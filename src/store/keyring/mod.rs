//! A store for desktop programs: a sealed file, and its key in the user's keyring.

mod entry;

use std::fmt;
use std::future::{Future, ready};
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::entry::KeyringEntry;
use super::contract::{Attempt, Expected, TokenStore};
use super::record::StoredRecord;
use super::{EncryptionKey, FileFamily, FileLease, FileStore, Sealing, StoreError};
use crate::error::Error;

/// Keeps the record in a file that only a key in the user's keyring opens: Keychain on macOS, the
/// Credential Manager on Windows, the Secret Service (GNOME Keyring, KWallet) elsewhere.
///
/// ```no_run
/// use tower_teamup_auth::store::KeyringStore;
///
/// # async fn example(data_folder: &std::path::Path) -> Result<(), tower_teamup_auth::Error> {
/// let path = data_folder.join("teamup-tokens");
/// let store = KeyringStore::open(path, "com.example.my-program", "studio-7").await?;
/// # Ok(())
/// # }
/// ```
///
/// # Without a keyring
///
/// A server, a container and a session over SSH often have none, and one that is there may never
/// answer. What protects the file then is for the program to choose; nothing is chosen for it:
///
/// ```no_run
/// use std::time::Duration;
/// use tower_teamup_auth::BoxError;
/// use tower_teamup_auth::store::{EncryptionKey, KeyringStore};
///
/// # async fn example(path: std::path::PathBuf) -> Result<(), BoxError> {
/// let open = KeyringStore::open(path.clone(), "com.example.my-program", "studio-7");
/// let store = match tokio::time::timeout(Duration::from_secs(60), open).await {
///     Ok(Ok(store)) => store,
///     // No keyring, or one that does not answer: a key from elsewhere, if there is one.
///     _ => {
///         let key: EncryptionKey = std::env::var("TEAMUP_STORE_KEY")?.parse()?;
///         KeyringStore::with_key(path, key)
///     }
/// };
/// # Ok(())
/// # }
/// ```
///
/// A file that was sealed with one key is [locked](StoreError::is_locked) for the other, unless
/// [`also_open_with`](KeyringStore::also_open_with) has both. A program that accepts a file without a
/// key uses a [`FileStore`].
///
/// # Why not the tokens themselves
///
/// A refresh token rotates every two hours, and what was rotated must be saved at once or is lost.
/// A keyring is not made for that: it may be locked at this very moment, as it is when the screen
/// is; it has no lock that two processes could share, and no write that compares first; Windows
/// keeps 2560 bytes in an entry at most. So the keyring keeps what never changes, a key drawn when
/// the store is first opened, and hands it out once for each start of the program. The rest is a
/// [`FileStore`]: what stands there on the lease, on crashes and on what is not trusted is true
/// here, and any number of the user's programs may share it.
///
/// # What it is good for
///
/// Who has the file alone, from a backup or a lost disk, has nothing. A program that runs as the
/// same user may be able to ask the keyring too: whether it is then asked for a password is the
/// system's own affair.
#[derive(Clone)]
pub struct KeyringStore {
    file: FileStore,
    sealing: Sealing,
}

impl KeyringStore {
    /// Opens the store in the file at `path`, with the key that the user's keyring has under
    /// `service` and `user`.
    ///
    /// Where there is no key yet and no file, a key is made, and read once more to be sure that the
    /// keyring keeps it. The names are shown to the user by the system's own tools: take for
    /// `service` what names the program, and for `user` what tells its accounts apart.
    ///
    /// A keyring that is locked may ask the user for a password, and this waits for the answer,
    /// without a limit.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`]: there is no keyring, or it can't be unlocked; what it has under these
    /// names is no key of this crate's; the file was sealed with a key that is no longer there; or
    /// the file's folder can't be written.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again. A question that the user was asked stays on the screen. A
    /// keyring that never answers does not keep the program from ending, and takes one thread,
    /// however often it is asked.
    pub async fn open(
        path: impl Into<PathBuf>,
        service: impl Into<String>,
        user: impl Into<String>,
    ) -> Result<Self, Error> {
        let path = path.into();
        let entry = KeyringEntry::named(service.into(), user.into());
        let file = FileStore::new(&path);
        let refuse = |found| ready(refuse_for_file(&file, &entry, found));
        let key = key(&file, &entry, refuse).await.map_err(Error::store)?;
        Ok(KeyringStore::with_key(path, key))
    }

    /// Stores for many accounts of one person: sealed files in `folder`, one for each key, which one key
    /// in the user's keyring opens. It stands there under `service` and `user`.
    ///
    /// ```no_run
    /// use tower_teamup_auth::store::KeyringStore;
    ///
    /// # async fn example(data: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    /// let folder = data.join("accounts");
    /// let accounts = KeyringStore::family(folder, "com.example.my-program", "accounts").await?;
    /// let studio = accounts.open("studio-7");
    /// println!("{} accounts", accounts.list().await?.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`open`](KeyringStore::open). Where the folder has files and the keyring has no key, none is
    /// made.
    ///
    /// # Cancel safety
    ///
    /// As [`open`](KeyringStore::open).
    pub async fn family(
        folder: impl Into<PathBuf>,
        service: impl Into<String>,
        user: impl Into<String>,
    ) -> Result<FileFamily, Error> {
        let family = FileStore::family(folder);
        let entry = KeyringEntry::named(service.into(), user.into());
        // No account has a file of this name. Its lock is all that is used.
        let lock = FileStore::new(family.folder().join("keyring"));
        let refuse = |_| refuse_for_family(&family, &entry);
        let key = key(&lock, &entry, refuse).await.map_err(Error::store)?;
        Ok(family.seal_with(Sealing::new(key)))
    }

    /// A store in the file at `path` whose key comes from elsewhere: for where there is no keyring.
    /// Nothing is read or made yet.
    pub fn with_key(path: impl Into<PathBuf>, key: EncryptionKey) -> Self {
        KeyringStore::sealed(FileStore::new(path), Sealing::new(key))
    }

    fn sealed(file: FileStore, sealing: Sealing) -> Self {
        KeyringStore { file: file.seal_with(sealing.clone()), sealing }
    }

    /// Opens a file that was sealed with `key`, too, and seals it with the store's own key at the
    /// next save: for a program that had to do without the keyring for a while, or whose key from
    /// elsewhere is replaced. See [`Sealing::also_open_with`].
    #[must_use]
    pub fn also_open_with(self, key: EncryptionKey) -> Self {
        KeyringStore::sealed(self.file, self.sealing.also_open_with(key))
    }

    /// Opens a file that version 1 of this crate sealed, which is bound to no name. It is sealed in
    /// the present version at the next save. See [`Sealing::accept_version_1`].
    #[must_use]
    pub fn accept_version_1(self) -> Self {
        KeyringStore::sealed(self.file, self.sealing.accept_version_1())
    }

    /// Where the sealed record is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

/// What a file holds.
type Found = Result<Option<StoredRecord>, StoreError>;

/// The key under `entry`. Where there is none, one is made, unless `refuse` says why not.
///
/// Of two processes that start together, one makes the key, with the lease of `file`. Without a key
/// nobody refreshes, so the lease is not held for long.
async fn key<R>(
    file: &FileStore,
    entry: &KeyringEntry,
    refuse: impl FnOnce(Found) -> R,
) -> Result<EncryptionKey, StoreError>
where
    R: Future<Output = Result<(), StoreError>>,
{
    if let Some(key) = entry.find().await? {
        return Ok(key);
    }
    let (lease, found) = acquire(file).await?;
    let key = async {
        if let Some(key) = entry.find().await? {
            return Ok(key);
        }
        refuse(found).await?;
        entry.make().await
    }
    .await;
    file.release(lease).await?;
    key
}

async fn acquire(file: &FileStore) -> Result<(FileLease, Found), StoreError> {
    TokenStore::check(file).await?;
    loop {
        let attempt = file.try_acquire().await?;
        match (attempt.lease, attempt.record) {
            (Some(lease), Some(found)) => return Ok((lease, found)),
            (Some(lease), None) => return Ok((lease, TokenStore::load(file).await)),
            (None, _) => file.changed().await,
        }
    }
}

/// Another key has sealed the file, or none has.
fn refuse_for_file(file: &FileStore, entry: &KeyringEntry, found: Found) -> Result<(), StoreError> {
    match found {
        Ok(None) => Ok(()),
        // The next login replaces it.
        Err(error) if error.is_corrupt() => Ok(()),
        Ok(Some(_)) => Err(StoreError::locked(format!(
            "the record in {} is not sealed, and the user's keyring has no key for it; move the \
             file away, or use it with a file store",
            file.path().display()
        ))),
        Err(error) if error.is_locked() => Err(StoreError::locked(format!(
            "the user's keyring has no key {entry} any more, or never had it, so {} can't be \
             opened; bring the key back, or remove the file and let the user log in again",
            file.path().display()
        ))),
        Err(error) => Err(error),
    }
}

/// Another key has sealed the files, or none has.
async fn refuse_for_family(family: &FileFamily, entry: &KeyringEntry) -> Result<(), StoreError> {
    match family.list().await?.len() {
        0 => Ok(()),
        _ => Err(StoreError::locked(format!(
            "the user's keyring has no key {entry} any more, or never had it, so what the files in {} hold \
             can't be read; bring the key back, or remove the files and let the user log in again",
            family.folder().display()
        ))),
    }
}

impl TokenStore for KeyringStore {
    type Lease = FileLease;

    async fn check(&self) -> Result<(), StoreError> {
        TokenStore::check(&self.file).await
    }

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        TokenStore::load(&self.file).await
    }

    async fn try_acquire(&self) -> Result<Attempt<FileLease>, StoreError> {
        self.file.try_acquire().await
    }

    async fn renew(&self, lease: &FileLease) -> Result<FileLease, StoreError> {
        self.file.renew(lease).await
    }

    async fn release(&self, lease: FileLease) -> Result<(), StoreError> {
        self.file.release(lease).await
    }

    fn time_left(&self, lease: &FileLease) -> Option<Duration> {
        self.file.time_left(lease)
    }

    async fn save(
        &self,
        lease: &FileLease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        TokenStore::save(&self.file, lease, expected, record).await
    }

    /// Removes the file. The key stays in the keyring, for the next login.
    async fn delete(&self, lease: &FileLease) -> Result<(), StoreError> {
        self.file.delete(lease).await
    }

    async fn changed(&self) {
        self.file.changed().await;
    }
}

impl fmt::Debug for KeyringStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyringStore").field("path", &self.path()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(path: &Path) -> KeyringStore {
        KeyringStore::with_key(path, EncryptionKey::generate().unwrap())
    }

    #[tokio::test]
    async fn f5_folder_that_can_not_be_written_is_found_at_build() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        store(&file).check().await.unwrap();
        std::fs::write(&file, "no folder").unwrap();
        store(&file.join("tokens")).check().await.unwrap_err();
    }

    #[tokio::test]
    async fn lease_is_valid_until_it_is_released_and_a_deletion_removes_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("tokens"));
        let lease = store.try_acquire().await.unwrap().lease.unwrap();
        assert_eq!(store.time_left(&lease), None);
        let login = crate::store::LoginId::from_bytes([1; 16]);
        let record = StoredRecord::new(login, 1, crate::store::RecordContent::SignedOut);
        store.save(&lease, Expected::Empty, &record).await.unwrap();
        assert!(store.path().exists());
        store.delete(&lease).await.unwrap();
        assert!(!store.path().exists());
        store.release(lease.clone()).await.unwrap();
        assert_eq!(store.time_left(&lease), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_for_a_change_comes_after_the_pause_of_a_file() {
        let store = store(Path::new("tokens"));
        let changed = store.changed();
        tokio::pin!(changed);
        assert!(tokio::time::timeout(Duration::from_millis(9), &mut changed).await.is_err());
        tokio::time::timeout(Duration::from_millis(50), changed).await.unwrap();
    }

    #[test]
    fn f1_file_that_can_not_be_reached_is_not_told_to_lack_its_key() {
        let file = FileStore::new("tokens");
        let entry = KeyringEntry::named("program".to_owned(), "user".to_owned());
        let refusal = |found| refuse_for_file(&file, &entry, found);
        assert!(refusal(Err(StoreError::unavailable("", ""))).unwrap_err().is_unavailable());
        let locked = refusal(Err(StoreError::locked("another key"))).unwrap_err();
        assert!(locked.is_locked() && locked.to_string().contains("has no key"), "{locked}");
    }
}
