//! The lease: an advisory lock on a sidecar.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::location::Location;
use super::os;
use crate::store::StoreError;

/// The lease of a [`FileStore`](super::FileStore): the exclusive right to refresh.
///
/// It ends with its release, when its last clone is dropped, or with its process, and not before a
/// write that was begun under it is done.
#[derive(Clone)]
pub struct FileLease(Arc<Grant>);

struct Grant {
    location: Location,
    /// `None` once it was released. Locked while a thread writes: one whose future was dropped must
    /// not put its record over that of a later save under the same lease.
    lock: Mutex<Option<os::Lock>>,
    is_released: AtomicBool,
    /// The record was deleted since, so that the sidecar has nothing to guard.
    is_deleted: AtomicBool,
}

/// The right to write, for as long as this value lives.
pub(super) struct Writing<'a> {
    lock: MutexGuard<'a, Option<os::Lock>>,
    lease: &'a FileLease,
}

impl FileLease {
    /// Waits for the write before, if one is still under way.
    ///
    /// Fails if the lease was released, or if `path` leads elsewhere by now.
    pub(super) fn begin_write(&self, path: &Path) -> Result<Writing<'_>, StoreError> {
        let lock = self.lock();
        if lock.is_none() {
            return Err(StoreError::lease_lost());
        }
        let locked = &self.0.location;
        match Location::find(path)? {
            Some(found) if found == *locked => Ok(Writing { lock, lease: self }),
            Some(found) => Err(StoreError::lease_lost().with_source(format!(
                "the token file is {} now and was {} when it was locked; leave the links to it as \
                 they are while programs use it",
                found.file().display(),
                locked.file().display()
            ))),
            None => Err(locked.gone()),
        }
    }

    /// Fails if the lease was released, or the sidecar removed: another may have it then.
    pub(super) fn confirm(&self) -> Result<(), StoreError> {
        match &*self.lock() {
            Some(lock) if lock.is_still_at(&self.0.location.lock()) => Ok(()),
            _ => Err(StoreError::lease_lost()),
        }
    }

    /// Releases the lease, whoever has clones of it.
    pub(super) fn release(&self) {
        let lock = self.lock().take();
        self.0.is_released.store(true, Ordering::Release);
        // Outside the mutex, and on a thread that may block.
        self.0.unlock(lock);
    }

    pub(super) fn is_released(&self) -> bool {
        self.0.is_released.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Option<os::Lock>> {
        // A thread that panicked has left nothing half done but a temporary file.
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing<'_> {
    pub(super) fn location(&self) -> &Location {
        &self.lease.0.location
    }

    /// The number of the sidecar, which names the temporary file.
    pub(super) fn sidecar(&self) -> u64 {
        self.lock.as_ref().map_or(0, os::Lock::number)
    }

    /// Is anything left that the sidecar guards?
    pub(super) fn set_deleted(&self, is_deleted: bool) {
        self.lease.0.is_deleted.store(is_deleted, Ordering::Relaxed);
    }
}

impl Grant {
    fn unlock(&self, lock: Option<os::Lock>) {
        let Some(lock) = lock else { return };
        if self.is_deleted.load(Ordering::Relaxed) {
            lock.remove(&self.location.lock());
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let lock = self.lock.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.unlock(lock);
    }
}

/// Opens the sidecar, which is made if there is none.
pub(super) fn open(location: &Location) -> Result<os::Sidecar, StoreError> {
    os::open_sidecar(&location.lock()).map_err(|error| {
        let message = format!(
            "the lock file {} can't be opened; it must be an ordinary file of this user's, in a \
             folder that this process may write",
            location.lock().display()
        );
        StoreError::unavailable(message, error)
    })
}

/// Takes the lease, or `None` while somebody else has it; the first thing done with it is to remove
/// what a crashed holder left.
pub(super) fn take(location: &Location) -> Result<Option<FileLease>, StoreError> {
    loop {
        let taken = os::lock(open(location)?).map_err(|error| {
            let message = format!(
                "{} can't be locked; keep the token file on a local file system",
                location.lock().display()
            );
            StoreError::unavailable(message, error)
        })?;
        let Some(lock) = taken else { return Ok(None) };
        // Whoever removed the sidecar in the meantime made room for another, and for a second
        // holder.
        if lock.is_still_at(&location.lock()) {
            location.remove_temporary(lock.number());
            return Ok(Some(FileLease(Arc::new(Grant {
                location: location.clone(),
                lock: Mutex::new(Some(lock)),
                is_released: AtomicBool::new(false),
                is_deleted: AtomicBool::new(false),
            }))));
        }
    }
}

impl fmt::Debug for FileLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileLease").field(&self.0.location.file()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Windows does not let an open sidecar be removed.
    #[cfg(unix)]
    #[test]
    fn lock_on_a_sidecar_that_was_removed_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::make(&folder.path().join("tokens.json")).unwrap();
        let taken = |sidecar| os::lock(sidecar).unwrap().unwrap();
        assert!(taken(open(&location).unwrap()).is_still_at(&location.lock()));

        let opened_before = open(&location).unwrap();
        std::fs::remove_file(location.lock()).unwrap();
        let lock = taken(opened_before);
        assert!(!lock.is_still_at(&location.lock()));
        let made_anew = taken(open(&location).unwrap());
        assert!(!lock.is_still_at(&location.lock()));
        // The two would not write to one temporary file.
        assert_ne!(lock.number(), made_anew.number());
    }
}
