//! What a server's journal says of tokens, entry by entry, while it is written.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, ensure};
use http::StatusCode;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower_teamup_auth::testing::{Entry, FakeTeamUp, RefreshOutcome};

use crate::callers::user_of;
use crate::log::holds_a_token;
use crate::patience::{PATIENCE, within_patience};
use crate::windows::{Window, Windows};

/// Reads a journal until its server stops.
pub(crate) struct Audit {
    seen: watch::Receiver<Seen>,
    reader: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    site: &'static str,
    pub(crate) entries: usize,
    /// Entries whose requests carried a token, whoever's.
    pub(crate) with_a_token: usize,
    /// Rotations whose answer did not reach the client.
    pub(crate) lost_answers: usize,
    /// Tokens that came again within a window that has a name, in the order of [`Window::ALL`].
    pub(crate) allowed: [usize; Window::ALL.len()],
    /// Tokens that came again although the client had been told that they were spent.
    pub(crate) knowing: usize,
    /// Tokens that were refused, although nothing had ended their login.
    pub(crate) rejected: usize,
    /// API requests of one user that carried the token of another.
    pub(crate) mixed: usize,
    /// The refresh tokens that were spent.
    spent: HashMap<String, Knowledge>,
    /// The logins that the server has ended, because a token of theirs came again within a window.
    ended: HashSet<u64>,
}

/// What the client was told of a refresh token that it has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knowledge {
    /// What it was rotated to, or that it is refused.
    Told,
    /// Nothing: it may be spent or not.
    InTheDark,
}

impl Audit {
    pub(crate) fn of(site: &'static str, server: &FakeTeamUp, windows: Windows) -> Self {
        let mut entries = server.subscribe();
        let (book, seen) = watch::channel(Seen { site, ..Seen::default() });
        let reader = tokio::spawn(async move {
            while let Some(entry) = entries.next().await {
                let entry = entry.expect("the audit keeps up with the journal");
                book.send_modify(|seen| seen.take(&entry, &windows));
            }
        });
        Audit { seen, reader }
    }

    /// What it has seen once it has read `entries` of them.
    ///
    /// # Errors
    ///
    /// When the reader does not get that far: it has missed an entry, or has ended.
    pub(crate) async fn seen(&self, entries: usize) -> anyhow::Result<Seen> {
        let mut seen = self.seen.clone();
        let all = seen.wait_for(|seen| seen.entries >= entries);
        match tokio::time::timeout(PATIENCE, all).await {
            Ok(all) => Ok(all.context("the reader of a journal has missed an entry")?.clone()),
            Err(_elapsed) => {
                let read = self.seen.borrow().entries;
                anyhow::bail!("the reader of a journal has read {read} of {entries} entries")
            }
        }
    }

    /// Waits until the server has stopped.
    ///
    /// # Errors
    ///
    /// When the reader has ended before, or does not end.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let ended = within_patience("the reader of a journal had ended", self.reader).await?;
        ensure!(ended.is_ok(), "the reader of a journal has missed an entry");
        Ok(())
    }
}

impl Seen {
    fn take(&mut self, entry: &Entry, windows: &Windows) {
        self.entries += 1;
        let values = entry.headers().values().map(|value| value.as_bytes());
        let body = entry.body().map(|body| body.bytes().as_ref());
        self.with_a_token += usize::from(values.chain(body).any(holds_a_token));
        if is_mixed(entry) {
            self.mixed += 1;
            eprintln!("mixed at {}: {entry}", self.site);
        }
        let (Some(refresh_request), Some(token)) =
            (entry.refresh_outcome(), entry.token_fingerprint())
        else {
            return;
        };
        match refresh_request {
            RefreshOutcome::Rotated(_) => {
                let told = reached_the_client(entry);
                self.lost_answers += usize::from(!told);
                self.spent.insert(token, Knowledge::of(told));
            }
            RefreshOutcome::DoubleSpent => {
                // A fault can take the refusal's place, or cut TeamUp's words off, without which a status
                // says nothing; then the client is still in the dark.
                let told = entry.status() == Some(StatusCode::BAD_REQUEST)
                    && matches!(entry.fault(), None | Some("delay"));
                let before = self.spent.insert(token, Knowledge::of(told));
                let in_the_dark = before == Some(Knowledge::InTheDark);
                let window =
                    windows.close(entry).or_else(|| in_the_dark.then_some(Window::LostAnswer));
                match window {
                    Some(window) => {
                        self.allowed[window as usize] += 1;
                        self.ended.extend(entry.login());
                    }
                    None => {
                        self.knowing += 1;
                        eprintln!("spent twice at {}: {entry}", self.site);
                    }
                }
            }
            RefreshOutcome::Rejected
                if !entry.login().is_some_and(|it| self.ended.contains(&it)) =>
            {
                self.rejected += 1;
                eprintln!("refused at {}: {entry}", self.site);
            }
            _ => {}
        }
    }
}

impl Seen {
    /// Tokens that came again within any window.
    pub(crate) fn all_allowed(&self) -> usize {
        self.allowed.iter().sum()
    }
}

impl Knowledge {
    fn of(told: bool) -> Self {
        if told { Knowledge::Told } else { Knowledge::InTheDark }
    }
}

/// Did it carry a token of another user than the one who sent it, or was it sent again as another login?
fn is_mixed(entry: &Entry) -> bool {
    let sender = entry.caller().and_then(user_of);
    let other = matches!((sender, entry.account()), (Some(user), Some(account)) if user != account);
    other || entry.is_mixed_login()
}

/// Did the answer to a rotation go out with the rotated token in it? The faults that spoil
/// something else in it leave that one readable.
fn reached_the_client(entry: &Entry) -> bool {
    entry.status() == Some(StatusCode::OK)
        && !matches!(entry.fault(), Some("cut off" | "garbage" | "status"))
}
