//! One caller's wait for a refresh, with its limit.
//!
//! The limit ends the waiting alone. The refresh goes on, for everybody else who waits and for the next
//! request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::Sleep;

use crate::credentials::PendingRefresh;
use crate::error::Error;

pin_project! {
    /// Resolves with the outcome of a refresh, or with "timed out" when the limit is reached first.
    pub(crate) struct LimitedWait {
        refresh: PendingRefresh,
        longest: Duration,
        // `None` until something has to be waited for, and without a runtime.
        #[pin]
        limit: Option<Sleep>,
    }
}

impl LimitedWait {
    /// The limit runs from the first poll.
    pub(crate) fn new(refresh: PendingRefresh, longest: Duration) -> Self {
        LimitedWait { refresh, longest, limit: None }
    }

    /// The same with a lower limit, where `longest` is one.
    #[cfg(feature = "reqwest-middleware")]
    pub(crate) fn at_most(self, longest: Option<Duration>) -> Self {
        let longest = longest.map_or(self.longest, |longest| longest.min(self.longest));
        LimitedWait { longest, ..self }
    }
}

impl Future for LimitedWait {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(outcome) = Pin::new(this.refresh).poll(cx) {
            this.limit.set(None);
            return Poll::Ready(outcome);
        }
        if this.limit.is_none() && Handle::try_current().is_ok() {
            this.limit.set(Some(tokio::time::sleep(*this.longest)));
        }
        match this.limit.as_mut().as_pin_mut().map(|limit| limit.poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(Error::timed_out())),
            _ => Poll::Pending,
        }
    }
}
