//! What a store keeps of one credential: which login it is, how new, and its tokens.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::headers::RequestMode;
use crate::token::{AccessToken, RefreshToken, TokenSet};

/// The version of the format that this crate writes. It reads version 1 too.
const FORMAT_VERSION: u64 = 2;

/// How many seeds a record remembers.
const SEEDS: usize = 16;

/// Names one login: one authorization grant at TeamUp.
///
/// A refresh keeps it, a new login has another. Two records of one login differ in their
/// [revision](StoredRecord::revision) alone; records of different logins never mix.
///
/// ```
/// use tower_teamup_auth::store::LoginId;
///
/// let id: LoginId = "000102030405060708090a0b0c0d0e0f".parse()?;
/// assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0e0f");
/// # Ok::<(), tower_teamup_auth::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginId([u8; 16]);

/// Stands for a refresh token where its text must not: the first 128 bits of its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

/// What a [`TokenStore`](super::TokenStore) keeps: the login, its revision, and a token set or the
/// note that the user has signed out.
///
/// A store writes it with [`to_json`](StoredRecord::to_json) and reads it with
/// [`from_json`](StoredRecord::from_json), which reads what version 1 of the format wrote, too.
/// `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredRecord {
    login: LoginId,
    /// From 1 to `i64::MAX`, so that every database has a type for it.
    revision: u64,
    /// The API base that the tokens belong to; `None` in a record of version 1.
    base_url: Option<Box<str>>,
    /// Newest last, 16 at most.
    seeds: Vec<Fingerprint>,
    content: RecordContent,
}

/// The tokens of a [`StoredRecord`], or why there are none to use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordContent {
    /// The tokens of the login.
    Tokens(TokenSet),
    /// TeamUp has refused the refresh token of this set. Its access tokens may still be valid.
    Rejected(TokenSet),
    /// The user has signed out.
    SignedOut,
}

impl LoginId {
    /// A new one: 128 random bits from the operating system.
    pub(crate) fn random() -> Self {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).expect("the operating system has a source of randomness");
        LoginId(bits)
    }

    /// That of a login that began with this refresh token. Two processes that read the same seed
    /// agree on it.
    pub(crate) fn of_seed(token: &RefreshToken) -> Self {
        LoginId(Fingerprint::of(token).0)
    }

    /// Made from 16 bytes, for tests and simulations.
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        LoginId(bytes)
    }

    /// Its 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Fingerprint {
    /// Of a refresh token.
    pub fn of(token: &RefreshToken) -> Self {
        let digest = Sha256::digest(token.expose().as_bytes());
        let mut bits = [0; 16];
        bits.copy_from_slice(&digest[..16]);
        Fingerprint(bits)
    }
}

impl StoredRecord {
    /// The highest revision that a record can have.
    pub const MAX_REVISION: u64 = i64::MAX as u64;

    /// A record of `login`. A revision outside 1 to [`MAX_REVISION`](Self::MAX_REVISION) is set to
    /// the nearer end.
    pub fn new(login: LoginId, revision: u64, content: RecordContent) -> Self {
        let revision = revision.clamp(1, Self::MAX_REVISION);
        StoredRecord { login, revision, base_url: None, seeds: Vec::new(), content }
    }

    /// Adds the API base that the tokens belong to.
    #[must_use]
    pub fn with_base_url(mut self, base_url: &str) -> Self {
        self.base_url = Some(base_url.into());
        self
    }

    /// Adds the fingerprints of the seeds that were seen, oldest first; the last 16 are kept.
    #[must_use]
    pub fn with_seeds(mut self, seeds: impl IntoIterator<Item = Fingerprint>) -> Self {
        self.seeds = seeds.into_iter().collect();
        let surplus = self.seeds.len().saturating_sub(SEEDS);
        self.seeds.drain(..surplus);
        self
    }

    /// The same record with other content.
    pub(crate) fn with_content(&self, content: RecordContent) -> Self {
        StoredRecord { content, ..self.clone() }
    }

    /// The same record at another revision.
    pub(crate) fn at_revision(mut self, revision: u64) -> Self {
        self.set_revision(revision);
        self
    }

    pub(crate) fn set_revision(&mut self, revision: u64) {
        self.revision = revision.clamp(1, Self::MAX_REVISION);
    }

    /// The same record with its token set changed, if it has one.
    pub(crate) fn map_tokens(mut self, change: impl FnOnce(TokenSet) -> TokenSet) -> Self {
        self.content = match self.content {
            RecordContent::Tokens(tokens) => RecordContent::Tokens(change(tokens)),
            RecordContent::Rejected(tokens) => RecordContent::Rejected(change(tokens)),
            RecordContent::SignedOut => RecordContent::SignedOut,
        };
        self
    }

