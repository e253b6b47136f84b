//! What the crate tells of its work: events of `tracing`, under the target `tower_teamup_auth`,
//! and, with the feature `metrics`, the metrics that `docs::metrics` lists. Both hear the same
//! [`Event`]s, and neither hears anything of a request that needs no refresh.
//!
//! Events come after the state has changed, and outside of every lock. No event holds a secret.
//!
//! | event | level | fields |
//! | --- | --- | --- |
//! | refresh started | debug | `mode`, `reason` |
//! | refresh request answered | debug | `mode`, `outcome`, `took_ms` |
//! | refresh succeeded | info | `mode`, `revision`, `expires_in_s` (absent when not known) |
//! | refresh request failed, and is sent again | warn | `mode`, `error`, `wait_ms` |
//! | refresh failed | warn | `mode`, `error` |
//! | login required | error | `mode`, `error` |
//! | M2M token refused | error | `mode`, `error` |
//! | M2M token replaced | info | |
//! | the users were not listed; their idle logins wait for the next pass | warn | `error` |
//! | refresh limit reached | warn | `mode`, `error` |
//! | the endpoint gave an odd lifetime | warn | |
//! | record adopted: another process has refreshed or logged in | info | `revision`, `login_changed` |
//! | signed out by another process | info | `revision` |
//! | the lease was lost | warn | |
//! | the lease was not released | warn | `error` |
//! | newest tokens not saved; they are used and the save is repeated | error | `error` |
//! | newest tokens still not saved | warn | `error`, `wait_ms` |
//! | newest tokens saved after all | info | `revision` |
//! | logged in | info | `revision` |
//! | signed out | info | `revision` |
//! | the given tokens are ignored: the store holds a record | info | `revision` |
//! | the store holds no record that can be read; a login will replace it | error | `error` |
//! | a refresh request was answered after its login was gone | info | |
//! | request retried with a new token | debug | `mode` |
//! | request not retried | debug | `mode`, `why` |
//! | request passed through without a token | debug or warn | `why` |

mod event;
#[cfg(feature = "metrics")]
mod metrics;

pub(crate) use event::{Chain, Event};
#[cfg(feature = "metrics")]
pub use metrics::{HISTOGRAM_BUCKETS, describe_metrics};

/// Tells everybody who listens.
pub(crate) fn emit(event: &Event<'_>) {
    event::trace(event);
    #[cfg(feature = "metrics")]
    metrics::record(event);
}

/// A credential has begun to hold tokens that its store lacks.
pub(crate) fn unsaved_began() {
    #[cfg(feature = "metrics")]
    metrics::unsaved_began();
}

/// It has them no longer, or is gone, after so long.
pub(crate) fn unsaved_ended(took: std::time::Duration) {
    #[cfg(feature = "metrics")]
    metrics::unsaved_ended(took);
    #[cfg(not(feature = "metrics"))]
    let _ = took;
}
