//! Writing the file, so that it is there whole or not at all.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::lease::Writing;
use super::location::Location;
use super::os;
use crate::store::StoreError;

/// How far a save has come.
#[cfg_attr(not(feature = "testing"), expect(unreachable_pub, reason = "a test's hook names it"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveStep {
    /// Nothing is written yet; the old record was looked at, under the lease.
    Begun,
    /// There is an empty temporary file.
    Created,
    /// It holds the new record.
    Written,
    /// The new record is on the disk.
    Synced,
    /// What can't be read is set aside, if that is what is replaced.
    SetAside,
    /// It has the file's name.
    Renamed,
    /// And stays there if the machine goes down.
    Done,
}

impl SaveStep {
    /// Every step, in its order.
    #[cfg(feature = "testing")]
    pub const ALL: [SaveStep; 7] = [
        SaveStep::Begun,
        SaveStep::Created,
        SaveStep::Written,
        SaveStep::Synced,
        SaveStep::SetAside,
        SaveStep::Renamed,
        SaveStep::Done,
    ];
}

/// Tells a test how far a save has come; nothing outside of tests.
#[derive(Clone, Default)]
pub(super) struct Steps {
    #[cfg(feature = "testing")]
    hook: Option<std::sync::Arc<dyn Fn(SaveStep) + Send + Sync>>,
}

impl Steps {
    #[cfg(feature = "testing")]
    pub(super) fn calling(hook: impl Fn(SaveStep) + Send + Sync + 'static) -> Self {
        Steps { hook: Some(std::sync::Arc::new(hook)) }
    }

    #[cfg_attr(not(feature = "testing"), expect(unused_variables, reason = "nobody is told"))]
    fn reached(&self, step: SaveStep) {
        #[cfg(feature = "testing")]
        if let Some(hook) = &self.hook {
            hook(step);
        }
    }
}

/// What becomes of the file that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replaced {
    /// It is gone.
    Gone,
    /// It can't be read, and is kept beside the new one.
    SetAside,
}

/// Puts a file with `text` where the token file is.
///
/// At no moment is there no file where there was one, because a process that starts meanwhile would
/// find an empty store. The exceptions are a folder and, on some systems, another user's file.
pub(super) fn replace(
    writing: &Writing<'_>,
    text: &[u8],
    replaced: Replaced,
    steps: &Steps,
) -> Result<(), StoreError> {
    let location = writing.location();
    steps.reached(SaveStep::Begun);
    let mut temporary = Temporary::create(location, location.temporary(writing.sidecar()))?;
    steps.reached(SaveStep::Created);
    temporary.file.write_all(text).map_err(failed("write", &temporary.path))?;
    steps.reached(SaveStep::Written);
    temporary.file.sync_all().map_err(failed("sync", &temporary.path))?;
    steps.reached(SaveStep::Synced);
    if replaced == Replaced::SetAside {
        set_aside(location);
    }
    steps.reached(SaveStep::SetAside);
    temporary.rename_to(&location.file()).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => mounted(location).with_source(error),
        _ => failed("replace", &location.file())(error),
    })?;
    steps.reached(SaveStep::Renamed);
    sync_folder(location)?;
    steps.reached(SaveStep::Done);
    Ok(())
}

/// Keeps what is there under another name, where one such file is kept. If that can't be done, the
/// file is replaced all the same: it must not stand in the way of a login.
fn set_aside(location: &Location) {
    let (file, aside) = (location.file(), location.unreadable());
    let _ = os::make_private(&file);
    let _ = fs::remove_file(&aside);
    // A second name leaves the first where it is until the new file takes it. A folder can't have
    // one.
    let kept = fs::hard_link(&file, &aside).or_else(|_| fs::rename(&file, &aside));
    let path = file.display();
    match kept {
        Ok(()) => tracing::warn!(
            target: "tower_teamup_auth",
            %path,
            kept_as = %aside.display(),
            "the token file could not be used and was moved aside",
        ),
        Err(error) => tracing::warn!(
            target: "tower_teamup_auth",
            %path,
            %error,
            "the token file could not be used and is replaced: it could not be moved aside",
        ),
    }
}

/// Writes the key beside the file whose name is too short for it, unless it is there already.
pub(super) fn key(writing: &Writing<'_>, key: &str) -> Result<(), StoreError> {
    let location = writing.location();
    let path = location.key();
    if fs::read(&path).is_ok_and(|found| found == key.as_bytes()) {
        return Ok(());
    }
    let mut temporary = Temporary::create(location, location.temporary(writing.sidecar()))?;
    temporary.file.write_all(key.as_bytes()).map_err(failed("write", &temporary.path))?;
    temporary.file.sync_all().map_err(failed("sync", &temporary.path))?;
    temporary.rename_to(&path).map_err(failed("replace", &path))
}

/// Removes the file and whatever else there is of this store, but for the sidecar.
pub(super) fn remove(writing: &Writing<'_>) -> Result<(), StoreError> {
    let location = writing.location();
    // The record goes first: what is left after a crash is no store without its key.
    for path in [location.file(), location.unreadable(), location.key()] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(match error.kind() {
                    io::ErrorKind::ResourceBusy => mounted(location).with_source(error),
                    _ => failed("remove", &path)(error),
                });
            }
            _ => {}
        }
    }
    location.remove_temporary(writing.sidecar());
    writing.set_deleted(true);
    sync_folder(location)
}

/// Puts on the disk which names there are in the folder.
pub(super) fn sync_folder(location: &Location) -> Result<(), StoreError> {
    os::sync_folder(location.folder()).map_err(failed("sync the folder", location.folder()))
}

/// Does what a save will need, short of touching the file.
pub(super) fn probe(location: &Location) -> Result<(), StoreError> {
    if os::is_mount_point(&location.file()) {
        return Err(mounted(location));
    }
    drop(Temporary::create(location, location.probe())?);
    sync_folder(location)
}

/// A file that is mounted by itself can't be replaced, and its lock is another one in every
/// container: no save is safe there.
fn mounted(location: &Location) -> StoreError {
    StoreError::unavailable(
        format!(
            "the token file {} is mounted by itself, so no other file can take its place; mount \
             its folder instead",
            location.file().display()
        ),
        io::Error::from(io::ErrorKind::ResourceBusy),
    )
}

/// A file that is gone with this value, unless it was renamed before.
struct Temporary {
    file: File,
    path: PathBuf,
    is_renamed: bool,
}

impl Temporary {
    /// One that is there already is what a crash has left.
    fn create(location: &Location, path: PathBuf) -> Result<Self, StoreError> {
        loop {
            match os::create(&path) {
                Ok(file) => return Ok(Temporary { file, path, is_renamed: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    match fs::remove_file(&path) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            return Err(failed("remove", &path)(error));
                        }
                        _ => {}
                    }
                }
                Err(error) => {
                    return Err(failed("create a file in the folder", location.folder())(error));
                }
            }
        }
    }

    fn rename_to(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_renamed {
            // If it can't be removed now, the next holder of the lock removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let message = format!(
        "the file store can't {what} {}; see to its permissions and to free space on its disk",
        path.display()
    );
    move |error| StoreError::unavailable(message, error)
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Steps(..)")
    }
}
