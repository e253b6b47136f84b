//! The store as the worker uses it: every call has a time limit, a panic of a user's own store is
//! an error like any other, and one call is under way at a time.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::sync::{self, timeout};
use crate::store::{Attempt, DynLease, DynTokenStore, Expected, StoreError, StoredRecord};

/// Calls run in tasks of their own and are not dropped at their limit: a disk that hangs holds one
/// blocking thread, and the next call waits for that one instead of holding another.
#[derive(Clone)]
pub(crate) struct StoreClient {
    /// `None`: the tokens live in the memory of this credential alone.
    store: Option<Arc<dyn DynTokenStore>>,
    /// How long one call may take.
    limit: Duration,
    /// The API base that records have to belong to.
    base_url: Arc<str>,
    /// `None` without a store.
    turn: Option<Arc<Semaphore>>,
}

impl StoreClient {
    pub(crate) fn new(
        store: Option<Arc<dyn DynTokenStore>>,
        limit: Duration,
        base_url: Arc<str>,
    ) -> Self {
        let turn = store.is_some().then(|| Arc::new(Semaphore::new(1)));
        StoreClient { store, limit, base_url, turn }
    }

    pub(crate) fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// Can the store be used at all? Asked once, when the credential is built.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        self.call("be checked", |store| async move { store.check().await }).await
    }

    /// What the store holds; `None` without a store.
    pub(crate) async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        let loaded = self.call("load", |store| async move { store.load().await }).await?;
        self.of_this_base(loaded)
    }

    /// Asks for the lease. One that is granted after the limit is given back at once.
    pub(crate) async fn try_acquire(&self) -> Result<Attempt<DynLease>, StoreError> {
        let mut attempt = self
            .call_and_undo(
                "grant a lease",
                |store| async move { store.try_acquire().await },
                |store, attempt| async move {
                    if let Some(lease) = attempt.lease {
                        // It runs out by itself if this fails.
                        let _ = store.release(lease).await;
                    }
                },
            )
            .await?;
        attempt.record = attempt.record.map(|record| self.of_this_base(record?));
        Ok(attempt)
    }

    pub(crate) async fn renew(&self, lease: DynLease) -> Result<DynLease, StoreError> {
        // Beside a save, which has the turn: a renewal does not wait for it.
        let Some(store) = self.store.clone() else { return Ok(lease) };
        let renewing = spawn(async move { store.renew(&lease).await });
        self.within("renew the lease", renewing).await
    }

    pub(crate) async fn release(&self, lease: DynLease) -> Result<(), StoreError> {
        self.call("release the lease", |store| async move { store.release(lease).await }).await
    }

    /// How much longer the lease is valid; `None` where it is valid until it is released.
    pub(crate) fn time_left(&self, lease: &DynLease) -> Option<Duration> {
        let store = self.store.as_ref()?;
        // A store that panics here can't be relied on: its lease counts as lost.
        catch_unwind(AssertUnwindSafe(|| store.time_left(lease))).unwrap_or(Some(Duration::ZERO))
    }

    pub(crate) async fn save(
        &self,
        lease: DynLease,
        expected: Expected,
        record: StoredRecord,
    ) -> Result<(), StoreError> {
        let save = move |store: Arc<dyn DynTokenStore>| async move {
            store.save(&lease, expected, &record).await
        };
        self.call("save", save).await
    }

    pub(crate) async fn delete(&self, lease: DynLease) -> Result<(), StoreError> {
        self.call("delete", |store| async move { store.delete(&lease).await }).await
    }

    /// Resolves when something may have changed. Without a store, never.
    pub(crate) async fn changed(&self) {
        match self.store.clone() {
            // A panic counts as a change; the next call tells what is wrong.
            Some(store) => {
                let _ = sync::spawn(async move { store.changed().await }).await;
            }
            None => std::future::pending().await,
        }
    }

    /// A record that another API base wrote is none of this credential's.
    fn of_this_base(
        &self,
        record: Option<StoredRecord>,
    ) -> Result<Option<StoredRecord>, StoreError> {
        match record.as_ref().and_then(StoredRecord::base_url) {
            Some(other) if other != &*self.base_url => Err(StoreError::locked(format!(
                "the stored record belongs to the API at `{other}`, and these credentials to `{}`; \
                 give each API a store of its own",
                self.base_url
            ))),
            _ => Ok(record),
        }
    }

    async fn call<T, F>(
        &self,
        name: &'static str,
        call: impl FnOnce(Arc<dyn DynTokenStore>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Default + Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        if self.store.is_none() {
            return Ok(T::default());
        }
        self.call_and_undo(name, call, |_, _| async {}).await
    }

    /// Runs `call` in its turn. `undo` is run with what it brought after its limit was over.
    async fn call_and_undo<T, F, U>(
        &self,
        name: &'static str,
        call: impl FnOnce(Arc<dyn DynTokenStore>) -> F + Send + 'static,
        undo: impl FnOnce(Arc<dyn DynTokenStore>, T) -> U + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send,
        U: Future<Output = ()> + Send,
    {
        let (Some(store), Some(turn)) = (self.store.clone(), self.turn.clone()) else {
            return Err(StoreError::unavailable("there is no store", "none was given"));
        };
        let Ok(Ok(turn)) = timeout(self.limit, turn.acquire_owned()).await else {
            return Err(StoreError::timed_out(name, self.limit));
        };
        let calling = spawn_and_undo(
            async move {
                let _turn = turn;
                (call(Arc::clone(&store)).await, store)
            },
            |store, brought| async move { undo(store, brought).await },
        );
        self.within(name, calling).await
    }

    async fn within<T>(
        &self,
        name: &'static str,
        calling: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match timeout(self.limit, calling).await {
            Ok(Ok(result)) => result,
            // The task is gone without a word.
            Ok(Err(_)) => Err(StoreError::panicked(name)),
            Err(_elapsed) => Err(StoreError::timed_out(name, self.limit)),
        }
    }
}

fn spawn<T, F>(call: F) -> oneshot::Receiver<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    sync::spawn(async move {
        let _ = sender.send(call.await);
    });
    receiver
}

fn spawn_and_undo<T, F, S, U>(
    call: F,
    undo: impl FnOnce(S, T) -> U + Send + 'static,
) -> oneshot::Receiver<Result<T, StoreError>>
where
    T: Send + 'static,
    S: Send + 'static,
    F: Future<Output = (Result<T, StoreError>, S)> + Send + 'static,
    U: Future<Output = ()> + Send,
{
    let (sender, receiver) = oneshot::channel();
    sync::spawn(async move {
        let (result, store) = call.await;
        if let Err(Ok(brought)) = sender.send(result) {
            undo(store, brought).await;
        }
    });
    receiver
}

impl fmt::Debug for StoreClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreClient")
            .field("store", &self.store.is_some())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
