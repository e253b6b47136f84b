//! The journal's entry of a request that is not over.

use std::sync::Arc;

use http::StatusCode;

use super::shared::{Shared, State};

/// A request's entry. Clones are the same entry.
#[derive(Clone)]
pub(super) struct OpenEntry {
    shared: Arc<Shared>,
    place: usize,
}

/// The client waits for an answer. Dropped before [`answered`](PendingAnswer::answered), it closes
/// the entry as a request without an answer: that is how a client that hung up shows.
pub(super) struct PendingAnswer(Option<OpenEntry>);

/// The server works on the request; dropped when it does not any more.
pub(super) struct InWork(OpenEntry);

impl OpenEntry {
    pub(super) fn new(shared: &Arc<Shared>, place: usize) -> Self {
        OpenEntry { shared: Arc::clone(shared), place }
    }

    /// The entry must be opened with both, and is over when both are dropped.
    pub(super) fn open(&self) -> (PendingAnswer, InWork) {
        (PendingAnswer(Some(self.clone())), InWork(self.clone()))
    }

    /// Changes the state together with the entry, so that no test sees the one without the other.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State, usize) -> T) -> T {
        self.shared.update(|state| change(state, self.place))
    }
}

impl PendingAnswer {
    pub(super) fn answered(mut self, status: StatusCode) {
        if let Some(entry) = self.0.take() {
            entry.update(|state, place| state.journal.close(place, Some(status)));
        }
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            entry.update(|state, place| state.journal.close(place, None));
        }
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.0.update(|state, place| state.journal.end_work(place));
    }
}
