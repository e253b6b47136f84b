//! Files as Windows has them: permissions come from the folder, and a lock is a file that is open
//! for one alone.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;

/// `ERROR_SHARING_VIOLATION`: the file is open elsewhere, and not to be shared.
const SHARING_VIOLATION: i32 = 32;

/// The opened sidecar, which is the lock already; `None` while another process has it open.
pub(super) type Sidecar = Option<File>;

/// The lock; dropping it, or the death of its process, closes the file and gives it back.
pub(super) struct Lock(#[expect(dead_code, reason = "held open, never used")] File);

pub(super) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// What the metadata of a file says of who may have read or written it.
#[expect(dead_code, reason = "Unix knows more")]
pub(super) enum Trust {
    Private,
    OpenToGroup(u32),
    OpenToAll(u32),
    /// No file that this process wrote.
    Never(String),
}

pub(super) fn trust(metadata: &Metadata) -> Trust {
    if metadata.is_file() {
        Trust::Private
    } else {
        Trust::Never("it is no ordinary file; give the store the path of one".to_owned())
    }
}

/// Permissions come from the folder.
pub(super) fn tighten(_file: &File, _path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

pub(super) fn make_private(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// A file can't be mounted by itself.
pub(super) fn is_mount_point(_path: &Path) -> bool {
    false
}

/// Opens the sidecar for this handle alone, which is to lock it.
pub(super) fn open_sidecar(path: &Path) -> io::Result<Sidecar> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .share_mode(0)
        .open(path);
    match opened {
        Ok(sidecar) => Ok(Some(sidecar)),
        Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn lock(sidecar: Sidecar) -> io::Result<Option<Lock>> {
    Ok(sidecar.map(Lock))
}

impl Lock {
    /// No other sidecar can take its place while it is open.
    pub(super) fn number(&self) -> u64 {
        0
    }

    /// Gives the lock back and removes the sidecar, unless another has opened it by then.
    pub(super) fn remove(self, path: &Path) {
        drop(self);
        let _ = fs::remove_file(path);
    }

    /// A file that is open and not shared can't be removed.
    pub(super) fn is_still_at(&self, _path: &Path) -> bool {
        true
    }
}

/// Windows has no such call; NTFS keeps a journal of its names.
pub(super) fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}
