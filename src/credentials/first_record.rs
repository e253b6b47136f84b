//! Which record a credential starts with: the store's, or that of the tokens given at build.

use std::time::Duration;

use super::store_client::StoreClient;
use crate::error::Error;
use crate::headers::RequestMode;
use crate::observe::{Event, emit};
use crate::store::{
    DynLease, Expected, Fingerprint, LoginId, RecordContent, StoreError, StoredRecord,
};
use crate::token::{AccessToken, Clock, RefreshToken, TokenSet};

/// What decides it.
pub(super) struct FirstRecord<'a> {
    pub(super) store: &'a StoreClient,
    pub(super) seed: Option<&'a TokenSet>,
    pub(super) base_url: &'a str,
    pub(super) require_stored: bool,
    /// How long the lease is waited for.
    pub(super) lease_wait: Duration,
    pub(super) clock: &'a Clock,
}

/// The record of an M2M token. It has no refresh token; what stands there is never sent.
pub(super) fn of_m2m_token(token: Option<&AccessToken>) -> StoredRecord {
    let none = RefreshToken::new("none").expect("it is visible ASCII");
    let login = LoginId::of_seed(&none);
    let mut tokens = TokenSet::new(none);
    if let Some(token) = token {
        tokens = tokens.with_access_token_until(RequestMode::Provider, token.clone(), None);
    }
    StoredRecord::new(login, 1, RecordContent::Tokens(tokens))
}

impl FirstRecord<'_> {
    /// # Errors
    ///
    /// When the store can't be used, or holds what can't be read.
    pub(super) async fn find(&self) -> Result<Option<StoredRecord>, Error> {
        if !self.store.has_store() {
            return Ok(self.seed.map(|seed| self.of_seed(seed, None)));
        }
        self.store.check().await.map_err(Error::store)?;
        let stored = match self.store.load().await {
            // A login replaces it. With a seed there would be no telling whether that is spent.
            Err(error) if error.is_corrupt() && self.seed.is_none() && !self.require_stored => {
                emit(&Event::UnreadableRecord { error: &error });
                None
            }
            stored => stored.map_err(Error::store)?,
        };
        let Some(seed) = self.seed else {
            return match stored {
                None if self.require_stored => Err(Error::nothing_stored()),
                stored => Ok(stored),
            };
        };
        if let Some(settled) = self.without_writing(seed, stored.as_ref())? {
            return Ok(Some(settled));
        }
        self.under_lease(seed).await.map(Some)
    }

    /// The store's record, if the seed changes nothing in it.
    fn without_writing(
        &self,
        seed: &TokenSet,
        stored: Option<&StoredRecord>,
    ) -> Result<Option<StoredRecord>, Error> {
        let Some(stored) = stored else {
            return match self.require_stored {
                true => Err(Error::nothing_stored()),
                false => Ok(None),
            };
        };
        if !stored.seeds().contains(&Fingerprint::of(seed.refresh_token())) {
            return Ok(None);
        }
        emit(&Event::SeedIgnored { revision: stored.revision() });
        Ok(Some(stored.clone()))
    }

    /// Notes the seed in the store's record, or starts a login with it.
    async fn under_lease(&self, seed: &TokenSet) -> Result<StoredRecord, Error> {
        let lease = self.acquire().await?;
        let outcome = self.write(seed, lease.clone()).await;
        // A lease that can't be given back runs out by itself.
        let _ = self.store.release(lease).await;
        outcome
    }

    async fn write(&self, seed: &TokenSet, lease: DynLease) -> Result<StoredRecord, Error> {
        // Another process may have saved its seed while this one waited.
        let stored = self.store.load().await.map_err(Error::store)?;
        if let Some(settled) = self.without_writing(seed, stored.as_ref())? {
            return Ok(settled);
        }
        let record = match &stored {
            Some(stored) if matches!(stored.content(), RecordContent::Tokens(_)) => {
                emit(&Event::SeedIgnored { revision: stored.revision() });
                let seeds = stored.seeds().iter().copied();
                let revision = stored.revision().saturating_add(1);
                stored
                    .clone()
                    .with_seeds(seeds.chain([Fingerprint::of(seed.refresh_token())]))
                    .with_base_url(self.base_url)
                    .at_revision(revision)
            }
            stored => self.of_seed(seed, stored.as_ref()),
        };
        let expected = Expected::found(stored.as_ref());
        self.store.save(lease, expected, record.clone()).await.map_err(Error::store)?;
        Ok(record)
    }

    /// The login that a seed starts, after `before`, whose login has ended.
    fn of_seed(&self, seed: &TokenSet, before: Option<&StoredRecord>) -> StoredRecord {
        let fingerprint = Fingerprint::of(seed.refresh_token());
        let seeds = before.map(StoredRecord::seeds).unwrap_or_default().iter().copied();
        let revision = match before {
            None => 1,
            Some(before) => before.revision().saturating_add(1).max(self.clock.now().wall),
        };
        let login = LoginId::of_seed(seed.refresh_token());
        StoredRecord::new(login, revision, RecordContent::Tokens(seed.clone()))
            .with_base_url(self.base_url)
            .with_seeds(seeds.chain([fingerprint]))
    }

    async fn acquire(&self) -> Result<DynLease, Error> {
        let since = self.clock.now();
        loop {
            let attempt = self.store.try_acquire().await.map_err(Error::store)?;
            if let Some(lease) = attempt.lease {
                return Ok(lease);
            }
            if since.until(self.clock.now()) >= self.lease_wait {
                return Err(Error::store(StoreError::timed_out("grant a lease", self.lease_wait)));
            }
            self.store.changed().await;
        }
    }
}
