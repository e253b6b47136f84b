//! Which access token a request was sent with.

use std::fmt;

use crate::headers::RequestMode;

/// Names one access token of one mode of one credential. It ends when a refresh of that mode
/// completes, whatever text the new token has.
///
/// Small, because every request carries it until it is answered. Both numbers only count up: a
/// token that changed every second would use up the first in 136 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Generation {
    pub(crate) count: u32,
    /// Counts the logins that this process has seen. A request belongs to the one that it was
    /// classified with, and is never sent or retried under another.
    pub(crate) login_epoch: u32,
    pub(crate) mode: RequestMode,
}

impl Generation {
    pub(crate) fn mode(self) -> RequestMode {
        self.mode
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.mode, self.login_epoch, self.count)
    }
}
