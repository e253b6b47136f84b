//! What a request carries along until it is answered.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::backup::RequestBackup;
use super::decision::{HeaderPlan, Target};
use crate::credentials::{Credentials, Generation, RouteKey};
use crate::origin::{Allowed, Origins};

/// What all clones of one service share.
pub(crate) struct Shared<S> {
    /// Never readied and never called: what is cloned when a request needs a service of its own.
    template: Mutex<S>,
    /// `None`: each request brings its own.
    pub(crate) credentials: Option<Credentials>,
    /// The origins of the first credentials that a request brought. A request without credentials
    /// that goes elsewhere is a redirect that left the API.
    pub(crate) known_origins: OnceLock<Origins>,
}

impl<S> Shared<S> {
    pub(crate) fn new(template: S, credentials: Option<Credentials>) -> Self {
        Shared { template: Mutex::new(template), credentials, known_origins: OnceLock::new() }
    }
}

impl<S: Clone> Shared<S> {
    /// A service that nobody has readied yet.
    pub(crate) fn fresh(&self) -> S {
        self.template.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, shared with nobody.
    pub(crate) fn private_copy(&self) -> Self {
        Shared {
            template: Mutex::new(self.fresh()),
            credentials: self.credentials.clone(),
            known_origins: self.known_origins.clone(),
        }
    }
}

impl<S> Shared<S> {
    /// Are these the first credentials that a request has brought?
    pub(super) fn must_learn_origins(&self, brought: Option<&Credentials>) -> bool {
        brought.is_some() && self.credentials.is_none() && self.known_origins.get().is_none()
    }

    pub(super) fn learn_origins(&self, target: &Target<'_>) {
        if self.must_learn_origins(target.own_credentials()) {
            let _ = self.known_origins.set(target.credentials.settings().origins.clone());
        }
    }
}

/// What a request that was sent needs if it is answered 401.
pub(crate) struct RetryContext<S, B> {
    pub(crate) shared: Arc<Shared<S>>,
    /// That of the token that it was sent with.
    pub(crate) generation: Generation,
    pub(crate) backup: RequestBackup<B>,
}

impl<S, B> RetryContext<S, B> {
    pub(crate) fn credentials(&self) -> &Credentials {
        self.backup
            .credentials()
            .or(self.shared.credentials.as_ref())
            .expect("a request is authorized by credentials")
    }

    /// Which of the API's routes the request goes to, if it can be retried.
    pub(crate) fn route(&self) -> Option<RouteKey> {
        let provider_id = self.credentials().settings().provider_id;
        self.backup.route(self.generation.mode(), provider_id)
    }
}

/// What a request needs that waits for the token of its first send.
pub(crate) struct PendingRequest<S> {
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) credentials: Credentials,
    pub(crate) target: PendingTarget,
    /// That of the login that it was classified with.
    pub(crate) generation: Generation,
}

/// A [`Target`] that outlives its request's call.
#[derive(Clone, Copy)]
pub(crate) struct PendingTarget {
    from_extensions: bool,
    origin: Allowed,
    pub(crate) plan: HeaderPlan,
}

impl PendingTarget {
    pub(crate) fn with<'a>(&self, credentials: &'a Credentials) -> Target<'a> {
        let PendingTarget { from_extensions, origin, plan } = *self;
        Target { credentials, from_extensions, origin, plan }
    }
}

impl From<&Target<'_>> for PendingTarget {
    fn from(target: &Target<'_>) -> Self {
        let Target { from_extensions, origin, plan, .. } = *target;
        PendingTarget { from_extensions, origin, plan }
    }
}
