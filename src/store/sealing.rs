//! How a record is written down: as JSON, or sealed so that only a key opens it.
//!
//! A sealed record begins with a line that names this crate and the version of the envelope. Then
//! come 8 bytes that tell which key was used, the nonce, and the ciphertext of the JSON. The key,
//! the kind of store and the record's name are authenticated with it: a record that is copied to
//! another name, or to another kind of store, does not open there.

use std::fmt;

use zeroize::Zeroizing;

use super::StoreError;
#[cfg(feature = "encryption")]
use super::key::EncryptionKey;
use super::record::StoredRecord;

/// How every envelope begins, of whichever version.
const MARK: &[u8] = b"tower-teamup-auth sealed v";
#[cfg(feature = "encryption")]
const VERSION_1: &[u8] = b"tower-teamup-auth sealed v1\n";
#[cfg(feature = "encryption")]
const VERSION_2: &[u8] = b"tower-teamup-auth sealed v2\n";

/// How the records of a store are sealed: the key, and what else is accepted.
///
/// A record is sealed with XChaCha20-Poly1305 for one kind of store and one name: the key in a
/// [family](super::StoreFamily), or the file's name without its folder. It does not open under
/// another name, so that the record of one person can't be passed off as another's. A store with a
/// name of its own choice uses [`sealed_as`](Sealing::sealed_as).
///
/// # Rotation of the key
///
/// ```
/// use tower_teamup_auth::store::{EncryptionKey, FileStore, Sealing};
///
/// # fn example(new_key: EncryptionKey, old_key: EncryptionKey) {
/// let sealing = Sealing::new(new_key).also_open_with(old_key);
/// let store = FileStore::new("tokens.sealed").seal_with(sealing);
/// # }
/// ```
///
/// Give every process the new key for opening first, then the new key for sealing. Each record is
/// sealed with it at its next save.
#[cfg(feature = "encryption")]
#[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
#[derive(Clone)]
pub struct Sealing {
    key: EncryptionKey,
    older: Vec<EncryptionKey>,
    /// What records are bound to beside the kind of store; empty where the store has a name.
    name: Vec<Box<str>>,
    accepts_version_1: bool,
    accepts_plain: bool,
}

#[cfg(feature = "encryption")]
impl Sealing {
    /// Seals with `key`, and opens what it sealed.
    pub fn new(key: EncryptionKey) -> Self {
        Sealing {
            key,
            older: Vec::new(),
            name: Vec::new(),
            accepts_version_1: false,
            accepts_plain: false,
        }
    }

    /// Opens what was sealed with `key`, too. May be called more than once.
    #[must_use]
    pub fn also_open_with(mut self, key: EncryptionKey) -> Self {
        self.older.push(key);
        self
    }

    /// Binds records to `name` instead of the store's own: for a file that is renamed, say. In a
    /// family records are bound to this name and the key.
    #[must_use]
    pub fn sealed_as(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = vec![name.into()];
        self
    }

    /// Opens records that version 1 of the envelope holds, which are bound to less: a file's to no
    /// name at all. They are sealed in the present version at the next save.
    ///
    /// To be removed again once every record was saved.
    #[must_use]
    pub fn accept_version_1(mut self) -> Self {
        self.accepts_version_1 = true;
        self
    }

    /// Reads records that are not sealed, which are sealed at the next save: for a store that was
    /// used without a key so far.
    ///
    /// To be removed again once every record was saved: whoever can write to the store could put
    /// tokens of their own in it.
    #[must_use]
    pub fn accept_plain(mut self) -> Self {
        self.accepts_plain = true;
        self
    }

    /// The same for one key of a family.
    pub(super) fn for_key(mut self, key: &str) -> Self {
        self.name.push(key.into());
        self
    }

    /// What is authenticated beside the ciphertext. Each part has its length before it, so that no
    /// two lists of parts look alike.
    fn beside(&self, kind: &str, own_name: &[u8], key: &EncryptionKey) -> Vec<u8> {
        let mut beside = [VERSION_2, &key.id()].concat();
        let mut bind = |part: &[u8]| {
            beside.extend_from_slice(&(part.len() as u64).to_le_bytes());
            beside.extend_from_slice(part);
        };
        bind(kind.as_bytes());
        match self.name.as_slice() {
            [] => bind(own_name),
            parts => parts.iter().for_each(|part| bind(part.as_bytes())),
        }
        beside
    }

    fn keys(&self) -> impl Iterator<Item = &EncryptionKey> {
        std::iter::once(&self.key).chain(&self.older)
    }
}

/// Writes the records of one kind of store, and reads them.
#[derive(Clone)]
pub(crate) struct RecordFormat {
    #[cfg_attr(not(feature = "encryption"), expect(dead_code, reason = "what is sealed is bound"))]
    kind: &'static str,
    #[cfg(feature = "encryption")]
    sealing: Option<std::sync::Arc<Sealing>>,
}

impl RecordFormat {
    /// Plain JSON. `kind` names the kind of store, for when records are sealed.
    pub(crate) fn plain(kind: &'static str) -> Self {
        RecordFormat {
            kind,
            #[cfg(feature = "encryption")]
            sealing: None,
        }
    }

    #[cfg(feature = "encryption")]
    pub(crate) fn sealed(self, sealing: Sealing) -> Self {
        RecordFormat { sealing: Some(std::sync::Arc::new(sealing)), ..self }
    }

    /// The same for one key of a family.
    #[cfg_attr(not(feature = "encryption"), expect(unused_variables, reason = "nothing is bound"))]
    pub(crate) fn for_key(&self, key: &str) -> Self {
        #[cfg(feature = "encryption")]
        if let Some(sealing) = &self.sealing {
            return self.clone().sealed((**sealing).clone().for_key(key));
        }
        self.clone()
    }

