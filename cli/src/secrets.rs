//! Asks for secrets: without echo on a terminal, otherwise line by line from standard input.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use anyhow::{Context, bail};
use zeroize::Zeroizing;

/// No secret and no set of tokens is longer.
const LIMIT: u64 = 256 * 1024;

/// A secret: nothing that is typed shows.
pub(crate) fn ask(what: &str) -> anyhow::Result<Zeroizing<String>> {
    if io::stdin().is_terminal() {
        let secret = rpassword::prompt_password(format!("{what}: "));
        return checked(Zeroizing::new(secret.context("the terminal can't be read")?), what);
    }
    read_line(what)
}

/// Something that may show, such as a phone number.
pub(crate) fn ask_openly(what: &str) -> anyhow::Result<Zeroizing<String>> {
    if io::stdin().is_terminal() {
        let _ = write!(io::stderr(), "{what}: ");
    }
    read_line(what)
}

/// All of standard input.
pub(crate) fn read_all() -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    io::stdin()
        .lock()
        .take(LIMIT)
        .read_to_string(&mut text)
        .context("standard input can't be read")?;
    Ok(text)
}

fn read_line(what: &str) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    // The lock is that of one buffer: what lies behind the line is there for the next question.
    let mut stdin = io::stdin().lock();
    stdin.by_ref().take(LIMIT).read_line(&mut text).context("standard input can't be read")?;
    checked(text, what)
}

fn checked(text: Zeroizing<String>, what: &str) -> anyhow::Result<Zeroizing<String>> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        bail!("{what}: nothing was given");
    }
    Ok(Zeroizing::new(text.to_owned()))
}
