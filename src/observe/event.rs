//! The events, and how `tracing` hears of them.

use std::time::{Duration, SystemTime};

use tracing::{Span, debug, error, info, warn};

use crate::error::Error;
use crate::headers::RequestMode;
use crate::refresh::{FailureClass, RefreshError};
use crate::store::StoreError;

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
        remaining: Option<Duration>,
    },
    /// One exchange is over, well or not.
    Exchanged {
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
    Adopted {
        mode: RequestMode,
        revision: u64,
        expires_at: Option<SystemTime>,
    },
    ExchangeFailed {
        error: &'a RefreshError,
        wait: Duration,
    },
    RefreshFailed {
        mode: RequestMode,
        error: &'a Error,
    },
    /// `opened`: it has let refreshes pass until now.
    StormGuardOpen {
        mode: RequestMode,
        opened: bool,
        error: &'a Error,
    },
    OddLifetime,
    LeaseLost,
    Unsaved {
        error: &'a StoreError,
    },
    StillUnsaved {
        error: &'a StoreError,
        wait: Duration,
    },
    SavedAfterAll {
        revision: u64,
    },
    Overtaken {
        revision: u64,
    },
    TokensSet {
        revision: u64,
    },
    NewTokensFound {
        revision: u64,
    },
    SignedOut,
    RequestRepeated {
        mode: RequestMode,
    },
    RequestNotRepeated {
        mode: RequestMode,
        why: &'static str,
    },
    /// A request goes on without a token. `warn`: its URI alone would have been allowed.
    RequestPassedThrough {
        why: &'static str,
        warn: bool,
    },
}

/// The span in which a refresh runs, whoever asked for it.
pub(crate) fn refresh_span(mode: RequestMode, reason: &'static str) -> Span {
    tracing::info_span!(target: TARGET, parent: None, "teamup_refresh", mode = mode.as_str(), reason)
}

pub(super) fn trace(event: &Event<'_>) {
    match event {
        Event::RefreshStarted { .. } => debug!(target: TARGET, "refresh started"),
        Event::Exchanged { failure, took, .. } => debug!(
            target: TARGET,
            outcome = %failure.map_or("rotated".to_owned(), |class| class.to_string()),
            took_ms = millis(*took),
            "exchange answered"
        ),
        Event::RefreshSucceeded { revision, expires_in, .. } => info!(
            target: TARGET,
            revision,
            expires_in_s = expires_in.map(|lifetime| lifetime.as_secs()),
            "refresh succeeded"
        ),
        Event::Adopted { revision, .. } => {
            info!(target: TARGET, revision, "tokens adopted: another process had refreshed");
        }
        Event::ExchangeFailed { error, wait } => warn!(
            target: TARGET,
            class = %error.class(),
            error = %error,
            wait_ms = millis(*wait),
            "exchange failed, and is tried again"
        ),
        Event::RefreshFailed { error, .. } if error.is_login_required() => {
            error!(target: TARGET, error = %Chain(*error), "re-authorization is required");
        }
        Event::RefreshFailed { error, .. } => {
            warn!(target: TARGET, error = %Chain(*error), "refresh failed");
        }
        Event::StormGuardOpen { mode, error, .. } => {
            warn!(target: TARGET, mode = mode.as_str(), error = %error, "storm guard refused a refresh");
        }
        Event::OddLifetime => warn!(
            target: TARGET,
            "the endpoint gave an odd lifetime; the token is used until the API answers 401"
        ),
        Event::LeaseLost => {
            warn!(target: TARGET, "the lease was lost before the exchange; starting over");
        }
        Event::Unsaved { error } => error!(
            target: TARGET,
            error = %Chain(*error),
            "newest tokens not saved; they are used and the write is repeated"
        ),
        Event::StillUnsaved { error, wait } => warn!(
            target: TARGET,
            error = %Chain(*error),
            wait_ms = millis(*wait),
            "newest tokens still not saved"
        ),
        Event::SavedAfterAll { revision } => {
            info!(target: TARGET, revision, "newest tokens saved after all");
        }
        Event::Overtaken { revision } => warn!(
            target: TARGET,
            revision,
            "another process has saved in the meantime; its tokens are adopted"
        ),
        Event::TokensSet { revision } => info!(target: TARGET, revision, "new tokens set"),
        Event::NewTokensFound { revision } => info!(
            target: TARGET,
            revision,
            "new tokens found in the store: re-authorization is not required any more"
        ),
        Event::SignedOut => info!(target: TARGET, "signed out"),
        Event::RequestRepeated { mode } => {
            debug!(target: TARGET, mode = mode.as_str(), "request repeated with a new token");
        }
        Event::RequestNotRepeated { mode, why } => {
            debug!(target: TARGET, mode = mode.as_str(), why, "request not repeated");
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
