//! What the outcome of an action changes.

use super::{
    CredentialState, Current, Dirty, Effects, Failure, Happened, HeldLease, InFlight, Minted,
    Outcome, Reason, Release, RequestFailure, StoreCause, Tick, WaitStage, Work, next_revision,
};
use crate::credentials::backoff::{self, Backoff};
use crate::refresh::FailureClass;
use crate::store::{Expected, Fingerprint, RecordContent, StoredRecord};
use crate::token::{Moment, RefreshToken};

/// So many refresh requests are sent for one refresh at most.
const MOST_REQUESTS: u32 = 3;

/// So many times the store may hold something else than expected before an attempt has failed.
const MOST_CONFLICTS: u32 = 3;

/// A pause that the endpoint asks for is waited for within a refresh up to this length, in
/// milliseconds.
const SHORT_RETRY_AFTER: u128 = 1000;

impl<L, E> CredentialState<L, E>
where
    L: Clone + PartialEq,
    E: Clone + PartialEq,
{
    /// Takes in what the action of `worker` has led to. A worker that was replaced is not heard.
    pub(crate) fn complete(
        &mut self,
        worker: u32,
        outcome: Outcome<L, E>,
        tick: Tick,
    ) -> Effects<E> {
        let mut effects = Effects::default();
        if self.worker == Some(worker) {
            self.take_outcome(outcome, tick, &mut effects);
        }
        effects
    }

    pub(super) fn take_outcome(
        &mut self,
        outcome: Outcome<L, E>,
        tick: Tick,
        effects: &mut Effects<E>,
    ) {
        let in_flight = self.in_flight.take();
        let Some(mut current) = self.current.take() else {
            // Only a pause and the release of a lease need no operation.
            self.take_release(&outcome, effects);
            return;
        };
        match outcome {
            Outcome::Acquired { lease: Some(lease), found } => {
                // The wait is over when it turns out to be valid still.
                self.lease =
                    Some(Box::new(HeldLease { lease, seen: None, release: Release::NotBegun }));
                if let Some(found) = found {
                    self.found_under_lease(&mut current, found, tick, effects);
                }
            }
            Outcome::Acquired { lease: None, found } => {
                let read = found.is_some();
                if let Some(found) = found {
                    self.found_without_lease(&mut current, found, tick, effects);
                }
                if let Some(wait) = &mut self.lease_wait {
                    wait.stage = if read { WaitStage::Pause } else { WaitStage::Read };
                }
            }
            Outcome::NotAcquired { error } => {
                self.attempt_failed(&mut current, error, tick, effects);
            }
            Outcome::Loaded { found } => {
                current.looked = true;
                if self.lease.is_some() {
                    self.found_under_lease(&mut current, found, tick, effects);
                } else {
                    self.found_without_lease(&mut current, found, tick, effects);
                    if let Some(wait) = &mut self.lease_wait {
                        wait.stage = WaitStage::Pause;
                    }
                }
            }
            Outcome::Refreshed { response, sent_at } => {
                if self.is_of_this_login(in_flight) {
                    self.refreshed(&mut current, response, sent_at, tick, effects);
                } else {
                    effects.happened.push(Happened::AnswerWithoutLogin);
                }
            }
            Outcome::RefreshFailed { failure } => {
                if self.is_of_this_login(in_flight) {
                    self.request_failed(&mut current, failure, tick, effects);
                } else {
                    effects.happened.push(Happened::AnswerWithoutLogin);
                }
            }
            Outcome::SourceRead { token } => {
                self.source_read(&mut current, token, tick, effects);
            }
            Outcome::SourceFailed { error } => {
                self.source_failed(&mut current, error, tick, effects);
            }
            Outcome::Saved => self.saved(&mut current, in_flight, effects),
            Outcome::NotSaved { conflict, lease_lost, error } => {
                let error = (error, conflict, lease_lost);
                self.not_saved(&mut current, in_flight, error, tick, effects);
            }
            Outcome::Released => self.take_release(&outcome, effects),
            Outcome::NotReleased { ref error } => {
                self.take_release(&outcome, effects);
                self.attempt_failed(&mut current, error.clone(), tick, effects);
            }
            Outcome::Abandoned | Outcome::Woke => {}
        }
        self.current = Some(current);
    }

    fn take_release(&mut self, outcome: &Outcome<L, E>, effects: &mut Effects<E>) {
        match outcome {
            Outcome::Released => self.lease = None,
            Outcome::NotReleased { error } => {
                if let Some(held) = &mut self.lease {
                    held.release = Release::Failed(error.clone());
                }
                effects.happened.push(Happened::NotReleased { error: error.clone() });
            }
            _ => {}
        }
    }

    fn is_of_this_login(&self, in_flight: Option<InFlight>) -> bool {
        match in_flight {
            Some(InFlight::SendRefresh { login_epoch }) => login_epoch == self.login_epoch,
            _ => false,
        }
    }

    /// The endpoint has answered with tokens. They are recorded here, before anything else happens.
    fn refreshed(
        &mut self,
        current: &mut Current<E>,
        response: Minted,
        sent_at: Moment,
        tick: Tick,
        effects: &mut Effects<E>,
    ) {
        let Work::Refresh { generation, reason } = current.queued.work else { return };
        let mode = generation.mode;
        if !self.rotate(response.refresh_token) {
            return;
        }
        if let Some(record) = &mut self.record {
            let issued = response.issued;
            *record = record.clone().map_tokens(|tokens| {
                tokens.with_access_token_until(mode, issued.token, issued.expires_at)
            });
        }
        self.lost_answer = None;
        self.rejection = None;
        self.mode_mut(mode).failure = None;
        if reason == Reason::Unauthorized {
            self.mode_mut(mode).minted_after_401.push_back(tick.now);
        }
        current.minted = Some(sent_at);
        current.pause_until = None;
        current.save_failed = false;
        effects.changed = true;
        if self.config.has_store {
            self.dirty = Some(Dirty::new(tick.now, false));
        } else {
            self.publish_minted(current, effects);
        }
    }

    /// The record after a rotation: the next refresh token and the next revision. `false` where
    /// there is no login whose token could have been spent.
    fn rotate(&mut self, rotated: Option<RefreshToken>) -> bool {
        let Some(record) = &self.record else { return false };
        let Some(tokens) = record.tokens() else { return false };
        let spent = Fingerprint::of(tokens.refresh_token());
        let refresh_token = rotated.unwrap_or_else(|| tokens.refresh_token().clone());
        let next = Fingerprint::of(&refresh_token);
        let is_rotated = refresh_token != *tokens.refresh_token();
        let content = RecordContent::Tokens(tokens.clone().with_refresh_token(refresh_token));
        let revision = next_revision(record.revision()).unwrap_or(StoredRecord::MAX_REVISION);
        self.record = Some(record.with_content(content).at_revision(revision));
        if is_rotated {
            self.forget_spent(next);
            self.note_spent(spent);
        }
        true
    }

    /// Requests see the minted token from now on.
    pub(super) fn publish_minted(&mut self, current: &mut Current<E>, effects: &mut Effects<E>) {
        let (Some(sent_at), Work::Refresh { generation, .. }) =
            (current.minted.take(), current.queued.work)
        else {
            return;
        };
        let mode = generation.mode;
        self.end_generation(mode, sent_at);
        if let (Some(issued), Some(record)) = (self.issued(mode), &self.record) {
            let (issued, revision) = (issued.clone(), record.revision());
            effects.happened.push(Happened::RefreshSucceeded { mode, revision, issued });
        }
        current.result = Some(Ok(()));
        effects.publish = true;
        effects.changed = true;
    }

    fn request_failed(
        &mut self,
        current: &mut Current<E>,
        failure: RequestFailure<E>,
        tick: Tick,
        effects: &mut Effects<E>,
    ) {
        let Work::Refresh { generation, .. } = current.queued.work else { return };
        let mode = generation.mode;
        let RequestFailure { class, retry_after, rotated, error } = failure;
        let rotated = rotated.is_some() && {
            // The answer was of no use, save that it told which refresh token is alive. It is
            // saved before it is sent.
            self.lost_answer = None;
            current.save_failed = false;
            self.rotate(rotated)
        };
        if rotated && self.config.has_store {
            self.dirty = Some(Dirty::new(tick.now, false));
        }
        // A refusal that brings the next token refuses nothing.
        let contradicts = rotated && class == FailureClass::Rejected;
        let class = if contradicts { FailureClass::NotTheEndpoint } else { class };
        let first_loss = self.lost_answer.is_none();
        if class == FailureClass::OutcomeUnknown && !rotated {
            self.lost_answer = Some(error.clone());
            self.read_again();
        }
        let may_send = !self.closing && current.sent < MOST_REQUESTS;
        let short = retry_after.is_none_or(|pause| pause.as_millis() <= SHORT_RETRY_AFTER);
        let again = match class {
            // One that has failed before sends one: a fleet stays below TeamUp's rate limit.
            FailureClass::Transient => {
                may_send && short && current.sent < 2 && self.mode(mode).failure.is_none()
            }
            FailureClass::OutcomeUnknown => may_send && current.sent < 2 && (rotated || first_loss),
            _ => false,
        };
        if again {
            let pause =
                backoff::SECOND_TRY.pause(1, tick.jitter).max(retry_after.unwrap_or_default());
            current.pause_until = Some(tick.now.plus(pause));
            effects.happened.push(Happened::RetryingRequest { mode, error, pause });
            return;
        }
        if class == FailureClass::Rejected && !rotated {
            if let Some(tokens) = self.tokens() {
                let fingerprint = Fingerprint::of(tokens.refresh_token());
                self.note_spent(fingerprint);
            }
            if self.config.has_store && may_send {
                current.rejected = Some(error);
                self.read_again();
            } else {
                current.result = Some(Err(self.mark_rejected(error, tick, effects)));
            }
            return;
        }
        let consecutive = self.consecutive_failures(mode);
        let pause = Backoff::after(class).map(|backoff| backoff.pause(consecutive, tick.jitter));
        let pause = pause.map(|pause| pause.max(retry_after.unwrap_or_default()));
        let until = pause.map_or(Moment::NEVER, |pause| tick.now.plus(pause));
        let failure = Failure::Request { class, error, until };
        current.result = Some(Err(self.fail_mode(mode, failure, until, tick.now, effects)));
        effects.changed = true;
    }

    /// What was read of the store may be old by now.
    fn read_again(&mut self) {
        if let Some(held) = &mut self.lease {
            held.seen = None;
        }
    }

    fn saved(
        &mut self,
        current: &mut Current<E>,
        in_flight: Option<InFlight>,
        effects: &mut Effects<E>,
    ) {
        let Some(InFlight::Save { revision, .. }) = in_flight else { return };
        if let Some(held) = &mut self.lease {
            held.seen = Some(Expected::Revision(revision));
        }
        if !self.is_newest(in_flight) {
            return;
        }
        if self.dirty.take().is_some_and(|dirty| dirty.cause.is_some()) {
            effects.happened.push(Happened::SavedAfterAll { revision });
        }
        effects.changed = true;
        self.publish_minted(current, effects);
    }

    fn not_saved(
        &mut self,
        current: &mut Current<E>,
        in_flight: Option<InFlight>,
        (error, conflict, lease_lost): (E, bool, bool),
        tick: Tick,
        effects: &mut Effects<E>,
    ) {
        self.read_again();
        if lease_lost {
            self.lease = None;
            effects.happened.push(Happened::LeaseLost);
        }
        if !self.is_newest(in_flight) {
            return;
        }
        current.conflicts = current.conflicts.saturating_add(1);
        if !(conflict || lease_lost) || current.conflicts > MOST_CONFLICTS {
            self.save_failed(current, StoreCause::Error(error), tick, effects);
        }
    }

    /// Is the record that was to be saved still the newest one?
    fn is_newest(&self, in_flight: Option<InFlight>) -> bool {
        match (in_flight, &self.record) {
            (Some(InFlight::Save { login, revision }), Some(record)) => {
                record.login() == login && record.revision() == revision
            }
            _ => false,
        }
    }
}
