//! One credential for each user of a service, over one client for refresh requests and one family of
//! stores.
//!
//! ```
//! # use tower_teamup_auth::testing::FakeTeamUp;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_teamup_auth::client::{HyperClient, hyper_client};
//! use tower_teamup_auth::manager::CredentialsManager;
//! use tower_teamup_auth::store::FileStore;
//! use tower_teamup_auth::{AuthLayer, Credentials, RequestMode};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
//! # let teamup = FakeTeamUp::start().await;
//! # let (base_url, folder) = (teamup.base_url(), tempfile::tempdir()?);
//! # let tokens_of_ada = teamup.issue_tokens(&[RequestMode::Customer]);
//! let template = Credentials::builder(RequestMode::Customer).base_url(&base_url);
//! let users = CredentialsManager::builder(template, FileStore::family(folder.path()))
//!     .max_in_memory(1_000)
//!     .build()?;
//! let http_client: HyperClient = hyper_client();
//! let api = ServiceBuilder::new().layer(AuthLayer::per_request()).service(http_client);
//!
//! users.log_in("ada", tokens_of_ada).await?; // what a login has brought
//!
//! let request = Request::get(format!("{base_url}/events"))
//!     .extension(users.get("ada").await?)
//!     .body(Full::default())?;
//! assert_eq!(api.oneshot(request).await?.status(), 200);
//! users.shutdown(std::time::Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Memory
//!
//! The manager holds what is in use. A user who does not come back leaves the memory when there are
//! more than [`max_in_memory`](ManagerBuilder::max_in_memory), and is built anew from the store. A
//! credential with a refresh under way, or with tokens that are not in the store, does not leave. As
//! long as somebody holds a credential, a call of [`get`](CredentialsManager::get) hands out that one.
//! See [`docs::multiple_users`](crate::docs::multiple_users) for figures.
//!
//! | file | role |
//! | --- | --- |
//! | `users` | which credentials live, and which leave the memory |
//! | `inner` | builds, removals, shutdown |
//! | `events`, `health` | what a program is told |
//! | `keep_alive` | refreshes idle logins |
//! | `builder`, `family` | how a manager is made, over any store family |

mod builder;
mod events;
mod family;
mod health;
mod inner;
mod keep_alive;
mod unfinished;
mod users;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use builder::ManagerBuilder;
pub use events::{UserEvent, UserEventKind, UserEvents};
pub use health::Health;
use inner::Inner;
pub use unfinished::Unfinished;

use crate::credentials::{Credentials, CredentialsBuilder};
use crate::error::Error;
use crate::store::StoreFamily;
use crate::token::TokenSet;

/// The credentials of many users: see the [module](self). A clone is the same manager.
#[derive(Clone)]
pub struct CredentialsManager {
    inner: Arc<Inner>,
}

impl CredentialsManager {
    /// Begins a manager whose credentials are made from `template`, each over the store that `family`
    /// opens for its key.
    pub fn builder<F: StoreFamily>(template: CredentialsBuilder, family: F) -> ManagerBuilder<F> {
        ManagerBuilder::new(template, family)
    }

    fn of(inner: Arc<Inner>) -> Self {
        CredentialsManager { inner }
    }

    /// The credential of a user: the one that lives, or else one that is built from the store, once
    /// for all who ask at the same time.
    ///
    /// For a user who has never logged in it is signed out: its requests fail with an error of which
    /// [`Error::is_login_required`] is true, until [`log_in`](Self::log_in).
    ///
    /// # Errors
    ///
    /// [`Error::is_store`]: the store can't be read. [`Error::is_shut_down`] after
    /// [`shutdown`](Self::shutdown). Else as [`CredentialsBuilder::build`].
    ///
    /// # Cancel safety
    ///
    /// The build goes on for the others.
    pub async fn get(&self, key: &str) -> Result<Credentials, Error> {
        self.inner.open(key, true).await
    }

    /// Starts a new login of a user: see [`Credentials::log_in`]. A stored record that is torn or
    /// foreign gives way to it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`Credentials::log_in`].
    ///
    /// # Cancel safety
    ///
    /// As [`Credentials::log_in`], once the credential is built.
    pub async fn log_in(&self, key: &str, tokens: TokenSet) -> Result<Credentials, Error> {
        let credentials = self.get(key).await?;
        credentials.log_in(tokens).await?;
        Ok(credentials)
    }

    /// Signs a user out: see [`Credentials::sign_out`]. The store keeps a tombstone, so that other
    /// processes sign the user out, too.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`Credentials::sign_out`].
    pub async fn sign_out(&self, key: &str) -> Result<(), Error> {
        self.get(key).await?.sign_out().await
    }

    /// Erases what the store keeps of a user, a tombstone included: for the erasure of a person's
    /// data. A credential that lives is signed out and shut down first, so handles of it are of no
    /// more use.
    ///
    /// Another process that holds the user's tokens in memory writes them again when it refreshes.
    /// In a fleet, [`sign_out`](Self::sign_out) first, and remove when the processes have seen that:
    /// at their next refresh, or 5 seconds after a request that failed.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] or [`Error::is_unsaved`]: the store can't be written. Call it again.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped may have signed the user out and not removed the record. Call it again.
    pub async fn remove(&self, key: &str) -> Result<(), Error> {
        self.inner.remove(key).await
    }

    /// The credentials that live, each with its key: those in memory, and those that somebody holds.
    pub fn iter(&self) -> impl Iterator<Item = (Arc<str>, Credentials)> + use<> {
        let all = self.inner.users().all();
        all.into_iter()
    }

    /// What happens to the credentials of all users, from now on.
    ///
    /// ```no_run
    /// # async fn example(users: tower_teamup_auth::manager::CredentialsManager) {
    /// use tower_teamup_auth::manager::UserEventKind;
    ///
    /// let mut events = users.subscribe();
    /// while let Some(event) = events.next().await {
    ///     if let UserEventKind::LoginRequired(error) = event.kind() {
    ///         println!("{} must log in again: {error}", event.key());
    ///     }
    /// }
    /// # }
    /// ```
    pub fn subscribe(&self) -> UserEvents {
        self.inner.hub.subscribe()
    }

    /// How the credentials that live are, in counts. Asks nobody.
    pub fn health(&self) -> Health {
        let mut health =
            Health { store_failure: self.inner.store_failure().clone(), ..Health::default() };
        for (_, credentials) in self.iter() {
            health.count(&credentials.status());
        }
        health
    }

    /// Shuts down every credential, side by side, and waits for them up to `limit`: see
    /// [`Credentials::shutdown`]. None is built any more.
    ///
    /// # Errors
    ///
    /// The users whose credentials were not shut down, with the reasons. Call it again for one more
    /// attempt.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the waiting only; it may be called again.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), Unfinished> {
        self.inner.shutdown(limit).await
    }
}

impl fmt::Debug for CredentialsManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsManager")
            .field("template", &self.inner.template)
            .finish_non_exhaustive()
    }
}
