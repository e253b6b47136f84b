//! The contract of a [`TokenStore`], as a test that any store can be put to.
//!
//! The stores of this crate pass it, and a store of your own should. [`check_store`] is given a way
//! to open the store; it calls that more than once, as several processes that share one place would
//! do, and panics with a sentence that says what is broken.
//!
//! ```
//! use std::future::ready;
//! use tower_teamup_auth::store::MemoryStore;
//! use tower_teamup_auth::testing::conformance::check_store;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let store = MemoryStore::new();
//! check_store(|| ready(store.clone())).await;
//! # }
//! ```
//!
//! A store whose leases run out has more to show, and says how a test makes one run out:
//! [`Conformance::expire_lease`].
//!
//! # What is checked
//!
//! - Every kind of record is read back as it was saved, by every handle, extremes included.
//! - A save replaces what is expected and nothing else; the same save may be repeated.
//! - One handle at a time has the lease, and no handle twice. It survives a renewal and a deletion,
//!   ends with its release, and a lease that is another's by now does no harm.
//! - A deletion leaves an empty store.
//! - Any future may be dropped after any poll.
//! - Handles that rotate together lose no rotation.
//!
//! What can't be seen from outside is not checked: that a record survives a crash, and that a
//! damaged record, a foreign key or a network that fails is told by the right error.

mod cancellation;
mod leases;
mod records;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use tokio::task::JoinSet;

use crate::headers::RequestMode;
use crate::store::StoreError;
use crate::store::{Expected, LoginId, RecordContent, StoredRecord, TokenStore};
use crate::token::{AccessToken, RefreshToken, TokenSet};

/// How often a lease that another handle may have is asked for. With the default
/// [`changed`](TokenStore::changed) this is five minutes, and more than any lease should last.
const TRIES: usize = 2000;

type Expire = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>>;

/// Checks the store that `open` gives a handle to. See the [module](self).
///
/// What the store holds is lost.
///
/// # Panics
///
/// When the store breaks its contract.
pub async fn check_store<S: TokenStore, F: Future<Output = S>>(open: impl Fn() -> F) {
    Conformance::new(open).check().await;
}

/// The check of one store, with what the store lets a test do to it.
///
/// ```
/// use std::future::ready;
/// use tower_teamup_auth::store::MemoryStore;
/// use tower_teamup_auth::testing::conformance::Conformance;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let store = MemoryStore::new();
/// let other = store.clone();
/// Conformance::new(|| ready(store.clone()))
///     .expire_lease(move || ready(other.expire_lease()))
///     .check()
///     .await;
/// # }
/// ```
pub struct Conformance<O> {
    open: O,
    expire: Option<Expire>,
}

impl<S: TokenStore, F: Future<Output = S>, O: Fn() -> F> Conformance<O> {
    /// A check of the store that `open` gives a handle to; each call is to do what another process
    /// would do to reach the same place.
    pub fn new(open: O) -> Self {
        Conformance { open, expire: None }
    }

