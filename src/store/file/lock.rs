//! The right to refresh: an advisory lock on a sidecar.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::place::Place;
use super::{os, write};
use crate::store::StoreError;

/// The exclusive right to refresh the tokens of a [`FileStore`](super::FileStore).
///
/// It ends when the last clone is dropped, and not before a write that was begun under it is done.
///
/// ```
/// use tower_teamup_auth::store::{FileStore, TokenStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let store = FileStore::new(folder.path().join("tokens.json"));
/// store.check().await?;
/// let lease = store.lock().await?; // no other process refreshes now
/// assert!(store.load().await?.is_none());
/// drop(lease);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FileLease(Arc<Held>);

struct Held {
    place: Place,
    /// Held while a thread writes: one whose future was dropped must not put its tokens over those
    /// of a later save under the same lease.
    writing: Mutex<()>,
    _lock: os::Lock,
}

impl FileLease {
    /// Waits for the write before, if one is still under way.
    pub(super) fn begin_write(&self) -> MutexGuard<'_, ()> {
        // It guards no data: a thread that panicked has left nothing half done but a temporary file.
        self.0.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place that was locked, if `path` still leads to it.
    pub(super) fn place_of(&self, path: &Path) -> Result<&Place, StoreError> {
        let locked = &self.0.place;
        match Place::find(path)? {
            Some(found) if found == *locked => Ok(locked),
            Some(found) => Err(StoreError::unreadable(format!(
                "the token file is {} now and was {} when it was locked; leave the links to it as \
                 they are while programs use it",
                found.file().display(),
                locked.file().display()
            ))),
            None => Err(locked.gone()),
        }
    }
}

/// Opens the sidecar, which is made if there is none.
pub(super) fn open(place: &Place) -> Result<os::Sidecar, StoreError> {
    os::open_sidecar(&place.lock()).map_err(|error| {
        let message = format!(
            "the lock file {} can't be opened; it must be an ordinary file of this user's, in a \
             folder that this process may write",
            place.lock().display()
        );
        StoreError::unavailable(message, error)
    })
}

/// Takes the right, or `None` while somebody else has it; the first thing done with it is to remove
/// what a crashed holder left.
pub(super) fn take(path: &Path) -> Result<Option<FileLease>, StoreError> {
    let place = Place::make(path)?;
    loop {
        let taken = os::lock(open(&place)?).map_err(|error| {
            let message = format!(
                "{} can't be locked; keep the token file on a local file system",
                place.lock().display()
            );
            StoreError::unavailable(message, error)
        })?;
        let Some(lock) = taken else { return Ok(None) };
        // Whoever removed the sidecar in the meantime made room for another, and for a second
        // holder.
        if lock.is_still_at(&place.lock()) {
            write::remove_leftovers(&place);
            let writing = Mutex::new(());
            return Ok(Some(FileLease(Arc::new(Held { place, writing, _lock: lock }))));
        }
    }
}

/// How long to wait before the next try: longer from time to time, and never twice the same, so
/// that processes which met at the lock do not go on meeting there.
pub(super) struct Pause {
    ceiling: Duration,
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_millis(50);

    pub(super) fn new() -> Self {
        Pause { ceiling: Pause::FIRST }
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.ceiling.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.ceiling = (self.ceiling * 2).min(Pause::LONGEST);
        pause
    }
}

impl fmt::Debug for FileLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileLease").field(&self.0.place.file()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_between_their_bounds() {
        let mut pause = Pause::new();
        let pauses: Vec<_> = (0..32).map(|_| pause.next()).collect();
        assert!(pauses[0] <= Pause::FIRST);
        assert!(pauses.iter().all(|pause| *pause >= Pause::FIRST / 2 && *pause <= Pause::LONGEST));
        assert!(pauses[31] >= Pause::LONGEST / 2);
    }

    // Windows does not let an open sidecar be removed.
    #[cfg(unix)]
    #[test]
    fn a_lock_on_a_sidecar_that_was_removed_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::make(&folder.path().join("tokens.json")).unwrap();
        let taken = |sidecar| os::lock(sidecar).unwrap().unwrap();
        assert!(taken(open(&place).unwrap()).is_still_at(&place.lock()));

        let opened_before = open(&place).unwrap();
        std::fs::remove_file(place.lock()).unwrap();
        let lock = taken(opened_before);
        assert!(!lock.is_still_at(&place.lock()));
        let _made_anew = open(&place).unwrap();
        assert!(!lock.is_still_at(&place.lock()));
    }
}
