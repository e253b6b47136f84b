//! Child processes that say how far they are.
//!
//! Each test is its own child: it is started again, by its name, in another part.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// What a child is told by its parent: its part in the test, and where the store is.
const ROLE: &str = "TEAMUP_TEST_ROLE";
const STORE: &str = "TEAMUP_TEST_STORE";

/// What begins a line that a child says; the test harness writes to the same pipe.
const SAYS: &str = "@@";

/// No wait for a process is longer than this, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Another process, which runs the same test in another part; it is killed when this is dropped.
pub(crate) struct OtherProcess {
    child: Child,
    stdin: ChildStdin,
    said: mpsc::Receiver<String>,
}

/// The part that this process plays, and the store's path or URL: `None` in the process that the
/// test runner started.
pub(crate) fn part<S: From<OsString>>() -> Option<(String, S)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(STORE)?.into()))
}

/// Says `text` to the parent process.
pub(crate) fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{SAYS}{text}").unwrap();
    stdout.flush().unwrap();
}

/// Waits until the parent process says that this one may go on.
pub(crate) fn wait_for_parent() {
    let _ = told();
}

/// The next thing that the parent process tells; `None` once it has gone.
pub(crate) fn told() -> Option<String> {
    let mut line = String::new();
    let length = std::io::stdin().read_line(&mut line).unwrap();
    (length > 0).then(|| line.trim_end().to_owned())
}

impl OtherProcess {
    /// Starts the test `name` (with its modules) in the part `role`.
    pub(crate) fn start(name: &str, role: &str, store: &(impl AsRef<OsStr> + ?Sized)) -> Self {
        Self::start_by(Command::new(std::env::current_exe().unwrap()), name, role, store)
    }

    /// The same, by a command that runs what is appended to it, or is the test binary itself.
    pub(crate) fn start_by(
        mut command: Command,
        name: &str,
        role: &str,
        store: &(impl AsRef<OsStr> + ?Sized),
    ) -> Self {
        let mut child = command
            .args(["--exact", name, "--nocapture"])
            .env(ROLE, role)
            .env(STORE, store)
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
        self.tell("");
    }

    /// Tells it something.
    pub(crate) fn tell(&mut self, text: &str) {
        writeln!(self.stdin, "{text}").unwrap();
    }

    /// Stops it in its tracks (SIGSTOP), and returns when it stands still.
    pub(crate) fn pause(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP).unwrap();
        let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "the other process ended instead of stopping");
    }

    /// Lets it go on where it was stopped (SIGCONT).
    pub(crate) fn resume(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
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
pub(crate) fn unprivileged(folder: &Path) -> (Command, u32) {
    use std::os::unix::process::CommandExt as _;
    let user = rustix::process::geteuid().as_raw();
    if user != 0 {
        return (Command::new(std::env::current_exe().unwrap()), user);
    }
    const NOBODY: u32 = 65534;
    // Where the binary was built is perhaps no place for everybody.
    let copy = folder.join("test-binary");
    // By another process: a copy that this one has open to write could be inherited by a child that
    // another test starts at this moment, and what is open to be written can't be run.
    let test = std::env::current_exe().unwrap();
    assert!(Command::new("cp").args([&test, &copy]).status().unwrap().success());
    for path in [folder, &copy] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(copy);
    command.uid(NOBODY).gid(NOBODY);
    (command, NOBODY)
}
