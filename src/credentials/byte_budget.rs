//! A bound on what the waiting requests of one credential may keep together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// So many bytes together.
pub(crate) const MOST_TOGETHER: usize = 4 * 1024 * 1024;

/// Counts bytes up to [`MOST_TOGETHER`].
#[derive(Debug, Default)]
pub(crate) struct ByteBudget(
    /// Set by the first reservation, so that an idle credential costs little.
    OnceLock<Arc<AtomicUsize>>,
);

/// A part of a [`ByteBudget`], which is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct ReservedBytes {
    total: Arc<AtomicUsize>,
    bytes: usize,
}

impl ByteBudget {
    /// Reserves nothing yet.
    pub(crate) fn reserve(&self) -> ReservedBytes {
        ReservedBytes { total: Arc::clone(self.0.get_or_init(Arc::default)), bytes: 0 }
    }

    #[cfg(all(test, heavy_tests))]
    pub(crate) fn reserved(&self) -> usize {
        self.0.get().map_or(0, |total| total.load(Ordering::Relaxed))
    }
}

impl ReservedBytes {
    /// Adds `more` bytes. Returns `false`, and adds none, where the budget does not suffice.
    pub(crate) fn grow(&mut self, more: usize) -> bool {
        let add = |total: usize| total.checked_add(more).filter(|total| *total <= MOST_TOGETHER);
        let is_added = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        if is_added {
            self.bytes = self.bytes.saturating_add(more);
        }
        is_added
    }
}

impl Drop for ReservedBytes {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
