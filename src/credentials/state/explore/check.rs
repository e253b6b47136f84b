//! What must hold after each step.

use super::super::*;
use super::steps::Step;
use super::world::{Expectation, World, parse};

/// A guarantee that a step broke.
pub(super) type Broken = String;

/// Takes the step and checks what it led to.
pub(super) fn checked_step(world: &mut World, step: Step) -> Result<Vec<Told>, Broken> {
    let before = world.clone();
    let effects = world.take(step);
    let mut told = Vec::new();
    for effects in effects {
        told.extend(check_tickets(world, effects)?);
    }
    check_request(world, step)?;
    check_records(world)?;
    check_tokens_kept(&before, world)?;
    check_growth(&before, world, step)?;
    check_publication(&before, world)?;
    check_live_token(world)?;
    Ok(told)
}

/// Somebody was told how an operation ended.
pub(super) type Told = (Expectation, Result<(), Failure<u8>>);

pub(super) fn check_tickets(world: &mut World, effects: Effects<u8>) -> Result<Vec<Told>, Broken> {
    let mut told = Vec::new();
    for (ticket, result) in effects.wake {
        let Some(asked) = world.tickets.remove(&ticket) else {
            return Err(format!("ticket {ticket} was told and nobody waited for it"));
        };
        if result.is_ok() {
            check_success(world, asked)?;
        }
        told.push((asked, result));
    }
    Ok(told)
}

/// P11 and P12: what `Ok` promises.
fn check_success(world: &World, asked: Expectation) -> Result<(), Broken> {
    match asked {
        Expectation::Refresh { login_epoch } if login_epoch != world.state.login_epoch => {
            Err("P11: a waiter of one login was told of another's token".into())
        }
        Expectation::Refresh { .. } if holds_without_need(world) => {
            Err("P12: a refresh is reported before its lease is given back".into())
        }
        Expectation::Refresh { .. } => Ok(()),
        Expectation::Change | Expectation::Settle if world.state.dirty.is_some() => {
            Err("P12: success while the newest record is in memory alone".into())
        }
        Expectation::Change => Ok(()),
        Expectation::Settle => {
            let held = world.holder.and_then(|holder| holder.lease);
            if world.state.lease.is_some() || held.is_some_and(|l| !world.leaked.contains(&l)) {
                return Err("P12: success while the lease is held".into());
            }
            let ours = world.state.record.as_ref().map_or(0, StoredRecord::revision);
            let stored = world.record.as_ref().map_or(0, StoredRecord::revision);
            if stored < ours {
                return Err(format!("P12: success with revision {ours}, the store has {stored}"));
            }
            Ok(())
        }
    }
}

/// A program may end as soon as its request is answered: the lease is given back before.
fn holds_without_need(world: &World) -> bool {
    let held = world.state.lease.as_ref();
    held.is_some_and(|held| held.release == Release::NotBegun)
        && world.state.dirty.is_none()
        && world.state.queue.is_empty()
        && world.state.current.is_none()
}

/// P1, P2, P3, P11: which refresh requests may be sent.
fn check_request(world: &World, step: Step) -> Result<(), Broken> {
    let (Step::Next, Some((_, Action::SendRefresh { refresh_token, mode }))) =
        (step, &world.action)
    else {
        return Ok(());
    };
    let generation = world.state.generation(*mode);
    if world.completed.contains(&(generation.login_epoch, *mode, generation.count)) {
        return Err(format!("P1: {generation:?} is refreshed a second time"));
    }
    if !world.is_leased() {
        return Err("P1: a refresh request is sent without the lease".into());
    }
    let token = parse(refresh_token.expose());
    if world.known_spent.contains(&token) {
        return Err(format!("P2: {token:?} is sent again, although it is known to be spent"));
    }
    if world.state.dirty.is_some() {
        return Err("P2: a refresh request is sent while the last answer is unsaved".into());
    }
    let login = world.state.record.as_ref().map(StoredRecord::login);
    if login != Some(LoginId::from_bytes([token.0; 16])) {
        return Err("P11: the refresh token of another login is sent".into());
    }
    if world.state.current.as_ref().is_some_and(|current| current.sent > 3) {
        return Err("P3: a fourth refresh request of one refresh".into());
    }
    if world.state.closing {
        return Err("P12: a refresh request is sent after the shutdown began".into());
    }
    Ok(())
}

