//! The live credential: one login, its tokens, and the refresh that any number of callers share.
//!
//! | file | role |
//! | --- | --- |
//! | `state/` | every fact, and what follows from what: a state machine without I/O |
//! | `core` | the state behind its mutex, and what happens outside of it |
//! | `worker` | runs what the state asks for |
//! | `store_client` | the store, with a time limit on every call |
//! | `source_client` | the source of an M2M token, with a time limit on every read |
//! | `pending`, `waiters` | one caller's wait, with its limit; all who wait for one operation |
//! | `snapshot` | what a request sees, in one lock-free load |
//! | `generation`, `deadlines`, `backoff` | which token, until when, and when to try again |
//! | `refused_routes`, `byte_budget` | what requests that were answered 401 share |
//! | `failure`, `report`, `watched` | errors, events, and who is told of changes |
//! | `status` | what a program is told of all this |
//! | `builder`, `build_checks`, `settings`, `first_record` | how a credential is made |

mod backoff;
mod build_checks;
mod builder;
mod byte_budget;
mod core;
mod deadlines;
mod failure;
mod first_record;
mod generation;
#[cfg(all(test, shuttle))]
mod interleavings;
mod pending;
mod refused_routes;
mod report;
mod settings;
mod snapshot;
mod source_client;
mod state;
pub mod status;
mod store_client;
mod submit;
mod sync;
mod waiters;
mod watched;
mod worker;

use std::fmt;
use std::sync::{Arc, Weak};

use self::core::{Core, Submitted};
pub use builder::CredentialsBuilder;
pub(crate) use builder::{Common, OnChange};
pub(crate) use byte_budget::{ByteBudget, ReservedBytes};
pub(crate) use generation::Generation;
pub(crate) use pending::PendingRefresh;
pub(crate) use refused_routes::{RefusedRoutes, RouteKey, RouteVerdict};
#[cfg(feature = "testing")]
pub use settings::RefreshStep;
pub(crate) use settings::Settings;
pub(crate) use snapshot::{
    Freshness, LocalSnapshot, ModeTokens, ReadyToken, SharedSnapshot, Snapshot,
};
use state::Operation;
pub(crate) use state::Reason;
#[cfg(fuzzing)]
pub(crate) use state::take_chosen_steps;
pub(crate) use store_client::StoreClient;
use sync::Guard;

use crate::error::Error;
use crate::headers::RequestMode;
use crate::m2m::M2mSource;
use crate::store::LoginId;
use crate::token::{AccessToken, Moment, TokenSet};

/// A credential for the TeamUp API, live: it knows its tokens, when to refresh them, and how.
///
/// A clone is the same credential, never a copy of it: hand clones to as many layers, services and
/// tasks as there are. While it is idle it costs no task and no timer.
///
/// ```
/// use tower::service_fn;
/// use tower_teamup_auth::{BoxError, Credentials, RequestMode, TokenSet};
/// # use http_body_util::Full;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
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
    core: Arc<Core>,
}

impl Credentials {
    /// Begins a credential whose requests act in `mode`, unless one of them says otherwise.
    pub fn builder(mode: RequestMode) -> CredentialsBuilder {
        CredentialsBuilder::new(mode)
    }

    /// Begins a credential around an M2M token: it acts in provider mode, and is never refreshed. A
    /// program that goes on running when the token is replaced begins with
    /// [`m2m_from`](Credentials::m2m_from), or calls [`set_m2m_token`](Credentials::set_m2m_token).
    ///
    /// Public clients send M2M tokens under the `Token` scheme, which TeamUp's documentation does
    /// not confirm; choose it with [`scheme`](CredentialsBuilder::scheme) if the API wants it.
    ///
    /// ```
    /// use tower_teamup_auth::{AuthScheme, Credentials};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
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

