//! The live credential: one refresh token, up to one access token for each mode, and the refresh
//! that any number of callers share.
//!
//! | file | role |
//! | --- | --- |
//! | `cell` | what a request sees, in one lock-free load |
//! | `windows` | from when a refresh is advised, and from when it is due |
//! | `desk` | the single flight: who asks, what is under way, who waits |
//! | `memory` | failures that were just shared, the storm guard |
//! | `driver` | the task that flies the flights and repeats failed writes |
//! | `transaction` | one refresh, from the lock to the waking of its waiters |
//! | `ledger` | the newest tokens, and whether the store has them |
//! | `vault` | the store, with a time limit on every call |
//! | `status` | what a program is told of all this |
//! | `builder` | what is refused before anything runs |

mod backoff;
mod builder;
mod byte_budget;
mod completion;
mod deadlines;
mod desk;
mod driver;
mod generation;
#[cfg(all(test, heavy_tests))]
mod interleavings;
mod ledger;
mod memory;
mod refused_routes;
mod snapshot;
mod state;
pub mod status;
mod transaction;
mod vault;
mod windows;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::Guard;

pub use builder::CredentialsBuilder;
pub(crate) use byte_budget::{ByteBudget, ReservedBytes};
use completion::{Outcome, Wait};
pub(crate) use desk::Reason;
use desk::{Answer, Desk};
use ledger::Ledger;
use memory::{Memory, RefreshLimit};
pub(crate) use refused_routes::{RefusedRoutes, RouteKey, RouteVerdict};
pub(crate) use snapshot::{
    Freshness, Generation, LocalSnapshot, ModeTokens, ReadyToken, Snapshot, SnapshotCell,
};
#[cfg(feature = "testing")]
pub use transaction::Step;
#[cfg(not(feature = "testing"))]
use transaction::Step;
use vault::Vault;
use windows::Windows;

use crate::error::Error;
use crate::headers::{AuthScheme, ProviderId, RequestMode};
use crate::observe::{Event, emit};
use crate::origin::Origins;
use crate::refresh::DynRefresh;
use crate::store::StoreError;
use crate::sync::{AsyncMutex, Handle, timeout};
use crate::token::{AccessToken, Clock, Deadline, Moment, TokenSet};

/// A credential for the TeamUp API, alive: it knows its tokens, when to renew them, and how.
///
/// A clone is the same credential, never a copy of it: hand clones to as many layers, services and
/// tasks as there are. While it is idle it costs no task and no timer.
///
/// ```
/// use tower::service_fn;
/// use tower_teamup_auth::{BoxError, Credentials, RequestMode, TokenSet};
/// # use http_body_util::Full;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let http_client = service_fn(|_: http::Request<Full<bytes::Bytes>>| async {
/// #     Err::<http::Response<String>, BoxError>("no network here".into())
/// # });
/// let credentials = Credentials::builder(RequestMode::Provider)
///     .provider_id(54664)
///     .tokens(TokenSet::new("a-refresh-token".parse()?))
///     .refresh_client(http_client) // any tower HTTP client
///     .build()
///     .await?;
/// # Ok::<(), BoxError>(())
/// # })?;
/// # Ok::<(), BoxError>(())
/// ```
#[derive(Clone)]
pub struct Credentials {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) cell: SnapshotCell,
    pub(crate) desk: Desk,
    pub(crate) ledger: AsyncMutex<Ledger>,
    pub(crate) vault: Vault,
    /// `None` for an M2M token, which can't be refreshed.
    pub(crate) refresh: Option<Arc<dyn DynRefresh>>,
    pub(crate) settings: Settings,
    pub(crate) refused_routes: RefusedRoutes,
    /// What the bodies of kept 401s take together.
    pub(crate) saved_bodies: ByteBudget,
}

/// What was decided when the credential was built.
pub(crate) struct Settings {
    pub(crate) mode: RequestMode,
    pub(crate) provider_id: Option<ProviderId>,
    pub(crate) scheme: AuthScheme,
    pub(crate) origins: Origins,
    pub(crate) windows: Windows,
    pub(crate) refresh_limit: RefreshLimit,
    pub(crate) wait_timeout: Duration,
    pub(crate) refresh_request_timeout: Duration,
    pub(crate) clock: Clock,
    #[cfg(feature = "testing")]
    pub(crate) at_each_step: Option<Arc<dyn Fn(Step) + Send + Sync>>,
}

impl Settings {
    /// How long a refresh may take, save for the store's last calls: it may begin an exchange up to
    /// its limit, and an exchange that was begun is not cut short.
    fn longest_refresh(&self) -> Duration {
        self.wait_timeout.saturating_add(self.refresh_request_timeout)
    }
}

