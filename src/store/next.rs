//! The store contract that the credential is being moved to.

pub use super::contract::{Attempt, Expected, TokenStore};
pub use super::record::{Fingerprint, LoginId, RecordContent, StoredRecord};
