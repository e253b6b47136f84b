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

/// What the metadata of a file says of who may have read or written it.
pub(super) enum Trust {
    /// This user's, and nobody else's.
    Private,
    /// This user's, and open to its group, with this mode. Kubernetes makes it so at each mount of
    /// a volume with an `fsGroup`.
    OpenToGroup(u32),
    /// This user's, and open to everybody, with this mode.
    OpenToAll(u32),
    /// No file that this process wrote.
    Never(String),
}

pub(super) fn trust(metadata: &Metadata) -> Trust {
    let kind = metadata.file_type();
    if !kind.is_file() {
        let kind = match kind {
            kind if kind.is_dir() => "a folder",
            kind if kind.is_fifo() => "a named pipe",
            kind if kind.is_socket() => "a socket",
            kind if kind.is_symlink() => "a symbolic link",
            _ => "a device",
        };
        return Trust::Never(format!("it is {kind}; give the store the path of an ordinary file"));
    }
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        return Trust::Never(format!(
            "it belongs to the user with id {owner}, and this process runs as {user}; run it as \
             that user, or give it a file of its own"
        ));
    }
    match metadata.mode() & 0o7777 {
        mode if mode & 0o077 == 0 => Trust::Private,
        mode if mode & 0o007 == 0 => Trust::OpenToGroup(mode),
        mode => Trust::OpenToAll(mode),
    }
}

/// Makes a file of this user's private, and tells that it was not.
pub(super) fn tighten(file: &File, path: &Path, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o600))?;
    tracing::warn!(
        target: "tower_teamup_auth",
        path = %path.display(),
        mode = format_args!("{mode:04o}"),
        "a token store's file was open to others and is private now; in Kubernetes, set \
         `fsGroupChangePolicy: OnRootMismatch` or mount the volume without `fsGroup`",
    );
    Ok(())
}

/// Makes what is at `path` private, if it is a file of this user's.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    match trust(&fs::symlink_metadata(path)?) {
        Trust::Private | Trust::Never(_) => Ok(()),
        Trust::OpenToGroup(_) | Trust::OpenToAll(_) => {
            open(path)?.set_permissions(Permissions::from_mode(0o600))
        }
    }
}

/// Is the file mounted by itself, so that no other can take its place?
pub(super) fn is_mount_point(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
        // A kernel before 5.8 does not tell; then the first save does.
        statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
            .is_ok_and(|file| file.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
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
        // Whoever can open the sidecar can keep it locked permanently. It holds no secret, so one
        // that was open to others needs no more than to be closed to them.
        return match trust(&sidecar.metadata()?) {
            Trust::Private => Ok(sidecar),
            Trust::OpenToGroup(mode) | Trust::OpenToAll(mode) => {
                tighten(&sidecar, path, mode).map(|()| sidecar)
            }
            Trust::Never(reason) => Err(io::Error::other(reason)),
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
    /// Tells this sidecar from others in its folder, for as long as it is open.
    pub(super) fn number(&self) -> u64 {
        self.0.metadata().map_or(0, |metadata| metadata.ino())
    }

    /// Removes the sidecar and gives the lock back. Whoever has opened it meanwhile finds that it
    /// is gone, and opens another.
    pub(super) fn remove(self, path: &Path) {
        if self.is_still_at(path) {
            // One that stays is empty and in nobody's way.
            let _ = fs::remove_file(path);
        }
    }

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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn f5_what_is_no_file_is_called_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, link) = (folder.path().join("socket"), folder.path().join("link"));
        let _listener = UnixListener::bind(&socket).unwrap();
        symlink(&socket, &link).unwrap();
        let expected = [
            (folder.path(), "a folder"),
            (&socket, "a socket"),
            (&link, "a symbolic link"),
            (Path::new("/dev/null"), "a device"),
        ];
        for (path, kind) in expected {
            let Trust::Never(why) = trust(&fs::symlink_metadata(path).unwrap()) else {
                panic!("{} is trusted", path.display())
            };
            assert!(why.starts_with(&format!("it is {kind};")), "{why}");
        }
    }
}
