//! Token sets of a given revision, which a program gets by refreshing.

#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use tower_teamup_auth::TokenSet;

use crate::witness;

/// The set after so many rotations; its refresh token says how many.
pub fn rotated(revision: u64) -> TokenSet {
    rotated_by("somebody", revision)
}

/// The same, and the refresh token says by whom.
pub fn rotated_by(whom: &str, revision: u64) -> TokenSet {
    witness::watch();
    let text = format!(
        r#"{{"version":1,"revision":{revision},"refresh_token":"by-{whom}-{revision}",
            "provider":{{"access_token":"s3cret-access-{revision}","expires_at":1900000000123}}}}"#
    );
    TokenSet::from_json(text.as_bytes()).expect("the documented format")
}
