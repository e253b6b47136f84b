//! What a credential remembers of the past, so that it does not repeat it: a failure that was just
//! shared, a refresh token that was refused, and how often fresh tokens were answered 401.

use std::collections::VecDeque;
use std::time::Duration;

use super::desk::Reason;
use super::status::Failure as FailureStatus;
use crate::error::Error;
use crate::token::Moment;

/// How many refreshes fresh tokens may cost that are answered 401.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefreshLimit {
    /// The refresh of this number within the window is refused.
    pub(crate) limit: u32,
    pub(crate) window: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// `Some` from the first failed refresh until one succeeds, or until another process is seen to
    /// have refreshed.
    failure: Option<Failure>,
    /// `Some` from the moment when the refresh token was refused until there are new tokens.
    refused: Option<Refusal>,
    /// `Some` from the first failed write of the newest tokens until they are in the store.
    unsaved: Option<FailureStatus>,
    /// When a token was minted because another had been answered 401, oldest first.
    minted_after_rejection: VecDeque<Moment>,
    guard: Guard,
}

/// Whether the storm guard refuses, for telling when it begins to.
#[derive(Debug, Default, PartialEq, Eq)]
enum Guard {
    #[default]
    Closed,
    /// Nobody was told of it yet.
    JustOpened,
    Open,
}

/// The refresh fails.
#[derive(Debug)]
struct Failure {
    trouble: FailureStatus,
    /// Until then, the latest error is everybody's answer.
    until: Moment,
}

/// Nothing can be refreshed any more.
#[derive(Debug)]
struct Refusal {
    trouble: FailureStatus,
    /// From when on the store is worth a look: another process may have been handed new tokens.
    next_look: Moment,
}

impl Memory {
    /// Why a refresh for this reason must not start at `now`, if it must not.
    pub(crate) fn objection(
        &mut self,
        reason: Reason,
        now: Moment,
        guard: RefreshLimit,
    ) -> Option<Error> {
        if let Some(error) = self.refusal() {
            return Some(error);
        }
        if let Some(failure) = &self.failure {
            if !now.has_reached(failure.until) {
                return Some(failure.trouble.error().clone());
            }
        }
        if reason == Reason::Unauthorized {
            while self
                .minted_after_rejection
                .front()
                .is_some_and(|minted| now.has_reached(minted.plus(guard.window)))
            {
                self.minted_after_rejection.pop_front();
            }
            if self.minted_after_rejection.len() + 1 >= guard.limit as usize {
                if self.guard == Guard::Closed {
                    self.guard = Guard::JustOpened;
                }
                return Some(Error::refresh_limit(guard.limit, guard.window));
            }
            self.guard = Guard::Closed;
        }
        None
    }

    /// Has the storm guard begun to refuse since this was last asked?
    pub(crate) fn guard_has_just_opened(&mut self) -> bool {
        let just_opened = self.guard == Guard::JustOpened;
        if just_opened {
            self.guard = Guard::Open;
        }
        just_opened
    }

    /// A refresh has failed at `now`, and `error` answers everybody who asks before `until`.
    pub(crate) fn fail(&mut self, error: Error, now: Moment, until: Moment) {
        match &mut self.failure {
            Some(failure) => {
                failure.trouble.goes_on(error);
                failure.until = until;
            }
            None => {
                let trouble = FailureStatus::new(error, now.wall_time());
                self.failure = Some(Failure { trouble, until });
            }
        }
    }

