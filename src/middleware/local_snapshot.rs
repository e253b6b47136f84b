//! What a service that has proved long-lived keeps for itself.
//!
//! Clones of one service share one count of references, and the requests of all threads share that
//! of the token's header value; each request raises and lowers both, and two threads that do so
//! wrest the cache line from each other. A service that lives through many requests therefore gets
//! its own copies. One that is cloned for a single request (`service.clone().oneshot(request)`)
//! would pay for them in vain: so a service has to come of age first, and a clone begins anew.

use crate::credentials::{Credentials, LocalSnapshot, Snapshot};

/// With so many calls a service has proved long-lived.
pub(crate) const AGE: u8 = 16;

pub(crate) enum Own {
    /// After so many calls.
    Young(u8),
    /// With a copy of the newest snapshot of the layer's credentials, if it has any.
    Grown(Option<Box<LocalSnapshot>>),
}

impl Own {
    /// Counts a call. `true` for the one with which the service has proved long-lived: it has to
    /// [grow up](Own::grow_up) then.
    #[inline]
    pub(crate) fn comes_of_age(&mut self) -> bool {
        match self {
            Own::Grown(_) => false,
            Own::Young(calls) => {
                *calls += 1;
                *calls == AGE
            }
        }
    }

    /// Copies what the requests of a service with these credentials share.
    pub(crate) fn grow_up(&mut self, credentials: Option<&Credentials>) {
        *self = Own::Grown(credentials.map(|own| Box::new(LocalSnapshot::of(own.cell()))));
    }

    /// The newest snapshot of the layer's credentials, copied; `None` before the service has grown
    /// up.
    #[inline]
    pub(crate) fn newest(&mut self, credentials: &Credentials) -> Option<&Snapshot> {
        match self {
            Own::Grown(Some(copied)) => Some(copied.newest(credentials.cell())),
            _ => None,
        }
    }
}

impl Default for Own {
    fn default() -> Self {
        Own::Young(0)
    }
}

impl Clone for Own {
    fn clone(&self) -> Self {
        Own::default()
    }
}
