//! Where the file is: its folder, its name, and the names of the files beside it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::os;
use crate::store::StoreError;

/// So many links from one name to the next in one folder are a circle.
const MOST_LINKS: usize = 8;

/// A folder that exists, without a symbolic link in its path, and the name of a file in it that is
/// no symbolic link either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    folder: PathBuf,
    name: OsString,
}

impl Location {
    /// Finds the file that `path` leads to; `None` where there is no such folder yet.
    pub(super) fn find(path: &Path) -> Result<Option<Self>, StoreError> {
        let (folder, name) = split(path)?;
        match folder.canonicalize() {
            Ok(folder) => Location { folder, name: name.to_owned() }.follow_links().map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreachable_folder(folder, error)),
        }
    }

    /// The same, and makes the folder if there is none.
    pub(super) fn make(path: &Path) -> Result<Self, StoreError> {
        if let Some(location) = Location::find(path)? {
            return Ok(location);
        }
        let (folder, _) = split(path)?;
        make_folder(folder).map_err(|error| {
            let message = format!(
                "the folder {} of the token file can't be made; make it, or choose a path where \
                 this process may",
                folder.display()
            );
            StoreError::unavailable(message, error)
        })?;
        Location::find(path)?
            .ok_or_else(|| unreachable_folder(folder, io::ErrorKind::NotFound.into()))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The error where the folder was there and is not any more.
    pub(super) fn gone(&self) -> StoreError {
        unreachable_folder(&self.folder, io::ErrorKind::NotFound.into())
    }

    /// The file's name without its folder, which a sealed record is bound to.
    pub(super) fn name(&self) -> &[u8] {
        self.name.as_encoded_bytes()
    }

    /// The token file itself.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// The sidecar that is locked.
    pub(super) fn lock(&self) -> PathBuf {
        self.beside("", ".lock")
    }

    /// Where a file goes that a login replaces because it can't be read.
    pub(super) fn unreadable(&self) -> PathBuf {
        self.beside("", ".unreadable")
    }

    /// Where a family writes the key that does not fit into the file's name.
    pub(super) fn key(&self) -> PathBuf {
        self.beside("", ".key")
    }

    /// The temporary file of whoever has locked the sidecar with this number. It is found again
    /// without a search, and two holders never share one: a sidecar that takes the place of
    /// another, which is still open, has another number.
    pub(super) fn temporary(&self, sidecar: u64) -> PathBuf {
        self.beside(".", &format!(".{sidecar:016x}.tmp"))
    }

    /// Removes what a holder of the lock with this number has left behind; only the holder may. One that
    /// stays is private and in nobody's way: the next write removes it.
    pub(super) fn remove_temporary(&self, sidecar: u64) {
        let _ = fs::remove_file(self.temporary(sidecar));
    }

    /// The file that a check makes to find out whether it may.
    pub(super) fn probe(&self) -> PathBuf {
        self.beside(".", ".check.tmp")
    }

    fn beside(&self, prefix: &str, suffix: &str) -> PathBuf {
        let mut name = OsString::from(prefix);
        name.push(&self.name);
        name.push(suffix);
        self.folder.join(name)
    }

    /// Goes from name to name while they are links, and no further than this folder: two names of
    /// one file then have one lock, and a save replaces the file and not the link.
    fn follow_links(mut self) -> Result<Self, StoreError> {
        for _ in 0..MOST_LINKS {
            let link = self.file();
            let target = match link.symlink_metadata() {
                Ok(metadata) if metadata.is_symlink() => link.read_link(),
                Ok(_) => return Ok(self),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self),
                Err(error) => Err(error),
            };
            let target = target.map_err(|error| unreachable_folder(&self.folder, error))?;
            let within = || {
                let target = self.folder.join(&target);
                let folder = target.parent()?.canonicalize().ok()?;
                (folder == self.folder).then(|| target.file_name().map(OsStr::to_owned))?
            };
            self.name = within().ok_or_else(|| {
                let message = format!(
                    "the token file {} is a symbolic link out of its folder, to {}; give the store \
                     that path itself, if it is the one that is meant",
                    link.display(),
                    target.display()
                );
                misplaced(message)
            })?;
        }
        Err(misplaced(format!(
            "the token file {} is one of a circle of symbolic links; remove them",
            self.file().display()
        )))
    }
}

fn split(path: &Path) -> Result<(&Path, &OsStr), StoreError> {
    path.parent()
        .zip(path.file_name())
        .ok_or_else(|| misplaced(format!("{:?} names no file to keep tokens in", path.display())))
}

/// The path leads to no file that a login could replace: it has to be changed.
fn misplaced(message: String) -> StoreError {
    StoreError::unavailable(message, io::Error::from(io::ErrorKind::InvalidInput))
}

fn unreachable_folder(folder: &Path, error: io::Error) -> StoreError {
    let message = format!(
        "the folder {} of the token file can't be reached; check the path and the permissions on \
         the way to it",
        folder.display()
    );
    StoreError::unavailable(message, error)
}

/// Makes `folder` and those above it, and sees to it that a crash of the machine does not undo it.
fn make_folder(folder: &Path) -> io::Result<()> {
    let made = match os::make_folder(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(folder.parent().ok_or(error)?)?;
            os::make_folder(folder)
        }
        made => made,
    };
    match made {
        Ok(()) => folder.parent().map_or(Ok(()), os::sync_folder),
        // Another process was faster, or something else has that name, which the next step finds.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