impl Credentials {
    /// Begins a credential whose requests act in `mode`, unless one of them says otherwise.
    pub fn builder(mode: RequestMode) -> CredentialsBuilder {
        CredentialsBuilder::new(mode)
    }

    /// Begins a credential around an M2M token: it acts in provider mode, and is never refreshed.
    ///
    /// Public clients send M2M tokens under the `Token` scheme, which TeamUp's documentation does
    /// not confirm; choose it with [`scheme`](CredentialsBuilder::scheme) if the API wants it.
    ///
    /// ```
    /// use tower_teamup_auth::{AuthScheme, Credentials};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let credentials = Credentials::m2m("an-m2m-token".parse()?)
    ///     .scheme(AuthScheme::Token)
    ///     .build()
    ///     .await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn m2m(token: AccessToken) -> CredentialsBuilder {
        CredentialsBuilder::m2m(token)
    }

    /// Replaces the tokens: after a new login, say, when re-authorization was required. The store,
    /// if there is one, is overwritten, and every failure of the past is forgotten.
    ///
    /// A refresh under way is waited for first, so that it can't overwrite the new tokens.
    ///
    /// ```
    /// # use tower_teamup_auth::testing::FakeTeamUp;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
    /// # let teamup = FakeTeamUp::start().await;
    /// # let http_client: tower_teamup_auth::client::HyperClient = tower_teamup_auth::client::hyper_client();
    /// # let credentials = tower_teamup_auth::Credentials::builder(tower_teamup_auth::RequestMode::Provider)
    /// #     .base_url(teamup.base_url()).tokens(teamup.issue_tokens(&[])).refresh_client(http_client).build().await?;
    /// # teamup.revoke_everything();
    /// use tower_teamup_auth::RequestMode;
    ///
    /// let error = credentials.refresh(RequestMode::Provider).await.unwrap_err();
    /// assert!(error.is_login_required());
    ///
    /// let tokens = teamup.issue_tokens(&[]); // what a login brings
    /// credentials.log_in(tokens).await?;
    /// credentials.refresh(RequestMode::Provider).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the store could not be written. The new tokens are in use all the same, and the write
    /// is repeated in the background until it succeeds.
    ///
    /// # Cancel safety
    ///
    /// Runs in a task of its own: once polled, it runs to its end even if the future is dropped.
    pub async fn log_in(&self, tokens: TokenSet) -> Result<(), Error> {
        self.in_a_task(|inner| async move { inner.replace_tokens(tokens).await }).await
    }

    /// Forgets the tokens, here and in the store. From then on every request fails at once with an
    /// error of which [`Error::is_login_required`] is true, until
    /// [`log_in`](Credentials::log_in) brings new ones.
    ///
    /// The tokens are not revoked at TeamUp: its API documents no way to.
    ///
    /// ```
    /// # use tower_teamup_auth::testing::FakeTeamUp;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
    /// # let teamup = FakeTeamUp::start().await;
    /// # let http_client: tower_teamup_auth::client::HyperClient = tower_teamup_auth::client::hyper_client();
    /// # let credentials = tower_teamup_auth::Credentials::builder(tower_teamup_auth::RequestMode::Provider)
    /// #     .base_url(teamup.base_url()).tokens(teamup.issue_tokens(&[])).refresh_client(http_client).build().await?;
    /// credentials.sign_out().await?;
    /// assert!(credentials.status().is_login_required());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the store could not be cleared; the tokens are forgotten in memory all the same.
    ///
    /// # Cancel safety
    ///
    /// Runs in a task of its own: once polled, it runs to its end even if the future is dropped.
    pub async fn sign_out(&self) -> Result<(), Error> {
        self.in_a_task(|inner| async move { inner.forget_tokens().await }).await
    }

    /// Renews the access token of `mode` now, whatever its age, and waits for it: to warm up at
    /// start, or to check that the credential is good.
    ///
    /// ```
    /// # use tower_teamup_auth::testing::FakeTeamUp;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
    /// # let teamup = FakeTeamUp::start().await;
    /// # let http_client: tower_teamup_auth::client::HyperClient = tower_teamup_auth::client::hyper_client();
    /// # let credentials = tower_teamup_auth::Credentials::builder(tower_teamup_auth::RequestMode::Provider)
    /// #     .base_url(teamup.base_url()).tokens(teamup.issue_tokens(&[])).refresh_client(http_client).build().await?;
    /// use tower_teamup_auth::RequestMode;
    ///
    /// credentials.refresh(RequestMode::Provider).await?;
    /// assert!(credentials.status().is_ready());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the refresh failed, or may not start: see [`Error`].
    ///
    /// # Cancel safety
    ///
    /// The refresh runs in a task of its own; dropping the future leaves it running.
    pub async fn refresh(&self, mode: RequestMode) -> Result<(), Error> {
        let generation = self.snapshot().slot(mode).generation;
        self.request_refresh(generation, Reason::Requested).await?;
        match &self.snapshot().slot(mode).held {
            Some(_) => Ok(()),
            None => Err(self.lack_of(mode)),
        }
    }

    /// Starts no further refresh, and waits for the one under way, for writes to the store that are
    /// still to be repeated, and for the right to refresh to be given back. Requests go on while their
    /// tokens are valid.
    ///
    /// A process that ends without it may keep the others from refreshing until its lease runs out.
    ///
    /// ```
    /// # use tower_teamup_auth::testing::FakeTeamUp;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
    /// # let teamup = FakeTeamUp::start().await;
    /// # let http_client: tower_teamup_auth::client::HyperClient = tower_teamup_auth::client::hyper_client();
    /// # let credentials = tower_teamup_auth::Credentials::builder(tower_teamup_auth::RequestMode::Provider)
    /// #     .base_url(teamup.base_url()).tokens(teamup.issue_tokens(&[])).refresh_client(http_client).build().await?;
    /// credentials.shutdown().await?;
    /// assert!(credentials.status().is_shut_down());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When what was under way did not end within the time limits of a
    /// [refresh](CredentialsBuilder::wait_timeout) and of an
    /// [exchange](CredentialsBuilder::refresh_request_timeout) together: the newest tokens may not be in the
    /// store.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the waiting only; it may be called again.
    pub async fn shutdown(&self) -> Result<(), Error> {
        let deadline = Deadline::after(self.inner.settings.longest_refresh());
        let outcome = match self.inner.desk.close() {
            None => Ok(()),
            Some(under_way) => timeout(deadline.remaining(), under_way)
                .await
                .unwrap_or_else(|_elapsed| Err(Error::timed_out())),
        };
        // Others may wait for the right, and nobody here could tell them later.
        self.inner.vault.settle(deadline.remaining()).await;
        outcome
    }

    pub(crate) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.inner.cell.load()
    }

    #[inline]
    pub(crate) fn cell(&self) -> &SnapshotCell {
        &self.inner.cell
    }

    /// Asks for the replacement of `generation`, and resolves when it is done: at once, if it was
    /// replaced already.
    pub(crate) fn request_refresh(&self, generation: Generation, reason: Reason) -> PendingRefresh {
        let inner = &self.inner;
        let mode = generation.mode();
        if inner.refresh.is_none() {
            let error = self.refusal().unwrap_or_else(|| Error::not_refreshable(mode));
            return PendingRefresh::Settled(Some(Err(error)));
        }
        let now = inner.settings.clock.now();
        let guard = inner.settings.refresh_limit;
        match inner.desk.ask(&inner.cell, generation, reason, now, guard) {
            Answer::Settled(outcome) => {
                if let Err(error) = &outcome {
                    if error.is_refresh_limited() {
                        let opened = inner.desk.with_memory(Memory::guard_has_just_opened);
                        emit(&Event::StormGuardOpen { mode, opened, error });
                    }
                    if inner.vault.is_shared() && inner.desk.ask_for_a_look(now) {
                        // Beside the call, which fails at once; without a runtime there is none.
                        let _ = driver::start(inner);
                    }
                }
                PendingRefresh::Settled(Some(outcome))
            }
            Answer::Joined(wait) => PendingRefresh::Waiting(wait),
            Answer::Start(wait) => match driver::start(inner) {
                Ok(()) => PendingRefresh::Waiting(wait),
                Err(error) => PendingRefresh::Settled(Some(Err(error))),
            },
        }
    }

    /// Asks for the refresh of a token that is in the last part of its life. `Some` for the one
    /// request whose call starts the refresh: it waits for it, for a short time; all others go on.
    pub(crate) fn request_early_refresh(&self, generation: Generation) -> Option<PendingRefresh> {
        let busy = self.inner.desk.view().refreshing;
        match self.request_refresh(generation, Reason::RefreshSoon) {
            pending @ PendingRefresh::Waiting(_) if !busy => Some(pending),
            _ => None,
        }
    }

    /// Why there is no token of `mode`, although its renewal is done: the user has signed out since,
    /// say.
    pub(crate) fn lack_of(&self, mode: RequestMode) -> Error {
        self.refusal().unwrap_or_else(|| Error::no_token(mode))
    }

    /// Why no refresh starts until new tokens are set, if that is so.
    fn refusal(&self) -> Option<Error> {
        self.inner.desk.refusal()
    }

    #[inline]
    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    #[inline]
    pub(crate) fn refused_routes(&self) -> &RefusedRoutes {
        &self.inner.refused_routes
    }

    pub(crate) fn saved_bodies(&self) -> &ByteBudget {
        &self.inner.saved_bodies
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        self.inner.settings.clock.now()
    }

    /// Runs a change of the tokens where a dropped caller can't interrupt it.
    async fn in_a_task<F>(&self, change: impl FnOnce(Arc<Inner>) -> F) -> Result<(), Error>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let runtime = Handle::try_current().map_err(|_| Error::no_runtime())?;
        runtime
            .spawn(change(Arc::clone(&self.inner)))
            .await
            .unwrap_or_else(|_| Err(Error::interrupted()))
    }
}

