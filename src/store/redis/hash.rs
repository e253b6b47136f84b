//! The hash in Redis that holds a record, and what may stand there instead.

use std::collections::HashMap;

use zeroize::Zeroizing;

use crate::store::record::StoredRecord;
use crate::store::{RecordFormat, StoreError};

/// All that the hash holds; a key that does not exist is an empty one.
pub(super) type Fields = HashMap<Vec<u8>, Vec<u8>>;

/// Reads the hash of one credential.
pub(super) struct HashReader<'a> {
    pub(super) format: &'a RecordFormat,
    /// What a sealed record is bound to.
    pub(super) key: &'a str,
    /// What version 1 of the envelope was bound to.
    pub(super) version_1_name: &'a str,
    /// Where it is, for a message.
    pub(super) location: String,
}

impl HashReader<'_> {
    /// Reads the fields `revision` and `record`; version 1 called the second one `tokens`.
    pub(super) fn read(&self, mut fields: Fields) -> Result<Option<StoredRecord>, StoreError> {
        if fields.is_empty() {
            return Ok(None);
        }
        let revision = fields.remove(&b"revision"[..]);
        let [record, tokens] =
            ["record", "tokens"].map(|name| fields.remove(name.as_bytes()).map(Zeroizing::new));
        let (Some(revision), Some(stored)) = (revision, record.or(tokens)) else {
            return Err(
                self.corrupt("the hash lacks `revision` or `record`; let the user log in again")
            );
        };
        let record = self
            .format
            .decode(self.key.as_bytes(), self.version_1_name.as_bytes(), &stored)
            .map_err(|error| error.at(self.unusable()))?;
        // What a save compares is the revision beside the record, so the two must not disagree.
        // Version 1 began at 0, which is read as 1.
        let beside = std::str::from_utf8(&revision).ok().and_then(|text| text.parse::<u64>().ok());
        let beside = beside.map(|number| number.clamp(1, StoredRecord::MAX_REVISION));
        if beside != Some(record.revision()) {
            return Err(self.corrupt(
                "`revision` is not the one of the record beside it; let the user log in again",
            ));
        }
        Ok(Some(record))
    }

    pub(super) fn not_a_hash(&self) -> StoreError {
        self.corrupt("it is not the hash that this crate writes; let the user log in again")
    }

    fn corrupt(&self, found: &str) -> StoreError {
        StoreError::corrupt(found).at(self.unusable())
    }

    fn unusable(&self) -> String {
        format!("{} what is stored there can't be used:", self.location)
    }
}

/// Reads what a fuzzer puts into the place of a record that is not sealed.
#[cfg(fuzzing)]
pub(in crate::store) fn read_plain(fields: Fields) -> Result<Option<StoredRecord>, StoreError> {
    let format = RecordFormat::plain("redis");
    let location = "redis://127.0.0.1".to_owned();
    HashReader { format: &format, key: "key", version_1_name: "key", location }.read(fields)
}

/// The revision as it stands in Redis.
pub(super) fn revision_text(fields: &Fields) -> Option<String> {
    String::from_utf8(fields.get(&b"revision"[..])?.clone()).ok()
}
