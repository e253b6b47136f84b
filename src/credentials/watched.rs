//! Tells the subscribers of one credential that something may have changed.

use std::sync::OnceLock;

use tokio::sync::watch;

/// Costs nothing until somebody subscribes.
#[derive(Debug, Default)]
pub(crate) struct Watched(OnceLock<watch::Sender<()>>);

impl Watched {
    /// To be called after a change, never before it.
    pub(crate) fn signal(&self) {
        if let Some(sender) = self.0.get() {
            sender.send_replace(());
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.get_or_init(|| watch::channel(()).0).subscribe()
    }
}
