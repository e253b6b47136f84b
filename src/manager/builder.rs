//! How a manager is made.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;

use super::CredentialsManager;
use super::events::Hub;
use super::family::{DynFamily, KeyList, keys_of};
use super::inner::Inner;
use super::keep_alive::{self, KeepAlive};
use super::users::Users;
use crate::credentials::CredentialsBuilder;
use crate::error::{BoxError, Error};
use crate::store::{ListKeys, StoreFamily};

const DEFAULT_MOST: usize = 10_000;
const DEFAULT_PER_MINUTE: u32 = 60;

/// Makes a [`CredentialsManager`]. Made by [`CredentialsManager::builder`].
#[derive(Clone)]
pub struct ManagerBuilder<F> {
    template: CredentialsBuilder,
    family: Arc<F>,
    most: usize,
    keys: Option<KeyList>,
    every: Duration,
    per_minute: u32,
}

impl<F: StoreFamily> ManagerBuilder<F> {
    pub(super) fn new(template: CredentialsBuilder, family: F) -> Self {
        ManagerBuilder {
            template,
            family: Arc::new(family),
            most: DEFAULT_MOST,
            keys: None,
            every: Duration::ZERO,
            per_minute: DEFAULT_PER_MINUTE,
        }
    }

    /// How many users' credentials stay in memory: 10,000 by default. When there are more, the least
    /// recently used one leaves, and is built again from its store when its user comes back.
    ///
    /// One with a refresh under way, or with tokens that could not be saved, stays. So there may be
    /// more for a while.
    #[must_use]
    pub fn max_in_memory(mut self, users: usize) -> Self {
        self.most = users;
        self
    }

    /// Refreshes each login at least this often, used or not, so that its refresh token does not
    /// expire. The users are those that the store [lists](ListKeys).
    ///
    /// A login counts from the expiry of its newest access token, and is refreshed when between a
    /// half and three quarters of `every` have passed. One task reads the records, 16 times in
    /// `every`. It ends with the manager.
    #[must_use]
    pub fn keep_alive(mut self, every: Duration) -> Self
    where
        F: ListKeys,
    {
        self.keys = Some(keys_of(Arc::clone(&self.family)));
        self.every = every;
        self
    }

    /// The same for users that the program lists: for a store that can't, such as a Redis Cluster.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_teamup_auth::manager::CredentialsManager;
    /// use tower_teamup_auth::store::FileStore;
    /// use tower_teamup_auth::{Credentials, RequestMode};
    ///
    /// # fn example(template: tower_teamup_auth::CredentialsBuilder) {
    /// let week = Duration::from_secs(7 * 86_400);
    /// let builder = CredentialsManager::builder(template, FileStore::family("/var/lib/tokens"))
    ///     .keep_alive_of(week, || async { Ok(vec!["ada".to_owned(), "grace".to_owned()]) });
    /// # }
    /// ```
    #[must_use]
    pub fn keep_alive_of<L, R>(mut self, every: Duration, list: L) -> Self
    where
        L: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<String>, BoxError>> + Send + 'static,
    {
        self.keys = Some(Arc::new(move || Box::pin(list())));
        self.every = every;
        self
    }

    /// How many refreshes keep-alive starts in a minute, at most: 60 by default. TeamUp takes 250
    /// requests a minute from one IP address (documented), and those of users count, too.
    #[must_use]
    pub fn keep_alive_rate(mut self, refreshes_per_minute: u32) -> Self {
        self.per_minute = refreshes_per_minute;
        self
    }

    /// Makes the manager. Nothing is read or sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid_input`]: the template names tokens, a store or an M2M token, which can't
    /// be those of every user; a limit or a period is zero; keep-alive without a Tokio runtime.
    pub fn build(self) -> Result<CredentialsManager, Error> {
        let common = self.template.common();
        if common.has_tokens {
            return Err(Error::invalid_input(
                "the template of a manager names tokens, a store or an M2M token, and each user has \
                 their own; leave them out, and bring a user's tokens with \
                 `CredentialsManager::log_in`",
            ));
        }
        if self.most == 0 {
            return Err(Error::invalid_input(
                "`max_in_memory` is zero, so every request would build its credential; allow one \
                 or more",
            ));
        }
        let keep_alive = match self.keys {
            Some(_) if self.every.is_zero() || self.per_minute == 0 => {
                return Err(Error::invalid_input(
                    "keep-alive has a period or a rate of zero; give it a period of days and a rate \
                     of one or more",
                ));
            }
            Some(keys) => Some(KeepAlive { keys, every: self.every, per_minute: self.per_minute }),
            None => None,
        };
        let runtime = match (&keep_alive, &common.runtime) {
            (None, _) => None,
            (Some(_), Some(runtime)) => Some(runtime.clone()),
            (Some(_), None) => Some(Handle::try_current().map_err(|_| {
                Error::invalid_input(
                    "keep-alive needs a Tokio runtime and there is none here; build the manager \
                     within one, or name one with `CredentialsBuilder::runtime`",
                )
            })?),
        };
        let family: Arc<dyn DynFamily> = self.family;
        let inner = Arc::new(Inner {
            template: self.template,
            common,
            family,
            hub: Arc::new(Hub::new()),
            users: Mutex::new(Users::new(self.most)),
            store_failure: Mutex::new(None),
        });
        if let (Some(settings), Some(runtime)) = (keep_alive, runtime) {
            keep_alive::start(&inner, settings, &runtime);
        }
        Ok(CredentialsManager::of(inner))
    }
}

impl<F> fmt::Debug for ManagerBuilder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerBuilder")
            .field("template", &self.template)
            .field("max_in_memory", &self.most)
            .field("keep_alive", &self.keys.is_some().then_some(self.every))
            .finish_non_exhaustive()
    }
}
