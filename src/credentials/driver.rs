//! The task that flies the flights: one for each credential with work to do, none while it is idle.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::Inner;
use super::completion::Outcome;
use super::desk::{Flight, Reason};
use super::ledger::Ledger;
use super::memory::Memory;
use super::transaction::Transaction;
use super::vault::catch_panic;
use crate::error::Error;
use crate::observe::{Event, emit, refresh_span};
use crate::sync::{Handle, sleep};
use crate::token::{Deadline, Moment};

/// A failure is everybody's answer for this long, give or take half of it.
const FAILURE_MEMORY: Duration = Duration::from_secs(1);

/// The longest that a `Retry-After` keeps a credential from trying again.
const LONGEST_FAILURE_MEMORY: Duration = Duration::from_secs(300);

/// The first pause before a failed write is repeated; it doubles with each further one.
const FIRST_WRITE_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_WRITE_PAUSE: Duration = Duration::from_secs(30);

/// Starts the driver of a shift that the desk has opened.
///
/// # Errors
///
/// When there is no Tokio runtime here; then nobody waits for this shift any longer.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<(), Error> {
    match Handle::try_current() {
        Ok(runtime) => {
            let shift = Shift { inner: Arc::clone(inner), over: false };
            runtime.spawn(shift.work());
            Ok(())
        }
        Err(_) => {
            inner.desk.abandon(&Error::no_runtime());
            Err(Error::no_runtime())
        }
    }
}

/// Whatever ends it (its work is done, it panicked, its runtime went away), nobody is left waiting.
struct Shift {
    inner: Arc<Inner>,
    /// The desk has closed this shift, and may have opened the next one for another driver.
    over: bool,
}

impl Drop for Shift {
    fn drop(&mut self) {
        if !self.over {
            self.inner.desk.abandon(&Error::interrupted());
        }
    }
}

impl Shift {
    async fn work(mut self) {
        let inner = &Arc::clone(&self.inner);
        let mut failed_writes = 0;
        loop {
            let mut ledger = inner.ledger.lock().await;
            let Err(error) = ledger.write_back(inner).await else {
                failed_writes = 0;
                if inner.desk.take_look() {
                    look_for_new_tokens(inner, &mut ledger).await;
                }
                let next = inner.desk.next();
                // Not before: whoever holds it leaves a write to a driver that is still at work.
                drop(ledger);
                match next {
                    Some(flight) => fly(inner, &flight).await,
                    None => {
                        self.over = true;
                        return;
                    }
                }
                continue;
            };
            // No refresh before the last one is safe: whoever asks in the meantime is told so.
            let pause = FIRST_WRITE_PAUSE
                .saturating_mul(1 << failed_writes.min(10))
                .min(LONGEST_WRITE_PAUSE)
                .mul_f64(0.5 + fastrand::f64() / 2.0);
            failed_writes += 1;
            emit(&Event::StillUnsaved { error: &error, wait: pause });
            let error = Error::unsaved(error);
            let now = inner.settings.clock.now();
            inner.desk.with_memory(|memory| {
                memory.unsaved(error.clone(), now);
                memory.fail(error.clone(), now, now.plus(pause));
            });
            drop(ledger);
            inner.desk.fail_queued(&error);
            sleep(pause).await;
        }
    }
}

/// The refresh token was refused here; a login may have brought another process new ones.
async fn look_for_new_tokens(inner: &Inner, ledger: &mut Ledger) {
    // A store that can't be read is looked at again.
    let stored = inner.vault.load(&ledger.tokens).await.ok().flatten();
    let Some(revision) = stored.and_then(|stored| ledger.take_login(stored)) else { return };
    inner.desk.with_memory(Memory::forget);
    inner.publish(ledger);
    emit(&Event::NewTokensFound { revision });
}

async fn fly(inner: &Arc<Inner>, flight: &Flight) {
    let span = refresh_span(flight.mode(), flight.reason.as_str());
    let outcome = transact(inner, flight).instrument(span).await;
    inner.desk.landed(flight, outcome);
}

async fn transact(inner: &Arc<Inner>, flight: &Flight) -> Outcome {
    let Some(refresh) = &inner.refresh else {
        return Err(Error::not_refreshable(flight.mode()));
    };
    // ReadyToken until a failure is remembered: tokens that are set next must not suffer for it.
    let mut ledger = inner.ledger.lock().await;
    if inner.cell.load().slot(flight.mode()).generation != flight.generation {
        return Ok(());
    }
    // Tokens that were set meanwhile may not have reached the store.
    ledger.write_back(inner).await.map_err(Error::unsaved)?;
    // The flight before this one may have learnt what this one need not try.
    let now = inner.settings.clock.now();
    let guard = inner.settings.refresh_limit;
    if let Some(error) = inner.desk.objection(flight.reason, now, guard) {
        if error.is_refresh_limited() {
            let opened = inner.desk.with_memory(Memory::guard_has_just_opened);
            emit(&Event::StormGuardOpen { mode: flight.mode(), opened, error: &error });
        }
        return Err(error);
    }
    let deadline = Deadline::after(inner.settings.wait_timeout);
    let (refresh, tokens) = (&**refresh, &mut *ledger);
    let transaction = Transaction { inner, refresh, ledger: tokens, flight, deadline };
    let outcome = match catch_panic(|| transaction.run()).await {
        Ok(outcome) => outcome,
        Err(_panicked) => Err(Error::interrupted()),
    };
    if let Err(error) = &outcome {
        emit(&Event::RefreshFailed { mode: flight.mode(), error });
        remember(inner, flight, error, &mut ledger);
    }
    outcome
}

/// Keeps a failure in mind, so that nobody repeats it at once, and never at the cost of a token
/// that is still good.
fn remember(inner: &Inner, flight: &Flight, error: &Error, ledger: &mut Ledger) {
    let now = inner.settings.clock.now();
    let refused = error.is_login_required();
    let until = if refused {
        inner.desk.refuse(error.clone(), now);
        Moment::NEVER
    } else {
        let asked = error.refresh_error().and_then(|error| error.retry_after()).unwrap_or_default();
        let pause = FAILURE_MEMORY.mul_f64(0.5 + fastrand::f64());
        let until = now.plus(pause.max(asked.min(LONGEST_FAILURE_MEMORY)));
        inner.desk.with_memory(|memory| memory.fail(error.clone(), now, until));
        until
    };
    if refused && flight.reason == Reason::Unauthorized {
        // The API refused the access token, the endpoint the refresh token: sending either again
        // would be asking for the same answer.
        ledger.tokens =
            ledger.tokens.take().map(|tokens| tokens.without_access_token(flight.mode()));
        inner.publish(ledger);
    } else {
        let next = inner.cell.load().advising_nothing_before(flight.mode(), until);
        inner.cell.store(next);
    }
}
