//! Why a store could not do what it was asked.

use std::error::Error as StdError;
use std::fmt;

use crate::error::boxed::BoxError;

/// Why a [`TokenStore`](super::TokenStore) could not do what it was asked.
///
/// ```
/// use std::io;
/// use tower_teamup_auth::store::StoreError;
///
/// let error = StoreError::unavailable("could not write the tokens", io::Error::other("disk full"));
/// assert!(error.is_unavailable() && !error.is_conflict());
/// assert!(StoreError::conflict().is_conflict());
/// ```
#[derive(Debug)]
pub struct StoreError {
    kind: Kind,
    message: Box<str>,
    source: Option<BoxError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unavailable,
    Conflict,
    Corrupt,
    Locked,
    LeaseLost,
}

impl StoreError {
    /// The store can't be reached or written at the moment; the same call may succeed later.
    ///
    /// `message` says what was tried, and on what: it must name no secret.
    pub fn unavailable(message: impl Into<Box<str>>, source: impl Into<BoxError>) -> Self {
        StoreError { kind: Kind::Unavailable, message: message.into(), source: Some(source.into()) }
    }

    /// The store holds another revision than the one that was to be replaced: somebody else has
    /// saved in the meantime.
    pub fn conflict() -> Self {
        StoreError {
            kind: Kind::Conflict,
            message: "the store holds tokens of another revision than the one to be replaced: \
                      another process has saved in the meantime"
                .into(),
            source: None,
        }
    }

    /// The store holds something that is no record: an empty, torn or foreign file, say. A login
    /// replaces it; a sign-out removes it.
    ///
    /// `message` says what was found, and what to do: it must name no secret.
    pub fn corrupt(message: impl Into<Box<str>>) -> Self {
        StoreError { kind: Kind::Corrupt, message: message.into(), source: None }
    }

    /// The store holds a record that this process can't read: sealed with another key, or of a
    /// newer format. It is left as it is, until a program says that it may be overwritten.
    ///
    /// `message` says what was found, and what to do: it must name no secret.
    pub fn locked(message: impl Into<Box<str>>) -> Self {
        StoreError { kind: Kind::Locked, message: message.into(), source: None }
    }

    /// The lease has run out, and another process may have it by now.
    pub fn lease_lost() -> Self {
        StoreError {
            kind: Kind::LeaseLost,
            message: "the lease has run out, and another process may have it by now".into(),
            source: None,
        }
    }

    /// Adds the underlying error. It is shown, so it must name no secret.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says where, before the message.
    pub(super) fn at(mut self, location: impl fmt::Display) -> Self {
        self.message = format!("{location} {}", self.message).into();
        self
    }

    /// The call took longer than the credential waits for its store.
    pub(crate) fn timed_out(call: &str, limit: std::time::Duration) -> Self {
        StoreError {
            kind: Kind::Unavailable,
            message: format!("the store did not {call} within {limit:?}").into(),
            source: None,
        }
    }

    /// A store of a user's own panicked; it counts as a store that is not available.
    pub(crate) fn panicked(call: &str) -> Self {
        StoreError {
            kind: Kind::Unavailable,
            message: format!("the store panicked in `{call}`").into(),
            source: None,
        }
    }

    /// Has somebody else saved in the meantime?
    pub fn is_conflict(&self) -> bool {
        self.kind == Kind::Conflict
    }

    /// Does the store hold something that is no record?
    pub fn is_corrupt(&self) -> bool {
        self.kind == Kind::Corrupt
    }

    /// Does the store hold a record that this process can't read?
    pub fn is_locked(&self) -> bool {
        self.kind == Kind::Locked
    }

    /// Has the lease run out?
    pub fn is_lease_lost(&self) -> bool {
        self.kind == Kind::LeaseLost
    }

    /// Can the store not be reached or written at the moment?
    pub fn is_unavailable(&self) -> bool {
        self.kind == Kind::Unavailable
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_of_one_kind() {
        let kinds = |error: StoreError| {
            [
                error.is_conflict(),
                error.is_corrupt(),
                error.is_locked(),
                error.is_lease_lost(),
                error.is_unavailable(),
            ]
        };
        assert_eq!(kinds(StoreError::conflict()), [true, false, false, false, false]);
        assert_eq!(kinds(StoreError::corrupt("")), [false, true, false, false, false]);
        assert_eq!(kinds(StoreError::locked("")), [false, false, true, false, false]);
        assert_eq!(kinds(StoreError::lease_lost()), [false, false, false, true, false]);
        assert_eq!(kinds(StoreError::unavailable("", "")), [false, false, false, false, true]);
    }
}
