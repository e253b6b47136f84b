//! Writing the file, so that it is there whole or not at all.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::os;
use super::place::Place;
use crate::store::StoreError;

/// How far a save has come.
#[cfg_attr(not(feature = "testing"), expect(unreachable_pub, reason = "a test's hook names it"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveStep {
    /// Nothing is written yet; the old tokens were looked at, under the lock.
    Begun,
    /// There is an empty temporary file.
    Created,
    /// It holds the new tokens.
    Written,
    /// They are on the disk.
    Synced,
    /// They are in the place of the old ones.
    Renamed,
    /// And stay there if the machine goes down.
    Done,
}

impl SaveStep {
    /// Every step, in its order.
    #[cfg(feature = "testing")]
    pub const ALL: [SaveStep; 6] = [
        SaveStep::Begun,
        SaveStep::Created,
        SaveStep::Written,
        SaveStep::Synced,
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

/// Puts `text` in the place of what the file holds.
pub(super) fn replace(place: &Place, text: &[u8], steps: &Steps) -> Result<(), StoreError> {
    steps.reached(SaveStep::Begun);
    let mut temporary = Temporary::create(place)?;
    steps.reached(SaveStep::Created);
    temporary.file.write_all(text).map_err(failed("write", &temporary.path))?;
    steps.reached(SaveStep::Written);
    temporary.file.sync_all().map_err(failed("sync", &temporary.path))?;
    steps.reached(SaveStep::Synced);
    temporary.rename_to(&place.file()).map_err(failed("replace", &place.file()))?;
    steps.reached(SaveStep::Renamed);
    sync_folder(place)?;
    steps.reached(SaveStep::Done);
    Ok(())
}

/// Removes the file, for good.
pub(super) fn remove(place: &Place) -> Result<(), StoreError> {
    fs::remove_file(place.file()).map_err(failed("remove", &place.file()))?;
    sync_folder(place)
}

/// Puts on the disk which names there are in the folder.
pub(super) fn sync_folder(place: &Place) -> Result<(), StoreError> {
    os::sync_folder(place.folder()).map_err(failed("sync the folder", place.folder()))
}

/// Does what a save will need, short of touching the file.
pub(super) fn probe(place: &Place) -> Result<(), StoreError> {
    drop(Temporary::create(place)?);
    sync_folder(place)
}

/// Removes what crashed processes left behind. Only the holder of the lock may: another's temporary
/// file could be one that is being written.
pub(super) fn remove_leftovers(place: &Place) {
    let Ok(entries) = fs::read_dir(place.folder()) else { return };
    for entry in entries.flatten().filter(|entry| place.is_temporary(&entry.file_name())) {
        // One that stays is private and in nobody's way; the next holder tries again.
        let _ = fs::remove_file(entry.path());
    }
}

/// A file that is gone with this value, unless it was renamed before.
struct Temporary {
    file: File,
    path: PathBuf,
    is_renamed: bool,
}

impl Temporary {
    fn create(place: &Place) -> Result<Self, StoreError> {
        loop {
            let path = place.temporary();
            match os::create(&path) {
                Ok(file) => return Ok(Temporary { file, path, is_renamed: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(failed("create a file in the folder", place.folder())(error));
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
