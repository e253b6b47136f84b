//! Where the file is: its folder, its name, and the names that go with it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::os;
use crate::store::StoreError;

/// So many links from one name to the next in one folder are a circle.
const MOST_LINKS: usize = 8;

/// A folder that exists, without a symbolic link in its path, and the name of a file in it that is
/// no symbolic link either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    folder: PathBuf,
    name: OsString,
}

impl Place {
    /// Finds the file that `path` leads to; `None` where there is no such folder yet.
    pub(super) fn find(path: &Path) -> Result<Option<Self>, StoreError> {
        let (folder, name) = split(path)?;
        match folder.canonicalize() {
            Ok(folder) => Place { folder, name: name.to_owned() }.follow_links().map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreachable_folder(folder, error)),
        }
    }

    /// The same, and makes the folder if there is none.
    pub(super) fn make(path: &Path) -> Result<Self, StoreError> {
        if let Some(place) = Place::find(path)? {
            return Ok(place);
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
        Place::find(path)?.ok_or_else(|| unreachable_folder(folder, io::ErrorKind::NotFound.into()))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The error where the folder was there and is not any more.
    pub(super) fn gone(&self) -> StoreError {
        unreachable_folder(&self.folder, io::ErrorKind::NotFound.into())
    }

    /// The token file itself.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// The sidecar that is locked.
    pub(super) fn lock(&self) -> PathBuf {
        let mut name = self.name.clone();
        name.push(".lock");
        self.folder.join(name)
    }

    /// A name for a temporary file, another one each time.
    pub(super) fn temporary(&self) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(format!(".{:016x}.tmp", fastrand::u64(..)));
        self.folder.join(name)
    }

    /// Is `name` one that [`temporary`](Place::temporary) gives for this file?
    pub(super) fn is_temporary(&self, name: &OsStr) -> bool {
        let number = || {
            name.as_encoded_bytes()
                .strip_prefix(b".")?
                .strip_prefix(self.name.as_encoded_bytes())?
                .strip_prefix(b".")?
                .strip_suffix(b".tmp")
        };
        number()
            .is_some_and(|number| number.len() == 16 && number.iter().all(u8::is_ascii_hexdigit))
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
                StoreError::unreadable(format!(
                    "the token file {} is a symbolic link out of its folder, to {}; give the store \
                     that path itself, if it is the one that is meant",
                    link.display(),
                    target.display()
                ))
            })?;
        }
        Err(StoreError::unreadable(format!(
            "the token file {} is one of a circle of symbolic links; remove them",
            self.file().display()
        )))
    }
}

fn split(path: &Path) -> Result<(&Path, &OsStr), StoreError> {
    path.parent().zip(path.file_name()).ok_or_else(|| {
        StoreError::unreadable(format!("{:?} names no file to keep tokens in", path.display()))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_temporary_files_are_known_as_such() {
        let place = Place { folder: "/folder".into(), name: "tokens.json".into() };
        let temporary = place.temporary();
        assert!(place.is_temporary(temporary.file_name().unwrap()));
        assert_ne!(place.temporary(), temporary);
        for name in [
            "tokens.json",
            "tokens.json.lock",
            ".tokens.json.tmp",
            ".tokens.json.0123456789abcde.tmp",
            ".tokens.json.0123456789abcdeg.tmp",
            ".tokens.json.x.0123456789abcdef.tmp",
            ".other.json.0123456789abcdef.tmp",
        ] {
            assert!(!place.is_temporary(OsStr::new(name)), "{name}");
        }
    }
}
