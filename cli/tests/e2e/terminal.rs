//! A person at a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::support::{COMMAND, Fake, Home};

#[test]
fn p5_a_token_that_is_typed_does_not_show() {
    let (fake, home) = (Fake::new(), Home::new());
    let token = fake.text("m2m_token");
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
    let inside = File::options().read(true).write(true).open(path).unwrap();
    let user = home.command([] as [&str; 0]);
    // The process gets the terminal as its own, as from a shell.
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", COMMAND, "login", "--m2m", "--base-url", &fake.base_url()]);
    command.env_clear().envs(user.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(inside).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    drop(command);

    let mut screen = File::from(terminal);
    let mut shown = Vec::new();
    let mut part = [0; 256];
    while !shown.ends_with(b"M2M token: ") {
        let length = screen.read(&mut part).unwrap();
        shown.extend_from_slice(&part[..length]);
    }
    // Only then does a person type.
    let echoes = || tcgetattr(&screen).unwrap().local_modes.contains(LocalModes::ECHO);
    let is_hidden = (0..10_000_000).any(|_| {
        std::thread::yield_now();
        !echoes()
    });
    assert!(is_hidden, "what is typed shows");
    screen.write_all(format!("{token}\r").as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    // With the last process the terminal is closed, which is an error of the read.
    while let Ok(length @ 1..) = screen.read(&mut part) {
        shown.extend_from_slice(&part[..length]);
    }
    let shown = String::from_utf8_lossy(&shown);
    assert!(!shown.contains(token) && !said.contains(token), "{shown}{said}");
    assert_eq!(home.run(["token"]).ok(), token);
}
