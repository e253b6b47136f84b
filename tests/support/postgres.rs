//! A real PostgreSQL on a free loopback port, for the tests that need one.

#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A `postgres` process with a cluster of its own in a temporary folder. It ends with this value.
pub struct PostgresServer {
    process: Option<Child>,
    port: u16,
    folder: tempfile::TempDir,
    /// `name=value`, after the ones that all servers have.
    settings: Vec<String>,
}

impl PostgresServer {
    /// Makes a cluster, starts a server, and waits until it takes connections.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed, or does not start.
    pub fn start() -> Self {
        PostgresServer::start_with(&[])
    }

    /// The same, with further settings: `["fsync=on"]`, say.
    pub fn start_with(settings: &[&str]) -> Self {
        let mut server = PostgresServer::in_folder();
        server.settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        // Without `--no-sync` this waits for the disk for longer than all the tests together.
        server.run("initdb", &["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"]);
        server.launched()
    }

    /// Are PostgreSQL's programs where Debian puts them?
    pub fn is_installed() -> bool {
        newest().is_some()
    }

    /// A standby of this server: it has what the primary has sent it. The server is then a primary
    /// that a `pause_replication` can cut off.
    pub fn standby(&self) -> Self {
        let standby = PostgresServer::in_folder();
        let (port, data) = (self.port.to_string(), standby.data());
        let data = data.to_str().expect("a folder with a plain name");
        let arguments = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-D", data, "-R"];
        let status = standby
            .command("pg_basebackup")
            .args(arguments)
            .args(["--no-sync", "-c", "fast", "-X", "stream"])
            .status()
            .expect("pg_basebackup can be run");
        assert!(status.success(), "pg_basebackup failed");
        standby.launched()
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        self.run("pg_ctl", &["promote", "-w"]);
    }

    /// The URL of the database `postgres`, with all rights.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The id of its first process, the parent of the others.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// Ends the server at once (SIGQUIT), as a crash would: nothing is written any more.
    pub fn crash(&mut self) {
        if let Some(mut process) = self.process.take() {
            kill_process(Pid::from_child(&process), Signal::QUIT).expect("it can be signalled");
            process.wait().expect("it can be waited for");
        }
    }

    /// Starts an ended server again, with what it had, on the same port.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the server still runs");
        self.process = Some(self.launch().expect("PostgreSQL starts again"));
    }

    fn in_folder() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = Vec::new();
        let server = PostgresServer { process: None, port: free_port(), folder, settings };
        if rustix::process::geteuid().is_root() {
            let (user, group) = postgres_user();
            std::os::unix::fs::chown(server.folder.path(), Some(user), Some(group))
                .expect("root can give a folder away");
        }
        server
    }

    fn launched(mut self) -> Self {
        for _ in 0..5 {
            if let Some(process) = self.launch() {
                self.process = Some(process);
                return self;
            }
            self.port = free_port();
        }
        panic!("PostgreSQL does not start on any free port; try it by hand");
    }

    /// Starts the process; `None` if it ended again before it took connections.
    fn launch(&self) -> Option<Child> {
        let settings = [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "max_connections=60".to_owned(),
            // What is killed here is the process, not the machine.
            "fsync=off".to_owned(),
        ];
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        for setting in settings.iter().chain(&self.settings) {
            command.args(["-c", setting]);
        }
        let mut process = command.spawn().expect("postgres can be run");
        for _ in 0..2000 {
            if process.try_wait().expect("postgres can be waited for").is_some() {
                return None;
            }
            let port = self.port.to_string();
            let ready = self
                .command("pg_isready")
                .args(["-q", "-h", "127.0.0.1", "-p", &port])
                .status()
                .expect("pg_isready can be run");
            if ready.success() {
                return Some(process);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("PostgreSQL neither takes connections nor ends");
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let status = self
            .command(program)
            .arg("-D")
            .arg(self.data())
            .args(arguments)
            .status()
            .expect("PostgreSQL's programs can be run");
        assert!(status.success(), "{program} failed");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// One of PostgreSQL's programs; it refuses to be run by root.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(installed().join(program));
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            let (user, group) = postgres_user();
            command.gid(group).uid(user);
        }
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            let _ = kill_process(Pid::from_child(process), Signal::QUIT);
        }
        if let Some(mut process) = self.process.take() {
            let _ = process.wait();
        }
    }
}

/// The folder of the newest version that is installed.
fn installed() -> PathBuf {
    newest().unwrap_or_else(|| {
        panic!("this test needs a real PostgreSQL: `apt-get install postgresql`, for instance")
    })
}

fn newest() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin"));
    programs.filter(|programs| programs.join("initdb").exists()).max()
}

/// The user and the group that Debian's package makes.
fn postgres_user() -> (u32, u32) {
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).expect("a list of users");
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line.expect("the user `postgres`").split(':').skip(2);
    let mut next = || fields.next().and_then(|id| id.parse().ok()).expect("the id of a user");
    (next(), next())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free loopback port");
    listener.local_addr().expect("a bound socket has an address").port()
}
