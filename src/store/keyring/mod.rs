//! A store for desktop programs: a sealed file, and its key in the user's keyring.
//!
//! The module is private; its front door is [`KeyringStore`].

mod secret;

use std::fmt;
use std::path::{Path, PathBuf};

use self::secret::Secret;
use super::{EncryptionKey, FileLease, FileStore, StoreError, Stored, TokenStore};
use crate::error::Error;
use crate::token::TokenSet;

/// Keeps the tokens in a file that only a key in the user's keyring opens: Keychain on macOS, the
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
/// # Why not the tokens themselves
///
/// A refresh token rotates every two hours, and what was rotated must be saved at once or is lost.
/// A keyring is not made for that: it may be locked at this very moment, as it is when the screen
/// is; it has no lock that two processes could share, and no write that compares first; Windows
/// keeps 2560 bytes in an entry at most. So the keyring keeps what never changes, a key drawn when
/// the store is first opened, and hands it out once for each start of the program. The rest is a
/// [`FileStore`] with all that it promises: what stands there on locking, on crashes and on what is
/// refused is true here, and any number of the user's programs may share it.
///
/// # What it is good for
///
/// Who has the file alone, from a backup or a lost disk, has nothing. A program that runs as the
/// same user may be able to ask the keyring too: whether it is then asked for a password is the
/// system's own affair.
#[derive(Clone)]
pub struct KeyringStore {
    file: FileStore,
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
    /// May be dropped and called again. A question that the user was asked stays on the screen.
    pub async fn open(
        path: impl Into<PathBuf>,
        service: impl Into<String>,
        user: impl Into<String>,
    ) -> Result<Self, Error> {
        let file = FileStore::new(path);
        let secret = Secret::named(service.into(), user.into());
        let key = key(&file, &secret).await.map_err(Error::store)?;
        Ok(KeyringStore { file: file.encrypt_with(key) })
    }

    /// Where the sealed tokens are.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

async fn key(file: &FileStore, secret: &Secret) -> Result<EncryptionKey, StoreError> {
    if let Some(key) = secret.find().await? {
        return Ok(key);
    }
    // Of two processes that start together, one makes the key. Without one nobody refreshes, so the
    // lock is not held for long.
    file.check().await?;
    let _lock = file.lock().await?;
    if let Some(key) = secret.find().await? {
        return Ok(key);
    }
    match file.load().await {
        Ok(None) => secret.make().await,
        Ok(Some(_)) => Err(StoreError::unreadable(format!(
            "the tokens in {} are not sealed, and the user's keyring has no key for them; move the \
             file away, or use it with a file store",
            file.path().display()
        ))),
        Err(error) if error.is_unreadable() => Err(StoreError::unreadable(format!(
            "the user's keyring has no key {secret} any more, or never had it, so {} can't be \
             opened; bring the key back, or remove the file and let the user log in again",
            file.path().display()
        ))),
        Err(error) => Err(error),
    }
}

impl TokenStore for KeyringStore {
    type Lease = FileLease;

    async fn check(&self) -> Result<(), StoreError> {
        self.file.check().await
    }

    async fn load(&self) -> Result<Stored, StoreError> {
        self.file.load().await
    }

    async fn lock(&self) -> Result<FileLease, StoreError> {
        self.file.lock().await
    }

    async fn save(
        &self,
        lease: &FileLease,
        over: Option<u64>,
        tokens: &TokenSet,
    ) -> Result<(), StoreError> {
        self.file.save(lease, over, tokens).await
    }

    /// Forgets the tokens. The key stays in the keyring, for the next login.
    async fn clear(&self, lease: &FileLease) -> Result<(), StoreError> {
        self.file.clear(lease).await
    }
}

impl fmt::Debug for KeyringStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyringStore").field("path", &self.path()).finish_non_exhaustive()
    }
}
