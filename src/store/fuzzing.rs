//! Doors for `fuzz/`, to records as a store keeps them: sealed, and as hashes in Redis.

#![allow(missing_docs, reason = "nobody but the fuzz targets sees them")]

use super::key::EncryptionKey;
use super::sealing::seal_version_1;
use super::{RecordFormat, Sealing, StoredRecord};

/// A sealed record, what became of it since, and the store that reads it.
#[derive(Debug)]
pub struct Envelope<'a> {
    pub json: &'a [u8],
    /// Version 1 seals any text, version 2 the record that the text is.
    pub is_version_1: bool,
    /// Each number names a key.
    pub sealed_with: u8,
    pub opened_with: [u8; 2],
    /// Under which name it was sealed and is read.
    pub names: [&'a [u8]; 2],
    /// The same for the kind of store, of which version 1 knows nothing.
    pub is_other_kind: bool,
    pub accepts_version_1: bool,
    /// So many bytes of its end are lost.
    pub lost: usize,
    /// A byte that was altered: which one, and by which bits.
    pub altered: Option<(usize, u8)>,
}

/// Opens what was sealed for this place and with a key of this store, and nothing else.
pub fn envelope(case: &Envelope<'_>) {
    let key = |number: u8| EncryptionKey::from_bytes([number; 32]);
    let record = StoredRecord::from_json(case.json).ok();
    let written = if case.is_version_1 {
        seal_version_1(&key(case.sealed_with), case.names[0], case.json)
    } else {
        let Some(record) = &record else { return };
        let kind = if case.is_other_kind { "redis" } else { "file" };
        let format = RecordFormat::plain(kind).sealed(Sealing::new(key(case.sealed_with)));
        format.encode(case.names[0], record).map(|sealed| sealed.to_vec())
    };
    let sealed = written.expect("the system has random bytes");
    let mut found = sealed.clone();
    found.truncate(sealed.len().saturating_sub(case.lost));
    if let Some((at, bits)) = case.altered {
        if let Some(at) = at.checked_rem(found.len()) {
            found[at] ^= bits;
        }
    }

    let [first, second] = case.opened_with;
    let mut sealing = Sealing::new(key(first)).also_open_with(key(second));
    if case.accepts_version_1 {
        sealing = sealing.accept_version_1();
    }
    let format = RecordFormat::plain("file").sealed(sealing);
    let opened = format.decode(case.names[1], case.names[1], &found);
    let belongs_here = found == sealed
        && case.opened_with.contains(&case.sealed_with)
        && case.names[0] == case.names[1]
        && if case.is_version_1 { case.accepts_version_1 } else { !case.is_other_kind };
    match opened {
        Ok(opened) => {
            assert!(belongs_here, "it opened where it does not belong: {case:?}");
            assert!(Some(opened) == record);
        }
        Err(error) => {
            assert!(error.is_corrupt() || error.is_locked());
            assert!(!belongs_here || record.is_none(), "it did not open: {case:?}");
        }
    }
    // A store without a key reads no envelope, whatever follows the mark.
    assert!(RecordFormat::plain("file").decode(b"", b"", &sealed).is_err());
    // The bytes themselves, in the place of a sealed record.
    for mark in ["tower-teamup-auth sealed v1\n", "tower-teamup-auth sealed v2\n"] {
        let forged = [mark.as_bytes(), case.json].concat();
        assert!(format.decode(b"", b"", &forged).is_err(), "it was not sealed by anybody");
    }
}

/// Reads a hash of Redis with these fields. What it brings has the revision that stands beside it.
pub fn redis_hash(fields: Vec<(Vec<u8>, Vec<u8>)>) {
    let fields: std::collections::HashMap<_, _> = fields.into_iter().collect();
    let is_empty = fields.is_empty();
    let revision = fields.get(&b"revision"[..]).cloned();
    match super::redis::hash::read_plain(fields) {
        Ok(None) => assert!(is_empty),
        Ok(Some(record)) => {
            let text = String::from_utf8(revision.expect("the hash has one")).expect("digits");
            let beside: u64 = text.parse().expect("digits");
            assert_eq!(beside.clamp(1, StoredRecord::MAX_REVISION), record.revision());
        }
        Err(error) => assert!(error.is_corrupt() || error.is_locked()),
    }
}
