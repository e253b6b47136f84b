//! The token of each send: of the first, at once or after a wait, and of the retry.
//!
//! Every adapter asks here. Nothing waits in this file. Who has to wait is handed the wait, loads a new
//! snapshot when it is over, and asks again.

use std::time::Duration;

use crate::credentials::{
    Credentials, Freshness, Generation, ModeTokens, PendingRefresh, ReadyToken, Reason, RouteKey,
    RouteVerdict, Snapshot,
};
use crate::error::Error;
use crate::observe::{Event, emit};

/// What a first send waits for.
pub(crate) struct TokenWait {
    /// Boxed: this is the rare side of a `Result`, and holds a timer.
    refresh: Box<PendingRefresh>,
    longest: Duration,
    /// The old token is still valid, and will do if the wait takes too long.
    pub(crate) is_early: bool,
}

/// Before the first send: the token to send with, or else what to wait for.
#[inline]
pub(crate) fn before_first_send<'a>(
    credentials: &Credentials,
    slot: &'a ModeTokens,
) -> Result<&'a ReadyToken, TokenWait> {
    match slot.freshness(credentials.now()) {
        Freshness::Fresh(token) => Ok(token),
        // The one request whose call starts the refresh waits for it; all others go on.
        Freshness::RefreshSoon(token) => {
            let Some(refresh) = credentials.request_early_refresh(slot.generation) else {
                return Ok(token);
            };
            let settings = credentials.settings();
            let longest = settings.early_wait.min(settings.wait_timeout);
            Err(TokenWait { refresh: Box::new(refresh), longest, is_early: true })
        }
        Freshness::Expired => Err(wait_for_token(credentials, slot)),
    }
}

/// An early wait is over, one way or another: the new token or the old one, as long as it is valid. It
/// may have expired meanwhile, and then the request waits like any other.
pub(crate) fn after_early_wait<'a>(
    credentials: &Credentials,
    slot: &'a ModeTokens,
) -> Result<&'a ReadyToken, TokenWait> {
    match slot.freshness(credentials.now()) {
        Freshness::Fresh(token) | Freshness::RefreshSoon(token) => Ok(token),
        Freshness::Expired => Err(wait_for_token(credentials, slot)),
    }
}

fn wait_for_token(credentials: &Credentials, slot: &ModeTokens) -> TokenWait {
    let refresh = credentials.request_refresh(slot.generation, Reason::Expired);
    let refresh = Box::new(refresh);
    TokenWait { refresh, longest: credentials.settings().wait_timeout, is_early: false }
}

impl TokenWait {
    pub(crate) fn begin(self) -> PendingRefresh {
        self.refresh.at_most(self.longest)
    }
}

/// The refresh for a first send is done: its token, or the old one if that is all there is and it may
/// still be valid.
///
/// # Errors
///
/// When there is no token to send with, so that nothing is sent.
pub(crate) fn after_wait<'a>(
    credentials: &Credentials,
    slot: &'a ModeTokens,
    outcome: Result<(), Error>,
) -> Result<&'a ReadyToken, Error> {
    let (token, error) = match outcome {
        // Even if it has expired by now: it is the newest there is, and was just minted.
        Ok(()) => (slot.token.as_ref(), None),
        Err(error) => (slot.last_resort(credentials.now()), Some(error)),
    };
    token.ok_or_else(|| error.unwrap_or_else(|| credentials.lack_of(slot.generation.mode())))
}

/// A request is sent under the login that it was classified with, or not at all.
///
/// # Errors
///
/// When the snapshot is of another login.
pub(crate) fn check_login(snapshot: &Snapshot, generation: Generation) -> Result<(), Error> {
    if snapshot.same_login(generation) { Ok(()) } else { Err(Error::login_changed()) }
}

/// The token of `generation` was answered 401 on this route, if that is known: what to wait for before
/// the retry. `None` where the route refuses fresh tokens, so that its 401 is no reason to refresh.
pub(crate) fn after_401(
    credentials: &Credentials,
    generation: Generation,
    route: impl FnOnce() -> Option<RouteKey>,
) -> Option<PendingRefresh> {
    let reason = match verdict(credentials, generation, route) {
        RouteVerdict::Refused => return None,
        RouteVerdict::NotRemembered => Reason::Unauthorized,
        RouteVerdict::PauseIsOver => Reason::RefusedRoute,
    };
    let refresh = credentials.request_refresh(generation, reason);
    Some(refresh.at_most(credentials.settings().wait_timeout))
}

fn verdict(
    credentials: &Credentials,
    generation: Generation,
    route: impl FnOnce() -> Option<RouteKey>,
) -> RouteVerdict {
    let routes = credentials.refused_routes();
    // A key costs more than the rest of this, and is of no use where no route is remembered.
    if routes.is_empty() {
        return RouteVerdict::NotRemembered;
    }
    let Some(route) = route() else { return RouteVerdict::NotRemembered };
    // A token that was replaced meanwhile is tried all the same: that costs no refresh.
    if credentials.snapshot().mode(generation.mode()).generation != generation {
        return RouteVerdict::NotRemembered;
    }
    routes.check(route, credentials.now())
}

/// Why a request that was answered 401 can't be sent again, whatever token there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRetry {
    /// Its body is gone.
    Body,
    /// A redirect was followed after it, or may have been: it was carried out.
    CarriedOut,
}

impl NoRetry {
    fn error(self) -> Error {
        match self {
            NoRetry::Body => Error::retryable_by_caller(),
            NoRetry::CarriedOut => Error::carried_out(),
        }
    }

    const fn why(self) -> &'static str {
        match self {
            NoRetry::Body => "its body can't be sent again",
            NoRetry::CarriedOut => "a redirect may have been followed after it",
        }
    }
}

/// What a retry is sent with.
pub(crate) struct RetryToken<'a> {
    pub(crate) token: &'a ReadyToken,
    /// This process has minted the token. One that another has minted may have been refused since, so
    /// a 401 to it says nothing of the route.
    pub(crate) is_minted: bool,
}

/// The refresh after a 401 is done: the token of the retry, and the request to set it on.
///
/// # Errors
///
/// When the request is not retried. The 401 is the answer then, with the error in its extensions.
pub(crate) fn for_retry<'a, Q>(
    credentials: &Credentials,
    snapshot: &'a Snapshot,
    generation: Generation,
    outcome: Result<(), Error>,
    request: Result<Q, NoRetry>,
) -> Result<(RetryToken<'a>, Q), Error> {
    let mode = generation.mode();
    let token = outcome.and_then(|()| {
        check_login(snapshot, generation)?;
        let slot = snapshot.mode(mode);
        let token = slot.token.as_ref().ok_or_else(|| credentials.lack_of(mode))?;
        Ok(RetryToken { token, is_minted: !slot.is_adopted })
    });
    let (why, error) = match (token, request) {
        (Ok(token), Ok(request)) => {
            emit(&Event::RequestRetried { mode });
            return Ok((token, request));
        }
        (Ok(_), Err(no_retry)) => (no_retry.why(), no_retry.error()),
        (Err(error), _) => ("no new token could be had", error),
    };
    emit(&Event::RequestNotRetried { mode, why });
    Err(error)
}