/// P11: every token of a record belongs to its login.
fn check_records(world: &World) -> Result<(), Broken> {
    for record in [&world.state.record, &world.record].into_iter().flatten() {
        let Some(tokens) = record.tokens() else { continue };
        let access = RequestMode::ALL.map(|mode| tokens.access_token(mode));
        let texts = access.iter().flatten().map(|token| token.expose());
        for text in texts.chain([tokens.refresh_token().expose()]) {
            if record.login() != LoginId::from_bytes([parse(text).0; 16]) {
                return Err(format!("P11: token {text} in a record of {:?}", record.login()));
            }
        }
    }
    Ok(())
}

/// What only grows: the revision in memory and in the store, and the number of the refresh token of
/// one login. A sign-out is undone by no refresh of its login.
fn check_growth(before: &World, after: &World, step: Step) -> Result<(), Broken> {
    let revision = |record: &Option<StoredRecord>| record.as_ref().map_or(0, |r| r.revision());
    let same_record = before.record == after.record;
    if !same_record && revision(&after.record) <= revision(&before.record) {
        return Err(format!("P11: {step:?} wrote a revision that is no higher"));
    }
    let usable = |held: &HeldLease<_, _>| held.release == Release::NotBegun;
    let released = matches!(after.action, Some((_, Action::ReleaseLease { .. })));
    let was_usable = before.state.lease.as_deref().is_some_and(usable);
    if step == Step::Next && released && was_usable && after.state.dirty.is_some() {
        return Err("P2: the lease is given back while the last answer is unsaved".into());
    }
    let number = |world: &World| {
        let tokens = world.state.tokens();
        tokens.map(|tokens| parse(tokens.refresh_token().expose()))
    };
    if let (Some(old), Some(new)) = (number(before), number(after)) {
        if old.0 == new.0 && old.1 > new.1 {
            return Err(format!("P2: {old:?} is replaced by the older {new:?}"));
        }
        // At equal revisions the greater login wins, and of one login what is saved already.
        let old = (revision(&before.state.record), old);
        let new = (revision(&after.state.record), new);
        let may_be_equal = before.state.dirty.is_some() && new.1.0 >= old.1.0;
        if old.1 != new.1 && (new.0 < old.0 || (new.0 == old.0 && !may_be_equal)) {
            return Err(format!("P11: {new:?} has no higher revision than {old:?}"));
        }
    }
    let (Some(old), Some(new)) = (&before.state.record, &after.state.record) else {
        return Ok(());
    };
    let undone = old.is_signed_out() && before.state.dirty.is_some() && !new.is_signed_out();
    if undone && old.login() == new.login() {
        return Err("P11: an unsaved sign-out is undone".into());
    }
    Ok(())
}

/// P2: a minted token is published when it is saved, or when that was tried without success.
fn check_publication(before: &World, after: &World) -> Result<(), Broken> {
    let is_untried = after.state.dirty.as_ref().is_some_and(|dirty| dirty.cause.is_none());
    let published = RequestMode::ALL.into_iter().any(|mode| {
        let (old, new) = (before.state.generation(mode), after.state.generation(mode));
        old.login_epoch == new.login_epoch && old.count != new.count
    });
    if is_untried && published {
        return Err("P2: a token is published before anybody tried to save it".into());
    }
    Ok(())
}

