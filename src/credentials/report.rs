//! From what happened in the state machine to the events that the crate emits.

use std::time::SystemTime;

use super::failure::Cause;
use super::settings::Settings;
use super::state::{Happened, StoreCause};
use crate::error::Error;
use crate::observe::{self, Event};

/// Tells whoever listens. Called outside of every lock.
pub(crate) fn emit(happened: &Happened<Cause>, settings: &Settings) {
    let error =
        |failure, mode| super::failure::error(failure, mode, settings.limit, settings.clock.now());
    let cause = |cause: &StoreCause<Cause>| match cause {
        StoreCause::Busy => Error::unsaved(None),
        StoreCause::Error(error) => Error::unsaved(Some(error.shared())),
    };
    match happened {
        Happened::RefreshStarted { mode, reason, remaining } => {
            observe::emit(&Event::RefreshStarted {
                mode: *mode,
                reason: reason.as_str(),
                remaining: *remaining,
            });
        }
        Happened::RefreshSucceeded { mode, revision, issued } => {
            let now = settings.clock.now().wall_time();
            observe::emit(&Event::RefreshSucceeded {
                mode: *mode,
                revision: *revision,
                expires_in: issued.expires_at.map(|end| duration_until(end, now)),
                expires_at: issued.expires_at,
            });
        }
        Happened::RefreshFailed { mode, failure } => {
            observe::emit(&Event::RefreshFailed { mode: *mode, error: &error(failure, *mode) });
        }
        Happened::RetryingRequest { mode, error, pause } => {
            observe::emit(&Event::RetryingRequest {
                mode: *mode,
                error: error.error(),
                wait: *pause,
            });
        }
        Happened::Adopted { revision, login_changed, expires_at } => {
            observe::emit(&Event::Adopted {
                revision: *revision,
                login_changed: *login_changed,
                expires_at: *expires_at,
            });
        }
        Happened::SignedOutElsewhere { revision } => {
            observe::emit(&Event::SignedOutElsewhere { revision: *revision });
        }
        Happened::LeaseLost => observe::emit(&Event::LeaseLost),
        Happened::NotSaved { cause: why, tries, pause } => {
            observe::emit(&Event::NotSaved { error: &cause(why), tries: *tries, wait: *pause });
        }
        Happened::SavedAfterAll { revision } => {
            observe::emit(&Event::SavedAfterAll { revision: *revision });
        }
        Happened::LoggedIn { revision, expires_at } => {
            observe::emit(&Event::LoggedIn { revision: *revision, expires_at: *expires_at });
        }
        Happened::SignedOut { revision } => {
            observe::emit(&Event::SignedOut { revision: *revision });
        }
        Happened::M2mTokenReplaced => observe::emit(&Event::M2mTokenReplaced),
        Happened::RefreshLimited { mode, opened } => {
            let error = Error::refresh_limit(settings.limit.count, settings.limit.window);
            observe::emit(&Event::RefreshLimited { mode: *mode, opened: *opened, error: &error });
        }
        Happened::NotReleased { error } => {
            observe::emit(&Event::NotReleased { error: error.error() });
        }
        Happened::AnswerWithoutLogin => observe::emit(&Event::AnswerWithoutLogin),
    }
}

fn duration_until(end: SystemTime, now: SystemTime) -> std::time::Duration {
    end.duration_since(now).unwrap_or_default()
}
