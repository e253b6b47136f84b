//! The operations that callers hand in, and what they change at once.

use super::{
    CredentialState, Current, Dirty, Effects, Enqueued, Failure, Happened, LOOK_PAUSE, ModeState,
    Operation, Queued, Reason, Release, Renewal, StoreCause, Tick, Ticket, Work, next_revision,
};
use crate::credentials::generation::Generation;
use crate::headers::RequestMode;
use crate::store::{Fingerprint, LoginId, RecordContent, StoredRecord};
use crate::token::{Moment, TokenSet};

/// The year 2200 in milliseconds since 1970: a wall clock beyond it does not number logins.
const YEAR_2200: u64 = 7_258_118_400_000;

impl<L, E> CredentialState<L, E>
where
    L: Clone + PartialEq,
    E: Clone + PartialEq,
{
    /// Takes an operation in. What it changes at once is changed when this returns.
    pub(crate) fn enqueue(
        &mut self,
        operation: Operation,
        tick: Tick,
    ) -> (Enqueued<E>, Effects<E>) {
        let mut effects = Effects::default();
        let enqueued = match operation {
            Operation::Refresh { generation, reason } => {
                self.ask_for_refresh(generation, reason, tick, &mut effects)
            }
            Operation::LogIn { login, tokens, overwrite } => {
                self.log_in(login, tokens, overwrite, tick, &mut effects)
            }
            Operation::SignOut { login, overwrite } => {
                self.sign_out(login, overwrite, tick, &mut effects)
            }
            Operation::SetM2mToken { token } => self.set_m2m_token(token, tick, &mut effects),
            Operation::Flush => self.enqueue_flush(false, &mut effects),
            Operation::Close => self.enqueue_flush(true, &mut effects),
        };
        (enqueued, effects)
    }

    fn ask_for_refresh(
        &mut self,
        generation: Generation,
        reason: Reason,
        tick: Tick,
        effects: &mut Effects<E>,
    ) -> Enqueued<E> {
        let mode = generation.mode;
        if generation.login_epoch != self.login_epoch {
            return Enqueued::Settled(Err(Failure::LoginChanged));
        }
        if generation.count != self.mode(mode).generation {
            return Enqueued::Settled(Ok(()));
        }
        if matches!(reason, Reason::Unauthorized | Reason::RefusedRoute) {
            effects.changed |= !self.mode(mode).refused;
            self.mode_mut(mode).refused = true;
        }
        if self.config.renewal != Renewal::Refresh && mode != RequestMode::Provider {
            return Enqueued::Settled(Err(Failure::NotRefreshable));
        }
        if let Some(ticket) = self.ticket_of_refresh(generation) {
            return Enqueued::Waits { ticket, started: false };
        }
        if self.closing {
            return Enqueued::Settled(Err(Failure::ShutDown));
        }
        if let Some(failure) = self.objection(mode, reason, tick.now, effects) {
            let idle = self.current.is_none() && self.queue.is_empty();
            let look = self.config.has_store && idle && tick.now.has_reached(self.next_look);
            if !look || matches!(failure, Failure::NotRefreshable | Failure::Unsaved(_)) {
                return Enqueued::Settled(Err(failure));
            }
            self.next_look = tick.now.plus(LOOK_PAUSE);
            return self.push(Work::Look { generation, reason });
        }
        effects.changed = true;
        self.push(Work::Refresh { generation, reason })
    }

    /// Why a refresh of `mode` must not start now, if it must not.
    pub(super) fn objection(
        &mut self,
        mode: RequestMode,
        reason: Reason,
        now: Moment,
        effects: &mut Effects<E>,
    ) -> Option<Failure<E>> {
        if self.config.renewal == Renewal::Never {
            return Some(self.without_source(reason, now, effects));
        }
        if let Some(failure) = self.login_required() {
            return Some(failure);
        }
        if let Some(Dirty { cause: Some(cause), next_try, .. }) = self.dirty.as_deref() {
            if !now.has_reached(*next_try) {
                return Some(Failure::Unsaved(cause.clone()));
            }
        }
        if let Some(failure) = &self.mode(mode).failure {
            let asked_for = reason == Reason::Requested && failure.ends_when_asked();
            if !asked_for && !now.has_reached(failure.until) {
                return Some(failure.latest.clone());
            }
        }
        if reason == Reason::Unauthorized && self.is_limit_reached(mode, now, effects) {
            return Some(Failure::RefreshLimited);
        }
        None
    }

    /// Would one more refresh for a 401 be too many?
    fn is_limit_reached(
        &mut self,
        mode: RequestMode,
        now: Moment,
        effects: &mut Effects<E>,
    ) -> bool {
        let limit = self.config.limit;
        let state = self.mode_mut(mode);
        let over = |minted: &Moment| now.has_reached(minted.plus(limit.window));
        while state.minted_after_401.front().is_some_and(over) {
            state.minted_after_401.pop_front();
        }
        let minted = u32::try_from(state.minted_after_401.len()).unwrap_or(u32::MAX);
        let reached = minted.saturating_add(1) >= limit.count;
        if reached {
            let opened = !state.limit_reached;
            effects.happened.push(Happened::RefreshLimited { mode, opened });
        }
        self.mode_mut(mode).limit_reached = reached;
        reached
    }

    fn log_in(
        &mut self,
        login: LoginId,
        tokens: TokenSet,
        overwrite: bool,
        tick: Tick,
        effects: &mut Effects<E>,
    ) -> Enqueued<E> {
        if self.config.renewal != Renewal::Refresh {
            return Enqueued::Settled(Err(Failure::NotRefreshable));
        }
        if self.closing {
            return Enqueued::Settled(Err(Failure::ShutDown));
        }
        let wall = if tick.now.wall <= YEAR_2200 { tick.now.wall } else { 0 };
        let known = self.record.as_ref().map_or(0, StoredRecord::revision);
        let Some(revision) = next_revision(known).map(|next| next.max(wall)) else {
            return Enqueued::Settled(Err(Failure::NoRevisionLeft));
        };
        let expires_at = tokens.expiries();
        effects.happened.push(Happened::LoggedIn { revision, expires_at });
        let record = StoredRecord::new(login, revision, RecordContent::Tokens(tokens));
        let mut current = self.current.take();
        self.begin_login(record, tick.now, current.as_deref_mut(), effects);
        self.current = current;
        self.persist(overwrite, tick.now)
    }

    fn sign_out(
        &mut self,
        login: LoginId,
        overwrite: bool,
        tick: Tick,
        effects: &mut Effects<E>,
    ) -> Enqueued<E> {
        if self.config.renewal != Renewal::Refresh {
            return Enqueued::Settled(Err(Failure::NotRefreshable));
        }
        if self.closing {
            return Enqueued::Settled(Err(Failure::ShutDown));
        }
        let known = self.record.as_ref().map_or(0, StoredRecord::revision);
        let Some(revision) = next_revision(known) else {
            return Enqueued::Settled(Err(Failure::NoRevisionLeft));
        };
        if let Some(tokens) = self.record.as_ref().and_then(StoredRecord::tokens) {
            let fingerprint = Fingerprint::of(tokens.refresh_token());
            self.note_spent(fingerprint);
        }
        let login = self.record.as_ref().map_or(login, StoredRecord::login);
        effects.happened.push(Happened::SignedOut { revision });
        let record = StoredRecord::new(login, revision, RecordContent::SignedOut);
        let mut current = self.current.take();
        self.begin_login(record, tick.now, current.as_deref_mut(), effects);
        self.current = current;
        self.persist(overwrite, tick.now)
    }

    /// Another login, or none, takes the place of the one before.
    pub(super) fn begin_login(
        &mut self,
        record: StoredRecord,
        now: Moment,
        current: Option<&mut Current<E>>,
        effects: &mut Effects<E>,
    ) {
        self.note_token_of(&record);
        let record = self.with_our_seeds(record);
        self.record = Some(record.with_base_url(&self.config.base_url));
        self.login_required_since = now;
        self.login_epoch = self.login_epoch.saturating_add(1);
        self.lost_answer = None;
        self.rejection = None;
        self.dirty = None;
        for mode in RequestMode::ALL {
            let generation = self.mode(mode).generation.saturating_add(1);
            *self.mode_mut(mode) = ModeState { generation, ..ModeState::new() };
            self.refresh_deadlines(mode, now);
        }
        self.end_waiting(&Err(Failure::LoginChanged), current, effects);
        effects.publish = true;
        effects.changed = true;
    }

    /// Ends every refresh, look and save of what was before: of another login, or another M2M token. A refresh request under way is
    /// dropped by the worker: its answer has no value.
    pub(super) fn end_waiting(
        &mut self,
        result: &Result<(), Failure<E>>,
        current: Option<&mut Current<E>>,
        effects: &mut Effects<E>,
    ) {
        let goes_on = |queued: &Queued| matches!(queued.work, Work::Settle { .. });
        let wake = &mut effects.wake;
        self.queue.retain(|queued| {
            if !goes_on(queued) {
                wake.extend(queued.ticket.map(|ticket| (ticket, result.clone())));
            }
            goes_on(queued)
        });
        if let Some(current) = current.filter(|current| !goes_on(&current.queued)) {
            let ticket = current.queued.ticket.take();
            wake.extend(ticket.map(|ticket| (ticket, result.clone())));
            current.result = Some(result.clone());
            current.pause_until = None;
            current.minted = None;
            current.rejected = None;
        }
    }

    fn persist(&mut self, overwrite: bool, now: Moment) -> Enqueued<E> {
        if !self.config.has_store {
            return Enqueued::Settled(Ok(()));
        }
        self.dirty = Some(Dirty::new(now, overwrite));
        self.push(Work::Persist { login_epoch: self.login_epoch })
    }

    fn enqueue_flush(&mut self, close: bool, effects: &mut Effects<E>) -> Enqueued<E> {
        if close && !self.closing {
            self.closing = true;
            effects.changed = true;
            self.queue.retain(|queued| {
                let ends = matches!(queued.work, Work::Refresh { .. } | Work::Look { .. });
                if ends {
                    effects
                        .wake
                        .extend(queued.ticket.map(|ticket| (ticket, Err(Failure::ShutDown))));
                }
                !ends
            });
        }
        let busy = self.current.is_some() || !self.queue.is_empty();
        if !busy && self.dirty.is_none() && self.lease.is_none() {
            return Enqueued::Settled(self.settled(close));
        }
        self.push(Work::Settle { close })
    }

    /// How a flush or a shutdown ends when there is nothing left to try.
    pub(super) fn settled(&self, close: bool) -> Result<(), Failure<E>> {
        if let Some(dirty) = &self.dirty {
            return Err(Failure::Unsaved(dirty.cause.clone().unwrap_or(StoreCause::Busy)));
        }
        if let (true, Some(error)) = (close, &self.lost_answer) {
            return Err(Failure::OutcomeUnknown(error.clone()));
        }
        match self.lease.as_ref().map(|held| &held.release) {
            Some(Release::Failed(error)) => Err(Failure::NotReleased(error.clone())),
            _ => Ok(()),
        }
    }

    fn push(&mut self, work: Work) -> Enqueued<E> {
        let ticket = self.next_ticket;
        // At a million a second the numbers last for half a million years.
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.queue.push_back(Queued { ticket: Some(ticket), work });
        Enqueued::Waits { ticket, started: true }
    }

    fn ticket_of_refresh(&self, generation: Generation) -> Option<Ticket> {
        let current = self.current.as_ref().filter(|current| current.result.is_none());
        let queued = current.map(|current| &current.queued).into_iter().chain(&self.queue);
        queued
            .filter(|queued| match queued.work {
                Work::Refresh { generation: asked, .. } => asked == generation,
                _ => false,
            })
            .find_map(|queued| queued.ticket)
    }
}