/// P10: an access token that is valid stays, or another valid one takes its place, while the login
/// stays the same.
fn check_tokens_kept(before: &World, after: &World) -> Result<(), Broken> {
    if before.state.login_epoch != after.state.login_epoch {
        return Ok(());
    }
    for mode in RequestMode::ALL {
        let valid = |world: &World| {
            let issued = world.state.issued(mode);
            issued.is_some_and(|issued| {
                issued.expires_at.is_none_or(|end| end > after.now.wall_time())
            })
        };
        if valid(before) && !valid(after) {
            return Err(format!("P10: the valid access token of the mode {mode} is gone"));
        }
    }
    let revision = |world: &World| world.state.record.as_ref().map_or(0, StoredRecord::revision);
    if revision(after) < revision(before) {
        return Err("the revision went down".into());
    }
    Ok(())
}

/// P2: the live refresh token of our login is in memory or in the store, unless an answer was lost
/// on its way.
fn check_live_token(world: &World) -> Result<(), Broken> {
    let Some(record) = &world.state.record else { return Ok(()) };
    let Some(tokens) = record.tokens() else { return Ok(()) };
    let (login, ours) = parse(tokens.refresh_token().expose());
    let grant = world.grant(login);
    let stored = world.record.as_ref().and_then(StoredRecord::tokens);
    let stored = stored.map(|tokens| parse(tokens.refresh_token().expose()));
    if grant.lost || grant.live == ours || stored == Some((login, grant.live)) {
        return Ok(());
    }
    // Another login has taken the store, and this process has not seen it yet.
    let other = world.record.as_ref().is_some_and(|theirs| {
        theirs.revision() > record.revision()
            && (theirs.login() != record.login() || theirs.is_signed_out())
    });
    if other {
        return Ok(());
    }
    Err(format!("P2: the live token {login}.{} is nowhere; ours is {ours}", grant.live))
}

/// Every operation ends, and the credential can refresh again, once nothing unusual happens.
pub(super) fn check_end(
    world: &mut World,
    mut seen: impl FnMut(&World) -> bool,
) -> Result<(), Broken> {
    world.events_left = 0;
    if !run_to_rest(world, &mut seen)? {
        return Ok(());
    }
    if !world.tickets.is_empty() {
        return Err(format!("{:?} wait for ever", world.tickets));
    }
    if world.state.dirty.is_some() {
        return Err("P12: dirty at rest".into());
    }
    if world.state.closing {
        return Ok(());
    }
    for _ in 0..3 {
        world.rest();
        let effects = world.ask_again();
        let mut told = Vec::new();
        for effects in effects {
            told.extend(check_tickets(world, effects)?);
        }
        told.extend(rest_and_listen(world)?);
        match told.as_slice() {
            [(_, Ok(()))] => return Ok(()),
            [(_, Err(Failure::LoginChanged))] => {}
            [(_, Err(failure))] if is_explained(world, failure) => return Ok(()),
            told => return Err(format!("nobody can refresh any more: {told:?}")),
        }
    }
    Err("the login changes again and again".into())
}

/// Is there a reason why nobody can refresh?
fn is_explained(world: &World, failure: &Failure<u8>) -> bool {
    match (failure, &world.record) {
        (Failure::NothingStored, None) => true,
        (Failure::SignedOut, Some(record)) => record.is_signed_out(),
        (Failure::Rejected { .. }, Some(record)) => record
            .tokens()
            .is_none_or(|tokens| world.grant(parse(tokens.refresh_token().expose()).0).lost),
        _ => false,
    }
}

fn rest_and_listen(world: &mut World) -> Result<Vec<Told>, Broken> {
    let mut told = Vec::new();
    for _ in 0..200 {
        match world.step_to_rest() {
            Some(step) => told.extend(checked_step(world, step)?),
            None => return Ok(told),
        }
    }
    Err(format!("it does not come to rest: {:?}", world.action))
}

/// `false` if this world was seen before, and what follows is known.
fn run_to_rest(world: &mut World, seen: &mut impl FnMut(&World) -> bool) -> Result<bool, Broken> {
    for _ in 0..200 {
        if seen(world) {
            return Ok(false);
        }
        match world.step_to_rest() {
            Some(step) => {
                checked_step(world, step)?;
            }
            None => return Ok(true),
        }
    }
    Err(format!("it does not come to rest: {:?}", world.action))
}