impl Inner {
    /// Makes the ledger's tokens what requests see.
    pub(crate) fn publish(&self, ledger: &Ledger) {
        let settings = &self.settings;
        let next = self.cell.load().followed_by(
            ledger.tokens.as_ref(),
            settings.scheme,
            &settings.windows,
            settings.clock.now(),
        );
        self.cell.store(next);
        self.desk.watched().signal();
    }

    /// The newest tokens could not be written: says so, aloud and to whoever asks.
    pub(crate) fn unsaved(&self, error: StoreError) -> Error {
        emit(&Event::Unsaved { error: &error });
        let error = Error::unsaved(error);
        let now = self.settings.clock.now();
        self.desk.with_memory(|memory| memory.unsaved(error.clone(), now));
        error
    }

    #[cfg(feature = "testing")]
    pub(crate) fn step(&self, step: Step) {
        if let Some(at_each_step) = &self.settings.at_each_step {
            at_each_step(step);
        }
    }

    #[cfg(not(feature = "testing"))]
    pub(crate) fn step(&self, _step: Step) {}

    async fn replace_tokens(self: Arc<Self>, tokens: TokenSet) -> Outcome {
        if self.refresh.is_none() {
            return Err(Error::not_refreshable(self.settings.mode));
        }
        let mut ledger = self.ledger.lock().await;
        // The newest revision there is, so that no process takes the old tokens for newer.
        let known = ledger.tokens.as_ref().map_or(0, TokenSet::revision);
        let stored = match ledger.lock(&self, self.settings.wait_timeout).await {
            Ok(lease) => Ok((lease, self.vault.load(&ledger.tokens).await)),
            Err(error) => Err(error),
        };
        // What can't be read is overwritten too: the new tokens are the user's word.
        let over = match &stored {
            Ok((_, Ok(stored))) => stored.as_ref().map(TokenSet::revision),
            _ => None,
        };
        ledger.set(tokens.with_revision(known.max(over.unwrap_or(0)) + 1));
        let written = match stored {
            Ok((lease, _)) => {
                let written = ledger.write(&self, &lease, over).await.map(|_| ());
                ledger.unlock(lease);
                written
            }
            Err(error) => Err(error),
        };
        self.desk.with_memory(Memory::forget);
        self.refused_routes.clear();
        self.publish(&ledger);
        emit(&Event::TokensSet { revision: ledger.tokens.as_ref().map_or(0, TokenSet::revision) });
        written.map_err(|error| {
            ledger.not_saved(&self.settings.clock);
            let error = self.unsaved(error);
            // The ledger is still held, so a driver at work has not looked yet.
            if self.desk.open_shift() {
                // Within a task of a runtime, so there is one.
                let _ = driver::start(&self);
            }
            error
        })
    }

