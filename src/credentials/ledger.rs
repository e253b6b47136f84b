//! What a credential owns: its newest tokens, and whether the store has them too.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::memory::Memory;
use super::vault::Lease;
use crate::error::Error;
use crate::observe::{Event, UnsavedTime, emit};
use crate::store::StoreError;
use crate::token::{Clock, RefreshToken, TokenSet};

/// Guarded by one lock per credential. Whoever holds it may change the tokens and publish them;
/// so changes never overlap, whatever brings them about.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The newest tokens known to this process; `None` after signing out, and for an M2M token.
    pub(crate) tokens: Option<TokenSet>,
    /// `Some` where the store lacks `tokens`, or may lack them: they were not written yet, or the
    /// write failed.
    pub(crate) unsaved: Option<Unsaved>,
    /// The right to refresh, kept for as long as tokens are unsaved: whoever had it would read the
    /// old tokens in the store, and spend a refresh token that is spent.
    pub(crate) kept: Option<Lease>,
    /// `Some` from a write that failed until there is nothing left to write.
    unsaved_time: Option<UnsavedTime>,
    /// The refresh token that the endpoint refused last, and what became of it. It is not sent again,
    /// not even if the store could not say at once whether there is a newer one.
    refused: Option<(RefreshToken, Error)>,
}

/// Where tokens came from that the store lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsaved {
    /// From an exchange. Newer ones in the store are taken over instead.
    Rotated,
    /// From a login. Whatever the store has belongs to the login before.
    Set,
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
    pub(crate) fn new(tokens: Option<TokenSet>) -> Self {
        Ledger { tokens, ..Ledger::default() }
    }

    /// The tokens of a new login, not written yet: what became of others is no matter of theirs.
    pub(crate) fn set(&mut self, tokens: TokenSet) {
        self.tokens = Some(tokens);
        self.unsaved = Some(Unsaved::Set);
        self.refused = None;
    }

    /// The endpoint has refused the refresh token.
    pub(crate) fn refused(&mut self, error: Error) {
        self.refused = self.tokens.as_ref().map(|tokens| (tokens.refresh_token().clone(), error));
    }

    /// Why the refresh token must not be sent, if it was refused.
    pub(crate) fn refusal(&self) -> Option<Error> {
        let (refused, error) = self.refused.as_ref()?;
        (self.tokens.as_ref()?.refresh_token() == refused).then(|| error.clone())
    }

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
        self.kept = self.unsaved.map(|_| lease);
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

    /// Writes the ledger's tokens over the revision `over`, or over what stands there if somebody
    /// else has saved in the meantime and theirs are not newer.
    pub(crate) async fn write(
        &mut self,
        inner: &Inner,
        lease: &Lease,
        over: Option<u64>,
    ) -> Result<Written, StoreError> {
        let Some(tokens) = &self.tokens else {
            return Ok(Written::Ours);
        };
        match inner.vault.save(lease, over, tokens).await {
            Err(error) if error.is_conflict() => self.write_newest(inner, lease).await,
            result => {
                result?;
                self.saved();
                Ok(Written::Ours)
            }
        }
    }

    /// Reads the store, and writes the ledger's tokens over what it finds unless that is newer.
    async fn write_newest(&mut self, inner: &Inner, lease: &Lease) -> Result<Written, StoreError> {
        let stored = inner.vault.load(&self.tokens).await?;
        let over = stored.as_ref().map(TokenSet::revision);
        if self.unsaved == Some(Unsaved::Set) {
            self.outnumber(stored.as_ref());
        } else if stored.is_some_and(|stored| self.take_newer(stored)) {
            emit(&Event::Overtaken { revision: over.unwrap_or_default() });
            self.saved();
            return Ok(Written::Theirs);
        }
        // The store is empty, was put back to an older state, or has these very tokens: then it sees
        // to it that they are safe.
        if let Some(tokens) = &self.tokens {
            inner.vault.save(lease, over, tokens).await?;
        }
        self.saved();
        Ok(Written::Ours)
    }

    /// There is nothing left to write.
    pub(crate) fn saved(&mut self) {
        self.unsaved = None;
        self.unsaved_time = None;
    }

    /// A write has failed, and will be repeated.
    pub(crate) fn not_saved(&mut self, clock: &Clock) {
        self.unsaved_time.get_or_insert_with(|| UnsavedTime::begin(clock));
    }

    /// Gives the ledger's tokens a revision by which every process takes them for newer than these.
    fn outnumber(&mut self, others: Option<&TokenSet>) {
        if let (Some(own), Some(others)) = (&mut self.tokens, others) {
            if own.revision() <= others.revision() && own != others {
                *own = own.clone().with_revision(others.revision().saturating_add(1));
            }
        }
    }

    /// Repeats a write that failed. `Ok` when the store has the newest tokens.
    pub(crate) async fn write_back(&mut self, inner: &Arc<Inner>) -> Result<(), StoreError> {
        if self.unsaved.is_none() {
            return Ok(());
        }
        let written = match self.lock(inner, inner.settings.wait_timeout).await {
            Ok(lease) => {
                let written = self.write_newest(inner, &lease).await;
                self.unlock(lease);
                written
            }
            Err(error) => Err(error),
        };
        if written.is_ok() {
            inner.desk.with_memory(Memory::saved);
        }
        // Saved or not: a refresh that was interrupted while it saved has not published them.
        inner.publish(self);
        if let (Written::Ours, Some(tokens)) = (written?, &self.tokens) {
            emit(&Event::SavedAfterAll { revision: tokens.revision() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(refresh_token: &str, revision: u64) -> TokenSet {
        TokenSet::new(RefreshToken::new(refresh_token).unwrap()).with_revision(revision)
    }

    fn ledger() -> Ledger {
        Ledger::new(Some(tokens("own", 3)))
    }

    #[test]
    fn a_login_is_another_refresh_token_that_is_no_older() {
        for (stored, taken) in [
            (tokens("own", 3), None),
            (tokens("own", 4), None),
            (tokens("other", 2), None),
            (tokens("other", 3), Some(3)),
            (tokens("other", 7), Some(7)),
        ] {
            let mut ledger = ledger();
            assert_eq!(ledger.take_login(stored.clone()), taken, "{stored:?}");
            let expected = if taken.is_some() { stored } else { tokens("own", 3) };
            assert_eq!(ledger.tokens, Some(expected));
        }
        assert_eq!(Ledger::new(None).take_login(tokens("other", 7)), None);
    }

    #[test]
    fn tokens_outnumber_others_that_are_no_older() {
        for (others, revision) in [
            (None, 3),
            (Some(tokens("other", 2)), 3),
            (Some(tokens("own", 3)), 3),
            (Some(tokens("other", 3)), 4),
            (Some(tokens("own", 5)), 6),
            (Some(tokens("other", u64::MAX)), u64::MAX),
        ] {
            let mut ledger = ledger();
            ledger.outnumber(others.as_ref());
            assert_eq!(ledger.tokens, Some(tokens("own", revision)), "{others:?}");
        }
    }
}
