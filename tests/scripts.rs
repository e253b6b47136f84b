//! What `scripts/` promises to those who run it.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, fcntl_lock};
use tempfile::TempDir;

/// An empty package manager: its state, its cache and its locks lie in a folder of their own.
struct PackageManager {
    folder: TempDir,
}

impl PackageManager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for path in ["state/lists/partial", "cache/archives/partial", "dpkg", "etc", "bin"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        let root = folder.path().display();
        fs::write(folder.path().join("dpkg/status"), "").unwrap();
        fs::write(
            folder.path().join("apt.conf"),
            format!(
                "Dir::State \"{root}/state\";\nDir::State::status \"{root}/dpkg/status\";\n\
                 Dir::Cache \"{root}/cache\";\nDir::Etc \"{root}/etc\";\n"
            ),
        )
        .unwrap();
        // Nothing here needs root.
        let sudo = folder.path().join("bin/sudo");
        fs::write(&sudo, "#!/bin/sh\nexec \"$@\"\n").unwrap();
        fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).unwrap();
        PackageManager { folder }
    }

    fn lock(&self, path: &str) -> File {
        let file = File::create(self.folder.path().join(path)).unwrap();
        fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        file
    }

    /// Runs `apt_get` of scripts/common.sh while `path` is locked, and gives the lock back as soon as the
    /// script says that it waits.
    fn waits_for(&self, path: &str, arguments: &str) {
        let held = self.lock(path);
        let old_path = std::env::var("PATH").unwrap();
        let mut child = Command::new("bash")
            .args(["-euo", "pipefail", "-c"])
            .arg(format!("source scripts/common.sh; apt_get {arguments}; echo done"))
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .env("APT_CONFIG", self.folder.path().join("apt.conf"))
            .env("CARGO_TARGET_DIR", self.folder.path().join("target"))
            .env("PATH", format!("{}/bin:{old_path}", self.folder.path().display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("it says that it waits").unwrap();
        assert!(first.contains("another program holds the package manager's lock"), "{first}");
        assert_eq!(child.try_wait().unwrap(), None);
        drop(held);
        assert_eq!(lines.next().expect("it goes on").unwrap(), "done");
        assert!(child.wait().unwrap().success());
    }
}

fn is_there(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|folder: PathBuf| folder.join(command))
        .any(|file| file.exists())
}

#[test]
fn g2_the_scripts_wait_while_another_program_holds_a_lock_of_the_package_manager() {
    if !is_there("apt-get") {
        eprintln!("no apt-get here, and the scripts say so before they call it");
        return;
    }
    let packages = PackageManager::new();
    packages.waits_for("state/lists/lock", "update");
    packages.waits_for("dpkg/lock-frontend", "install -y");
    packages.waits_for("cache/archives/lock", "clean");
}