    /// Writes `record`. `own_name` is what the store calls it; it is bound to that name unless the
    /// [`Sealing`] has one.
    #[cfg_attr(not(feature = "encryption"), expect(unused_variables, reason = "nothing is bound"))]
    pub(crate) fn encode(
        &self,
        own_name: &[u8],
        record: &StoredRecord,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let json = record.to_json();
        #[cfg(feature = "encryption")]
        if let Some(sealing) = &self.sealing {
            let key = &sealing.key;
            let beside = sealing.beside(self.kind, own_name, key);
            let sealed = key.encrypt(json.as_bytes(), &beside)?;
            return Ok(Zeroizing::new([VERSION_2, &key.id(), &sealed].concat()));
        }
        Ok(Zeroizing::new(json.as_bytes().to_vec()))
    }

    /// Reads what [`encode`](RecordFormat::encode) wrote under the same name; `version_1_name` is
    /// what version 1 of the envelope was bound to.
    ///
    /// Every error is [corrupt](StoreError::is_corrupt) or [locked](StoreError::is_locked), and
    /// speaks of "it": the store says before it where the record is.
    #[cfg_attr(not(feature = "encryption"), expect(unused_variables, reason = "nothing is bound"))]
    pub(crate) fn decode(
        &self,
        own_name: &[u8],
        version_1_name: &[u8],
        stored: &[u8],
    ) -> Result<StoredRecord, StoreError> {
        if stored.is_empty() {
            return Err(StoreError::corrupt("it is empty; let the user log in again"));
        }
        let Some(version) = stored.strip_prefix(MARK) else {
            let record = parse(stored)?;
            #[cfg(feature = "encryption")]
            if self.sealing.as_ref().is_some_and(|sealing| !sealing.accepts_plain) {
                return Err(StoreError::locked(
                    "it is not sealed, and this store has a key: set `Sealing::accept_plain` if \
                     the store was used without a key so far, or use it without one",
                ));
            }
            return Ok(record);
        };
        #[cfg(feature = "encryption")]
        if let Some(sealing) = &self.sealing {
            return match stored {
                _ if stored.starts_with(VERSION_2) => {
                    self.open(sealing, own_name, &stored[VERSION_2.len()..])
                }
                _ if stored.starts_with(VERSION_1) => {
                    open_version_1(sealing, version_1_name, &stored[VERSION_1.len()..])
                }
                _ => Err(of_another_version(version)),
            };
        }
        let _ = version;
        Err(StoreError::locked(
            "it is sealed, and this store has no key: give it the one that it was saved with \
             (feature `encryption`)",
        ))
    }

    #[cfg(feature = "encryption")]
    fn open(
        &self,
        sealing: &Sealing,
        own_name: &[u8],
        sealed: &[u8],
    ) -> Result<StoredRecord, StoreError> {
        let Some((id, sealed)) = sealed.split_first_chunk() else {
            return Err(StoreError::corrupt("it is cut short; let the user log in again"));
        };
        let Some(key) = sealing.keys().find(|key| key.id() == *id) else {
            return Err(StoreError::locked(
                "it was sealed with another key; give the store that one, by \
                 `Sealing::also_open_with`",
            ));
        };
        let beside = sealing.beside(self.kind, own_name, key);
        let json = key.decrypt(sealed, &beside).ok_or_else(|| {
            StoreError::corrupt(
                "it was sealed under another name, or has been altered; put it back where it \
                 belongs (or see `Sealing::sealed_as`), or let the user log in again",
            )
        })?;
        parse(&json)
    }
}

/// What version 1 of this crate wrote.
#[cfg(all(any(fuzzing, test), feature = "encryption"))]
pub(super) fn seal_version_1(
    key: &EncryptionKey,
    name: &[u8],
    json: &[u8],
) -> Result<Vec<u8>, StoreError> {
    Ok([VERSION_1, &key.encrypt(json, &[VERSION_1, name].concat())?].concat())
}

#[cfg(feature = "encryption")]
fn open_version_1(
    sealing: &Sealing,
    name: &[u8],
    sealed: &[u8],
) -> Result<StoredRecord, StoreError> {
    if !sealing.accepts_version_1 {
        return Err(StoreError::locked(
            "it is sealed in version 1 of the envelope, which is not bound to its name; set \
             `Sealing::accept_version_1` until it was saved once more",
        ));
    }
    let beside = [VERSION_1, name].concat();
    let json = sealing.keys().find_map(|key| key.decrypt(sealed, &beside)).ok_or_else(|| {
        StoreError::locked(
            "it does not open with this store's key: it was sealed with another one, or has been \
             altered",
        )
    })?;
    parse(&json)
}

/// What follows the mark is the number of another version, or nothing that makes sense.
#[cfg(feature = "encryption")]
fn of_another_version(version: &[u8]) -> StoreError {
    let digits = version.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > 0 && version.get(digits) == Some(&b'\n') {
        StoreError::locked(
            "it is sealed in a newer way than this version of the crate knows; update \
             tower-teamup-auth in this program",
        )
    } else {
        StoreError::corrupt("it is cut short or has been altered; let the user log in again")
    }
}

fn parse(json: &[u8]) -> Result<StoredRecord, StoreError> {
    StoredRecord::from_json(json).map_err(|error| {
        if error.is_stored_format_too_new() {
            StoreError::locked(error.to_string())
        } else {
            StoreError::corrupt(error.to_string())
        }
    })
}

impl fmt::Debug for RecordFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordFormat(..)")
    }
}

#[cfg(feature = "encryption")]
impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealing(..)")
    }
}

#[cfg(test)]
mod tests;
