//! The events, and how `tracing` hears of them.

use std::time::{Duration, SystemTime};

use tracing::{debug, error, info, warn};

use crate::error::Error;
use crate::headers::RequestMode;
use crate::refresh::FailureClass;

const TARGET: &str = "tower_teamup_auth";

/// Something worth knowing.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "metrics"),
    expect(dead_code, reason = "some fields are told to the metrics alone")
)]
pub(crate) enum Event<'a> {
    /// `remaining` is what is left of the life of the token that is replaced, where that is known.
    RefreshStarted {
        mode: RequestMode,
        reason: &'static str,
        remaining: Option<Duration>,
    },
    /// One refresh request is over, well or not.
    RefreshAnswered {
        mode: RequestMode,
        failure: Option<FailureClass>,
        took: Duration,
    },
    RefreshSucceeded {
        mode: RequestMode,
        revision: u64,
        expires_in: Option<Duration>,
        expires_at: Option<SystemTime>,
    },
    /// A refresh request failed, and another one follows.
    RetryingRequest {
        mode: RequestMode,
        error: &'a (dyn std::error::Error + 'static),
        wait: Duration,
    },
    RefreshFailed {
        mode: RequestMode,
        error: &'a Error,
    },
    /// `opened`: none was refused until now.
    RefreshLimited {
        mode: RequestMode,
        opened: bool,
        error: &'a Error,
    },
    /// The answer's `expires_in` made no sense.
    OddLifetime {
        mode: RequestMode,
    },
    /// Another process has refreshed, or logged in.
    Adopted {
        revision: u64,
        login_changed: bool,
        /// Of each mode's access token, in the order of `RequestMode::ALL`.
        expires_at: [Option<SystemTime>; 2],
    },
    SignedOutElsewhere {
        revision: u64,
    },
    LeaseLost,
    NotReleased {
        error: &'a (dyn std::error::Error + 'static),
    },
    NotSaved {
        error: &'a Error,
        tries: u32,
        wait: Duration,
    },
    SavedAfterAll {
        revision: u64,
    },
    LoggedIn {
        revision: u64,
        /// Of each mode's access token, in the order of `RequestMode::ALL`.
        expires_at: [Option<SystemTime>; 2],
    },
    SignedOut {
        revision: u64,
    },
    M2mTokenReplaced,
    /// Which users there are could not be found out, to keep their logins alive.
    KeysNotListed {
        error: &'a (dyn std::error::Error + 'static),
    },
    SeedIgnored {
        revision: u64,
    },
    /// The store holds something that is no record.
    UnreadableRecord {
        error: &'a (dyn std::error::Error + 'static),
    },
    AnswerWithoutLogin,
    RequestRetried {
        mode: RequestMode,
    },
    RequestNotRetried {
        mode: RequestMode,
        why: &'static str,
    },
    /// A request goes on without a token. `warn`: its URI alone would have been allowed.
    RequestPassedThrough {
        why: &'static str,
        warn: bool,
    },
}

pub(super) fn trace(event: &Event<'_>) {
    match event {
        Event::RefreshStarted { mode, reason, .. } => {
            debug!(target: TARGET, mode = mode.as_str(), reason, "refresh started");
        }
        Event::RefreshAnswered { mode, failure, took } => debug!(
            target: TARGET,
            mode = mode.as_str(),
            outcome = %failure.map_or("refreshed".to_owned(), |class| class.to_string()),
            took_ms = millis(*took),
            "refresh request answered"
        ),
        Event::RefreshSucceeded { mode, revision, expires_in, .. } => info!(
            target: TARGET,
            mode = mode.as_str(),
            revision,
            expires_in_s = expires_in.map(|lifetime| lifetime.as_secs()),
            "refresh succeeded"
        ),
        Event::RetryingRequest { mode, error, wait } => warn!(
            target: TARGET,
            mode = mode.as_str(),
            error = %Chain(*error),
            wait_ms = millis(*wait),
            "refresh request failed, and is sent again"
        ),
        Event::RefreshFailed { mode, error } if error.is_login_required() => {
            error!(target: TARGET, mode = mode.as_str(), error = %Chain(*error), "login required");
        }
        Event::RefreshFailed { mode, error } if error.is_m2m_refused() => error!(
            target: TARGET,
            mode = mode.as_str(),
            error = %Chain(*error),
            "M2M token refused"
        ),
        Event::RefreshFailed { mode, error } => {
            warn!(target: TARGET, mode = mode.as_str(), error = %Chain(*error), "refresh failed");
        }
        Event::RefreshLimited { mode, error, .. } => {
            warn!(target: TARGET, mode = mode.as_str(), error = %error, "refresh limit reached");
        }
        Event::OddLifetime { mode } => warn!(
            target: TARGET,
            mode = mode.as_str(),
            "the endpoint gave an odd lifetime; the token is used until the API answers 401"
        ),
        Event::Adopted { revision, login_changed, .. } => info!(
            target: TARGET,
            revision,
            login_changed,
            "record adopted: another process has refreshed or logged in"
        ),
        Event::SignedOutElsewhere { revision } => {
            info!(target: TARGET, revision, "signed out by another process");
        }
        Event::LeaseLost => {
            warn!(target: TARGET, "the lease was lost; it is asked for again");
        }
        Event::NotReleased { error } => warn!(
            target: TARGET,
            error = %Chain(*error),
            "the lease was not released; others wait until it runs out"
        ),
        Event::NotSaved { error, tries: 1, .. } => error!(
            target: TARGET,
            error = %Chain(*error),
            "newest tokens not saved; they are used and the save is repeated"
        ),
        Event::NotSaved { error, wait, .. } => warn!(
            target: TARGET,
            error = %Chain(*error),
            wait_ms = millis(*wait),
            "newest tokens still not saved"
        ),
        Event::SavedAfterAll { revision } => {
            info!(target: TARGET, revision, "newest tokens saved after all");
        }
        Event::LoggedIn { revision, .. } => info!(target: TARGET, revision, "logged in"),
        Event::SignedOut { revision } => info!(target: TARGET, revision, "signed out"),
        Event::M2mTokenReplaced => info!(target: TARGET, "M2M token replaced"),
        Event::KeysNotListed { error } => warn!(
            target: TARGET,
            error = %Chain(*error),
            "the users were not listed; their idle logins wait for the next pass"
        ),
        Event::SeedIgnored { revision } => info!(
            target: TARGET,
            revision,
            "the given tokens are ignored: the store holds a record"
        ),
        Event::UnreadableRecord { error } => error!(
            target: TARGET,
            error = %Chain(*error),
            "the store holds no record that can be read; a login will replace it"
        ),
        Event::AnswerWithoutLogin => info!(
            target: TARGET,
            "a refresh request was answered after its login was gone; the answer is dropped"
        ),
        Event::RequestRetried { mode } => {
            debug!(target: TARGET, mode = mode.as_str(), "request retried with a new token");
        }
        Event::RequestNotRetried { mode, why } => {
            debug!(target: TARGET, mode = mode.as_str(), why, "request not retried");
        }
        Event::RequestPassedThrough { why, warn: true } => {
            warn!(target: TARGET, why, "request passed through without a token");
        }
        Event::RequestPassedThrough { why, warn: false } => {
            debug!(target: TARGET, why, "request passed through without a token");
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An error and what lies behind it, on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut next: Option<&dyn std::error::Error> = Some(self.0);
        let mut separator = "";
        while let Some(error) = next {
            write!(f, "{separator}{error}")?;
            separator = ": ";
            next = error.source();
        }
        Ok(())
    }
}
