//! What was decided when the credential was built.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::state::RefreshLimit;
use crate::headers::{AuthScheme, ProviderId, RequestMode};
use crate::origin::Origins;
use crate::token::Clock;

pub(crate) struct Settings {
    pub(crate) mode: RequestMode,
    pub(crate) provider_id: Option<ProviderId>,
    pub(crate) scheme: AuthScheme,
    pub(crate) origins: Origins,
    pub(crate) limit: RefreshLimit,
    /// How long a caller waits for a token.
    pub(crate) wait_timeout: Duration,
    /// How long the one request that starts an early refresh waits for it.
    pub(crate) early_wait: Duration,
    /// How long a refresh request may take, in counted running time.
    pub(crate) refresh_request_timeout: Duration,
    pub(crate) clock: Clock,
    /// Where the worker runs; `None`: on the runtime of whoever asks.
    #[cfg_attr(shuttle, expect(dead_code, reason = "shuttle's is the one runtime"))]
    pub(crate) runtime: Option<Handle>,
    #[cfg(feature = "testing")]
    pub(crate) at_each_step: Option<Arc<dyn Fn(RefreshStep) + Send + Sync>>,
}

/// A point of a refresh that has just been passed, for tests that stop a process there.
///
/// ```
/// use tower_teamup_auth::{Credentials, RequestMode, RefreshStep};
///
/// let builder = Credentials::builder(RequestMode::Provider).at_each_step(|step| {
///     if step == RefreshStep::Answered {
///         // … end the process: the rotated tokens are not in the store yet …
///     }
/// });
/// ```
#[cfg(feature = "testing")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefreshStep {
    /// The lease was granted.
    LeaseAcquired,
    /// The store was read.
    Loaded,
    /// The endpoint has answered with the rotated tokens, and nobody else knows them yet.
    Answered,
    /// The store has the new record.
    Saved,
    /// Requests see the new token; the lease is still held.
    Published,
}

impl Settings {
    #[cfg(feature = "testing")]
    pub(crate) fn passed(&self, step: RefreshStep) {
        if let Some(at_each_step) = &self.at_each_step {
            at_each_step(step);
        }
    }
}

#[cfg(not(feature = "testing"))]
const _: Option<Arc<()>> = None;
