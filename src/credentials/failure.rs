//! From the machine's failures to the crate's error.

use std::error::Error as StdError;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::state::{Failure, RefreshLimit, StoreCause};
use crate::error::Error;
use crate::headers::RequestMode;
use crate::refresh::FailureClass;
use crate::token::Moment;

/// What lies behind a failure: an error of the refresh request or of the store. Two are equal if
/// they are one event.
#[derive(Clone)]
pub(crate) struct Cause(Arc<dyn StdError + Send + Sync>);

impl Cause {
    pub(crate) fn new(error: impl StdError + Send + Sync + 'static) -> Self {
        Cause(Arc::new(error))
    }

    pub(crate) fn error(&self) -> &(dyn StdError + 'static) {
        &*self.0
    }

    pub(crate) fn shared(&self) -> Arc<dyn StdError + Send + Sync> {
        Arc::clone(&self.0)
    }

    fn address(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

/// The error that a caller sees. `mode` is the one that was asked for.
pub(crate) fn error(
    failure: &Failure<Cause>,
    mode: RequestMode,
    limit: RefreshLimit,
    now: Moment,
) -> Error {
    let retry_after = |until: Moment| {
        (until != Moment::NEVER).then(|| now.until(until)).filter(|pause| *pause > Duration::ZERO)
    };
    match failure {
        Failure::LoginChanged => Error::login_changed(),
        Failure::SignedOut => Error::signed_out(),
        Failure::NothingStored => Error::nothing_stored(),
        Failure::ShutDown => Error::shutdown(),
        Failure::NotRefreshable => Error::not_refreshable(mode),
        Failure::NotM2m => Error::not_m2m(),
        Failure::M2mRefused { until } => Error::m2m_refused().with_retry_after(retry_after(*until)),
        Failure::M2mSource { error, until } => {
            Error::m2m_source(error.shared()).with_retry_after(retry_after(*until))
        }
        Failure::RefreshLimited => Error::refresh_limit(limit.count, limit.window),
        Failure::NoRevisionLeft => Error::no_revision_left(),
        Failure::Rejected { error, after_lost_answer } => {
            Error::rejected(error.as_ref().map(Cause::shared), *after_lost_answer)
        }
        Failure::Request { class, error, until } => {
            Error::refresh(*class, error.shared()).with_retry_after(retry_after(*until))
        }
        Failure::OutcomeUnknown(error) => {
            Error::refresh(FailureClass::OutcomeUnknown, error.shared())
        }
        Failure::Store { cause: StoreCause::Busy, until } => {
            Error::lease_busy().with_retry_after(retry_after(*until))
        }
        Failure::Store { cause: StoreCause::Error(error), until } => {
            Error::store_shared(error.shared()).with_retry_after(retry_after(*until))
        }
        Failure::Unsaved(StoreCause::Busy) => Error::unsaved(None),
        Failure::Unsaved(StoreCause::Error(error)) => Error::unsaved(Some(error.shared())),
        Failure::NotReleased(error) => Error::not_released(error.shared()),
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Cause {}

impl Hash for Cause {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_that_is_over_or_never_ends_is_no_pause_to_wait_for() {
        let now = Moment { monotonic: 1_000, wall: 1_000_000 };
        let limit = RefreshLimit { count: 5, window: Duration::from_secs(30) };
        let second = Duration::from_secs(1);
        for (until, expected) in
            [(now.plus(second), Some(second)), (now, None), (Moment::NEVER, None)]
        {
            let failure = Failure::M2mRefused { until };
            let error = error(&failure, RequestMode::Provider, limit, now);
            assert_eq!(error.retry_after(), expected);
        }
    }
}
