//! How the `metrics` facade hears of the events. The table stands in `docs::metrics`.

use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::event::Event;
use crate::error::Error;
use crate::headers::RequestMode;
use crate::refresh::FailureClass;
use crate::token::{Clock, Moment};

const EXCHANGES: &str = "teamup_auth_exchanges_total";
const EXCHANGE_DURATION: &str = "teamup_auth_exchange_duration_seconds";
const REFRESH_FAILURES: &str = "teamup_auth_refresh_failures_total";
const ADOPTIONS: &str = "teamup_auth_adoptions_total";
const REPEATS: &str = "teamup_auth_repeats_total";
const GUARD_OPENINGS: &str = "teamup_auth_storm_guard_openings_total";
const UNSAVED: &str = "teamup_auth_unsaved_credentials";
const UNSAVED_DURATION: &str = "teamup_auth_unsaved_duration_seconds";
const REMAINING: &str = "teamup_auth_token_remaining_seconds";
const EXPIRY: &str = "teamup_auth_token_expiry_timestamp_seconds";

/// Tells the recorder of `metrics` what each metric of this crate means, and in which unit it is.
///
/// Call it once the program has installed its recorder: what is described before is forgotten. The
/// metrics themselves come without it. [`docs::metrics`](crate::docs::metrics) lists them.
///
/// ```
/// // … after `PrometheusBuilder::new().install()`, say …
/// tower_teamup_auth::describe_metrics();
/// ```
pub fn describe_metrics() {
    describe_counter!(EXCHANGES, Unit::Count, "Refresh exchanges that were sent, by outcome");
    describe_histogram!(
        EXCHANGE_DURATION,
        Unit::Seconds,
        "How long the endpoint took to answer an exchange, or failed to"
    );
    describe_counter!(REFRESH_FAILURES, Unit::Count, "Refreshes that failed, by kind of failure");
    describe_counter!(
        ADOPTIONS,
        Unit::Count,
        "Tokens taken over from the store, where another process had put them"
    );
    describe_counter!(REPEATS, Unit::Count, "Requests repeated with a new token after a 401");
    describe_counter!(
        GUARD_OPENINGS,
        Unit::Count,
        "How often the storm guard began to refuse refreshes"
    );
    describe_gauge!(
        UNSAVED,
        Unit::Count,
        "Credentials of this process whose newest tokens are not in their store"
    );
    describe_histogram!(
        UNSAVED_DURATION,
        Unit::Seconds,
        "How long the newest tokens of a credential were missing from its store"
    );
    describe_histogram!(
        REMAINING,
        Unit::Seconds,
        "What was left of the life of a token when its refresh began"
    );
    describe_gauge!(
        EXPIRY,
        Unit::Seconds,
        "When the newest access token expires, in seconds since the Unix epoch"
    );
}

pub(super) fn record(event: &Event<'_>) {
    match event {
        Event::RefreshStarted { mode, remaining: Some(remaining) } => {
            histogram!(REMAINING, "mode" => mode.as_str()).record(remaining.as_secs_f64());
        }
        Event::Exchanged { mode, failure, took } => {
            let outcome = failure.map_or("rotated", class);
            let labels = [("mode", mode.as_str()), ("outcome", outcome)];
            counter!(EXCHANGES, &labels).increment(1);
            histogram!(EXCHANGE_DURATION, &labels).record(took.as_secs_f64());
        }
        Event::RefreshSucceeded { mode, expires_at, .. } => expiry(*mode, *expires_at),
        Event::Adopted { mode, expires_at, .. } => {
            counter!(ADOPTIONS).increment(1);
            expiry(*mode, *expires_at);
        }
        Event::Overtaken { .. } | Event::NewTokensFound { .. } => counter!(ADOPTIONS).increment(1),
        Event::RefreshFailed { mode, error } => {
            let labels = [("mode", mode.as_str()), ("kind", kind(error))];
            counter!(REFRESH_FAILURES, &labels).increment(1);
        }
        Event::StormGuardOpen { mode, opened: true, .. } => {
            counter!(GUARD_OPENINGS, "mode" => mode.as_str()).increment(1);
        }
        Event::RequestRepeated { mode } => {
            counter!(REPEATS, "mode" => mode.as_str()).increment(1);
        }
        _ => {}
    }
}

/// A token without a known end has nothing to show.
fn expiry(mode: RequestMode, expires_at: Option<SystemTime>) {
    if let Some(expires_at) = expires_at {
        let seconds = expires_at.duration_since(UNIX_EPOCH);
        let seconds = seconds.map_or(0.0, |since| since.as_secs_f64());
        gauge!(EXPIRY, "mode" => mode.as_str()).set(seconds);
    }
}

/// As a label: without the blank of its `Display`.
fn class(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Transient => "transient",
        FailureClass::Rejected => "rejected",
        FailureClass::OutcomeUnknown => "outcome_unknown",
        FailureClass::ProbablyRejected => "probably_rejected",
        FailureClass::Configuration => "configuration",
        FailureClass::NotTheEndpoint => "not_the_endpoint",
    }
}

fn kind(error: &Error) -> &'static str {
    if error.is_login_required() {
        "reauthorization_required"
    } else if error.is_store() {
        "store"
    } else if error.is_outcome_unknown() {
        "outcome_unknown"
    } else if error.is_protocol() {
        "protocol"
    } else {
        "transient"
    }
}

/// Counts one credential as unsaved for as long as it lives.
#[derive(Debug)]
pub(crate) struct UnsavedTime {
    clock: Clock,
    since: Moment,
}

impl UnsavedTime {
    pub(crate) fn begin(clock: &Clock) -> Self {
        gauge!(UNSAVED).increment(1);
        UnsavedTime { clock: clock.clone(), since: clock.now() }
    }
}

impl Drop for UnsavedTime {
    fn drop(&mut self) {
        gauge!(UNSAVED).decrement(1);
        let took = self.since.until(self.clock.now());
        histogram!(UNSAVED_DURATION).record(took.as_secs_f64());
    }
}
