//! What all handles of one manager share: builds, removals, and the shutdown of all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::events::{Hub, UserEventKind, Watcher};
use super::family::DynFamily;
use super::unfinished::Unfinished;
use super::users::{Built, LookUp, Users};
use crate::credentials::{Common, Credentials, CredentialsBuilder, StoreClient};
use crate::error::Error;
use crate::store::{DynLease, StoreError};
use crate::token::Deadline;

pub(super) struct Inner {
    pub(super) template: CredentialsBuilder,
    pub(super) common: Common,
    pub(super) family: Arc<dyn DynFamily>,
    pub(super) hub: Arc<Hub>,
    pub(super) users: Mutex<Users>,
    /// Why the last build failed, if it did for its store.
    pub(super) store_failure: Mutex<Option<Error>>,
}

impl Inner {
    /// The credential of `key`: the one that lives, or one that is built once for all who ask. It stays
    /// in memory with `keep`, because it is used now.
    pub(super) async fn open(self: &Arc<Self>, key: &str, keep: bool) -> Built {
        let key: Arc<str> = key.into();
        loop {
            let (found, evicted) = self.users().look_up(&key, keep);
            drop(evicted);
            let mut waiting = match found {
                LookUp::Found(credentials) => return Ok(credentials),
                LookUp::Closed => return Err(Error::shutdown()),
                LookUp::Wait(waiting) => waiting,
                LookUp::WaitForRemoval(mut removal) => {
                    let _ = removal.changed().await;
                    continue;
                }
                LookUp::Build(sender) => {
                    let waiting = sender.subscribe();
                    self.spawn_build(&key, sender)?;
                    waiting
                }
            };
            if let Ok(built) = waiting.wait_for(Option::is_some).await {
                if let Some(built) = &*built {
                    return built.clone();
                }
            }
        }
    }

    /// In a task of its own: a caller that is dropped keeps nobody else waiting.
    fn spawn_build(
        self: &Arc<Self>,
        key: &Arc<str>,
        sender: watch::Sender<Option<Built>>,
    ) -> Result<(), Error> {
        let mut build =
            Build { inner: Arc::clone(self), key: Arc::clone(key), sender: Some(sender) };
        let runtime = match &self.common.runtime {
            Some(runtime) => runtime.clone(),
            None => match Handle::try_current() {
                Ok(runtime) => runtime,
                Err(_) => {
                    build.end(Err(Error::no_runtime()));
                    return Err(Error::no_runtime());
                }
            },
        };
        runtime.spawn(async move {
            let built = build.run().await;
            build.end(built);
        });
        Ok(())
    }

    /// Removes the record of `key`, and ends the credential that lives of it.
    pub(super) async fn remove(self: &Arc<Self>, key: &str) -> Result<(), Error> {
        let key: Arc<str> = key.into();
        let (live, done) = loop {
            let begun = self.users().begin_removal(&key);
            match begun {
                Ok(begun) => break begun,
                Err(LookUp::Wait(mut build)) => drop(build.wait_for(Option::is_some).await),
                Err(LookUp::WaitForRemoval(mut removal)) => drop(removal.changed().await),
                Err(_) => return Err(Error::shutdown()),
            }
        };
        let mut removal = Removal { inner: Arc::clone(self), key, live, done: Some(done) };
        if let Some(live) = &removal.live {
            // Requests stop at once, and nothing is saved behind the removal.
            if !live.status().is_shut_down() {
                live.sign_out().await?;
            }
            live.shutdown().await?;
            // It saves nothing any more, so the next one may be built beside it.
            removal.live = None;
        }
        let store = self.template.store_client(self.family.open(&removal.key)?);
        self.erase(&store).await.map_err(Error::store)?;
        let key = Arc::clone(&removal.key);
        drop(removal);
        self.hub.send(&key, UserEventKind::Removed);
        Ok(())
    }

    async fn erase(&self, store: &StoreClient) -> Result<(), StoreError> {
        let lease = self.lease(store).await?;
        let erased = store.delete(lease.clone()).await;
        // One that can't be given back runs out by itself.
        let _ = store.release(lease).await;
        erased
    }

    async fn lease(&self, store: &StoreClient) -> Result<DynLease, StoreError> {
        let wait = self.common.lease_wait;
        let deadline = Deadline::after(wait);
        loop {
            if let Some(lease) = store.try_acquire().await?.lease {
                return Ok(lease);
            }
            if deadline.remaining().is_zero() {
                return Err(StoreError::timed_out("grant a lease", wait));
            }
            store.changed().await;
        }
    }

    /// Shuts every credential down that lives, side by side.
    pub(super) async fn shutdown(&self, limit: Duration) -> Result<(), Unfinished> {
        let all = {
            let mut users = self.users();
            users.close();
            users.all()
        };
        let deadline = Deadline::after(limit);
        let mut tasks = JoinSet::new();
        for (key, credentials) in all {
            tasks.spawn(async move {
                let ended =
                    tokio::time::timeout(deadline.remaining(), credentials.shutdown()).await;
                ended
                    .unwrap_or_else(|_elapsed| Err(Error::timed_out()))
                    .err()
                    .map(|error| (key, error))
            });
        }
        let unfinished: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        if unfinished.is_empty() { Ok(()) } else { Err(Unfinished::new(unfinished)) }
    }

    pub(super) fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn store_failure(&self) -> MutexGuard<'_, Option<Error>> {
        self.store_failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A build that is under way. Whatever ends it, those who wait are told.
struct Build {
    inner: Arc<Inner>,
    key: Arc<str>,
    sender: Option<watch::Sender<Option<Built>>>,
}

impl Build {
    async fn run(&self) -> Built {
        let Inner { template, family, hub, .. } = &*self.inner;
        let watcher = Watcher::new(&self.key, hub);
        let store = family.open(&self.key)?;
        let built = template.clone().for_user(store, watcher.hook()).build().await;
        match &built {
            Ok(credentials) => {
                *self.inner.store_failure() = None;
                watcher.begin(&credentials.status());
            }
            Err(error) if error.is_store() => {
                *self.inner.store_failure() = Some(error.clone());
            }
            Err(_) => {}
        }
        let credentials = built?;
        if self.inner.users().is_closed() {
            credentials.shutdown().await?;
            return Err(Error::shutdown());
        }
        Ok(credentials)
    }

    fn end(&mut self, built: Built) {
        let Some(sender) = self.sender.take() else { return };
        let evicted = self.inner.users().built(&self.key, &built);
        drop(evicted);
        sender.send_replace(Some(built));
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // A family that panicked, or a runtime that is gone.
        self.end(Err(Error::interrupted()));
    }
}

/// A removal that is under way. When it is dropped before its end, the credential counts as before.
struct Removal {
    inner: Arc<Inner>,
    key: Arc<str>,
    live: Option<Credentials>,
    done: Option<watch::Sender<()>>,
}

impl Drop for Removal {
    fn drop(&mut self) {
        let live = self.live.take();
        let evicted = self.inner.users().removed(&self.key, live.as_ref());
        drop(evicted);
        drop(self.done.take());
    }
}
