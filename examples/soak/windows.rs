//! The windows in which a spent refresh token may come again, by the names that the guarantees give them.
//! What comes again outside of them is a fault of the crate.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tower_teamup_auth::testing::Entry;
use tower_teamup_auth::token::RefreshToken;

/// Why a token may come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// Its answer did not reach the client.
    LostAnswer,
    /// The store has lost a write that it had confirmed.
    LostWrite,
    /// The store has lost a lease, or was away for so long that the lease ran out.
    LostLease,
    /// The runtime that had sent it ended before the answer came.
    RuntimeEnded,
}

impl Window {
    pub(crate) const ALL: [Window; 4] =
        [Window::LostAnswer, Window::LostWrite, Window::LostLease, Window::RuntimeEnded];
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Window::LostAnswer => "lost_answer",
            Window::LostWrite => "lost_write",
            Window::LostLease => "lost_lease",
            Window::RuntimeEnded => "runtime_ended",
        })
    }
}

/// The tokens for which a window is open. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Windows(Arc<Mutex<Vec<(RefreshToken, Window)>>>);

impl Windows {
    /// `token` may come again, once.
    pub(crate) fn open(&self, token: RefreshToken, window: Window) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((token, window));
    }

    /// The window of a token that has come again. It is closed by that.
    pub(crate) fn close(&self, again: &Entry) -> Option<Window> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = open.iter().position(|(token, _)| again.carried_refresh_token(token))?;
        Some(open.swap_remove(found).1)
    }
}
