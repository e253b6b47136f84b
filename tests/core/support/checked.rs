//! A service that watches over tower's readiness contract.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tower::Service;

/// Panics when it is called without its own `poll_ready`, and counts the readiness that is
/// reserved and neither used nor given back.
#[derive(Debug)]
pub(crate) struct Checked<S> {
    inner: S,
    ready: bool,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    reserved: AtomicUsize,
    most_reserved: AtomicUsize,
    unreadied_calls: AtomicUsize,
}

impl<S> Checked<S> {
    pub(crate) fn new(inner: S) -> Self {
        Checked { inner, ready: false, counts: Arc::default() }
    }

    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    fn set_ready(&mut self, ready: bool) {
        match (self.ready, ready) {
            (false, true) => {
                let reserved = self.counts.reserved.fetch_add(1, Ordering::SeqCst) + 1;
                self.counts.most_reserved.fetch_max(reserved, Ordering::SeqCst);
            }
            (true, false) => {
                self.counts.reserved.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
        self.ready = ready;
    }
}

impl Counts {
    /// How many services are readied at this moment, and were not called yet.
    pub(crate) fn reserved(&self) -> usize {
        self.reserved.load(Ordering::SeqCst)
    }

    /// How many were readied at one time, at most.
    pub(crate) fn most_reserved(&self) -> usize {
        self.most_reserved.load(Ordering::SeqCst)
    }

    /// A panic in a task can be swallowed on its way; this can't.
    pub(crate) fn unreadied_calls(&self) -> usize {
        self.unreadied_calls.load(Ordering::SeqCst)
    }
}

impl<S: Clone> Clone for Checked<S> {
    /// A clone of a readied service is not ready.
    fn clone(&self) -> Self {
        Checked { inner: self.inner.clone(), ready: false, counts: self.counts() }
    }
}

impl<S> Drop for Checked<S> {
    fn drop(&mut self) {
        self.set_ready(false);
    }
}

impl<S: Service<R>, R> Service<R> for Checked<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let answer = ready!(self.inner.poll_ready(cx));
        self.set_ready(answer.is_ok());
        Poll::Ready(answer)
    }

    fn call(&mut self, request: R) -> S::Future {
        if !self.ready {
            self.counts.unreadied_calls.fetch_add(1, Ordering::SeqCst);
            panic!("called without its own poll_ready");
        }
        self.set_ready(false);
        self.inner.call(request)
    }
}
