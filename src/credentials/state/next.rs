//! Which action comes next: what is still missing for the operation in hand.

use std::time::Duration;

use super::{
    Action, CredentialState, Current, Effects, Failure, Happened, HeldLease, InFlight, LeaseWait,
    ModeFailure, Operation, Queued, Reason, Release, Renewal, StoreCause, Tick, WARM_PAUSE,
    WaitStage, Work,
};
use crate::credentials::backoff;
use crate::credentials::generation::Generation;
use crate::headers::RequestMode;
use crate::store::{RecordContent, StoredRecord};
use crate::token::Moment;

/// How the operation in hand goes on.
enum Step<L, E> {
    Act(Action<L>),
    /// It has ended like this.
    Ends(Result<(), Failure<E>>),
}

/// What stands in the way of a save or a refresh, if it can't be waited for.
type Blocked<L, E> = Result<Action<L>, StoreCause<E>>;

impl<L, E> CredentialState<L, E>
where
    L: Clone + PartialEq,
    E: Clone + PartialEq,
{
    /// The next action of the worker. `lease_left` is how much longer the held lease is valid,
    /// `None` where it is valid until it is released.
    pub(crate) fn next(
        &mut self,
        tick: Tick,
        lease_left: Option<Duration>,
    ) -> (Action<L>, Effects<E>) {
        let mut effects = Effects::default();
        if lease_left == Some(Duration::ZERO) {
            let lost = self.lease.take();
            if let Some(HeldLease { release: Release::NotBegun, .. }) = lost.as_deref() {
                effects.happened.push(Happened::LeaseLost);
                // Granted just now and run out already: the next one may be no better.
                if let Some(wait) = &mut self.lease_wait {
                    wait.stage = WaitStage::Lost;
                }
            }
        }
        let action = self.decide(tick, &mut effects);
        self.in_flight = match &action {
            Action::AcquireLease => Some(InFlight::AcquireLease),
            Action::Load => Some(InFlight::Load),
            Action::SendRefresh { .. } => {
                Some(InFlight::SendRefresh { login_epoch: self.login_epoch })
            }
            Action::ReadSource => Some(InFlight::ReadSource),
            Action::Save { record, .. } => {
                Some(InFlight::Save { login: record.login(), revision: record.revision() })
            }
            Action::ReleaseLease { .. } => {
                if let Some(held) = self.lease.as_deref_mut() {
                    held.release = Release::Begun;
                }
                Some(InFlight::ReleaseLease)
            }
            Action::Sleep { .. } => Some(InFlight::Sleep),
            Action::Idle => {
                self.worker = None;
                None
            }
        };
        (action, effects)
    }

    fn decide(&mut self, tick: Tick, effects: &mut Effects<E>) -> Action<L> {
        loop {
            let Some(mut current) = self.current.take() else {
                match self.queue.pop_front() {
                    Some(queued) => self.current = Some(Current::new(queued)),
                    None => match self.without_operation(tick, effects) {
                        Some(action) => return action,
                        None => continue,
                    },
                }
                continue;
            };
            let step = self.step(&mut current, tick, effects);
            match step {
                Step::Act(action) => {
                    self.current = Some(current);
                    return action;
                }
                Step::Ends(result) => {
                    let hurries = !self.queue.is_empty() || self.dirty.is_some();
                    if let (false, Some(lease)) = (hurries, self.releasable()) {
                        // Released before the waiters are woken: a program may end right after.
                        current.result = Some(result);
                        self.current = Some(current);
                        return Action::ReleaseLease { lease };
                    }
                    self.lease_wait = None;
                    self.finish(*current, result, effects);
                }
            }
        }
    }

    fn finish(
        &mut self,
        current: Current<E>,
        result: Result<(), Failure<E>>,
        effects: &mut Effects<E>,
    ) {
        effects.changed = true;
        if let (Work::Refresh { generation, .. }, Err(failure)) = (current.queued.work, &result) {
            effects
                .happened
                .push(Happened::RefreshFailed { mode: generation.mode, failure: failure.clone() });
        }
        if let Some(ticket) = current.queued.ticket {
            effects.wake.push((ticket, result));
        }
    }

    /// Nobody asks for anything: what is dirty is saved in time, and a lease is given back.
    /// `None`: there is an operation now.
    fn without_operation(&mut self, tick: Tick, effects: &mut Effects<E>) -> Option<Action<L>> {
        if let Some(dirty) = &self.dirty {
            if !tick.now.has_reached(dirty.next_try) {
                let pause = tick.now.until(dirty.next_try);
                return Some(Action::Sleep { pause, for_change: false });
            }
            let work = Work::Persist { login_epoch: self.login_epoch };
            self.queue.push_back(Queued { ticket: None, work });
            return None;
        }
        if let Some(lease) = self.releasable() {
            return Some(Action::ReleaseLease { lease });
        }
        let Some((mode, at)) = self.next_refresh_unasked() else { return Some(Action::Idle) };
        if !tick.now.has_reached(at) {
            return Some(Action::Sleep { pause: tick.now.until(at), for_change: false });
        }
        let generation = self.generation(mode);
        let operation = Operation::Refresh { generation, reason: Reason::RefreshSoon };
        self.next_warm = tick.now.plus(WARM_PAUSE);
        let (_, more) = self.enqueue(operation, tick);
        effects.happened.extend(more.happened);
        effects.changed |= more.changed;
        if self.queue.is_empty() { Some(Action::Idle) } else { None }
    }

    /// Which token is to be refreshed without being asked for, and when; `None` where there is none
    /// or that can't help.
    pub(super) fn next_refresh_unasked(&self) -> Option<(RequestMode, Moment)> {
        let mode = self.config.keep_warm.filter(|_| !self.closing)?;
        if self.login_required().is_some() {
            return None;
        }
        let state = self.mode(mode);
        let due = match self.issued(mode) {
            Some(_) => state.deadlines.refresh_soon,
            None => Moment { monotonic: 0, wall: 0 },
        };
        let due = match &state.failure {
            Some(failure) => due.or_later(failure.until),
            None => due,
        };
        (due != Moment::NEVER).then_some((mode, due.or_later(self.next_warm)))
    }

    fn step(
        &mut self,
        current: &mut Current<E>,
        tick: Tick,
        effects: &mut Effects<E>,
    ) -> Step<L, E> {
        if let Some(result) = current.result.take() {
            return Step::Ends(result);
        }
        match current.queued.work {
            Work::Refresh { generation, reason } => {
                self.step_refresh(current, generation, reason, tick, effects)
            }
            Work::Look { generation, reason } => {
                self.step_look(current, generation, reason, tick, effects)
            }
            Work::Persist { login_epoch } => self.step_persist(current, login_epoch, tick, effects),
            Work::Settle { close } => self.step_settle(current, close, tick, effects),
        }
    }

    fn step_refresh(
        &mut self,
        current: &mut Current<E>,
        generation: Generation,
        reason: Reason,
        tick: Tick,
        effects: &mut Effects<E>,
    ) -> Step<L, E> {
        let mode = generation.mode;
        if let Some(result) = self.satisfied(generation, tick.now) {
            return Step::Ends(result);
        }
        // What was adopted in its place is no use: whoever finds that out as well shares this one.
        let generation = self.generation(mode);
        current.queued.work = Work::Refresh { generation, reason };
        if self.dirty.is_some() {
            return match self.save_step(current, tick, effects) {
                Ok(action) => Step::Act(action),
                Err(cause) => Step::Ends(Err(Failure::Unsaved(cause))),
            };
        }
        if self.closing {
            return Step::Ends(Err(match current.rejected.take() {
                Some(error) => self.mark_rejected(error, tick, effects),
                None => Failure::ShutDown,
            }));
        }
        if !current.started {
            current.started = true;
            if let Some(failure) = self.objection(mode, reason, tick.now, effects) {
                return Step::Ends(Err(failure));
            }
            let remaining = self.issued(mode).and_then(|issued| issued.expires_at);
            let remaining =
                remaining.map(|end| end.duration_since(tick.now.wall_time()).unwrap_or_default());
            effects.happened.push(Happened::RefreshStarted { mode, reason, remaining });
        }
        if self.config.renewal == Renewal::ReadSource {
            return Step::Act(Action::ReadSource);
        }
        if let Some(failure) = self.login_required() {
            return Step::Ends(Err(failure));
        }
        if self.config.has_store {
            match self.lease_step(tick) {
                Ok(None) => {}
                Ok(Some(action)) => return Step::Act(action),
                Err(cause) => {
                    let failure = match current.rejected.take() {
                        Some(error) => self.mark_rejected(error, tick, effects),
                        None => self.fail_mode_for_store(mode, cause, tick, effects),
                    };
                    return Step::Ends(Err(failure));
                }
            }
            if self.lease.as_ref().is_some_and(|held| held.seen.is_none()) {
                return Step::Act(Action::Load);
            }
        }
        if let Some(until) = current.pause_until {
            if !tick.now.has_reached(until) {
                let pause = tick.now.until(until);
                return Step::Act(Action::Sleep { pause, for_change: false });
            }
            current.pause_until = None;
        }
        let Some(RecordContent::Tokens(tokens)) = self.record.as_ref().map(StoredRecord::content)
        else {
            return Step::Ends(Err(Failure::NothingStored));
        };
        current.sent = current.sent.saturating_add(1);
        Step::Act(Action::SendRefresh { refresh_token: tokens.refresh_token().clone(), mode })
    }

    /// How a refresh of `generation` ends when there is nothing left to do for it.
    fn satisfied(&self, generation: Generation, now: Moment) -> Option<Result<(), Failure<E>>> {
        if generation.login_epoch != self.login_epoch {
            return Some(Err(Failure::LoginChanged));
        }
        let mode = self.mode(generation.mode);
        let replaced = mode.generation != generation.count;
        // Another process may have saved a token that has expired since.
        let valid = self.issued(generation.mode).is_some()
            && !now.has_reached(mode.deadlines.expired)
            && !mode.refused;
        (replaced && valid).then_some(Ok(()))
    }

    fn step_look(
        &mut self,
        current: &mut Current<E>,
        generation: Generation,
        reason: Reason,
        tick: Tick,
        effects: &mut Effects<E>,
    ) -> Step<L, E> {
        if !current.looked {
            return Step::Act(Action::Load);
        }
        if let Some(result) = self.satisfied(generation, tick.now) {
            return Step::Ends(result);
        }
        if generation.count != self.mode(generation.mode).generation {
            // Another process has logged in or refreshed, and its token is no use: ours to refresh.
            return self.turn_into_refresh(current, generation.mode, reason, tick, effects);
        }
        let objection = self.objection(generation.mode, reason, tick.now, effects);
        match objection {
            Some(failure) => Step::Ends(Err(failure)),
            None => self.turn_into_refresh(current, generation.mode, reason, tick, effects),
        }
    }

    fn turn_into_refresh(
        &mut self,
        current: &mut Current<E>,
        mode: RequestMode,
        reason: Reason,
        tick: Tick,
        effects: &mut Effects<E>,
    ) -> Step<L, E> {
        let generation = self.generation(mode);
        current.queued.work = Work::Refresh { generation, reason };
        self.step_refresh(current, generation, reason, tick, effects)
    }

    fn step_persist(
        &mut self,
        current: &mut Current<E>,
        login_epoch: u32,
        tick: Tick,
        effects: &mut Effects<E>,
    ) -> Step<L, E> {
        if login_epoch != self.login_epoch {
            return Step::Ends(Err(Failure::LoginChanged));
        }
        if self.dirty.is_none() {
            return Step::Ends(Ok(()));
        }
        match self.save_step(current, tick, effects) {
            Ok(action) => Step::Act(action),
            Err(cause) => Step::Ends(Err(Failure::Unsaved(cause))),
        }
    }

    fn step_settle(
        &mut self,
        current: &mut Current<E>,
        close: bool,
        tick: Tick,
        effects: &mut Effects<E>,
    ) -> Step<L, E> {
        if !current.started {
            current.started = true;
            if let Some(HeldLease { release, .. }) = self.lease.as_deref_mut() {
                if let Release::Failed(_) = release {
                    *release = Release::Begun;
                }
            }
        }
        if self.dirty.is_some() && !current.save_failed {
            if let Ok(action) = self.save_step(current, tick, effects) {
                return Step::Act(action);
            }
        }
        if let Some(lease) = self.releasable() {
            return Step::Act(Action::ReleaseLease { lease });
        }
        Step::Ends(self.settled(close))
    }

    /// What is to be done next to save the record.
    fn save_step(
        &mut self,
        current: &mut Current<E>,
        tick: Tick,
        effects: &mut Effects<E>,
    ) -> Blocked<L, E> {
        if current.save_failed {
            let cause = self.dirty.as_ref().and_then(|dirty| dirty.cause.clone());
            return Err(cause.unwrap_or(StoreCause::Busy));
        }
        match self.lease_step(tick) {
            Ok(None) => {}
            Ok(Some(action)) => return Ok(action),
            Err(cause) => {
                self.save_failed(current, cause.clone(), tick, effects);
                return Err(cause);
            }
        }
        let (Some(HeldLease { lease, seen, .. }), Some(record)) =
            (self.lease.as_deref(), &self.record)
        else {
            return Ok(Action::AcquireLease);
        };
        match seen {
            None => Ok(Action::Load),
            Some(expected) => Ok(Action::Save {
                lease: lease.clone(),
                expected: *expected,
                record: Box::new(record.clone()),
            }),
        }
    }

    /// What is to be done next to get the lease; `None` when it is held. While another process has
    /// it, the store is read: what that one saves is adopted without the lease.
    fn lease_step(&mut self, tick: Tick) -> Result<Option<Action<L>>, StoreCause<E>> {
        if let Some(held) = &self.lease {
            self.lease_wait = None;
            return Ok(match held.release {
                Release::NotBegun => None,
                // It may be another's by now. Given back once more it is nobody's for sure.
                _ => Some(Action::ReleaseLease { lease: held.lease.clone() }),
            });
        }
        let wait =
            self.lease_wait.get_or_insert(LeaseWait { since: tick.now, stage: WaitStage::Ask });
        match wait.stage {
            WaitStage::Ask => Ok(Some(Action::AcquireLease)),
            WaitStage::Read => Ok(Some(Action::Load)),
            // Judged after an attempt: a process that stood still makes one before it gives up.
            _ if wait.since.until(tick.now) >= self.config.lease_wait => {
                self.lease_wait = None;
                Err(StoreCause::Busy)
            }
            WaitStage::Pause => {
                wait.stage = WaitStage::Ask;
                Ok(Some(Action::Sleep { pause: Duration::from_secs(1), for_change: true }))
            }
            WaitStage::Lost => {
                wait.stage = WaitStage::Ask;
                Ok(Some(Action::Sleep { pause: Duration::from_secs(1), for_change: false }))
            }
        }
    }

    /// An attempt to save has failed: the next one comes after a pause.
    pub(super) fn save_failed(
        &mut self,
        current: &mut Current<E>,
        cause: StoreCause<E>,
        tick: Tick,
        effects: &mut Effects<E>,
    ) {
        current.save_failed = true;
        if let Some(dirty) = &mut self.dirty {
            dirty.tries = dirty.tries.saturating_add(1);
            let pause = backoff::SAVE.pause(dirty.tries, tick.jitter);
            dirty.next_try = tick.now.plus(pause);
            dirty.cause = Some(cause.clone());
            let tries = dirty.tries;
            effects.happened.push(Happened::NotSaved { cause, tries, pause });
        }
        effects.changed = true;
        self.publish_minted(current, effects);
    }

    /// The store keeps this mode from being refreshed.
    pub(super) fn fail_mode_for_store(
        &mut self,
        mode: RequestMode,
        cause: StoreCause<E>,
        tick: Tick,
        effects: &mut Effects<E>,
    ) -> Failure<E> {
        let consecutive = self.consecutive_failures(mode);
        let until = tick.now.plus(backoff::TRANSIENT.pause(consecutive, tick.jitter));
        let failure = Failure::Store { cause, until };
        // What the endpoint has said of this mode stands: nothing was sent that could change it.
        let stands = |known: &ModeFailure<E>| {
            matches!(known.latest, Failure::Request { .. }) && !until.has_reached(known.until)
        };
        if self.mode(mode).failure.as_deref().is_some_and(stands) {
            return failure;
        }
        self.fail_mode(mode, failure, until, tick.now, effects)
    }

    /// How many refreshes of `mode` have failed in a row, one more included.
    pub(super) fn consecutive_failures(&self, mode: RequestMode) -> u32 {
        let failed = self.mode(mode).failure.as_ref().map_or(0, |failure| failure.consecutive);
        failed.saturating_add(1)
    }

    pub(super) fn fail_mode(
        &mut self,
        mode: RequestMode,
        latest: Failure<E>,
        until: Moment,
        now: Moment,
        effects: &mut Effects<E>,
    ) -> Failure<E> {
        let consecutive = self.consecutive_failures(mode);
        let since = self.mode(mode).failure.as_ref().map_or(now, |failure| failure.since);
        self.mode_mut(mode).failure =
            Some(Box::new(ModeFailure { latest: latest.clone(), since, until, consecutive }));
        // Until then no request asks for an early refresh.
        effects.publish = true;
        latest
    }

    /// The lease, if it can be given back: nothing is dirty, and the last attempt did not fail.
    pub(super) fn releasable(&self) -> Option<L> {
        let held = self.lease.as_ref()?;
        if let Release::Failed(_) = held.release {
            return None;
        }
        self.dirty.is_none().then(|| held.lease.clone())
    }
}
