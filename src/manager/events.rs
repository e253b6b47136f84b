//! What happens to the users' credentials, as one stream.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::credentials::OnChange;
use crate::credentials::status::Status;
use crate::error::Error;

/// So many events are held for a stream that falls behind.
const CAPACITY: usize = 1024;

/// Something that happened to the credential of one user.
#[derive(Clone, Debug)]
pub struct UserEvent {
    key: Arc<str>,
    kind: UserEventKind,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum UserEventKind {
    /// The user must log in again; the error says why.
    LoginRequired(Error),
    /// A login has come, here or in another process, where one was required.
    LoggedIn,
    /// The user has signed out, here or in another process.
    SignedOut,
    /// No new token can be had, and no login would help; the error says why.
    Failing(Error),
    /// That is over.
    Recovered,
    /// The newest tokens could not be saved. The save is repeated, and they stay in memory.
    Unsaved(Error),
    /// They are in the store after all.
    Saved,
    /// The user's record was removed.
    Removed,
}

/// The events of all users from one moment on. Made by
/// [`CredentialsManager::subscribe`](super::CredentialsManager::subscribe).
///
/// A stream that falls more than 1,024 events behind misses the oldest; [`missed`](Self::missed)
/// counts them. A program that must know all then looks at
/// [`iter`](super::CredentialsManager::iter).
pub struct UserEvents {
    receiver: broadcast::Receiver<UserEvent>,
    missed: u64,
}

impl UserEvent {
    /// Whose credential it is.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What happened.
    pub fn kind(&self) -> &UserEventKind {
        &self.kind
    }
}

impl UserEvents {
    /// Waits for the next event. `None` when the last handle of the manager is gone.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped has handed out nothing: the next one does.
    pub async fn next(&mut self) -> Option<UserEvent> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(missed)) => self.missed = self.missed.saturating_add(missed),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// How many events this stream has missed so far, because it fell behind.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

/// Where the events go.
pub(super) struct Hub(broadcast::Sender<UserEvent>);

impl Hub {
    pub(super) fn new() -> Self {
        Hub(broadcast::Sender::new(CAPACITY))
    }

    pub(super) fn subscribe(&self) -> UserEvents {
        UserEvents { receiver: self.0.subscribe(), missed: 0 }
    }

    pub(super) fn send(&self, key: &Arc<str>, kind: UserEventKind) {
        // Nobody has to listen.
        let _ = self.0.send(UserEvent { key: Arc::clone(key), kind });
    }
}

/// Tells the events of one credential: it compares each status with the one before.
#[derive(Clone)]
pub(super) struct Watcher(Arc<Watching>);

struct Watching {
    key: Arc<str>,
    hub: Weak<Hub>,
    /// Held while a status is made and compared, so that events come in the order of the states.
    last: Mutex<Seen>,
}

/// What of a status makes an event when it changes.
#[derive(Clone, Copy, Default)]
struct Seen {
    login_required: bool,
    failing: bool,
    unsaved: bool,
}

impl Watcher {
    pub(super) fn new(key: &Arc<str>, hub: &Arc<Hub>) -> Self {
        let last = Mutex::new(Seen::default());
        Watcher(Arc::new(Watching { key: Arc::clone(key), hub: Arc::downgrade(hub), last }))
    }

    pub(super) fn hook(&self) -> OnChange {
        let watcher = self.clone();
        Arc::new(move |status| watcher.look(status))
    }

    /// How it was when it was built. That TeamUp had refused its token before is news; that nobody
    /// is logged in is none.
    pub(super) fn begin(&self, status: &Status) {
        if status.is_login_required() && !status.is_rejected() {
            self.last().login_required = true;
        }
        self.look(&|| status.clone());
    }

    fn look(&self, status: &dyn Fn() -> Status) {
        let Some(hub) = self.0.hub.upgrade() else { return };
        let mut last = self.last();
        let status = status();
        let failure = status.failure().map(|failure| failure.error().clone());
        let now = Seen {
            login_required: status.is_login_required(),
            failing: failure.is_some() && !status.is_login_required(),
            unsaved: status.dirty().is_some(),
        };
        let send = |kind| hub.send(&self.0.key, kind);
        match (last.login_required, now.login_required, &failure) {
            (false, true, _) if status.is_signed_out() => send(UserEventKind::SignedOut),
            (false, true, Some(error)) => send(UserEventKind::LoginRequired(error.clone())),
            (true, false, _) => send(UserEventKind::LoggedIn),
            _ => {}
        }
        match (last.failing, now.failing, failure) {
            (false, true, Some(error)) => send(UserEventKind::Failing(error)),
            (true, false, _) if !now.login_required => send(UserEventKind::Recovered),
            _ => {}
        }
        match (last.unsaved, status.dirty()) {
            (false, Some(dirty)) => send(UserEventKind::Unsaved(dirty.error().clone())),
            (true, None) => send(UserEventKind::Saved),
            _ => {}
        }
        *last = now;
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for UserEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserEvents").field("missed", &self.missed).finish_non_exhaustive()
    }
}
