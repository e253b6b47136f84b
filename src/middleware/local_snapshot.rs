//! The private copies of a service that is called often.
//!
//! Clones of one service share one count of references, and the requests of all threads share that of the
//! token's header value. Each request raises and lowers both, so two threads contend for the cache line.
//! After 16 calls a service therefore keeps private copies of the shared values. One that is cloned for a
//! single request (`service.clone().oneshot(request)`) would pay for them without effect, so a clone
//! starts to count anew.

use crate::credentials::{Credentials, LocalSnapshot, Snapshot};

/// After so many calls a service keeps private copies.
pub(super) const CALLS_UNTIL_PROMOTED: u8 = 16;

/// Where a service finds the newest snapshot of the layer's credentials.
pub(super) enum SnapshotSource {
    /// In the credentials. Counts the calls.
    Shared(u8),
    /// In a private copy, if the layer has credentials.
    Local(Option<Box<LocalSnapshot>>),
}

impl SnapshotSource {
    /// Counts a call. Returns `true` for the one with which the service is to be
    /// [promoted](SnapshotSource::promote).
    #[inline]
    pub(super) fn count_call(&mut self) -> bool {
        match self {
            SnapshotSource::Local(_) => false,
            SnapshotSource::Shared(calls) => {
                *calls += 1;
                *calls == CALLS_UNTIL_PROMOTED
            }
        }
    }

    /// Makes the private copy.
    pub(super) fn promote(&mut self, credentials: Option<&Credentials>) {
        *self = SnapshotSource::Local(
            credentials
                .map(|credentials| Box::new(LocalSnapshot::of(credentials.shared_snapshot()))),
        );
    }

    /// The private copy, brought up to date; `None` before the service was promoted.
    #[inline]
    pub(super) fn local(&mut self, credentials: &Credentials) -> Option<&Snapshot> {
        match self {
            SnapshotSource::Local(Some(local)) => Some(local.newest(credentials.shared_snapshot())),
            _ => None,
        }
    }
}

impl Default for SnapshotSource {
    fn default() -> Self {
        SnapshotSource::Shared(0)
    }
}

impl Clone for SnapshotSource {
    fn clone(&self) -> Self {
        SnapshotSource::default()
    }
}