    /// Why no refresh starts until new tokens are set, if that is so.
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.refused.as_ref().map(|refusal| refusal.trouble.error().clone())
    }

    /// Answers `error` to everybody from `now` on, and lets the store be looked at from `next_look`
    /// on.
    pub(crate) fn refuse(&mut self, error: Error, now: Moment, next_look: Moment) {
        self.refused =
            Some(Refusal { trouble: FailureStatus::new(error, now.wall_time()), next_look });
    }

    /// Why no new token can be had, if that is so: for good, or else for the moment.
    pub(crate) fn trouble(&self) -> Option<&FailureStatus> {
        let refused = self.refused.as_ref().map(|refusal| &refusal.trouble);
        refused.or_else(|| self.failure.as_ref().map(|failure| &failure.trouble))
    }

    /// The newest tokens could not be written at `now`.
    pub(crate) fn unsaved(&mut self, error: Error, now: Moment) {
        match &mut self.unsaved {
            Some(trouble) => trouble.goes_on(error),
            None => self.unsaved = Some(FailureStatus::new(error, now.wall_time())),
        }
    }

    /// The store has the newest tokens, so nothing keeps the next refresh on their account.
    pub(crate) fn saved(&mut self) {
        self.unsaved = None;
        if self.failure.as_ref().is_some_and(|failure| failure.trouble.error().is_unsaved()) {
            self.failure = None;
        }
    }

    /// Why the newest tokens are not in the store, if that is so.
    pub(crate) fn why_unsaved(&self) -> Option<&FailureStatus> {
        self.unsaved.as_ref()
    }

    /// Is a look at the store due? If so, the next one is due at `next`.
    pub(crate) fn is_look_due(&mut self, now: Moment, next: Moment) -> bool {
        match &mut self.refused {
            Some(refusal) if now.has_reached(refusal.next_look) => {
                refusal.next_look = next;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn minted(&mut self, reason: Reason, now: Moment) {
        self.recovered();
        if reason == Reason::Unauthorized {
            self.minted_after_rejection.push_back(now);
        }
    }

    /// A refresh has succeeded, here or in another process.
    pub(crate) fn recovered(&mut self) {
        self.failure = None;
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.failure.is_none()
            && self.refused.is_none()
            && self.unsaved.is_none()
            && self.minted_after_rejection.is_empty()
    }

    /// New tokens make the past irrelevant.
    pub(crate) fn forget(&mut self) {
        *self = Memory::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: RefreshLimit = RefreshLimit { limit: 5, window: Duration::from_secs(30) };
    const START: Moment = Moment { monotonic: 1_000, wall: 1_000_000 };

    fn at(seconds: u64) -> Moment {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn p3_fifth_refresh_for_a_401_within_the_window_is_refused_until_the_first_has_left_it() {
        let mut memory = Memory::default();
        for second in 0..4 {
            assert!(memory.objection(Reason::Unauthorized, at(second), GUARD).is_none());
            memory.minted(Reason::Unauthorized, at(second));
        }
        let error = memory.objection(Reason::Unauthorized, at(4), GUARD).unwrap();
        assert!(error.is_refresh_limited());
        assert!(memory.objection(Reason::Expired, at(4), GUARD).is_none());
        assert!(memory.objection(Reason::Unauthorized, at(29), GUARD).is_some());
        assert!(memory.objection(Reason::Unauthorized, at(30), GUARD).is_none());
    }

    #[test]
    fn the_guard_opens_once_until_it_has_closed() {
        let mut memory = Memory::default();
        for opening in 0..2 {
            assert!(!memory.guard_has_just_opened());
            for _ in 0..4 {
                memory.minted(Reason::Unauthorized, at(60 * opening));
            }
            for _ in 0..2 {
                assert!(memory.objection(Reason::Unauthorized, at(60 * opening), GUARD).is_some());
            }
            assert!(memory.guard_has_just_opened());
            assert!(memory.objection(Reason::Unauthorized, at(60 * opening), GUARD).is_some());
            assert!(!memory.guard_has_just_opened());
            assert!(memory.objection(Reason::Unauthorized, at(60 * opening + 30), GUARD).is_none());
        }
    }

    #[test]
    fn memory_is_blank_until_there_is_something_to_remember() {
        assert!(Memory::default().is_blank());
        let remembers = |remember: fn(&mut Memory)| {
            let mut memory = Memory::default();
            remember(&mut memory);
            !memory.is_blank()
        };
        assert!(remembers(|memory| memory.fail(Error::timed_out(), at(1), at(2))));
        assert!(remembers(|memory| memory.refuse(Error::signed_out(), at(1), at(2))));
        assert!(remembers(|memory| memory.unsaved(Error::timed_out(), at(1))));
        assert!(remembers(|memory| memory.minted(Reason::Unauthorized, at(1))));
        assert!(!remembers(|memory| memory.minted(Reason::Expired, at(1))));
    }

    #[test]
    fn a_failure_is_everybodys_answer_for_a_while_and_a_refusal_for_good() {
        let mut memory = Memory::default();
        memory.fail(Error::timed_out(), at(1), at(2));
        assert!(memory.objection(Reason::Expired, at(1), GUARD).unwrap().is_transient());
        assert!(memory.objection(Reason::Expired, at(2), GUARD).is_none());
        memory.refuse(Error::signed_out(), at(2), at(7));
        assert!(memory.objection(Reason::Expired, at(9_999_999), GUARD).is_some());
        memory.forget();
        assert!(memory.objection(Reason::Expired, at(2), GUARD).is_none());
    }

    #[test]
    fn the_store_is_looked_at_now_and_then_while_nothing_can_be_refreshed() {
        let mut memory = Memory::default();
        assert!(!memory.is_look_due(at(1), at(6)));
        memory.refuse(Error::nothing_stored(), at(1), at(5));
        assert!(!memory.is_look_due(at(4), at(9)));
        assert!(memory.is_look_due(at(5), at(10)));
        assert!(!memory.is_look_due(at(9), at(14)));
        assert!(memory.is_look_due(at(10), at(15)));
        memory.refuse(Error::signed_out(), at(15), Moment::NEVER);
        assert!(!memory.is_look_due(at(9_999_999), at(0)));
    }

    #[test]
    fn failing_counts_from_the_first_failure_until_the_first_success() {
        let mut memory = Memory::default();
        memory.fail(Error::timed_out(), at(1), at(2));
        memory.fail(Error::interrupted(), at(60), at(61));
        let trouble = memory.trouble().unwrap();
        assert_eq!(trouble.since(), at(1).wall_time());
        assert!(trouble.error().is_outcome_unknown());
        memory.minted(Reason::Expired, at(70));
        assert!(memory.trouble().is_none());

        // A refusal is another matter, and takes the word.
        memory.fail(Error::timed_out(), at(80), at(81));
        memory.refuse(Error::signed_out(), at(90), at(91));
        assert_eq!(memory.trouble().unwrap().since(), at(90).wall_time());
    }

    #[test]
    fn what_is_saved_after_all_is_no_trouble_any_more_and_no_other_failure_is_forgotten_with_it() {
        let unsaved = || Error::unsaved(crate::store::StoreError::conflict());
        let mut memory = Memory::default();
        memory.unsaved(unsaved(), at(1));
        memory.unsaved(unsaved(), at(2));
        memory.fail(unsaved(), at(2), at(30));
        assert_eq!(memory.why_unsaved().unwrap().since(), at(1).wall_time());
        memory.saved();
        assert!(memory.why_unsaved().is_none() && memory.trouble().is_none());
        assert!(memory.objection(Reason::Expired, at(3), GUARD).is_none());

        memory.fail(Error::timed_out(), at(4), at(5));
        memory.saved();
        assert!(memory.trouble().is_some());
    }
}