    /// Which login this is.
    pub fn login(&self) -> LoginId {
        self.login
    }

    /// Orders the records of one store: a higher one is newer, whatever the login.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The API base that the tokens belong to, where it is known.
    pub fn base_url(&self) -> Option<&str> {
        self.base_url.as_deref()
    }

    /// The fingerprints of the seeds that were seen, oldest first.
    pub fn seeds(&self) -> &[Fingerprint] {
        &self.seeds
    }

    /// The tokens, or why there are none to use.
    pub fn content(&self) -> &RecordContent {
        &self.content
    }

    /// The tokens, rejected ones included.
    pub fn tokens(&self) -> Option<&TokenSet> {
        match &self.content {
            RecordContent::Tokens(tokens) | RecordContent::Rejected(tokens) => Some(tokens),
            RecordContent::SignedOut => None,
        }
    }

    /// Has the user signed out?
    pub fn is_signed_out(&self) -> bool {
        self.content == RecordContent::SignedOut
    }

    /// Writes the record as JSON, in a format with a version of its own.
    ///
    /// The text holds the secrets, and is wiped when it is dropped.
    pub fn to_json(&self) -> Zeroizing<String> {
        let mut root = json!({
            "version": FORMAT_VERSION,
            "revision": self.revision,
            "login": self.login.to_string(),
            "state": self.content.as_str(),
        });
        if let Some(base_url) = &self.base_url {
            root["base_url"] = json!(base_url);
        }
        if !self.seeds.is_empty() {
            root["seeds"] = self.seeds.iter().map(ToString::to_string).collect();
        }
        if let Some(tokens) = self.tokens() {
            root["refresh_token"] = json!(tokens.refresh_token().expose());
            for mode in RequestMode::ALL {
                if let Some(issued) = tokens.issued(mode) {
                    root[mode.as_str()] = json!({
                        "access_token": issued.token.expose(),
                        "expires_at": issued.expires_at.map(unix_millis),
                    });
                }
            }
        }
        Zeroizing::new(root.to_string())
    }

    /// Reads what [`to_json`](StoredRecord::to_json) wrote, in this version of the format or an
    /// older one. A record of version 1 becomes the login of its refresh token.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, is of a version newer than this crate knows, lacks a key, or
    /// holds a token that can't be one. The text is not repeated in the error.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        let root: Value = serde_json::from_slice(text).map_err(|error| {
            // The parser's own message could repeat a piece of the text; its position can't.
            damaged(format_args!(
                "the stored record is not JSON (line {}, column {})",
                error.line(),
                error.column()
            ))
        })?;
        let root =
            root.as_object().ok_or_else(|| damaged("the stored record is not a JSON object"))?;
        let version = root.get("version").and_then(Value::as_u64).ok_or_else(|| {
            damaged("the stored record has no `version`: this is not a token store of this crate")
        })?;
        if version > FORMAT_VERSION {
            return Err(Error::stored_format_too_new(version, FORMAT_VERSION));
        }
        let revision = root.get("revision").and_then(Value::as_u64).unwrap_or(1);
        if version <= 1 {
            let tokens = token_set(root)?;
            let login = LoginId::of_seed(tokens.refresh_token());
            return Ok(StoredRecord::new(login, revision, RecordContent::Tokens(tokens)));
        }
        let login = text_of(root, "login")?
            .parse()
            .map_err(|_| damaged("stored record: `login` is not 32 hexadecimal digits"))?;
        let content = match text_of(root, "state")?.as_str() {
            "tokens" => RecordContent::Tokens(token_set(root)?),
            "rejected" => RecordContent::Rejected(token_set(root)?),
            "signed_out" => RecordContent::SignedOut,
            _ => return Err(damaged("stored record: `state` is not a state that is known")),
        };
        let seeds = match root.get("seeds") {
            None | Some(Value::Null) => Vec::new(),
            Some(seeds) => seeds
                .as_array()
                .and_then(|seeds| {
                    seeds.iter().map(|seed| seed.as_str().and_then(parse_hex)).collect()
                })
                .ok_or_else(|| damaged("stored record: `seeds` is not a list of fingerprints"))?,
        };
        let mut record = StoredRecord::new(login, revision, content)
            .with_seeds(seeds.into_iter().map(Fingerprint));
        if let Some(base_url) = root.get("base_url").and_then(Value::as_str) {
            record = record.with_base_url(base_url);
        }
        Ok(record)
    }
}

impl RecordContent {
    fn as_str(&self) -> &'static str {
        match self {
            RecordContent::Tokens(_) => "tokens",
            RecordContent::Rejected(_) => "rejected",
            RecordContent::SignedOut => "signed_out",
        }
    }
}

