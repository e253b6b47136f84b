//! What a server's journal says of refresh tokens, entry by entry, while it is written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use tokio::task::JoinHandle;
use tower_teamup_auth::testing::{Entry, FakeTeamUp, RefreshOutcome};

use crate::log::holds_a_token;

/// Reads a journal until its server stops.
pub(crate) struct Audit {
    seen: Arc<Mutex<Seen>>,
    reader: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) entries: usize,
    /// Entries whose requests carried a token, whoever's.
    pub(crate) with_a_token: usize,
    /// Rotations whose answer did not reach the client.
    pub(crate) lost_answers: usize,
    /// Tokens that came again after such a rotation, before the client was told: it could not know.
    pub(crate) unknowing: usize,
    /// Tokens that came again although the client had been told that they were spent.
    pub(crate) knowing: usize,
    /// The refresh tokens that were spent.
    spent: HashMap<String, Knowledge>,
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
    pub(crate) fn of(server: &FakeTeamUp) -> Self {
        let mut entries = server.subscribe();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let book = Arc::clone(&seen);
        let reader = tokio::spawn(async move {
            while let Some(entry) = entries.next().await {
                locked(&book).take(&entry.expect("the audit keeps up with the journal"));
            }
        });
        Audit { seen, reader }
    }

    pub(crate) fn seen(&self) -> Seen {
        locked(&self.seen).clone()
    }

    /// All of it; the server has stopped, or this waits for it.
    pub(crate) async fn all(self) -> Seen {
        self.reader.await.expect("the audit does not panic");
        locked(&self.seen).clone()
    }
}

impl Seen {
    fn take(&mut self, entry: &Entry) {
        self.entries += 1;
        let values = entry.headers().values().map(|value| value.as_bytes());
        let body = entry.body().map(|body| body.bytes().as_ref());
        self.with_a_token += usize::from(values.chain(body).any(holds_a_token));
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
                let told =
                    entry.status() == Some(StatusCode::BAD_REQUEST) && entry.fault().is_none();
                if self.spent.insert(token, Knowledge::of(told)) == Some(Knowledge::InTheDark) {
                    self.unknowing += 1;
                } else {
                    self.knowing += 1;
                    eprintln!("spent twice: {entry}");
                }
            }
            _ => {}
        }
    }
}

impl Knowledge {
    fn of(told: bool) -> Self {
        if told { Knowledge::Told } else { Knowledge::InTheDark }
    }
}

/// Did the answer to a rotation go out with the rotated token in it? The faults that spoil
/// something else in it leave that one readable.
fn reached_the_client(entry: &Entry) -> bool {
    entry.status() == Some(StatusCode::OK)
        && !matches!(entry.fault(), Some("cut off" | "garbage" | "status"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