    /// Begins a credential whose M2M token comes from a [source](crate::m2m), such as a file.
    ///
    /// The source is read when the first request needs the token, and again when the API answers 401:
    /// once, however many requests were refused. A request that was refused is retried once if there
    /// is another token. [`refresh`](Credentials::refresh) reads it at once.
    ///
    /// A read may take as long as a [call of a store](CredentialsBuilder::store_timeout). One that
    /// fails leaves the last token in use. Where the source has no other token than the one that was
    /// refused, the 401 carries an error of which [`Error::is_m2m_refused`] is true, and the source is
    /// read again after a pause of 1 to 15 seconds, when somebody asks.
    ///
    /// ```
    /// use tower_teamup_auth::Credentials;
    /// use tower_teamup_auth::m2m::TokenFile;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let credentials =
    ///     Credentials::m2m_from(TokenFile::new("/run/secrets/teamup-token")).build().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn m2m_from(source: impl M2mSource) -> CredentialsBuilder {
        CredentialsBuilder::m2m_from(source)
    }

    /// Puts another M2M token in the place of the one before. Requests use it as soon as this has
    /// returned, and those that wait for a token are sent with it. A request that was answered 401 to
    /// the token before is retried.
    ///
    /// Beside a source, the token is used until the API refuses it; then the source is read.
    ///
    /// ```
    /// use tower_teamup_auth::Credentials;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let credentials = Credentials::m2m("the-first-token".parse()?).build().await?;
    /// credentials.set_m2m_token("the-second-token".parse()?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid_request`] when this is no M2M credential.
    pub fn set_m2m_token(&self, token: AccessToken) -> Result<(), Error> {
        if let Submitted::Settled(Err(failure)) = self.core.submit(Operation::SetM2mToken { token })
        {
            return Err(self.core.error(&failure, self.core.settings.mode));
        }
        self.core.refused_routes.clear();
        Ok(())
    }

    /// Starts a new login: the tokens take the place of those before, if there were any, and every
    /// failure of the past is forgotten. Requests use them as soon as this has been called.
    ///
    /// A request that waits for a token of the login before is not sent: its error says that the
    /// [login changed](Error::is_login_changed). A refresh request under way is dropped, because its
    /// answer would be of no use.
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
    /// - [`Error::is_unsaved`]: the store could not be written. The tokens are in use all the same,
    ///   and the save is repeated until it succeeds. A record that can't be read because it is
    ///   sealed with another key, or of a newer format, stays as it is: mend that, or call
    ///   [`log_in_overwriting`](Credentials::log_in_overwriting).
    /// - [`Error::is_login_changed`]: another login, here or in another process, was later.
    /// - [`Error::is_shut_down`], and [`Error::is_invalid_request`] for an M2M token.
    ///
    /// # Cancel safety
    ///
    /// The login takes effect when the future is first polled. Dropping it then ends the waiting for
    /// the save, and nothing else.
    pub async fn log_in(&self, tokens: TokenSet) -> Result<(), Error> {
        self.begin_login(tokens, false).await
    }

    /// The same as [`log_in`](Credentials::log_in), over whatever the store holds: a record that can't
    /// be read is lost.
    ///
    /// # Errors
    ///
    /// As [`log_in`](Credentials::log_in).
    ///
    /// # Cancel safety
    ///
    /// As [`log_in`](Credentials::log_in).
    pub async fn log_in_overwriting(&self, tokens: TokenSet) -> Result<(), Error> {
        self.begin_login(tokens, true).await
    }

    async fn begin_login(&self, tokens: TokenSet, overwrite: bool) -> Result<(), Error> {
        let login = LoginId::random();
        self.core.refused_routes.clear();
        self.run(Operation::LogIn { login, tokens, overwrite }).await
    }

    /// Forgets the tokens, and notes in the store that the user has signed out: other processes that
    /// share the store are signed out too. From then on every request fails at once with an error of
    /// which [`Error::is_login_required`] is true, until [`log_in`](Credentials::log_in) brings new
    /// tokens.
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
    /// As [`log_in`](Credentials::log_in). The tokens are forgotten in memory all the same.
    ///
    /// # Cancel safety
    ///
    /// As [`log_in`](Credentials::log_in).
    pub async fn sign_out(&self) -> Result<(), Error> {
        self.end_login(false).await
    }

    /// The same as [`sign_out`](Credentials::sign_out), over whatever the store holds: a record that
    /// can't be read is lost.
    ///
    /// # Errors
    ///
    /// As [`log_in`](Credentials::log_in).
    ///
    /// # Cancel safety
    ///
    /// As [`log_in`](Credentials::log_in).
    pub async fn sign_out_overwriting(&self) -> Result<(), Error> {
        self.end_login(true).await
    }

    async fn end_login(&self, overwrite: bool) -> Result<(), Error> {
        self.core.refused_routes.clear();
        self.run(Operation::SignOut { login: LoginId::random(), overwrite }).await
    }

    /// Refreshes the access token of `mode` now, whatever its age, and waits for it: to warm up at
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
    /// When the refresh failed, may not start, or took longer than the
    /// [wait time-out](CredentialsBuilder::wait_timeout): see [`Error`].
    ///
    /// # Cancel safety
    ///
    /// The refresh runs in a task of its own; dropping the future leaves it running.
    pub async fn refresh(&self, mode: RequestMode) -> Result<(), Error> {
        let generation = self.snapshot().mode(mode).generation;
        let refresh = self.request_refresh(generation, Reason::Requested);
        refresh.at_most(self.core.settings.wait_timeout).await?;
        match &self.snapshot().mode(mode).token {
            Some(_) => Ok(()),
            None => Err(self.lack_of(mode)),
        }
    }

    /// Waits until nothing exists in memory alone: for the refresh under way, for one attempt to save
    /// what is not in the store yet, and for the lease to be given back. What a program calls before
    /// it stands still for a while, such as a function that is frozen after its handler.
    ///
    /// # Errors
    ///
    /// [`Error::is_unsaved`] when the newest tokens could not be saved; the source tells why.
    /// [`Error::is_store`] when the lease could not be given back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the waiting only; it may be called again.
    pub async fn flush(&self) -> Result<(), Error> {
        self.run(Operation::Flush).await
    }

    /// Starts no further refresh, and waits for the refresh request under way, for one attempt to
    /// save what is not in the store yet, and for the lease to be given back. Requests go on while
    /// their tokens are valid.
    ///
    /// The wait ends with the refresh request, which has its
    /// [own limit](CredentialsBuilder::refresh_request_timeout): an answer that is on its way is not
    /// thrown away.
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
    /// - [`Error::is_unsaved`]: the newest tokens are in memory alone; the source tells why. Call it
    ///   again for one more attempt.
    /// - [`Error::is_outcome_unknown`]: the answer to the last refresh request was lost.
    /// - [`Error::is_store`]: the lease could not be given back, and counts as held until it runs out.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the waiting only; it may be called again.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.run(Operation::Close).await
    }

    /// A handle that keeps nothing alive.
    pub(crate) fn downgrade(&self) -> WeakCredentials {
        WeakCredentials(Arc::downgrade(&self.core))
    }

    /// Is there nothing under way, nothing in memory alone, and no lease? Then it can be built anew
    /// from its store.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.core.read(|state| state.is_at_rest())
    }

    /// Hands an operation in and waits for its end.
    async fn run(&self, operation: Operation) -> Result<(), Error> {
        let submitted = self.core.submit(operation);
        PendingRefresh::new(&self.core, submitted, self.core.settings.mode).await
    }

    pub(crate) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.core.snapshot.load()
    }

    #[inline]
    pub(crate) fn shared_snapshot(&self) -> &SharedSnapshot {
        &self.core.snapshot
    }

    /// Asks for the refresh of `generation`, and resolves when it is done: at once, if it was
    /// refreshed already.
    pub(crate) fn request_refresh(&self, generation: Generation, reason: Reason) -> PendingRefresh {
        let submitted = self.core.submit(Operation::Refresh { generation, reason });
        PendingRefresh::new(&self.core, submitted, generation.mode)
    }

    /// Asks for the refresh of a token that is in the last part of its life. `Some` for the one
    /// request whose call starts the refresh: it waits for it, for a short time; all others go on.
    pub(crate) fn request_early_refresh(&self, generation: Generation) -> Option<PendingRefresh> {
        let reason = Reason::RefreshSoon;
        match self.core.submit(Operation::Refresh { generation, reason }) {
            submitted @ Submitted::Waits { started: true, .. } => {
                Some(PendingRefresh::new(&self.core, submitted, generation.mode))
            }
            _ => None,
        }
    }

    /// Why there is no token of `mode`, although its refresh is done: the user has signed out since,
    /// say.
    pub(crate) fn lack_of(&self, mode: RequestMode) -> Error {
        match self.core.read(|state| state.login_required()) {
            Some(failure) => self.core.error(&failure, mode),
            None => Error::no_token(mode),
        }
    }

    #[inline]
    pub(crate) fn settings(&self) -> &Settings {
        &self.core.settings
    }

    #[inline]
    pub(crate) fn refused_routes(&self) -> &RefusedRoutes {
        &self.core.refused_routes
    }

    pub(crate) fn saved_bodies(&self) -> &ByteBudget {
        &self.core.saved_bodies
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        self.core.settings.clock.now()
    }
}

/// A credential that lives as long as others, its worker included, know of it.
#[derive(Clone)]
pub(crate) struct WeakCredentials(Weak<Core>);

impl WeakCredentials {
    pub(crate) fn upgrade(&self) -> Option<Credentials> {
        self.0.upgrade().map(|core| Credentials { core })
    }

    /// How many handles there are, and references of a worker.
    pub(crate) fn holders(&self) -> usize {
        self.0.strong_count()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.core.settings;
        f.debug_struct("Credentials")
            .field("mode", &settings.mode)
            .field("provider_id", &settings.provider_id)
            .field("scheme", &settings.scheme)
            .field("origins", &settings.origins)
            .field("snapshot", &**self.snapshot())
            .finish_non_exhaustive()
    }
}
