//! Which token a request goes with at each of its turns: at once, after a wait, after a 401.
//!
//! Every adapter asks here. Nothing waits in this file: whoever has to is handed the renewal, loads
//! a new snapshot when it is done, and asks for the next turn.

use crate::credentials::{
    Credentials, Freshness, Generation, ModeTokens, PendingRefresh, ReadyToken, Reason,
};
use crate::error::Error;
use crate::observe::{Event, emit};

/// Before the first send: the token to go with, or else the renewal to wait for.
#[inline]
pub(crate) fn at_first<'a>(
    credentials: &Credentials,
    slot: &'a ModeTokens,
) -> Result<&'a ReadyToken, PendingRefresh> {
    match slot.freshness(credentials.now()) {
        Freshness::Fresh(held) => Ok(held),
        Freshness::RefreshSoon(held) => {
            // It runs beside the request; whoever needs its outcome asks for it.
            drop(credentials.request_refresh(slot.generation, Reason::RefreshSoon));
            Ok(held)
        }
        Freshness::Expired => Err(credentials.request_refresh(slot.generation, Reason::Expired)),
    }
}

/// The renewal for a first send is done: its token, or the old one if that is all there is and it
/// may still be good.
///
/// # Errors
///
/// When there is no token to go with, and nothing can be sent.
pub(crate) fn after_waiting<'a>(
    credentials: &Credentials,
    slot: &'a ModeTokens,
    outcome: Result<(), Error>,
) -> Result<&'a ReadyToken, Error> {
    let (held, error) = match outcome {
        // Even if it has expired by now: it is the newest there is, and was just minted.
        Ok(()) => (slot.held.as_ref(), None),
        Err(error) => (slot.last_resort(credentials.now()), Some(error)),
    };
    held.ok_or_else(|| error.unwrap_or_else(|| credentials.lack_of(slot.generation.mode())))
}

/// The token of `generation` was answered 401: what to wait for before the repeat.
pub(crate) fn after_401(credentials: &Credentials, generation: Generation) -> PendingRefresh {
    credentials.request_refresh(generation, Reason::Unauthorized)
}

/// The renewal after a 401 is done: the token of the repeat, and the copy to put it on.
///
/// # Errors
///
/// When the request is not repeated. The 401 is the answer then, with the error, if there is one,
/// in its extensions; there is none where all that is missing is a copy.
pub(crate) fn for_repeat<'a, Q>(
    credentials: &Credentials,
    slot: &'a ModeTokens,
    outcome: Result<(), Error>,
    copy: Option<Q>,
) -> Result<(&'a ReadyToken, Q), Option<Error>> {
    let mode = slot.generation.mode();
    let held = outcome.and_then(|()| slot.held.as_ref().ok_or_else(|| credentials.lack_of(mode)));
    let (why, error) = match (held, copy) {
        (Ok(held), Some(copy)) => {
            emit(&Event::RequestRepeated { mode });
            return Ok((held, copy));
        }
        (Ok(_), None) => ("its body can't be sent again", None),
        (Err(error), _) => ("no new token could be had", Some(error)),
    };
    emit(&Event::RequestNotRepeated { mode, why });
    Err(error)
}
