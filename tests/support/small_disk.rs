//! A disk that is full, for processes of their own.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::process::OtherProcess;

const LIMIT: &str = "limit";

/// Runs the test `name` in another process, once for each kind of small disk that can be had here,
/// and sees it pass. Its part is the kind of the disk, which holds `folder`.
pub(crate) fn on_each_small_disk(name: &str, folder: &Path, store: &Path) {
    // A limit on the size of files stands for a quota, and needs no rights.
    let mut limit = Command::new("sh");
    limit.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    OtherProcess::start_by(limit, name, LIMIT, store).passes();

    // Where a file system can be mounted, a really small one.
    let mount = "mount -t tmpfs -o size=64k,mode=700 tmpfs \"$FOLDER\"";
    for namespaces in [&["--mount"][..], &["--mount", "--map-root-user"]] {
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["sh", "-c"]).env("FOLDER", folder);
        let can_mount = Command::new("unshare")
            .args(namespaces)
            .args(["sh", "-c", mount])
            .env("FOLDER", folder)
            .output()
            .is_ok_and(|output| output.status.success());
        if can_mount {
            let run = format!("{mount} && exec \"$0\" \"$@\"");
            command.arg(run).arg(std::env::current_exe().unwrap());
            OtherProcess::start_by(command, name, "tmpfs", store).passes();
            break;
        }
    }
}

/// A disk that this process can fill, and make room on again.
pub(crate) struct SmallDisk {
    is_limit: bool,
    folder: PathBuf,
}

impl SmallDisk {
    /// The disk of this `kind` on which `folder` is.
    pub(crate) fn new(kind: &str, folder: &Path) -> Self {
        SmallDisk { is_limit: kind == LIMIT, folder: folder.to_owned() }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn fill(&mut self) {
        if self.is_limit {
            self.limit(Some(0));
        } else {
            let filler = vec![0; 1024 * 1024];
            let error = fs::write(self.folder.join("filler"), filler).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        }
    }

    pub(crate) fn make_room(&mut self) {
        if self.is_limit {
            self.limit(getrlimit(Resource::Fsize).maximum);
        } else {
            fs::remove_file(self.folder.join("filler")).unwrap();
        }
    }

    fn limit(&self, current: Option<u64>) {
        let maximum = getrlimit(Resource::Fsize).maximum;
        setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
    }
}
