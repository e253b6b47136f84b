//! The check finds what it is there to find: stores with one fault each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Conformance, check_store};
use crate::store::{Attempt, Expected, RecordContent, StoredRecord, TokenStore};
use crate::store::{MemoryLease, MemoryStore, StoreError};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    NothingIsShared,
    LeaseIsReentrant,
    LeaseIsNotExclusive,
    LeaseIsNeverReleased,
    AnyReleaseFreesTheLease,
    RenewalTakesTheLeaseBack,
    SaveDoesNotCompare,
    SaveUnderLostLeaseDoesNotCompare,
    RepeatedSaveIsAConflict,
    RepeatIsToldByTheRevisionAlone,
    AnythingHasToBeOlder,
    TombstoneIsAnEmptyStore,
    BaseUrlIsLost,
    SeedsAreLost,
    HighRevisionIsCut,
    DeletionKeepsTheRecord,
    DeletionFreesTheLease,
    AttemptBringsAnOldRecord,
    CheckTakesTheLease,
    DroppedSaveIsWrittenLate,
    DroppedAttemptKeepsTheLease,
    /// No fault: the contract allows it, and a database whose driver works in another thread does it.
    DroppedAttemptTakesTheLeaseLater,
}

struct Faulty {
    store: MemoryStore,
    fault: Fault,
    /// An attempt was dropped that takes the lease when it is free again.
    takes_later: Arc<AtomicBool>,
}

/// An attempt that is under way.
struct UnderWay<'a> {
    takes_later: &'a AtomicBool,
    is_done: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.takes_later.fetch_or(!self.is_done, Ordering::Relaxed);
    }
}

impl Faulty {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

impl TokenStore for Faulty {
    type Lease = MemoryLease;

    async fn check(&self) -> Result<(), StoreError> {
        if self.is(Fault::CheckTakesTheLease) {
            std::mem::forget(TokenStore::try_acquire(&self.store).await?.lease);
        }
        Ok(())
    }

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        let found = TokenStore::load(&self.store).await?;
        Ok(found.filter(|found| !self.is(Fault::TombstoneIsAnEmptyStore) || !found.is_signed_out()))
    }

    async fn try_acquire(&self) -> Result<Attempt<MemoryLease>, StoreError> {
        if self.is(Fault::LeaseIsNotExclusive) {
            self.store.expire_lease();
        }
        if self.is(Fault::DroppedAttemptTakesTheLeaseLater) {
            let mut under_way = UnderWay { takes_later: &self.takes_later, is_done: false };
            tokio::task::yield_now().await;
            under_way.is_done = true;
        }
        let mut attempt = TokenStore::try_acquire(&self.store).await?;
        if self.is(Fault::LeaseIsReentrant) && attempt.lease.is_none() {
            self.store.expire_lease();
            attempt = TokenStore::try_acquire(&self.store).await?;
        }
        if self.is(Fault::AttemptBringsAnOldRecord) {
            attempt = attempt.with_record(Ok(None));
        }
        if self.is(Fault::DroppedAttemptKeepsTheLease) {
            let kept = attempt.lease.clone().map(std::mem::ManuallyDrop::new);
            tokio::task::yield_now().await;
            drop(kept.map(std::mem::ManuallyDrop::into_inner));
        }
        Ok(attempt)
    }

    async fn renew(&self, lease: &MemoryLease) -> Result<MemoryLease, StoreError> {
        if self.is(Fault::RenewalTakesTheLeaseBack) {
            return Ok(lease.clone());
        }
        self.store.renew(lease).await
    }

    async fn release(&self, lease: MemoryLease) -> Result<(), StoreError> {
        match self.fault {
            Fault::LeaseIsNeverReleased => std::mem::forget(lease),
            Fault::AnyReleaseFreesTheLease => self.store.expire_lease(),
            _ => self.store.release(lease).await?,
        }
        if self.takes_later.swap(false, Ordering::Relaxed) {
            std::mem::forget(TokenStore::try_acquire(&self.store).await?.lease);
        }
        Ok(())
    }

