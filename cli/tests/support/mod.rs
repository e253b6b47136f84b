//! The command as processes, and HTTP as bytes on a socket.

#![allow(dead_code, reason = "no test binary uses all of it")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const COMMAND: &str = env!("CARGO_BIN_EXE_teamup-auth");

/// A read that takes longer has failed. No test waits for it.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// A user's own folders.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Home(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("config/teamup-auth")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state/teamup-auth")
    }

    /// The command as this user, with an environment that holds nothing of the test's own.
    pub(crate) fn command<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(COMMAND);
        command
            .args(args)
            .env_clear()
            .env("HOME", self.path())
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .env("XDG_STATE_HOME", self.path().join("state"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Done {
        Done(self.command(args).output().unwrap())
    }

    pub(crate) fn run_with_input<I: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = I>,
        input: &str,
    ) -> Done {
        spoken_to(self.command(args), input)
    }

    /// Logs in with tokens that the fake server gives.
    pub(crate) fn log_in(&self, fake: &Fake) {
        let args = ["login", "--tokens", "--base-url", &fake.base_url()];
        self.run_with_input(args, &fake.start["tokens"].to_string()).ok();
    }
}

/// Runs the command with `input` as its standard input.
pub(crate) fn spoken_to(mut command: Command, input: &str) -> Done {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Done(child.wait_with_output().unwrap())
}

/// A command that has ended.
pub(crate) struct Done(Output);

impl Done {
    pub(crate) fn of(mut command: Command) -> Self {
        Done(command.output().unwrap())
    }

    pub(crate) fn code(&self) -> i32 {
        self.0.status.code().unwrap_or(-1)
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    /// Asserts that it succeeded, and returns the first line of its output.
    pub(crate) fn ok(&self) -> String {
        assert_eq!(self.code(), 0, "{}{}", self.out(), self.err());
        self.out().lines().next().unwrap_or_default().to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

/// A process that goes on. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    /// What it said on its first line.
    pub(crate) start: Value,
    /// Kept, so that the process can go on writing.
    _out: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let start = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("`{line}` is no JSON: {error}"));
        Running { child, start, _out: out }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as a supervisor does.
    pub(crate) fn terminate(&self) {
        let id = i32::try_from(self.child.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    }

    pub(crate) fn wait(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The fake server.
pub(crate) struct Fake {
    running: Running,
    pub(crate) start: Value,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Fake::with([])
    }

    pub(crate) fn with<const N: usize>(args: [&str; N]) -> Self {
        let home = Home::new();
        let running = Running::start(home.command(["fake"].iter().chain(&args)));
        let start = running.start.clone();
        Fake { running, start }
    }

    pub(crate) fn base_url(&self) -> String {
        self.start["base_url"].as_str().unwrap().to_owned()
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.start[name].as_str().unwrap()
    }

    /// Asks the control API.
    pub(crate) fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let control = address(self.text("control_url"));
        let body = body.to_string();
        let answer = send(
            &control,
            &format!(
                "{method} {path} HTTP/1.1\r\nhost: {control}\r\nconnection: close\r\ncontent-length: \
                 {}\r\n\r\n{body}",
                body.len()
            ),
        );
        assert_eq!(answer.status(), 200, "{path}: {}", answer.0);
        serde_json::from_str(answer.body()).unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) {
        self.control("POST", path, body);
    }

    /// One of the journal's counts.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.control("GET", "/counts", &Value::Null)[name].as_u64().unwrap()
    }

    pub(crate) fn journal(&self) -> Vec<Value> {
        match self.control("GET", "/journal", &Value::Null) {
            Value::Array(entries) => entries,
            other => panic!("{other}"),
        }
    }
}

/// The proxy, for the account of a user who is logged in.
pub(crate) struct Proxy {
    pub(crate) running: Running,
    pub(crate) address: String,
}

impl Proxy {
    pub(crate) fn new(home: &Home) -> Self {
        Proxy::with(home, [])
    }

    pub(crate) fn with<const N: usize>(home: &Home, args: [&str; N]) -> Self {
        let start =
            ["proxy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log", "error"];
        Proxy::of(home.command(start.iter().chain(&args)))
    }

    /// A proxy that listens on TCP, with an environment of its own.
    pub(crate) fn of(command: Command) -> Self {
        let running = Running::start(command);
        let address = address(running.start["url"].as_str().unwrap());
        Proxy { running, address }
    }

    pub(crate) fn admin(&self, path: &str) -> Answer {
        let admin = address(self.running.start["admin_url"].as_str().unwrap());
        send(&admin, &format!("GET {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n"))
    }

    /// A request without a body; `lines` are further lines of its head.
    pub(crate) fn get(&self, target: &str, lines: &[&str]) -> Answer {
        self.send("GET", target, lines, "")
    }

    pub(crate) fn send(&self, method: &str, target: &str, lines: &[&str], body: &str) -> Answer {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let length = match body.len() {
            0 => String::new(),
            length => format!("content-length: {length}\r\n"),
        };
        self.raw(&format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{length}{lines}\r\n{body}",
            self.address
        ))
    }

    /// Any bytes; the answer is all that comes back until the proxy closes.
    pub(crate) fn raw(&self, bytes: &str) -> Answer {
        send(&self.address, bytes)
    }

    /// The same, and no further byte comes: whatever the proxy waits for, it waits no more.
    pub(crate) fn raw_half_closed(&self, bytes: &str) -> Answer {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        read(stream)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(&self.address)
    }
}

/// All bytes that came back.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) String);

impl Answer {
    /// 0 where the connection was closed without an answer.
    pub(crate) fn status(&self) -> u16 {
        self.0.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.body()).unwrap_or_else(|error| panic!("{error}: {}", self.0))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let head = self.0.split("\r\n\r\n").next()?;
        let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The proxy's own word for what was wrong.
    pub(crate) fn problem(&self) -> &str {
        self.header("teamup-auth-error").unwrap_or_default()
    }
}

/// Of `http://ADDRESS`, with or without a path.
pub(crate) fn address(url: &str) -> String {
    url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned()
}

pub(crate) fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(READ_LIMIT)).unwrap();
    stream
}

pub(crate) fn send(address: &str, bytes: &str) -> Answer {
    let mut stream = connect(address);
    // The other side may close before all is sent.
    let _ = stream.write_all(bytes.as_bytes());
    read(stream)
}

pub(crate) fn read(mut stream: impl Read) -> Answer {
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&answer)),
        }
    }
    Answer(String::from_utf8_lossy(&answer).into_owned())
}
