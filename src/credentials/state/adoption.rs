//! Which record wins, ours or the store's, and what changes when the store's does.

use super::{
    CredentialState, Current, Dirty, Effects, Failure, Found, Happened, StoreCause, Tick, Work,
    next_revision,
};
use crate::headers::RequestMode;
use crate::store::{Expected, Fingerprint, RecordContent, StoredRecord};
use crate::token::{IssuedToken, Moment, TokenSet};

/// What becomes of our record when the store holds another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Winner {
    Theirs,
    /// Ours is written over theirs, with a higher revision.
    Ours,
    /// Ours stays as it is, and theirs too: the next save decides.
    Neither,
}

impl<L, E> CredentialState<L, E>
where
    L: Clone + PartialEq,
    E: Clone + PartialEq,
{
    /// The store was read under the lease.
    pub(super) fn found_under_lease(
        &mut self,
        current: &mut Current<E>,
        found: Found<E>,
        tick: Tick,
        effects: &mut Effects<E>,
    ) {
        let seen = match found {
            Found::Empty => Expected::Empty,
            Found::Record(record) => {
                let revision = record.revision();
                self.reconcile(current, *record, tick, effects);
                Expected::Revision(revision)
            }
            Found::Corrupt(_) => Expected::Anything,
            Found::Locked(_) if self.dirty.as_ref().is_some_and(|dirty| dirty.overwrite) => {
                Expected::Anything
            }
            Found::Locked(error) | Found::Unavailable(error) => {
                self.attempt_failed(current, error, tick, effects);
                return;
            }
        };
        if let Some(held) = &mut self.lease {
            held.seen = Some(seen);
        }
        if let Some(error) = current.rejected.take() {
            let failure = self.mark_rejected(error, tick, effects);
            current.result = Some(Err(failure));
        }
    }

    /// The store was read without the lease. What can't be read says nothing.
    pub(super) fn found_without_lease(
        &mut self,
        current: &mut Current<E>,
        found: Found<E>,
        tick: Tick,
        effects: &mut Effects<E>,
    ) {
        if let Found::Record(record) = found {
            if self.winner(&record, current.rejected.is_some()) == Winner::Theirs {
                self.adopt(current, *record, tick, effects);
            }
        }
    }

    /// The store could not do its part of the operation in hand.
    pub(super) fn attempt_failed(
        &mut self,
        current: &mut Current<E>,
        error: E,
        tick: Tick,
        effects: &mut Effects<E>,
    ) {
        self.lease_wait = None;
        if current.result.is_some() {
            return;
        }
        let cause = StoreCause::Error(error);
        if self.dirty.is_some() {
            self.save_failed(current, cause, tick, effects);
        } else if let Work::Refresh { generation, .. } = current.queued.work {
            let failure = match current.rejected.take() {
                Some(error) => self.mark_rejected(error, tick, effects),
                None => self.fail_mode_for_store(generation.mode, cause, tick, effects),
            };
            current.result = Some(Err(failure));
        }
    }

    fn reconcile(
        &mut self,
        current: &mut Current<E>,
        theirs: StoredRecord,
        tick: Tick,
        effects: &mut Effects<E>,
    ) {
        if self.record.as_ref() == Some(&theirs) {
            if self.dirty.take().is_some_and(|dirty| dirty.cause.is_some()) {
                effects.happened.push(Happened::SavedAfterAll { revision: theirs.revision() });
            }
            effects.changed = true;
            self.publish_minted(current, effects);
            return;
        }
        match self.winner(&theirs, current.rejected.is_some()) {
            Winner::Theirs => self.adopt(current, theirs, tick, effects),
            Winner::Ours => self.write_over(&theirs, tick.now, effects),
            Winner::Neither => {}
        }
    }

    /// Gives our record a revision above theirs, and sees to it that it is saved.
    fn write_over(&mut self, theirs: &StoredRecord, now: Moment, effects: &mut Effects<E>) {
        let Some(ours) = &mut self.record else { return };
        let known = ours.revision().max(theirs.revision());
        if ours.revision() <= theirs.revision() {
            ours.set_revision(next_revision(known).unwrap_or(StoredRecord::MAX_REVISION));
        }
        let seeds = all_seeds(theirs, ours);
        *ours = ours.clone().with_seeds(seeds);
        self.dirty.get_or_insert_with(|| Dirty::new(now, false));
        effects.changed = true;
    }

    /// Which of the two is to be kept. `rejected`: our refresh token was refused just now.
    fn winner(&self, theirs: &StoredRecord, rejected: bool) -> Winner {
        let Some(ours) = &self.record else { return Winner::Theirs };
        if ours == theirs || (self.dirty.is_none() && is_same(ours, theirs)) {
            return Winner::Neither;
        }
        let higher = theirs.revision() > ours.revision();
        let spent = theirs.tokens().is_some_and(|tokens| self.is_spent(tokens.refresh_token()));
        let ours_is_rejected = matches!(ours.content(), RecordContent::Rejected(_));
        let theirs_is_usable = matches!(theirs.content(), RecordContent::Tokens(_)) && !spent;
        let is_rescue = (rejected || ours_is_rejected) && theirs_is_usable;
        if theirs.login() != ours.login() {
            return match self.dirty {
                // The greater id breaks the tie, so that two processes agree.
                Some(_)
                    if (theirs.revision(), theirs.login()) > (ours.revision(), ours.login()) =>
                {
                    Winner::Theirs
                }
                Some(_) => Winner::Ours,
                None if higher => Winner::Theirs,
                None if is_rescue => Winner::Theirs,
                None => Winner::Neither,
            };
        }
        let newer_or_equal = theirs.revision() >= ours.revision();
        let both_rejected =
            ours_is_rejected && matches!(theirs.content(), RecordContent::Rejected(_));
        // A refusal is of the token, whatever revision it was stored with: a store that has lost writes may
        // have it at ours.
        let refuses_ours = !ours_is_rejected
            && matches!(theirs.content(), RecordContent::Rejected(tokens)
                if Some(tokens.refresh_token()) == ours.tokens().map(TokenSet::refresh_token));
        match self.dirty {
            None if refuses_ours => Winner::Theirs,
            Some(_) if both_rejected && newer_or_equal => Winner::Theirs,
            None if both_rejected && higher => Winner::Theirs,
            // Somebody wrote an older token of this login, or that it was refused: ours is newer.
            Some(_) if spent || ours.is_signed_out() => Winner::Ours,
            None if spent && newer_or_equal => Winner::Ours,
            _ if is_rescue => Winner::Theirs,
            Some(_) if newer_or_equal => Winner::Theirs,
            Some(_) => Winner::Ours,
            None if higher => Winner::Theirs,
            None => Winner::Neither,
        }
    }

    /// Takes their record over.
    fn adopt(
        &mut self,
        current: &mut Current<E>,
        theirs: StoredRecord,
        tick: Tick,
        effects: &mut Effects<E>,
    ) {
        let revision = theirs.revision();
        let known = self.record.as_ref().map_or(0, StoredRecord::revision);
        let ours = self.record.as_ref();
        let login_changed = match (ours, theirs.content()) {
            (Some(ours), _) if ours.login() != theirs.login() => true,
            // A sign-out elsewhere ends the login here too.
            (Some(ours), RecordContent::SignedOut) => !ours.is_signed_out(),
            (Some(ours), _) => ours.is_signed_out(),
            (None, _) => true,
        };
        effects.happened.push(match theirs.is_signed_out() {
            true => Happened::SignedOutElsewhere { revision },
            false => {
                let expires_at = theirs.tokens().map(TokenSet::expiries).unwrap_or_default();
                Happened::Adopted { revision, login_changed, expires_at }
            }
        });
        current.rejected = None;
        if login_changed {
            self.begin_login(theirs, tick.now, Some(current), effects);
            if let Work::Look { .. } = current.queued.work {
                current.looked = true;
            }
            self.raise_above(known, tick.now);
            return;
        }
        let before = RequestMode::ALL.map(|mode| self.issued(mode).cloned());
        let theirs = self.with_our_access_tokens(theirs, tick.now);
        let replaced = self
            .tokens()
            .map(TokenSet::refresh_token)
            .filter(|token| Some(*token) != theirs.tokens().map(TokenSet::refresh_token));
        if let Some(spent) = replaced.map(Fingerprint::of) {
            self.note_spent(spent);
            self.lost_answer = None;
            self.forget_probable_rejections();
        }
        self.note_token_of(&theirs);
        self.rejection = None;
        self.dirty = None;
        self.record = Some(self.with_our_seeds(theirs));
        self.login_required_since = tick.now;
        self.raise_above(known, tick.now);
        for (mode, before) in RequestMode::ALL.into_iter().zip(before) {
            if self.issued(mode) != before.as_ref() {
                self.end_generation(mode, tick.now);
                self.mode_mut(mode).is_adopted = true;
            }
        }
        if let (Some(sent_at), Work::Refresh { generation, .. }) =
            (current.minted.take(), current.queued.work)
        {
            // Ours was minted beside theirs: its access token is used where theirs has none.
            self.end_generation(generation.mode, sent_at);
            if self.issued(generation.mode).is_some() {
                current.result = Some(Ok(()));
            }
        }
        effects.publish = true;
        effects.changed = true;
    }

    /// What a record says of its refresh token is known here too: that it was refused, or that it is good again.
    pub(super) fn note_token_of(&mut self, record: &StoredRecord) {
        match record.content() {
            RecordContent::Tokens(tokens) => {
                self.forget_spent(Fingerprint::of(tokens.refresh_token()));
            }
            RecordContent::Rejected(tokens) => {
                self.note_spent(Fingerprint::of(tokens.refresh_token()));
            }
            RecordContent::SignedOut => {}
        }
    }

    /// Revisions only grow: a record of a lower one that was adopted, because ours was refused, is
    /// saved with a higher one, so that others see it.
    fn raise_above(&mut self, known: u64, now: Moment) {
        if let Some(record) = self.record.as_mut().filter(|record| record.revision() < known) {
            record.set_revision(next_revision(known).unwrap_or(StoredRecord::MAX_REVISION));
            self.dirty = Some(Dirty::new(now, false));
        }
    }

    /// A refresh token that another process brought may be taken where ours was not.
    fn forget_probable_rejections(&mut self) {
        for mode in RequestMode::ALL {
            let failure = &mut self.mode_mut(mode).failure;
            if failure.as_ref().is_some_and(|failure| failure.latest.is_login_required()) {
                *failure = None;
            }
        }
    }

    /// The record with the seeds that ours has seen, too.
    pub(super) fn with_our_seeds(&self, theirs: StoredRecord) -> StoredRecord {
        let Some(ours) = &self.record else { return theirs };
        let seeds = all_seeds(&theirs, ours);
        theirs.with_seeds(seeds)
    }

    /// Another token takes the place of the one before.
    pub(super) fn end_generation(&mut self, mode: RequestMode, seen_at: Moment) {
        let state = self.mode_mut(mode);
        state.generation = state.generation.saturating_add(1);
        state.refused = false;
        state.is_adopted = false;
        state.failure = None;
        self.refresh_deadlines(mode, seen_at);
    }

    /// Their record, with our access tokens where ours have not expired and theirs have or are
    /// missing: no adoption takes away a token that still works.
    fn with_our_access_tokens(&self, theirs: StoredRecord, now: Moment) -> StoredRecord {
        let Some(ours) = self.tokens() else { return theirs };
        let now = now.wall_time();
        let is_valid = |issued: &IssuedToken| issued.expires_at.is_none_or(|end| end > now);
        theirs.map_tokens(|mut tokens| {
            for mode in RequestMode::ALL {
                if let Some(issued) = ours.issued(mode).filter(|issued| is_valid(issued)) {
                    if !tokens.issued(mode).is_some_and(is_valid) {
                        tokens = tokens.with_access_token_until(
                            mode,
                            issued.token.clone(),
                            issued.expires_at,
                        );
                    }
                }
            }
            tokens
        })
    }

    /// TeamUp has refused the refresh token, and the store has no other: a person must log in.
    pub(super) fn mark_rejected(
        &mut self,
        error: E,
        tick: Tick,
        effects: &mut Effects<E>,
    ) -> Failure<E> {
        self.rejection = Some(error.clone());
        if let Some(record) = &mut self.record {
            if let RecordContent::Tokens(tokens) = record.content() {
                let fingerprint = Fingerprint::of(tokens.refresh_token());
                let content = RecordContent::Rejected(tokens.clone());
                let revision = next_revision(record.revision());
                *record = record
                    .with_content(content)
                    .at_revision(revision.unwrap_or(StoredRecord::MAX_REVISION));
                self.note_spent(fingerprint);
                if self.config.has_store {
                    self.dirty = Some(Dirty::new(tick.now, false));
                }
            }
        }
        self.login_required_since = tick.now;
        self.next_look = tick.now.plus(super::LOOK_PAUSE);
        effects.publish = true;
        effects.changed = true;
        Failure::Rejected { error: Some(error), after_lost_answer: self.lost_answer.is_some() }
    }
}

/// Is it the same record, access tokens and seeds that one of them lacks aside?
fn is_same(ours: &StoredRecord, theirs: &StoredRecord) -> bool {
    let key = |record: &StoredRecord| (record.login(), record.revision());
    let tokens = |record: &StoredRecord| record.tokens().map(|t| t.refresh_token().clone());
    key(ours) == key(theirs)
        && std::mem::discriminant(ours.content()) == std::mem::discriminant(theirs.content())
        && tokens(ours) == tokens(theirs)
}

/// The seeds that either has seen.
fn all_seeds(theirs: &StoredRecord, ours: &StoredRecord) -> Vec<Fingerprint> {
    let missing = ours.seeds().iter().filter(|seed| !theirs.seeds().contains(seed));
    theirs.seeds().iter().chain(missing).copied().collect()
}
