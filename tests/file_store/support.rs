//! A folder to work in, tokens to keep, and child processes that say how far they are.

use std::error::Error;
use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;
use tower_teamup_auth::TokenSet;
use tower_teamup_auth::store::{FileStore, StoreError, TokenStore as _};

/// What a child is told by its parent: its part in the test, and where the store is.
const ROLE: &str = "FILE_STORE_TEST_ROLE";
const PATH: &str = "FILE_STORE_TEST_PATH";

/// What begins a line that a child says; the test harness writes to the same pipe.
const SAYS: &str = "@@";

/// No wait for a process is longer than this, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    /// In memory where that can be: for tests that sync a thousand times.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        Folder(
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
                .unwrap(),
        )
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    pub(crate) fn tokens(&self) -> PathBuf {
        self.path().join("tokens.json")
    }

    pub(crate) fn store(&self) -> FileStore {
        FileStore::new(self.tokens())
    }

    /// A store that holds `tokens(1, "old")`.
    pub(crate) async fn filled(&self) -> FileStore {
        let store = self.store();
        let lease = store.lock().await.unwrap();
        store.save(&lease, None, &tokens(1, "old")).await.unwrap();
        store
    }

    /// Writes a file that only this user can open.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The names in it, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names_in(&self.path())
    }
}

pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

pub(crate) fn tokens(revision: u64, refresh_token: &str) -> TokenSet {
    let text = format!(
        r#"{{"version":1,"revision":{revision},"refresh_token":"{refresh_token}",
            "provider":{{"access_token":"access-{refresh_token}","expires_at":null}}}}"#
    );
    TokenSet::from_json(text.as_bytes()).unwrap()
}

/// Does anybody, in whichever process, hold the right to refresh?
pub(crate) fn is_locked(store: &FileStore) -> bool {
    let mut sidecar = store.path().as_os_str().to_owned();
    sidecar.push(".lock");
    let sidecar = File::open(sidecar).unwrap();
    flock(&sidecar, FlockOperation::NonBlockingLockExclusive).is_err()
}

/// The error and what caused it, as a program would log them.
pub(crate) fn whole_text(error: &StoreError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Another process, which runs the same test in another part; it is killed when this is dropped.
pub(crate) struct OtherProcess {
    child: Child,
    stdin: ChildStdin,
    said: mpsc::Receiver<String>,
}

/// The part that this process plays, and the store's path: `None` in the process that the test
/// runner started.
pub(crate) fn part() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(PATH)?.into()))
}

/// Says `text` to the parent process.
pub(crate) fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{SAYS}{text}").unwrap();
    stdout.flush().unwrap();
}

/// Waits until the parent process says that this one may go on.
pub(crate) fn wait_for_parent() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

impl OtherProcess {
    /// Starts the test `name` (with its modules) in the part `role`.
    pub(crate) fn start(name: &str, role: &str, store: &Path) -> Self {
        Self::start_by(Command::new(std::env::current_exe().unwrap()), name, role, store)
    }

    /// The same, by a command that runs what is appended to it, or is the test binary itself.
    pub(crate) fn start_by(mut command: Command, name: &str, role: &str, store: &Path) -> Self {
        let mut child = command
            .args(["--exact", name, "--nocapture"])
            .env(ROLE, role)
            .env(PATH, store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((_, text)) = line.split_once(SAYS) {
                    let _ = say.send(text.to_owned());
                }
            }
        });
        OtherProcess { child, stdin, said }
    }

    /// Waits for the next thing that it says.
    pub(crate) fn hear(&self) -> String {
        self.said.recv_timeout(PATIENCE).expect("the other process says something")
    }

    /// What it has said by now, if anything; an error once it has closed its output.
    pub(crate) fn hear_now(&self) -> Result<String, mpsc::TryRecvError> {
        self.said.try_recv()
    }

    pub(crate) fn go_on(&mut self) {
        writeln!(self.stdin).unwrap();
    }

    /// Ends it with SIGKILL, and returns when it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end, and for its part of the test to have passed.
    pub(crate) fn passes(mut self) {
        // Its output is closed when it ends.
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the other process does not end"),
            }
        }
        assert!(self.child.wait().unwrap().success(), "the other process failed");
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The test binary, run as a user without rights where this process has them all.
pub(crate) fn unprivileged(folder: &Folder) -> (Command, u32) {
    use std::os::unix::process::CommandExt as _;
    let user = rustix::process::geteuid().as_raw();
    if user != 0 {
        return (Command::new(std::env::current_exe().unwrap()), user);
    }
    const NOBODY: u32 = 65534;
    // Where the binary was built is perhaps no place for everybody.
    let copy = folder.path().join("test-binary");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    for path in [&folder.path(), &copy] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(copy);
    command.uid(NOBODY).gid(NOBODY);
    (command, NOBODY)
}
