//! Files as Unix has them: modes, owners, and locks that the kernel gives back.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};

/// An open sidecar, not locked yet.
pub(super) type Sidecar = File;

/// The lock; dropping it gives it back.
pub(super) struct Lock(File);

/// Opens a file that exists, and neither follows a link nor waits for the other end of a pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(as_it_is()).open(path)
}

/// Creates a file that nobody else can open, at no moment and under no umask.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(as_it_is())
        .open(path)?;
    // A umask can only have taken away too much.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Makes a folder that nobody else can enter.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Why a file with this metadata can't be one that this process wrote and nobody else touched.
pub(super) fn distrust(metadata: &Metadata) -> Option<String> {
    let kind = metadata.file_type();
    if !kind.is_file() {
        let kind = match kind {
            kind if kind.is_dir() => "a folder",
            kind if kind.is_fifo() => "a named pipe",
            kind if kind.is_socket() => "a socket",
            _ => "a device",
        };
        return Some(format!("it is {kind}; give the store the path of an ordinary file"));
    }
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        return Some(format!(
            "it belongs to the user with id {owner}, and this process runs as {user}; run it as \
             that user, or give it a file of its own"
        ));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Some(format!(
            "others can open it, its mode is {mode:04o}; set it to 0600 with `chmod 600`, and log \
             in again if others may have read it"
        ));
    }
    None
}

/// Opens the sidecar, which is made if there is none.
pub(super) fn open_sidecar(path: &Path) -> io::Result<Sidecar> {
    loop {
        let opened = OpenOptions::new().read(true).write(true).custom_flags(as_it_is()).open(path);
        let sidecar = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match create(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                created => created?,
            },
            opened => opened?,
        };
        // Whoever can open the sidecar can keep it locked for ever.
        return match distrust(&sidecar.metadata()?) {
            Some(reason) => Err(io::Error::other(reason)),
            None => Ok(sidecar),
        };
    }
}

/// Locks the sidecar, or `None` while another file description has it locked, in whichever process.
pub(super) fn lock(sidecar: Sidecar) -> io::Result<Option<Lock>> {
    match flock(&sidecar, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock(sidecar))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Lock {
    /// Is what was locked still the file at `path`?
    pub(super) fn is_still_at(&self, path: &Path) -> bool {
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        match (self.0.metadata(), fs::symlink_metadata(path)) {
            (Ok(locked), Ok(there)) => identity(locked) == identity(there),
            _ => false,
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough where a child process was just forked and has not called `exec`
        // yet: it shares the lock.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Syncs which names there are in a folder.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        // Some file systems have no such thing, and need none.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

/// No link is followed and no pipe waited for: what is opened is looked at first.
fn as_it_is() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32
}
