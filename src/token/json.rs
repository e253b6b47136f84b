//! How a token set is written down: the format that the file store and the Redis store share, and
//! that a store of a user's own may use.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::secret::{AccessToken, RefreshToken};
use super::set::TokenSet;
use crate::error::Error;
use crate::headers::RequestMode;

/// The version of the format that this crate writes. A newer crate reads every older version.
const FORMAT_VERSION: u64 = 1;

impl TokenSet {
    /// Writes the set as JSON, in a format with a version of its own, for a store to keep.
    ///
    /// The text holds the secrets, and is wiped when it is dropped.
    ///
    /// ```
    /// # use tower_teamup_auth::TokenSet;
    /// let tokens = TokenSet::new("a-refresh-token".parse()?);
    /// let text = tokens.to_json();
    /// assert_eq!(TokenSet::from_json(text.as_bytes())?, tokens);
    /// # Ok::<(), tower_teamup_auth::Error>(())
    /// ```
    pub fn to_json(&self) -> Zeroizing<String> {
        let mut root = json!({
            "version": FORMAT_VERSION,
            "revision": self.revision(),
            "refresh_token": self.refresh_token().expose(),
        });
        for mode in RequestMode::ALL {
            if let Some(issued) = self.issued(mode) {
                root[mode.as_str()] = json!({
                    "access_token": issued.token.expose(),
                    "expires_at": issued.expires_at.map(unix_millis),
                });
            }
        }
        Zeroizing::new(root.to_string())
    }

    /// Reads what [`to_json`](TokenSet::to_json) wrote, in this version of the crate or an older one.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, is of a version newer than this crate knows, lacks a key, or
    /// holds a token that can't be one. The text is not repeated in the error.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        let root: Value = serde_json::from_slice(text).map_err(|error| {
            // The parser's own message could repeat a piece of the text; its position can't.
            damaged(format_args!(
                "the stored tokens are not JSON (line {}, column {})",
                error.line(),
                error.column()
            ))
        })?;
        let root =
            root.as_object().ok_or_else(|| damaged("the stored tokens are not a JSON object"))?;
        match root.get("version").and_then(Value::as_u64) {
            Some(FORMAT_VERSION) => {}
            Some(version) => {
                return Err(Error::stored_format(format!(
                    "the stored tokens are of format version {version}, and this version of the \
                     crate reads up to {FORMAT_VERSION}; update tower-teamup-auth in this program"
                )));
            }
            None => {
                return Err(damaged(
                    "the stored tokens have no `version`: this is not a token store of this crate",
                ));
            }
        }
        let refresh_token = RefreshToken::new(text_of(root, "refresh_token")?)
            .map_err(|error| damaged(format_args!("stored tokens: {error}")))?;
        let mut tokens = TokenSet::new(refresh_token);
        for mode in RequestMode::ALL {
            let Some(issued) = root.get(mode.as_str()).filter(|value| !value.is_null()) else {
                continue;
            };
            let issued = issued
                .as_object()
                .ok_or_else(|| damaged(format_args!("stored tokens: `{mode}` is not an object")))?;
            let token = AccessToken::new(text_of(issued, "access_token")?)
                .map_err(|error| damaged(format_args!("stored tokens: {error}")))?;
            let expires_at = match issued.get("expires_at") {
                None | Some(Value::Null) => None,
                Some(value) => Some(value.as_u64().and_then(from_unix_millis).ok_or_else(|| {
                    damaged(
                        "stored tokens: `expires_at` is not a number of milliseconds since 1970",
                    )
                })?),
            };
            tokens = tokens.with_access_token_until(mode, token, expires_at);
        }
        Ok(tokens.with_revision(root.get("revision").and_then(Value::as_u64).unwrap_or(0)))
    }
}

fn text_of(object: &Map<String, Value>, key: &str) -> Result<String, Error> {
    object
        .get(key)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| damaged(format_args!("the stored tokens have no text `{key}`")))
}

fn damaged(what: impl fmt::Display) -> Error {
    Error::stored_format(format!(
        "{what}; put back a copy that is whole, or take it away and let the user log in again"
    ))
}

fn unix_millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn from_unix_millis(millis: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let tokens = TokenSet::new(RefreshToken::new("r1").unwrap())
            .with_access_token_until(
                RequestMode::Customer,
                AccessToken::new("a1").unwrap(),
                Some(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)),
            )
            .with_access_token_until(RequestMode::Provider, AccessToken::new("a2").unwrap(), None)
            .with_revision(41);
        assert_eq!(TokenSet::from_json(tokens.to_json().as_bytes()).unwrap(), tokens);
    }

    #[test]
    fn what_is_not_a_token_set_is_refused_without_being_repeated() {
        for (text, said) in [
            ("s3cret", "not JSON"),
            ("[\"s3cret\"]", "not a JSON object"),
            ("{\"refresh_token\":\"s3cret\"}", "no `version`"),
            ("{\"version\":2,\"refresh_token\":\"s3cret\"}", "format version 2"),
            ("{\"version\":1,\"s3cret\":1}", "no text `refresh_token`"),
            ("{\"version\":1,\"refresh_token\":\"\"}", "is empty"),
            (
                "{\"version\":1,\"refresh_token\":\"s3cret\",\"customer\":{\"access_token\":\"a\",\"expires_at\":-1}}",
                "`expires_at`",
            ),
        ] {
            let error = TokenSet::from_json(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }
}
