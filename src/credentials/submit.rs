//! How an operation gets to a worker: it is queued, and a worker is started if none is at work.

use std::sync::Arc;

use super::core::{Core, Submitted};
use super::state::Operation;
use super::sync::Handle;
use super::worker;
use crate::error::Error;

impl Core {
    /// Hands an operation in, and starts a worker if none is at work.
    pub(crate) fn submit(self: &Arc<Self>, operation: Operation) -> Submitted {
        let submitted = self.enqueue(operation);
        // Without a runtime here, whoever waits starts it from the runtime that polls.
        let _ = self.ensure_worker();
        submitted
    }

    /// Starts a worker if there is work and none is at it.
    ///
    /// # Errors
    ///
    /// When there is no Tokio runtime to start it on.
    pub(crate) fn ensure_worker(self: &Arc<Self>) -> Result<(), Error> {
        if !self.read(|state| state.needs_worker()) {
            return Ok(());
        }
        let runtime = self.runtime()?;
        if let Some(worker) = self.begin_worker() {
            worker::start(self, worker, &runtime);
        }
        Ok(())
    }

    /// Puts another worker in the place of one that is not polled any more.
    pub(crate) fn replace_worker(self: &Arc<Self>) {
        let Ok(runtime) = self.runtime() else { return };
        if let Some(worker) = self.begin_replacement() {
            worker::start(self, worker, &runtime);
        }
    }

    fn runtime(&self) -> Result<Handle, Error> {
        #[cfg(shuttle)]
        return Ok(Handle);
        #[cfg(not(shuttle))]
        match &self.settings.runtime {
            Some(runtime) => Ok(runtime.clone()),
            None => Handle::try_current().map_err(|_| Error::no_runtime()),
        }
    }
}
