//! Reading the file, after a look at whether it may be trusted.

use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::place::Place;
use super::{UNBOUND, os};
use crate::store::{Seal, StoreError, Stored};
use crate::token::TokenSet;

/// The largest file that is read, in bytes; a token set takes a few thousand.
const MOST: u64 = 1024 * 1024;

/// Reads the tokens; `None` where there is no file.
pub(super) fn tokens(place: &Place, seal: &Seal) -> Result<Stored, StoreError> {
    let file = place.file();
    let Some(stored) = bytes(&file)? else { return Ok(None) };
    if stored.is_empty() {
        return Err(unusable(&file, "it is empty; remove it, and save the tokens anew"));
    }
    let text = seal.open(UNBOUND, &stored).map_err(|error| unusable(&file, &error.to_string()))?;
    let tokens = TokenSet::from_json(&text).map_err(|error| unusable(&file, &error.to_string()))?;
    Ok(Some(tokens))
}

fn bytes(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let failed = |error| {
        let message = format!(
            "the token file {} can't be read; see to its owner and its mode",
            path.display()
        );
        StoreError::unavailable(message, error)
    };
    let file = match os::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Of the file that was opened, and not of whatever has its name by now.
    let metadata = file.metadata().map_err(failed)?;
    if let Some(reason) = os::distrust(&metadata) {
        return Err(unusable(path, &reason));
    }
    // Room for all of it and one byte more: growing would leave a copy behind that nobody wipes.
    let room = usize::try_from(metadata.len().min(MOST)).unwrap_or(0) + 1;
    let mut stored = Zeroizing::new(Vec::with_capacity(room));
    file.take(MOST + 1).read_to_end(&mut stored).map_err(failed)?;
    if stored.len() as u64 > MOST {
        return Err(unusable(path, "it is too large to be a token set"));
    }
    Ok(Some(stored))
}

fn unusable(path: &Path, reason: &str) -> StoreError {
    StoreError::unreadable(format!(
        "the token file {} can't be used, and is left as it is: {reason}",
        path.display()
    ))
}
