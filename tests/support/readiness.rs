//! A service that watches over tower's readiness contract, put below every stack of the tests.
//!
//! It ends the whole test program when
//!
//! - it is called without a `poll_ready` of its own, or as a clone of one that was readied;
//! - it was readied before a refresh request began, and is still neither called nor given back when
//!   the refresh request is over: then capacity was held while a refresh was awaited. Looked for where the
//!   runtime has one thread; with several, one of them can be stopped between `poll_ready` and `call`
//!   for as long as a refresh request takes.
//!
//! A panic would not do: it could be caught on its way, by a task or by the credential itself.

#![allow(dead_code, reason = "each test program takes what it needs")]

use std::collections::HashSet;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use http::Request;
use tokio::runtime::{Handle, RuntimeFlavor};
use tower::Service;

/// The service, and every clone of it.
#[derive(Debug)]
pub(crate) struct Checked<S> {
    inner: S,
    /// `Some` from its `poll_ready` until it is called or dropped: the number of the reservation.
    reserved: Option<usize>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// The reservations that stand.
    standing: Mutex<HashSet<usize>>,
    numbers: AtomicUsize,
    most_reserved: AtomicUsize,
    /// `Some`: what was broken is written down, and the program goes on.
    breaches: Option<Mutex<Vec<&'static str>>>,
}

impl<S> Checked<S> {
    pub(crate) fn new(inner: S) -> Self {
        Checked { inner, reserved: None, counts: Arc::default() }
    }

    /// One that counts together with others: what carries the refresh requests, say, and what waits for them.
    pub(crate) fn counted_with(counts: &Arc<Counts>, inner: S) -> Self {
        Checked { inner, reserved: None, counts: Arc::clone(counts) }
    }

    /// One that writes down what was broken, and goes on.
    pub(crate) fn recording(inner: S) -> Self {
        let counts = Counts { breaches: Some(Mutex::default()), ..Counts::default() };
        Checked { inner, reserved: None, counts: Arc::new(counts) }
    }

    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    fn release(&mut self) -> bool {
        let reserved = self.reserved.take();
        reserved.is_some_and(|number| self.counts.standing().remove(&number))
    }
}

impl Counts {
    fn standing(&self) -> MutexGuard<'_, HashSet<usize>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was broken, where it is written down.
    pub(crate) fn breaches(&self) -> Vec<&'static str> {
        let breaches = self.breaches.as_ref().expect("a service that records");
        breaches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many services are readied at this moment, and were not called yet.
    pub(crate) fn reserved(&self) -> usize {
        self.standing().len()
    }

    /// How many were readied at one time, at most.
    pub(crate) fn most_reserved(&self) -> usize {
        self.most_reserved.load(Ordering::SeqCst)
    }

    fn broken(&self, how: &'static str) {
        if let Some(breaches) = &self.breaches {
            breaches.lock().unwrap_or_else(PoisonError::into_inner).push(how);
            return;
        }
        // Past the capturing of the test's output, which would end with the program.
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test").to_owned();
        let _ = writeln!(io::stderr().lock(), "P6 is broken in {test}: {how}");
        std::process::exit(101)
    }

    fn reserve(&self) -> usize {
        let number = self.numbers.fetch_add(1, Ordering::SeqCst);
        let mut standing = self.standing();
        standing.insert(number);
        self.most_reserved.fetch_max(standing.len(), Ordering::SeqCst);
        number
    }
}

impl<S: Clone> Clone for Checked<S> {
    /// A clone of a readied service is not ready.
    fn clone(&self) -> Self {
        Checked { inner: self.inner.clone(), reserved: None, counts: self.counts() }
    }
}

impl<S> Drop for Checked<S> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<S, B> Service<Request<B>> for Checked<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Watched<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let answer = ready!(self.inner.poll_ready(cx));
        if answer.is_err() {
            self.release();
        } else if self.reserved.is_none() {
            self.reserved = Some(self.counts.reserve());
        }
        Poll::Ready(answer)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !self.release() {
            self.counts.broken("called without its own poll_ready");
        }
        let is_refresh_request = request.uri().path().ends_with("/auth/refresh_access_token");
        let refresh_request =
            (is_refresh_request && runs_on_one_thread()).then(|| WatchedRefresh {
                reserved_before: self.counts.standing().clone(),
                counts: self.counts(),
            });
        Watched { future: Box::pin(self.inner.call(request)), refresh_request }
    }
}

fn runs_on_one_thread() -> bool {
    Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread)
}

/// A refresh request under way.
struct WatchedRefresh {
    reserved_before: HashSet<usize>,
    counts: Arc<Counts>,
}

/// The service's future.
pub(crate) struct Watched<F> {
    future: Pin<Box<F>>,
    refresh_request: Option<WatchedRefresh>,
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let output = ready!(self.future.as_mut().poll(cx));
        if let Some(WatchedRefresh { reserved_before, counts }) = self.refresh_request.take() {
            if counts.standing().iter().any(|number| reserved_before.contains(number)) {
                counts.broken("readiness was reserved and held over a refresh");
            }
        }
        Poll::Ready(output)
    }
}
