//! A user's session with a real keyring: GNOME Keyring, on a message bus of the test's own.

#![allow(dead_code, reason = "no test binary uses all of it")]

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A user's session: a message bus, a keyring, and a folder for everything.
pub(crate) struct Session {
    keyring: Option<Process>,
    _bus: Process,
    pub(crate) folder: TempDir,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Neither can fail for a child that was not waited for yet.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Session {
    /// A session with a keyring that is open.
    pub(crate) fn new() -> Self {
        let mut session = Session::without_keyring();
        session.start_keyring(true);
        session
    }

    pub(crate) fn without_keyring() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bus.conf");
        // It starts no service by itself: a keyring is there when the test says so.
        let listen = format!("<listen>unix:path={}/bus</listen>", folder.path().display());
        fs::write(
            &config,
            format!(
                "<busconfig><type>session</type>{listen}<policy context=\"default\">\
                 <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/>\
                 <allow own=\"*\"/></policy></busconfig>"
            ),
        )
        .unwrap();
        let mut bus = Command::new("dbus-daemon");
        bus.arg("--config-file").arg(config).args(["--nofork", "--nopidfile"]);
        let bus = start(bus.stdin(Stdio::null()));
        let session = Session { keyring: None, _bus: bus, folder };
        until("the message bus answers", || session.asks_bus("GetId", &[]).is_some());
        session
    }

    pub(crate) fn start_keyring(&mut self, is_open: bool) {
        let mut keyring = self.command(Command::new("gnome-keyring-daemon"));
        keyring.args(["--foreground", "--components=secrets", "--control-directory"]);
        keyring.arg(self.folder.path().join("control")).stdin(Stdio::piped());
        if is_open {
            keyring.arg("--unlock");
        }
        let mut keyring = start(&mut keyring);
        if let Some(mut stdin) = keyring.0.stdin.take().filter(|_| is_open) {
            stdin.write_all(b"a password").unwrap();
        }
        self.keyring = Some(keyring);
        until("the keyring is on the bus", || {
            self.asks_bus("NameHasOwner", &["string:org.freedesktop.secrets"])
                .is_some_and(|answer| answer.contains("true"))
        });
    }

    pub(crate) fn stop_keyring(&mut self) {
        self.keyring = None;
    }

    /// Stops it, so that it is there and never answers.
    pub(crate) fn pause_keyring(&self) {
        let keyring = self.keyring.as_ref().expect("a keyring was started");
        let pid = rustix::process::Pid::from_child(&keyring.0);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    }

    fn asks_bus(&self, method: &str, arguments: &[&str]) -> Option<String> {
        let output = self
            .command(Command::new("dbus-send"))
            .args(["--session", "--print-reply=literal", "--dest=org.freedesktop.DBus", "/"])
            .arg(format!("org.freedesktop.DBus.{method}"))
            .args(arguments)
            .output()
            .expect("`dbus-send` can be run: `apt-get install dbus` brings it");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The command as a program of this session.
    pub(crate) fn command(&self, mut command: Command) -> Command {
        let folder = self.folder.path();
        command
            .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}/bus", folder.display()))
            .env("HOME", folder)
            .env("XDG_RUNTIME_DIR", folder)
            .env("XDG_DATA_HOME", folder.join("data"));
        command
    }
}

fn start(command: &mut Command) -> Process {
    let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Process(started.unwrap_or_else(|error| {
        panic!(
            "this test needs a real keyring, and {command:?} can't be run ({error}): install it, \
             with `apt-get install dbus gnome-keyring` for instance"
        )
    }))
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..4000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("waited 20 s without effect until {what}");
}