    async fn save(
        &self,
        lease: &MemoryLease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        let found = TokenStore::load(&self.store).await?;
        let found_revision = found.as_ref().map(StoredRecord::revision);
        let (mut expected, mut record) = (expected, record.clone());
        match self.fault {
            Fault::SaveDoesNotCompare => expected = Expected::Anything,
            Fault::SaveUnderLostLeaseDoesNotCompare if self.store.renew(lease).await.is_err() => {
                self.store.write(record);
                return Ok(());
            }
            Fault::RepeatedSaveIsAConflict if found.as_ref() == Some(&record) => {
                return Err(StoreError::conflict());
            }
            Fault::RepeatIsToldByTheRevisionAlone if found_revision == Some(record.revision()) => {
                return Ok(());
            }
            Fault::AnythingHasToBeOlder
                if expected == Expected::Anything && found_revision > Some(record.revision()) =>
            {
                return Err(StoreError::conflict());
            }
            Fault::BaseUrlIsLost => {
                let bare =
                    StoredRecord::new(record.login(), record.revision(), record.content().clone());
                record = bare.with_seeds(record.seeds().iter().copied());
            }
            Fault::SeedsAreLost => record = record.with_seeds([]),
            Fault::HighRevisionIsCut => {
                let revision = record.revision().min(u64::MAX >> 8);
                record = StoredRecord::new(record.login(), revision, record.content().clone());
            }
            Fault::DroppedSaveIsWrittenLate if expected == Expected::found(found.as_ref()) => {
                let (store, late) = (self.store.clone(), record.clone());
                let write = tokio::spawn(async move {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                    store.write(late);
                });
                return write.await.map_err(|error| StoreError::unavailable("write", error));
            }
            _ => {}
        }
        self.store.save(lease, expected, &record).await
    }

    async fn delete(&self, lease: &MemoryLease) -> Result<(), StoreError> {
        match self.fault {
            Fault::DeletionKeepsTheRecord => {
                let held = TokenStore::load(&self.store).await?;
                let Some(held) = held else { return Ok(()) };
                let tombstone =
                    StoredRecord::new(held.login(), held.revision(), RecordContent::SignedOut);
                self.store.save(lease, Expected::Anything, &tombstone).await
            }
            Fault::DeletionFreesTheLease => {
                self.store.delete(lease).await?;
                self.store.expire_lease();
                Ok(())
            }
            _ => self.store.delete(lease).await,
        }
    }
}

/// What the check says of a store with this fault.
fn verdict(fault: Fault) -> Option<String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let store = MemoryStore::new();
    let expired = store.clone();
    let takes_later = Arc::new(AtomicBool::new(false));
    let open = || {
        let shares = fault != Fault::NothingIsShared;
        let store = if shares { store.clone() } else { MemoryStore::new() };
        let takes_later = Arc::clone(&takes_later);
        // An `Arc` of a store is judged as the store.
        std::future::ready(Arc::new(Faulty { store, fault, takes_later }))
    };
    let check = async {
        match fault {
            // Nothing but a lease that runs out shows it, or hides it.
            Fault::DroppedAttemptKeepsTheLease => check_store(open).await,
            _ => {
                Conformance::new(open)
                    .expire_lease(move || {
                        expired.expire_lease();
                        std::future::ready(())
                    })
                    .check()
                    .await;
            }
        }
    };
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.unwrap().block_on(check)));
    ended.err().map(|panic| *panic.downcast::<String>().expect("a panic with a text"))
}

#[test]
fn a_sound_store_passes() {
    assert_eq!(verdict(Fault::None), None);
    assert_eq!(verdict(Fault::DroppedAttemptTakesTheLeaseLater), None);
}

#[test]
fn every_fault_is_named() {
    for (fault, said) in [
        (Fault::NothingIsShared, "the lease is granted to two handles"),
        (Fault::LeaseIsReentrant, "to the handle that has it: it must not be re-entrant"),
        (Fault::LeaseIsNotExclusive, "the lease is granted"),
        (Fault::LeaseIsNeverReleased, "the lease is not granted, although"),
        (Fault::AnyReleaseFreesTheLease, "after a lost lease was released"),
        (Fault::RenewalTakesTheLeaseBack, "`renew` takes a lease back that another has by now"),
        (Fault::SaveDoesNotCompare, "is no conflict"),
        (Fault::SaveUnderLostLeaseDoesNotCompare, "a `save` under a lost lease replaces"),
        (Fault::RepeatedSaveIsAConflict, "the same `save` once more failed"),
        (Fault::RepeatIsToldByTheRevisionAlone, "`save` of another record of the same revision"),
        (Fault::AnythingHasToBeOlder, "`save` over anything failed"),
        (Fault::TombstoneIsAnEmptyStore, "holds None, and not Some"),
        (Fault::BaseUrlIsLost, "the store holds"),
        (Fault::SeedsAreLost, "the store holds"),
        (Fault::HighRevisionIsCut, "the store holds"),
        (Fault::DeletionKeepsTheRecord, "after `delete` the store holds Some"),
        (Fault::DeletionFreesTheLease, "the lease is granted after `delete`, before `release`"),
        (Fault::AttemptBringsAnOldRecord, "`try_acquire` brings another record than `load`"),
        (Fault::CheckTakesTheLease, "the lease is not granted"),
        (Fault::DroppedSaveIsWrittenLate, "after a dropped `save` and another one"),
        (Fault::DroppedAttemptKeepsTheLease, "a dropped `try_acquire` has taken the lease"),
    ] {
        let verdict = verdict(fault).unwrap_or_else(|| panic!("{fault:?} passes"));
        assert!(verdict.contains(said), "{fault:?}: {verdict}");
        assert!(!verdict.contains("s3cret"), "{fault:?}: {verdict}");
    }
}
