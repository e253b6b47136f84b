//! The store on the contract that the credential is being moved away from; goes with it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use super::MemoryStore;
use crate::store::{StoreError, Stored, TokenStore};
use crate::token::TokenSet;

#[derive(Clone, Default)]
pub(super) struct Shared {
    lock: Arc<tokio::sync::Mutex<()>>,
    kept: Arc<Mutex<Stored>>,
}

impl MemoryStore {
    /// A store that holds `tokens`.
    pub fn with_tokens(tokens: TokenSet) -> Self {
        let store = MemoryStore::new();
        *store.kept() = Some(tokens);
        store
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.old.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for MemoryStore {
    type Lease = OwnedMutexGuard<()>;

    async fn load(&self) -> Result<Stored, StoreError> {
        Ok(self.kept().clone())
    }

    async fn lock(&self) -> Result<Self::Lease, StoreError> {
        Ok(Arc::clone(&self.old.lock).lock_owned().await)
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
