//! How the `metrics` facade hears of the events. The table stands in `docs::metrics`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::event::Event;
use crate::error::Error;
use crate::headers::RequestMode;
use crate::refresh::FailureClass;

const REFRESH_REQUESTS: &str = "teamup_auth_refresh_requests_total";
const REFRESH_REQUEST_DURATION: &str = "teamup_auth_refresh_request_duration_seconds";
const REFRESH_FAILURES: &str = "teamup_auth_refresh_failures_total";
const ADOPTIONS: &str = "teamup_auth_adoptions_total";
const RETRIES: &str = "teamup_auth_retries_total";
const REFRESH_LIMITS: &str = "teamup_auth_refresh_limits_total";
const UNSAVED: &str = "teamup_auth_unsaved_credentials";
const UNSAVED_DURATION: &str = "teamup_auth_unsaved_duration_seconds";
const REMAINING: &str = "teamup_auth_token_remaining_seconds";
const EXPIRY: &str = "teamup_auth_token_expiry_timestamp_seconds";

/// How a refresh request can end.
const OUTCOMES: [&str; 7] = [
    "refreshed",
    class(FailureClass::Transient),
    class(FailureClass::Rejected),
    class(FailureClass::ProbablyRejected),
    class(FailureClass::Configuration),
    class(FailureClass::OutcomeUnknown),
    class(FailureClass::NotTheEndpoint),
];

type Question = fn(&Error) -> bool;

/// How a refresh can fail. The first whose question is true of an error is its kind.
const KINDS: [(&str, Question); 7] = [
    ("login_required", Error::is_login_required),
    ("m2m_refused", Error::is_m2m_refused),
    ("configuration", Error::is_configuration),
    ("store", Error::is_store),
    ("outcome_unknown", Error::is_outcome_unknown),
    ("protocol", Error::is_protocol),
    ("transient", |_| true),
];

/// The histograms of this crate, and upper bounds in seconds that tell their buckets apart well.
///
/// A refresh request takes tenths of a second and ends after two minutes at the latest. A token lives
/// for two hours, and its refresh begins five minutes before the end.
///
/// ```
/// # struct PrometheusBuilder;
/// # impl PrometheusBuilder {
/// #     fn set_buckets(self, _: &str, _: &[f64]) -> Self { self }
/// # }
/// let mut builder = PrometheusBuilder;
/// for (metric, buckets) in tower_teamup_auth::HISTOGRAM_BUCKETS {
///     builder = builder.set_buckets(metric, buckets);
/// }
/// ```
pub const HISTOGRAM_BUCKETS: [(&str, &[f64]); 3] = [
    (REFRESH_REQUEST_DURATION, &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0]),
    (UNSAVED_DURATION, &[0.1, 1.0, 10.0, 60.0, 600.0, 3600.0]),
    (REMAINING, &[0.0, 30.0, 60.0, 120.0, 240.0, 300.0, 3600.0, 7200.0]),
];

/// Tells the recorder of `metrics` what each metric of this crate means and in which unit it is, and
/// begins each counter at zero.
///
/// Call it once the program has installed its recorder: what is described before is forgotten. Without
/// it a counter comes with its first event, so that an alert on its growth misses that one.
/// [`docs::metrics`](crate::docs::metrics) lists the metrics.
///
/// ```
/// // … after `PrometheusBuilder::new().install()`, say …
/// tower_teamup_auth::describe_metrics();
/// ```
pub fn describe_metrics() {
    describe_counter!(REFRESH_REQUESTS, Unit::Count, "Refresh requests that were sent, by outcome");
    describe_histogram!(
        REFRESH_REQUEST_DURATION,
        Unit::Seconds,
        "How long the endpoint took to answer a refresh request, or failed to"
    );
    describe_counter!(REFRESH_FAILURES, Unit::Count, "Refreshes that failed, by kind of failure");
    describe_counter!(
        ADOPTIONS,
        Unit::Count,
        "Tokens taken over from the store, where another process had put them"
    );
    describe_counter!(RETRIES, Unit::Count, "Requests retried with a new token after a 401");
    describe_counter!(REFRESH_LIMITS, Unit::Count, "How often the refresh limit was reached");
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
    begin_counters();
}

fn begin_counters() {
    for mode in RequestMode::ALL {
        let mode = mode.as_str();
        for outcome in OUTCOMES {
            counter!(REFRESH_REQUESTS, "mode" => mode, "outcome" => outcome).increment(0);
        }
        for (kind, _) in KINDS {
            counter!(REFRESH_FAILURES, "mode" => mode, "kind" => kind).increment(0);
        }
        counter!(RETRIES, "mode" => mode).increment(0);
        counter!(REFRESH_LIMITS, "mode" => mode).increment(0);
    }
    counter!(ADOPTIONS).increment(0);
    // Credentials may have been built before.
    gauge!(UNSAVED).increment(0.0);
}

pub(super) fn record(event: &Event<'_>) {
    match event {
        Event::RefreshStarted { mode, remaining: Some(remaining), .. } => {
            histogram!(REMAINING, "mode" => mode.as_str()).record(remaining.as_secs_f64());
        }
        Event::RefreshAnswered { mode, failure, took } => {
            let outcome = failure.map_or("refreshed", class);
            let labels = [("mode", mode.as_str()), ("outcome", outcome)];
            counter!(REFRESH_REQUESTS, &labels).increment(1);
            histogram!(REFRESH_REQUEST_DURATION, &labels).record(took.as_secs_f64());
        }
        Event::RefreshSucceeded { mode, expires_at, .. } => expiry(*mode, *expires_at),
        Event::Adopted { expires_at, .. } => {
            counter!(ADOPTIONS).increment(1);
            expiries(expires_at);
        }
        Event::LoggedIn { expires_at, .. } => expiries(expires_at),
        Event::RefreshFailed { mode, error } => {
            let labels = [("mode", mode.as_str()), ("kind", kind(error))];
            counter!(REFRESH_FAILURES, &labels).increment(1);
        }
        Event::RefreshLimited { mode, opened: true, .. } => {
            counter!(REFRESH_LIMITS, "mode" => mode.as_str()).increment(1);
        }
        Event::RequestRetried { mode } => {
            counter!(RETRIES, "mode" => mode.as_str()).increment(1);
        }
        _ => {}
    }
}

fn expiries(expires_at: &[Option<SystemTime>; 2]) {
    for (mode, expires_at) in RequestMode::ALL.into_iter().zip(expires_at) {
        expiry(mode, *expires_at);
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
const fn class(class: FailureClass) -> &'static str {
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
    let kind = KINDS.iter().find(|(_, is_true_of)| is_true_of(error));
    kind.map_or("transient", |(kind, _)| kind)
}

pub(super) fn unsaved_began() {
    gauge!(UNSAVED).increment(1);
}

pub(super) fn unsaved_ended(took: Duration) {
    gauge!(UNSAVED).decrement(1);
    histogram!(UNSAVED_DURATION).record(took.as_secs_f64());
}
