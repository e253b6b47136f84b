//! How long the soak waits for what should happen by itself.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;

/// Longer than all leases, pauses and limits on the way, on a machine that is ten times too busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

/// `what` completes the sentence "waited 150s until …".
///
/// # Errors
///
/// When it has not happened within [`PATIENCE`].
pub(crate) async fn within_patience<T>(
    what: &str,
    happens: impl Future<Output = T>,
) -> anyhow::Result<T> {
    let happened = tokio::time::timeout(PATIENCE, happens).await;
    happened.with_context(|| format!("waited {PATIENCE:?} until {what}"))
}
