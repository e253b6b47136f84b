//! What a store keeps of one credential: which login it is, how new, and its tokens.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::token::{RefreshToken, TokenSet};

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
///
/// ```
/// use tower_teamup_auth::TokenSet;
/// use tower_teamup_auth::store::{LoginId, RecordContent, StoredRecord};
///
/// let login: LoginId = "000102030405060708090a0b0c0d0e0f".parse()?;
/// let tokens = TokenSet::new("a-refresh-token".parse()?);
/// let record = StoredRecord::new(login, 1, RecordContent::Tokens(tokens));
///
/// let text = record.to_json(); // wiped when it is dropped
/// assert_eq!(StoredRecord::from_json(text.as_bytes())?, record);
/// # Ok::<(), tower_teamup_auth::Error>(())
/// ```
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

    /// Made from 16 bytes, so that a test can tell logins apart.
    #[cfg(any(fuzzing, test, feature = "testing"))]
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

    /// Reads what `Display` writes: 32 hexadecimal digits.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        parse_hex(text).map(Fingerprint)
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
        *byte = u8::try_from((high << 4) | low).ok()?;
    }
    Some(bytes)
}

fn write_hex(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The record that a login with these tokens begins with: revision 1 of the login that its refresh
/// token names.
impl From<TokenSet> for StoredRecord {
    fn from(tokens: TokenSet) -> Self {
        let login = LoginId::of_seed(tokens.refresh_token());
        StoredRecord::new(login, 1, RecordContent::Tokens(tokens))
    }
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
    fn revision_stays_between_its_ends() {
        for (revision, expected) in [
            (0, 1),
            (1, 1),
            (u64::MAX, StoredRecord::MAX_REVISION),
            (i64::MAX as u64, i64::MAX as u64),
        ] {
            let login = LoginId::from_bytes([7; 16]);
            let record = StoredRecord::new(login, revision, RecordContent::SignedOut);
            assert_eq!(record.revision(), expected);
        }
    }

    #[test]
    fn login_id_shows_its_bytes() {
        let id: LoginId = "000102030405060708090a0b0c0d0eff".parse().unwrap();
        let expected = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255];
        assert_eq!(*id.as_bytes(), expected);
    }
}
