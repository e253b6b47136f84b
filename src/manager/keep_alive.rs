//! Logins that nobody uses are refreshed now and then, so that their refresh tokens do not expire.
//!
//! What is known of an idle login is in its store: a pass reads each record, and refreshes those whose
//! access tokens expired long ago. So a restart forgets nothing, processes that share the stores share
//! the work, and no user costs memory.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;

use super::family::KeyList;
use super::inner::Inner;
use crate::headers::RequestMode;
use crate::observe::{Event, emit};
use crate::store::{RecordContent, StoredRecord};
use crate::token::Moment;

#[derive(Clone)]
pub(super) struct KeepAlive {
    pub(super) keys: KeyList,
    /// A login is refreshed at least this often.
    pub(super) every: Duration,
    /// Refreshes in a minute, at most.
    pub(super) per_minute: u32,
}

/// Runs until the manager is shut down, or its last handle is gone.
pub(super) async fn run(manager: Weak<Inner>, settings: KeepAlive) {
    // When logins were refreshed here whose records do not tell.
    let mut refreshed = HashMap::new();
    loop {
        if pause(&manager, jittered(settings.every / 16)).await.is_none() {
            return;
        }
        let keys = match (settings.keys)().await {
            Ok(keys) => keys,
            Err(error) => {
                emit(&Event::KeysNotListed { error: &*error });
                continue;
            }
        };
        if pass(&manager, &settings, keys, &mut refreshed).await.is_none() {
            return;
        }
    }
}

/// Looks at each login once. `None`: the manager is gone.
async fn pass(
    manager: &Weak<Inner>,
    settings: &KeepAlive,
    mut keys: Vec<String>,
    refreshed: &mut HashMap<String, Moment>,
) -> Option<()> {
    let between = Duration::from_secs(60) / settings.per_minute;
    fastrand::shuffle(&mut keys);
    for key in keys {
        let inner = manager.upgrade()?;
        if inner.users().is_closed() {
            return None;
        }
        let now = inner.common.clock.now();
        // Drawn anew each time: logins that began together drift apart.
        let age = settings.every.mul_f64(0.5 + fastrand::f64() / 4.0);
        if !is_due(&inner, &key, now, age, refreshed.get(&key).copied()).await {
            continue;
        }
        // Not for a user: it pushes nobody out of memory.
        if let Ok(credentials) = inner.open(&key, false).await {
            if !credentials.status().is_login_required() {
                // Why it fails is an event of the user's; the next pass tries again.
                let outcome = credentials.refresh(inner.common.mode).await;
                let tells = credentials.status().ready_until().is_some();
                if outcome.is_ok() && !tells {
                    refreshed.insert(key, now);
                } else {
                    refreshed.remove(&key);
                }
            }
        }
        drop(inner);
        pause(manager, jittered(between)).await?;
    }
    Some(())
}

/// Was the login of `key` last refreshed longer ago than `age`?
async fn is_due(
    inner: &Inner,
    key: &str,
    now: Moment,
    age: Duration,
    refreshed: Option<Moment>,
) -> bool {
    if refreshed.is_some_and(|at| !now.has_reached(at.plus(age))) {
        return false;
    }
    let Ok(store) = inner.family.open(key) else { return false };
    match inner.template.store_client(store).load().await {
        Ok(Some(record)) => is_record_due(&record, now, age),
        // What can't be read now is looked at again in the next pass.
        Ok(None) | Err(_) => false,
    }
}

/// An access token says when it expires, which is later than when it was issued.
fn is_record_due(record: &StoredRecord, now: Moment, age: Duration) -> bool {
    let RecordContent::Tokens(tokens) = record.content() else { return false };
    let ends = RequestMode::ALL.into_iter().filter_map(|mode| tokens.expires_at(mode));
    ends.max().is_none_or(|end| now.wall_time().duration_since(end).is_ok_and(|since| since >= age))
}

/// `None`: the manager is gone, or shut down meanwhile.
async fn pause(manager: &Weak<Inner>, length: Duration) -> Option<()> {
    const LOOK: Duration = Duration::from_secs(60);
    let mut left = length;
    while !left.is_zero() {
        let part = left.min(LOOK);
        sleep(part).await;
        left -= part;
        let inner = manager.upgrade()?;
        if inner.users().is_closed() {
            return None;
        }
    }
    manager.upgrade().map(|_| ())
}

/// From half to one and a half times as long.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64())
}

/// The task that keeps logins alive, for one manager.
pub(super) fn start(inner: &Arc<Inner>, settings: KeepAlive, runtime: &tokio::runtime::Handle) {
    runtime.spawn(run(Arc::downgrade(inner), settings));
}
