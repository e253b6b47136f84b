//! The key as the user's keyring keeps it: an entry of 32 bytes under two names.

use std::fmt;
use std::sync::{Arc, OnceLock};

use keyring_core::{CredentialStore, Entry, Error as KeyringError};
use zeroize::Zeroizing;

use crate::store::jobs::JobQueue;
use crate::store::{EncryptionKey, StoreError};

/// The names of an entry.
#[derive(Clone)]
pub(super) struct KeyringEntry {
    service: String,
    user: String,
}

impl KeyringEntry {
    pub(super) fn named(service: String, user: String) -> Self {
        KeyringEntry { service, user }
    }

    /// The key, if there is one.
    pub(super) async fn find(&self) -> Result<Option<EncryptionKey>, StoreError> {
        self.blocking(|entry| entry.find_now()).await
    }

    /// Draws a key and keeps it.
    pub(super) async fn make(&self) -> Result<EncryptionKey, StoreError> {
        self.blocking(|entry| {
            let key = EncryptionKey::generate()?;
            entry.entry().and_then(|entry| entry.set_secret(key.bytes())).map_err(|error| {
                StoreError::unavailable(
                    format!("the key {entry} can't be kept in the user's keyring"),
                    told(&error),
                )
            })?;
            // A keyring that forgets must not be found out when the first tokens can't be opened.
            match entry.find_now()? {
                Some(kept) if kept.bytes() == key.bytes() => Ok(key),
                _ => Err(StoreError::unavailable(
                    format!("the user's keyring does not keep the key {entry}"),
                    "it was just put there, and another or none is there now",
                )),
            }
        })
        .await
    }

    fn find_now(&self) -> Result<Option<EncryptionKey>, StoreError> {
        let bytes = match self.entry().and_then(|entry| entry.get_secret()) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(KeyringError::NoEntry) => return Ok(None),
            Err(error) => {
                return Err(StoreError::unavailable(
                    format!("the key {self} can't be had from the user's keyring"),
                    told(&error),
                ));
            }
        };
        match <[u8; 32]>::try_from(&bytes[..]) {
            Ok(bytes) => Ok(Some(EncryptionKey::from_bytes(bytes))),
            Err(_) => Err(StoreError::locked(format!(
                "what the user's keyring has {self} is no key of this crate's, and is left as it \
                 is; choose other names"
            ))),
        }
    }

    fn entry(&self) -> Result<Entry, KeyringError> {
        keyring()?.build(&self.service, &self.user, None)
    }

    /// Asks the keyring on a thread that nothing waits for: the keyring may have to ask the user, and
    /// some never answer. Two questions at once would only put two on the screen.
    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(KeyringEntry) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        static QUESTIONS: OnceLock<JobQueue> = OnceLock::new();
        let entry = self.clone();
        let questions = QUESTIONS.get_or_init(JobQueue::detached);
        questions.run("ask the user's keyring", move || ask(entry)).await
    }
}

/// This platform's keyring. It is opened for each use: one that was not there yet may be by now.
fn keyring() -> Result<Arc<CredentialStore>, KeyringError> {
    #[cfg(windows)]
    return Ok(windows_native_keyring_store::Store::new()?);
    #[cfg(target_os = "macos")]
    return Ok(apple_native_keyring_store::keychain::Store::new()?);
    #[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
    return Ok(zbus_secret_service_keyring_store::Store::new()?);
    #[cfg(not(any(
        windows,
        target_os = "macos",
        all(unix, not(target_vendor = "apple"), not(target_os = "android"))
    )))]
    return Err(KeyringError::NotSupportedByStore(
        "on this platform no keyring is supported".to_owned(),
    ));
}

/// What the keyring says, without the bytes that some of its errors carry along.
fn told(error: &KeyringError) -> String {
    error.to_string()
}

impl fmt::Display for KeyringEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(service `{}`, user `{}`)", self.service, self.user)
    }
}