    async fn forget_tokens(self: Arc<Self>) -> Outcome {
        let mut ledger = self.ledger.lock().await;
        ledger.tokens = None;
        ledger.saved();
        let now = self.settings.clock.now();
        self.desk.with_memory(|memory| {
            memory.saved();
            memory.refuse(Error::signed_out(), now, Moment::NEVER);
        });
        self.publish(&ledger);
        emit(&Event::SignedOut);
        let lease = ledger.lock(&self, self.settings.wait_timeout).await.map_err(Error::store)?;
        self.vault.clear(&lease).await.map_err(Error::store)
    }
}

/// Resolves when a renewal is done. Dropping it changes nothing for anybody else.
#[derive(Debug)]
pub(crate) enum PendingRefresh {
    Settled(Option<Outcome>),
    Waiting(Wait),
}

impl Future for PendingRefresh {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match &mut *self {
            PendingRefresh::Settled(outcome) => {
                Poll::Ready(outcome.take().expect("polled after it was ready"))
            }
            PendingRefresh::Waiting(wait) => Pin::new(wait).poll(cx),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("mode", &self.inner.settings.mode)
            .field("provider_id", &self.inner.settings.provider_id)
            .field("scheme", &self.inner.settings.scheme)
            .field("origins", &self.inner.settings.origins)
            .field("snapshot", &**self.snapshot())
            .finish_non_exhaustive()
    }
}
