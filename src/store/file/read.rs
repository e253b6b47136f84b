//! Reading the file, after a look at whether it may be trusted.

use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::StoredRecord;
use super::location::Location;
use super::os::{self, Trust};
use crate::store::{RecordFormat, StoreError};

/// The largest file that is read, in bytes; a record takes a few thousand.
const MOST: u64 = 1024 * 1024;

/// Reads the record; `None` where there is no file.
pub(super) fn record(
    location: &Location,
    format: &RecordFormat,
) -> Result<Option<StoredRecord>, StoreError> {
    let file = location.file();
    let Some(stored) = bytes(&file)? else { return Ok(None) };
    // Version 1 bound what was sealed in a file to no name.
    format
        .decode(location.name(), b"", &stored)
        .map(Some)
        .map_err(|error| error.at(unusable(&file)))
}

/// What is in the file, if it is one that this process may trust.
pub(super) fn bytes(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let failed = |error| {
        let message = format!(
            "the token file {} can't be read; see to its owner and its mode",
            path.display()
        );
        StoreError::unavailable(message, error)
    };
    let corrupt = |reason: &str| StoreError::corrupt(reason).at(unusable(path));
    let file = match os::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A socket and another user's file can't even be opened.
        Err(error) => match path.symlink_metadata().map(|metadata| os::trust(&metadata)) {
            Ok(Trust::Never(reason)) => return Err(corrupt(&reason)),
            _ => return Err(failed(error)),
        },
    };
    // Of the file that was opened, and not of whatever has its name by now.
    let metadata = file.metadata().map_err(failed)?;
    match os::trust(&metadata) {
        Trust::Private => {}
        Trust::OpenToGroup(mode) => os::tighten(&file, path, mode).map_err(failed)?,
        Trust::OpenToAll(mode) => {
            return Err(corrupt(&format!(
                "others can open it, its mode is {mode:04o}; set it to 0600 with `chmod 600`, or \
                 log in again if others may have read it"
            )));
        }
        Trust::Never(reason) => return Err(corrupt(&reason)),
    }
    // Room for all of it and one byte more: growing would leave a copy behind that nobody wipes.
    let room = usize::try_from(metadata.len().min(MOST)).unwrap_or(0).saturating_add(1);
    let mut stored = Zeroizing::new(Vec::with_capacity(room));
    file.take(MOST + 1).read_to_end(&mut stored).map_err(failed)?;
    if stored.len() as u64 > MOST {
        return Err(corrupt("it is too large to be a record"));
    }
    Ok(Some(stored))
}

fn unusable(path: &Path) -> String {
    format!("the token file {} can't be used:", path.display())
}