    /// Says how to make the lease run out that somebody has at this moment, without telling the one
    /// who has it: by moving a clock, or by removing what stands for the lease.
    ///
    /// Without it a lease that was lost is not checked, and a lease that a dropped `try_acquire`
    /// has left behind is waited for.
    #[must_use]
    pub fn expire_lease<E: Future<Output = ()> + 'static>(
        mut self,
        expire: impl Fn() -> E + 'static,
    ) -> Self {
        self.expire = Some(Box::new(move || Box::pin(expire())));
        self
    }

    /// Runs every check, one after the other.
    ///
    /// # Panics
    ///
    /// When the store breaks its contract.
    pub async fn check(&self) {
        let (store, other) = (self.handle().await, self.handle().await);
        done("`check`", TokenStore::check(&store).await);
        self.clear(&store).await;
        leases::one_handle_has_the_lease(self, &store, &other).await;
        records::every_record_is_read_back(self, &store, &other).await;
        records::a_save_replaces_what_is_expected(self, &store, &other).await;
        records::the_same_save_may_be_repeated(self, &store, &other).await;
        records::anything_may_be_overwritten(self, &store, &other).await;
        records::a_deletion_leaves_an_empty_store(self, &store, &other).await;
        leases::a_lease_that_was_released_does_no_harm(self, &store, &other).await;
        leases::a_lease_survives_renewal_and_check(self, &store, &other).await;
        if self.expire.is_some() {
            leases::a_lease_that_ran_out_is_lost(self, &store, &other).await;
        }
        cancellation::any_future_may_be_dropped(self, &store, &other).await;
        self.handles_that_rotate_together_lose_no_rotation(&store).await;
        self.clear(&store).await;
    }

    async fn handle(&self) -> S {
        (self.open)().await
    }

    /// Lets the lease run out, if the store said how.
    async fn expire(&self) {
        if let Some(expire) = &self.expire {
            expire().await;
        }
    }

    /// Leaves an empty store without a lease.
    async fn clear(&self, store: &S) {
        let lease = acquire(store, "nobody has it").await;
        done("`delete`", store.delete(&lease).await);
        done("`release`", store.release(lease).await);
        holds(store, None, "after `delete`").await;
    }

    async fn handles_that_rotate_together_lose_no_rotation(&self, store: &S) {
        const HANDLES: u64 = 4;
        const ROTATIONS: u64 = 4;
        self.clear(store).await;
        let is_taken = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..HANDLES {
            let handle = self.handle().await;
            let is_taken = Arc::clone(&is_taken);
            tasks.spawn(async move {
                for _ in 0..ROTATIONS {
                    let lease = acquire(&handle, "others release it").await;
                    demand(!is_taken.swap(true, Ordering::SeqCst), "two handles had the lease");
                    let found = done("`load`", handle.load().await);
                    let revision = found.as_ref().map_or(0, StoredRecord::revision) + 1;
                    let next = record(revision, "rotated");
                    let expected = Expected::found(found.as_ref());
                    done("`save` of a rotation", handle.save(&lease, expected, &next).await);
                    is_taken.store(false, Ordering::SeqCst);
                    done("`release`", handle.release(lease).await);
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(error) => broken(&format!("a task did not end: {error}")),
                }
            }
        }
        let found = done("`load`", store.load().await).map(|record| record.revision());
        let said = format!("{} rotations left revision {found:?}", HANDLES * ROTATIONS);
        demand(found == Some(HANDLES * ROTATIONS), &said);
    }
}

/// Says what is broken, and ends the test.
fn broken(said: &str) -> ! {
    panic!("the token store breaks its contract: {said}");
}

fn demand(is_so: bool, said: &str) {
    if !is_so {
        broken(said);
    }
}

/// The result of a call that has no reason to fail.
fn done<T>(what: &str, result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|error| broken(&format!("{what} failed: {error} ({error:?})")))
}

fn is_conflict(what: &str, result: Result<(), StoreError>) {
    match result {
        Ok(()) => broken(&format!("{what} is no conflict")),
        Err(error) if error.is_conflict() => {}
        Err(error) => broken(&format!("{what} is no conflict but: {error} ({error:?})")),
    }
}

/// The store holds `expected`, as this handle sees it.
async fn holds<S: TokenStore>(store: &S, expected: Option<&StoredRecord>, when: &str) {
    let found = done("`load`", store.load().await);
    if found.as_ref() != expected {
        broken(&format!("{when} the store holds {found:?}, and not {expected:?}"));
    }
}

/// Asks for the lease until it is granted.
async fn acquire<S: TokenStore>(store: &S, why: &str) -> S::Lease {
    for _ in 0..TRIES {
        if let Some(lease) = done("`try_acquire`", store.try_acquire().await).lease {
            return lease;
        }
        store.changed().await;
    }
    broken(&format!("the lease is not granted, although {why}"))
}

/// Asks for the lease once, which another has.
async fn is_busy<S: TokenStore>(store: &S, when: &str) {
    let attempt = done("`try_acquire`", store.try_acquire().await);
    demand(attempt.lease.is_none(), &format!("the lease is granted {when}"));
}

const LOGIN: LoginId = LoginId::from_bytes([7; 16]);

/// A record with the tokens of both modes, whose texts are told apart by `text`.
fn record(revision: u64, text: &str) -> StoredRecord {
    record_of(LOGIN, revision, text)
}

fn record_of(login: LoginId, revision: u64, text: &str) -> StoredRecord {
    let content = RecordContent::Tokens(tokens(&format!("s3cret-{text}").replace(' ', "-")));
    StoredRecord::new(login, revision, content).with_base_url("https://goteamup.com/api/v2")
}

fn tokens(text: &str) -> TokenSet {
    let access = |mode| AccessToken::new(format!("{text}-{mode}"));
    let token = "a token is visible ASCII";
    TokenSet::new(RefreshToken::new(text).expect(token))
        .with_access_token_until(
            RequestMode::Customer,
            access(RequestMode::Customer).expect(token),
            Some(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)),
        )
        .with_access_token_until(
            RequestMode::Provider,
            access(RequestMode::Provider).expect(token),
            None,
        )
}

impl<O> fmt::Debug for Conformance<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conformance").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
