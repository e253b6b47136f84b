//! What the crate tells of its work: events of `tracing`, under the target `tower_teamup_auth`,
//! and, with the feature `metrics`, the metrics that `docs::metrics` lists. Both hear the same
//! [`Event`]s, and neither hears anything of a request that needs no refresh.
//!
//! A refresh runs in a span of its own, `teamup_refresh` with `mode` and `reason`, which is no child
//! of any request: many requests share it. No event and no span holds a secret.
//!
//! | event | level | fields |
//! | --- | --- | --- |
//! | refresh started | debug | |
//! | exchange answered | debug | `outcome`, `took_ms` |
//! | refresh succeeded | info | `revision`, `expires_in_s` (absent when not known) |
//! | tokens adopted: another process had refreshed | info | `revision` |
//! | exchange failed, and is tried again | warn | `class`, `error`, `wait_ms` |
//! | refresh failed | warn | `error` |
//! | re-authorization is required | error | `error` |
//! | storm guard refused a refresh | warn | `mode`, `error` |
//! | the endpoint gave an odd lifetime | warn | |
//! | the lease was lost before the exchange; starting over | warn | |
//! | newest tokens not saved; they are used and the write is repeated | error | `error` |
//! | newest tokens still not saved | warn | `error`, `wait_ms` |
//! | newest tokens saved after all | info | `revision` |
//! | another process has saved in the meantime; its tokens are adopted | warn | `revision` |
//! | new tokens set | info | `revision` |
//! | new tokens found in the store: re-authorization is not required any more | info | `revision` |
//! | signed out | info | |
//! | request repeated with a new token | debug | `mode` |
//! | request not repeated | debug | `mode`, `why` |

mod event;
#[cfg(feature = "metrics")]
mod metrics;

pub(crate) use event::{Chain, Event, refresh_span};
#[cfg(feature = "metrics")]
pub(crate) use metrics::UnsavedTime;
#[cfg(feature = "metrics")]
pub use metrics::describe_metrics;

/// Tells everybody who listens.
pub(crate) fn emit(event: &Event<'_>) {
    event::trace(event);
    #[cfg(feature = "metrics")]
    metrics::record(event);
}

/// Without the feature `metrics`, nobody counts the time.
#[cfg(not(feature = "metrics"))]
#[derive(Debug)]
pub(crate) struct UnsavedTime;

#[cfg(not(feature = "metrics"))]
impl UnsavedTime {
    pub(crate) fn begin(_clock: &crate::token::Clock) -> Self {
        UnsavedTime
    }
}
