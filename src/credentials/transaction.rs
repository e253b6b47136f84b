//! One refresh, from the lock to the waking of its waiters.
//!
//! ```text
//! lock → re-read the store → adopt, if another process already rotated
//!      → exchange → persist → publish → unlock → wake every waiter with the same result
//! ```
//!
//! Persist before publish: no request carries a token whose refresh token a crash could lose. A
//! refresh token that was spent is never sent again knowingly.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::completion::Outcome;
use super::desk::Flight;
use super::ledger::{Ledger, Unsaved, Written};
use super::memory::Memory;
use super::vault::{Lease, catch_panic};
use crate::error::Error;
use crate::observe::{Event, emit};
use crate::refresh::{DynRefresh, FailureClass, RefreshError, RefreshRequest, RefreshResponse};
use crate::sync::{sleep, timeout};
use crate::token::{Deadline, IssuedToken, TokenSet};

/// The first pause after a transient failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A point of the transaction that has just been passed, for tests that stop a process there.
///
/// ```
/// use tower_teamup_auth::{Credentials, RequestMode, Step};
///
/// let builder = Credentials::builder(RequestMode::Provider).at_each_step(|step| {
///     if step == Step::Exchanged {
///         // … end the process: the rotated pair is not in the store yet …
///     }
/// });
/// ```
#[cfg_attr(not(feature = "testing"), expect(unreachable_pub, reason = "a test's hook names it"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// The right to refresh was granted.
    Locked,
    /// The store was read, and held nothing that made the exchange superfluous.
    Read,
    /// The endpoint has answered with the rotated pair, and nobody else knows it yet.
    Exchanged,
    /// The store has the new pair.
    Persisted,
    /// Requests see the new pair; the right to refresh is still held.
    Published,
}

/// What the transaction works with.
pub(crate) struct Transaction<'a> {
    pub(crate) inner: &'a Arc<Inner>,
    pub(crate) refresh: &'a dyn DynRefresh,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) flight: &'a Flight,
    pub(crate) deadline: Deadline,
}

/// What was tried so far.
#[derive(Default)]
struct Tries {
    transient: u32,
    /// Leases that were lost.
    leases: u32,
    /// The one further try after an unknown outcome was used up.
    unknown: bool,
    /// The one further try with a refresh token that another process had stored was used up.
    reread: bool,
}

/// How the work under one lease ends.
enum End {
    Done,
    /// Another may have had the lease before this one's exchange: everything starts over.
    LeaseLost,
}

/// How to go on after a failed exchange.
enum Next {
    Again,
    Adopted,
}

