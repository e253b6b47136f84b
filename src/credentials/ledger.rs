//! What a credential owns: its newest tokens, and whether the store has them too.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::vault::Lease;
use crate::observe::{Event, emit};
use crate::store::StoreError;
use crate::token::TokenSet;

/// Guarded by one lock per credential. Whoever holds it may change the tokens and publish them;
/// so changes never overlap, whatever brings them about.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The newest tokens known to this process; `None` after signing out, and for an M2M token.
    pub(crate) tokens: Option<TokenSet>,
    /// The store lacks `tokens`, or may lack them: they were not written yet, or the write failed.
    pub(crate) dirty: bool,
    /// The right to refresh, kept for as long as the ledger is dirty: whoever had it would read the
    /// old tokens in the store, and spend a refresh token that is spent.
    pub(crate) kept: Option<Lease>,
}

/// How a write ended that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The store holds the ledger's tokens.
    Ours,
    /// The store held newer ones, which the ledger has taken over.
    Theirs,
}

impl Ledger {
    /// The right to refresh: the one that was kept with unsaved tokens, or else a new one.
    pub(crate) async fn lock(
        &mut self,
        inner: &Inner,
        limit: Duration,
    ) -> Result<Lease, StoreError> {
        match self.kept.take() {
            Some(lease) => Ok(lease),
            None => inner.vault.lock(limit).await,
        }
    }

    /// Gives the right to refresh back, or keeps it if the store lacks the newest tokens.
    pub(crate) fn unlock(&mut self, lease: Lease) {
        self.kept = self.dirty.then_some(lease);
    }

    /// Takes `tokens` over if they are newer than what the ledger has, or of the same age and
    /// different. The store is the truth between processes.
    pub(crate) fn take_newer(&mut self, tokens: TokenSet) -> bool {
        let newer = match &self.tokens {
            None => true,
            Some(own) => tokens.revision() >= own.revision() && tokens != *own,
        };
        if newer {
            self.tokens = Some(tokens);
        }
        newer
    }

    /// Takes `tokens` over if their refresh token is another one, and no older; their revision.
    pub(crate) fn take_login(&mut self, tokens: TokenSet) -> Option<u64> {
        let own = self.tokens.as_ref()?;
        let is_another = tokens.refresh_token() != own.refresh_token();
        let revision = tokens.revision();
        (is_another && self.take_newer(tokens)).then_some(revision)
    }

    /// Writes the ledger's tokens over the revision `over`. When somebody else has saved in the
    /// meantime, their tokens are taken over if they are newer, and overwritten if they are not.
    pub(crate) async fn write(
        &mut self,
        inner: &Inner,
        lease: &Lease,
        over: Option<u64>,
    ) -> Result<Written, StoreError> {
        let Some(tokens) = self.tokens.clone() else {
            return Ok(Written::Ours);
        };
        let written = match inner.vault.save(lease, over, &tokens).await {
            Err(error) if error.is_conflict() => {
                let stored = inner.vault.load(&self.tokens).await?;
                let over = stored.as_ref().map(TokenSet::revision);
                match stored {
                    // An earlier attempt had landed, and the store did not recognize it.
                    Some(theirs) if theirs == tokens => Written::Ours,
                    Some(theirs) if theirs.revision() >= tokens.revision() => {
                        emit(&Event::Overtaken { revision: theirs.revision() });
                        self.tokens = Some(theirs);
                        Written::Theirs
                    }
                    // Emptied, or put back to an older state: ours are the newest there are.
                    _ => inner.vault.save(lease, over, &tokens).await.map(|()| Written::Ours)?,
                }
            }
            result => result.map(|()| Written::Ours)?,
        };
        self.dirty = false;
        Ok(written)
    }

    /// Repeats a write that failed. `Ok` when the store has the newest tokens.
    pub(crate) async fn write_back(&mut self, inner: &Arc<Inner>) -> Result<(), StoreError> {
        if !self.dirty {
            return Ok(());
        }
        let saved = match self.lock(inner, inner.settings.refresh_timeout).await {
            Ok(lease) => {
                let saved = self.save_again(inner, &lease).await;
                self.unlock(lease);
                saved
            }
            Err(error) => Err(error),
        };
        // Saved or not: a refresh that was interrupted while it saved has not published them.
        inner.publish(self);
        saved
    }

    async fn save_again(&mut self, inner: &Inner, lease: &Lease) -> Result<(), StoreError> {
        let stored = inner.vault.load(&self.tokens).await?;
        let over = stored.as_ref().map(TokenSet::revision);
        if stored.is_some_and(|stored| self.take_newer(stored)) {
            self.dirty = false;
            emit(&Event::Overtaken { revision: over.unwrap_or_default() });
            return Ok(());
        }
        self.write(inner, lease, over).await?;
        if let Some(tokens) = &self.tokens {
            emit(&Event::SavedAfterAll { revision: tokens.revision() });
        }
        Ok(())
    }
}
