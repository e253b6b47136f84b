//! The default store: the memory of one process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use super::{StoreError, Stored, TokenStore};
use crate::token::TokenSet;

/// Keeps the tokens in the memory of this process: they are gone when it ends.
///
/// The default where [`CredentialsBuilder::tokens`](crate::CredentialsBuilder::tokens) brings the
/// tokens. A clone is the same store.
///
/// ```
/// use tower_teamup_auth::store::{MemoryStore, TokenStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
/// let store = MemoryStore::new();
/// assert!(store.load().await?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    right_to_refresh: Arc<tokio::sync::Mutex<()>>,
    kept: Arc<Mutex<Stored>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        MemoryStore::default()
    }

    /// A store that holds `tokens`.
    pub fn with_tokens(tokens: TokenSet) -> Self {
        MemoryStore { kept: Arc::new(Mutex::new(Some(tokens))), ..MemoryStore::default() }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for MemoryStore {
    type Lease = OwnedMutexGuard<()>;

    async fn load(&self) -> Result<Stored, StoreError> {
        Ok(self.kept().clone())
    }

    async fn lock(&self) -> Result<Self::Lease, StoreError> {
        Ok(Arc::clone(&self.right_to_refresh).lock_owned().await)
    }

    async fn save(
        &self,
        _lease: &Self::Lease,
        over: Option<u64>,
        tokens: &TokenSet,
    ) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let repeated = kept.as_ref() == Some(tokens);
        if !repeated && kept.as_ref().map(TokenSet::revision) != over {
            return Err(StoreError::conflict());
        }
        *kept = Some(tokens.clone());
        Ok(())
    }

    async fn clear(&self, _lease: &Self::Lease) -> Result<(), StoreError> {
        *self.kept() = None;
        Ok(())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