impl Transaction<'_> {
    pub(crate) async fn run(mut self) -> Outcome {
        emit(&Event::RefreshStarted { mode: self.flight.mode(), remaining: self.remaining() });
        let mut tries = Tries::default();
        loop {
            let limit = self.time_left()?;
            let lease = self.ledger.lock(self.inner, limit).await.map_err(Error::store)?;
            let end = self.run_under(&lease, &mut tries).await;
            if !matches!(end, Ok(End::LeaseLost)) {
                self.ledger.unlock(lease);
                return end.map(|_| ());
            }
            emit(&Event::LeaseLost);
            drop(lease);
            // A store that loses every lease at once is not asked in a tight loop.
            sleep(self.pause(tries.leases).min(self.deadline.remaining())).await;
            tries.leases += 1;
        }
    }

    /// The transaction under one lease; the caller gives it back, or keeps it.
    async fn run_under(&mut self, lease: &Lease, tries: &mut Tries) -> Result<End, Error> {
        self.inner.step(Step::Locked);
        let mut over = match self.reread().await? {
            Reread::Adopted => return Ok(End::Done),
            Reread::Exchange { over, .. } => over,
        };
        self.inner.step(Step::Read);
        loop {
            if let Some(refusal) = self.ledger.refusal() {
                return Err(refusal);
            }
            self.time_left()?;
            if !self.inner.vault.is_held(lease) {
                return Ok(End::LeaseLost);
            }
            match self.exchange().await {
                Ok(minted) => return self.conclude(lease, over, minted).await.map(|()| End::Done),
                Err(error) => match self.after(error, lease, &mut over, tries).await? {
                    Next::Again => {}
                    Next::Adopted => return Ok(End::Done),
                },
            }
        }
    }

    /// What is left of the time limit. Once it is over nothing is begun any more; what was begun
    /// keeps its own limit, for an exchange that is cut off could spend the refresh token for
    /// nothing.
    fn time_left(&self) -> Result<Duration, Error> {
        let time_left = self.deadline.remaining();
        if time_left.is_zero() { Err(Error::timed_out()) } else { Ok(time_left) }
    }

    /// Reads the store, and takes over what is newer there.
    async fn reread(&mut self) -> Result<Reread, Error> {
        let stored = self.inner.vault.load(&self.ledger.tokens).await.map_err(Error::store)?;
        let over = stored.as_ref().map(TokenSet::revision);
        let current = self.current_access_token();
        let newer = stored.is_some_and(|stored| self.ledger.take_newer(stored));
        if newer && self.holds_another_good_token(current.as_ref()) {
            self.inner.desk.with_memory(Memory::recovered);
            self.inner.publish(self.ledger);
            emit(&Event::Adopted {
                mode: self.flight.mode(),
                revision: over.unwrap_or_default(),
                expires_at: self.current_access_token().and_then(|issued| issued.expires_at),
            });
            return Ok(Reread::Adopted);
        }
        Ok(Reread::Exchange { over, newer })
    }

    fn current_access_token(&self) -> Option<IssuedToken> {
        self.ledger.tokens.as_ref()?.issued(self.flight.mode()).cloned()
    }

    /// What is left of the life of the token that this flight replaces.
    fn remaining(&self) -> Option<Duration> {
        let expires_at = self.current_access_token()?.expires_at?;
        let now = self.inner.settings.clock.now().wall_time();
        Some(expires_at.duration_since(now).unwrap_or_default())
    }

    /// Does the ledger hold a token of this mode that has not expired, and that is not the one
    /// which this flight replaces?
    fn holds_another_good_token(&self, replaced: Option<&IssuedToken>) -> bool {
        let now = self.inner.settings.clock.now().wall_time();
        self.ledger
            .tokens
            .as_ref()
            .and_then(|tokens| tokens.issued(self.flight.mode()))
            .is_some_and(|issued| {
                replaced.map(|replaced| &replaced.token) != Some(&issued.token)
                    && issued.expires_at.is_none_or(|expires_at| expires_at > now)
            })
    }

    async fn exchange(&mut self) -> Result<(RefreshResponse, IssuedToken), RefreshError> {
        let clock = &self.inner.settings.clock;
        let began = clock.now();
        let result = self.exchange_once().await;
        emit(&Event::Exchanged {
            mode: self.flight.mode(),
            failure: result.as_ref().err().map(RefreshError::class),
            took: began.until(clock.now()),
        });
        result
    }

    async fn exchange_once(&self) -> Result<(RefreshResponse, IssuedToken), RefreshError> {
        let settings = &self.inner.settings;
        let Some(tokens) = &self.ledger.tokens else {
            return Err(RefreshError::rejected("there is no refresh token"));
        };
        let request = RefreshRequest::new(tokens.refresh_token().clone(), self.flight.mode());
        let limit = settings.refresh_request_timeout;
        // The lifetime counts from before the request was sent: the token is never older than
        // that.
        let sent_at = settings.clock.now();
        let answer = timeout(limit, catch_panic(|| self.refresh.refresh(request))).await;
        let response = match answer {
            Ok(Ok(answer)) => answer?,
            Ok(Err(_panicked)) => {
                return Err(RefreshError::outcome_unknown("the exchange panicked"));
            }
            Err(_elapsed) => {
                return Err(RefreshError::outcome_unknown(format!(
                    "the endpoint did not answer within {limit:?}"
                )));
            }
        };
        let issued = IssuedToken {
            token: response.access_token.clone(),
            expires_at: response
                .expires_in
                .and_then(|lifetime| sent_at.wall_time().checked_add(lifetime)),
        };
        Ok((response, issued))
    }

    /// Persist, publish; the caller unlocks.
    async fn conclude(
        &mut self,
        lease: &Lease,
        over: Option<u64>,
        (response, issued): (RefreshResponse, IssuedToken),
    ) -> Outcome {
        let inner = self.inner;
        let mode = self.flight.mode();
        let (expires_in, expires_at) = (response.expires_in, issued.expires_at);
        if response.odd_lifetime {
            emit(&Event::OddLifetime);
        }
        self.rotate(response.refresh_token, Some(issued));
        inner.step(Step::Exchanged);
        inner.desk.with_memory(|memory| {
            memory.minted(self.flight.reason, inner.settings.clock.now());
        });
        let persisted = self.persist(lease, over).await;
        inner.step(Step::Persisted);
        inner.publish(self.ledger);
        inner.step(Step::Published);
        if matches!(persisted, Ok(Written::Theirs)) && inner.cell.load().slot(mode).held.is_none() {
            // What the others saved has no token of this mode: the next caller asks for one.
            return Err(Error::interrupted());
        }
        emit(&Event::RefreshSucceeded {
            mode,
            expires_at,
            revision: self.ledger.tokens.as_ref().map_or(0, TokenSet::revision),
            expires_in,
        });
        Ok(())
    }

    fn rotate(&mut self, refresh_token: crate::token::RefreshToken, minted: Option<IssuedToken>) {
        let mode = self.flight.mode();
        if let Some(tokens) = &mut self.ledger.tokens {
            *tokens = tokens.rotated(refresh_token, minted.map(|issued| (mode, issued)));
            // From here until it is written: the runtime may go away in between.
            self.ledger.unsaved = Some(Unsaved::Rotated);
        }
    }

    /// Writes the rotated tokens. A failure does not undo the rotation, so it is no failure of the
    /// refresh: the tokens stay unsaved, and the driver repeats the write.
    async fn persist(&mut self, lease: &Lease, over: Option<u64>) -> Result<Written, Error> {
        self.ledger.write(self.inner, lease, over).await.map_err(|error| {
            self.ledger.not_saved(&self.inner.settings.clock);
            self.inner.unsaved(error)
        })
    }

    /// Decides what a failed exchange leads to.
    async fn after(
        &mut self,
        mut error: RefreshError,
        lease: &Lease,
        over: &mut Option<u64>,
        tries: &mut Tries,
    ) -> Result<Next, Error> {
        if let Some(rotated) = error.take_rotated() {
            // The answer was of no use, save that it told which refresh token is alive. It is not
            // sent before it is safe.
            self.rotate(rotated, None);
            self.persist(lease, *over).await?;
            *over = self.ledger.tokens.as_ref().map(TokenSet::revision);
        }
        match error.class() {
            FailureClass::Transient => {
                let pause =
                    self.pause(tries.transient).max(error.retry_after().unwrap_or_default());
                tries.transient += 1;
                self.pause_and_try_again(error, pause).await
            }
            FailureClass::OutcomeUnknown => match self.reread().await? {
                Reread::Adopted => Ok(Next::Adopted),
                Reread::Exchange { .. } if tries.unknown => Err(Error::refresh(error)),
                Reread::Exchange { over: found, .. } => {
                    tries.unknown = true;
                    *over = found;
                    let pause = self.pause(0);
                    self.pause_and_try_again(error, pause).await
                }
            },
            FailureClass::Rejected => {
                let error = Error::reauthorization_required(error);
                // Before the store is asked, which may not answer.
                self.ledger.refused(error.clone());
                match self.reread().await? {
                    Reread::Adopted => Ok(Next::Adopted),
                    Reread::Exchange { over: found, newer: true } if !tries.reread => {
                        tries.reread = true;
                        *over = found;
                        Ok(Next::Again)
                    }
                    Reread::Exchange { .. } => Err(error),
                }
            }
            _ => Err(Error::refresh(error)),
        }
    }

    /// Pauses where the deadline leaves room for it, and gives up where it does not.
    async fn pause_and_try_again(
        &self,
        error: RefreshError,
        pause: Duration,
    ) -> Result<Next, Error> {
        if pause >= self.deadline.remaining() {
            return Err(Error::refresh(error));
        }
        emit(&Event::ExchangeFailed { error: &error, wait: pause });
        sleep(pause).await;
        Ok(Next::Again)
    }

    /// Exponential, with the upper half of each pause drawn by lot.
    fn pause(&self, failures: u32) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(8)).min(LONGEST_PAUSE);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

enum Reread {
    /// Another process had refreshed: its tokens are published.
    Adopted,
    /// An exchange is needed. `over` is the revision that the store holds; `newer` says that the
    /// ledger has just taken a newer refresh token from it.
    Exchange { over: Option<u64>, newer: bool },
}