fn token_set(root: &Map<String, Value>) -> Result<TokenSet, Error> {
    let refresh_token = RefreshToken::new(text_of(root, "refresh_token")?)
        .map_err(|error| damaged(format_args!("stored record: {error}")))?;
    let mut tokens = TokenSet::new(refresh_token);
    for mode in RequestMode::ALL {
        let Some(issued) = root.get(mode.as_str()).filter(|value| !value.is_null()) else {
            continue;
        };
        let issued = issued
            .as_object()
            .ok_or_else(|| damaged(format_args!("stored record: `{mode}` is not an object")))?;
        let token = AccessToken::new(text_of(issued, "access_token")?)
            .map_err(|error| damaged(format_args!("stored record: {error}")))?;
        let expires_at = match issued.get("expires_at") {
            None | Some(Value::Null) => None,
            Some(value) => Some(value.as_u64().and_then(from_unix_millis).ok_or_else(|| {
                damaged("stored record: `expires_at` is not a number of milliseconds since 1970")
            })?),
        };
        tokens = tokens.with_access_token_until(mode, token, expires_at);
    }
    Ok(tokens)
}

fn text_of(object: &Map<String, Value>, key: &str) -> Result<String, Error> {
    object
        .get(key)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| damaged(format_args!("the stored record has no text `{key}`")))
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

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 32 {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let high = char::from(digits[0]).to_digit(16)?;
        let low = char::from(digits[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

fn write_hex(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl FromStr for LoginId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse_hex(text).map(LoginId).ok_or_else(|| {
            Error::invalid_input("a login id is written as 32 hexadecimal digits; this is not")
        })
    }
}

impl fmt::Display for LoginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for LoginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoginId({self})")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> TokenSet {
        TokenSet::new(RefreshToken::new("r1").unwrap())
            .with_access_token_until(
                RequestMode::Customer,
                AccessToken::new("a1").unwrap(),
                Some(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)),
            )
            .with_access_token_until(RequestMode::Provider, AccessToken::new("a2").unwrap(), None)
    }

    #[test]
    fn what_was_written_is_read_back() {
        let seed = Fingerprint::of(&RefreshToken::new("seed").unwrap());
        for content in [
            RecordContent::Tokens(tokens()),
            RecordContent::Rejected(tokens()),
            RecordContent::SignedOut,
        ] {
            let record = StoredRecord::new(LoginId::from_bytes([7; 16]), 41, content)
                .with_base_url("https://goteamup.com/api/v2")
                .with_seeds([seed]);
            assert_eq!(StoredRecord::from_json(record.to_json().as_bytes()).unwrap(), record);
        }
    }

    #[test]
    fn record_of_version_1_becomes_the_login_of_its_refresh_token() {
        let text = r#"{"version":1,"revision":5,"refresh_token":"r1",
            "customer":{"access_token":"a1","expires_at":1700000000123}}"#;
        let record = StoredRecord::from_json(text.as_bytes()).unwrap();
        assert_eq!(record.revision(), 5);
        assert_eq!(record.login(), LoginId::of_seed(&RefreshToken::new("r1").unwrap()));
        assert_eq!(record.tokens().unwrap().refresh_token().expose(), "r1");
    }

    #[test]
    fn the_last_sixteen_seeds_are_kept() {
        let seeds: Vec<_> = (0..20)
            .map(|n| Fingerprint::of(&RefreshToken::new(format!("seed-{n}")).unwrap()))
            .collect();
        let record = StoredRecord::new(LoginId::from_bytes([7; 16]), 1, RecordContent::SignedOut)
            .with_seeds(seeds.clone());
        assert_eq!(record.seeds(), &seeds[4..]);
    }

    #[test]
    fn what_is_not_a_record_is_refused_without_being_repeated() {
        for (text, said) in [
            ("s3cret", "not JSON"),
            ("[\"s3cret\"]", "not a JSON object"),
            ("{\"refresh_token\":\"s3cret\"}", "no `version`"),
            ("{\"version\":3,\"refresh_token\":\"s3cret\"}", "format version 3"),
            ("{\"version\":1,\"s3cret\":1}", "no text `refresh_token`"),
            ("{\"version\":1,\"refresh_token\":\"\"}", "is empty"),
            ("{\"version\":2,\"login\":\"s3cret\",\"state\":\"tokens\"}", "`login`"),
            (
                "{\"version\":2,\"login\":\"000102030405060708090a0b0c0d0e0f\",\"state\":\"s3cret\"}",
                "`state`",
            ),
            (
                "{\"version\":1,\"refresh_token\":\"s3cret\",\"customer\":{\"access_token\":\"a\",\"expires_at\":-1}}",
                "`expires_at`",
            ),
        ] {
            let error = StoredRecord::from_json(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }
}
