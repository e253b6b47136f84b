//! What a shutdown could not finish.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;

/// The users whose credentials could not be shut down in time, or not be saved.
///
/// Their tokens are in memory alone, or a lease was not given back: see
/// [`Credentials::shutdown`](crate::Credentials::shutdown). Call
/// [`CredentialsManager::shutdown`](super::CredentialsManager::shutdown) again for one more attempt.
#[derive(Clone)]
pub struct Unfinished(Vec<(Arc<str>, Error)>);

impl Unfinished {
    pub(super) fn new(users: Vec<(Arc<str>, Error)>) -> Self {
        Unfinished(users)
    }

    /// The users, each with what went wrong.
    pub fn users(&self) -> impl Iterator<Item = (&str, &Error)> {
        self.0.iter().map(|(key, error)| (&**key, error))
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the credentials of {} users were not shut down; mend the store, and call `shutdown` again",
            self.0.len()
        )
    }
}

impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unfinished").field(&self.0.len()).finish()
    }
}

impl std::error::Error for Unfinished {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.first().map(|(_, error)| error as _)
    }
}
