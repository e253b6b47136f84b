//! M2M tokens: read again from their source, or replaced by the program. They have no refresh token
//! and no store, and act in provider mode alone.

use super::{
    CredentialState, Current, Effects, Enqueued, Failure, Happened, Reason, Renewal, Tick, Work,
};
use crate::credentials::backoff;
use crate::headers::RequestMode;
use crate::token::{AccessToken, Moment};

const MODE: RequestMode = RequestMode::Provider;

impl<L, E> CredentialState<L, E>
where
    L: Clone + PartialEq,
    E: Clone + PartialEq,
{
    /// The program brings another token. Whoever waits for one has it.
    pub(super) fn set_m2m_token(
        &mut self,
        token: AccessToken,
        tick: Tick,
        effects: &mut Effects<E>,
    ) -> Enqueued<E> {
        if self.config.renewal == Renewal::Refresh {
            return Enqueued::Settled(Err(Failure::NotM2m));
        }
        self.take_m2m_token(token, tick.now, effects);
        let mut current = self.current.take();
        self.end_waiting(&Ok(()), current.as_deref_mut(), effects);
        self.current = current;
        Enqueued::Settled(Ok(()))
    }

    /// The source has told its token.
    pub(super) fn source_read(
        &mut self,
        current: &mut Current<E>,
        token: AccessToken,
        tick: Tick,
        effects: &mut Effects<E>,
    ) {
        let Work::Refresh { generation, reason } = current.queued.work else { return };
        // What the program has set meanwhile is newer than what was read before.
        if generation != self.generation(MODE) {
            return;
        }
        let is_same = self.issued(MODE).is_some_and(|issued| issued.token == token);
        if is_same && self.mode(MODE).refused {
            let pause = backoff::SOURCE.pause(self.consecutive_failures(MODE), tick.jitter);
            let until = tick.now.plus(pause);
            let failure = Failure::M2mRefused { until };
            current.result = Some(Err(self.fail_mode(MODE, failure, until, tick.now, effects)));
        } else {
            if is_same {
                // Nothing new, and nothing wrong with it: its generation goes on.
                self.mode_mut(MODE).failure = None;
                effects.publish = true;
            } else {
                if reason == Reason::Unauthorized {
                    self.mode_mut(MODE).minted_after_401.push_back(tick.now);
                }
                self.take_m2m_token(token, tick.now, effects);
            }
            current.result = Some(Ok(()));
        }
        effects.changed = true;
    }

    /// The source could not be read: the last token stays in use.
    pub(super) fn source_failed(
        &mut self,
        current: &mut Current<E>,
        error: E,
        tick: Tick,
        effects: &mut Effects<E>,
    ) {
        let Work::Refresh { generation, .. } = current.queued.work else { return };
        if generation != self.generation(MODE) {
            return;
        }
        let pause = backoff::SOURCE.pause(self.consecutive_failures(MODE), tick.jitter);
        let until = tick.now.plus(pause);
        let failure = Failure::M2mSource { error, until };
        current.result = Some(Err(self.fail_mode(MODE, failure, until, tick.now, effects)));
        effects.changed = true;
    }

    /// Why a token that comes from nowhere is not renewed. One that the API has refused stays so until
    /// the program brings another.
    pub(super) fn without_source(
        &mut self,
        reason: Reason,
        now: Moment,
        effects: &mut Effects<E>,
    ) -> Failure<E> {
        if !matches!(reason, Reason::Unauthorized | Reason::RefusedRoute) {
            return Failure::NotRefreshable;
        }
        let failure = Failure::M2mRefused { until: Moment::NEVER };
        if self.mode(MODE).failure.is_none() {
            self.fail_mode(MODE, failure.clone(), Moment::NEVER, now, effects);
            let happened = Happened::RefreshFailed { mode: MODE, failure: failure.clone() };
            effects.happened.push(happened);
            effects.changed = true;
        }
        failure
    }

    fn take_m2m_token(&mut self, token: AccessToken, now: Moment, effects: &mut Effects<E>) {
        if let Some(record) = self.record.take() {
            self.record =
                Some(record.map_tokens(|tokens| tokens.with_access_token_until(MODE, token, None)));
        }
        self.end_generation(MODE, now);
        effects.happened.push(Happened::M2mTokenReplaced);
        effects.publish = true;
        effects.changed = true;
    }
}
