//! Requests: what one may carry, how often, and how it may end.

use std::collections::BTreeSet;

use tower_teamup_auth::{Error, RequestMode};

use super::{Call, End, LONGEST_CALL, LONGEST_QUEUE, Model, News, Shutdown};
use crate::terms::{Answer, MILLIS, SLACK};

impl Model {
    /// A request begins; the answer is its number.
    pub(crate) fn call_began(&mut self, mode: RequestMode, ours: bool, repeatable: bool) -> usize {
        let now = self.now;
        let began_at = self.tick();
        let held = self.held(mode);
        let is_good = held.is_some_and(|held| held.is_seen() && held.expiry.is_good(now));
        // In the last part of a token's life one request waits for the refresh that it starts.
        let is_advised = held.is_none_or(|held| held.expiry.is_advised(now));
        let due_at_once = (ours && is_good && !is_advised && !self.crowded)
            .then(|| self.slots[mode as usize].held.clone())
            .flatten();
        if ours && is_advised {
            self.slot(mode).wanted = true;
        }
        let floor = self.slots[mode as usize].newest_sent.clone();
        self.calls.push(Call {
            mode,
            ours,
            repeatable,
            began: now,
            began_at,
            due_at_once,
            logins: self.current.clone(),
            login_changes: self.login_changes,
            adoptions: self.adoptions,
            floor,
            sends: 0,
            sent_with: None,
            last: None,
        });
        self.calls.len() - 1
    }

    /// It was polled once: with a fresh token it has been sent.
    pub(crate) fn call_polled(&mut self, call: usize) {
        let Call { ours, sends, ref due_at_once, .. } = self.calls[call];
        let is_due = due_at_once.is_some();
        if sends == 0 && is_due {
            self.breaks("P10: a request was not sent at once although a good token is held");
        }
        if sends == 0 && !ours && !self.crowded {
            self.breaks("a request to another origin was kept waiting");
        }
    }

    /// It arrives at the inner service; the answer is how often it has by now.
    pub(crate) fn sent(&mut self, call: usize, token: Option<&str>, mode: Option<&str>) -> usize {
        let at = self.tick();
        let now = self.now;
        self.calls[call].sends += 1;
        let Call { ours, repeatable, sends, began_at, .. } = self.calls[call];
        if sends > 2 {
            self.breaks("P3: a request was sent more than twice");
        }
        if sends > 1 && !repeatable {
            self.breaks("P9: a body that can't be sent again was sent twice");
        }
        if !ours {
            if token.is_some() || mode.is_some() {
                self.breaks("P4: a token left for an origin that is not allowed");
            }
            return sends;
        }
        let Some(text) = token.filter(|text| self.tokens.contains_key(*text)) else {
            self.breaks("a request without a token");
            return sends;
        };
        let wanted = self.calls[call].mode;
        let minted_for = self.tokens[text].mode;
        if mode != Some(minted_for.as_str()) || minted_for != wanted {
            self.breaks("P7: the mode in the header is not the token's");
        }
        let login = self.tokens[text].refresh.login;
        // One that waits for room finds out later whose it is.
        if !self.crowded && !self.calls[call].logins.contains(&Some(login)) {
            self.breaks("P11: a request was sent as another login than it was made for");
        }
        if !self.current.contains(&Some(login)) {
            self.breaks("P11: a request was sent for a login that the credential has left");
        }
        let first = self.calls[call].sent_with.as_ref().map(|text| &self.tokens[text]);
        if first.is_some_and(|first| first.refresh.login != login) {
            self.breaks("P11: a request was sent again as another login");
        }
        let token = &self.tokens[text];
        if !self.crowded && token.expiry.is_over(now) && token.sent.is_some_and(|at| at < began_at)
        {
            self.breaks("a token was sent that both clocks say has expired");
        }
        let token = &self.tokens[text];
        if self.stored && token.own && self.logins[token.refresh.login].saved < token.refresh.index
        {
            self.breaks("P2: a token was used before its pair was saved");
        }
        if let Some(floor) = self.calls[call].floor.clone() {
            // Another process may have kept one that lives longer than newer ones.
            let has_adopted = self.calls[call].adoptions != self.adoptions;
            if !self.crowded && !has_adopted && self.is_older(text, &floor) {
                self.breaks("P1: a request went out with a token older than one that was in use");
            }
        }
        if let Some(due) = self.calls[call].due_at_once.clone() {
            if sends == 1 && self.is_older(text, &due) {
                self.breaks("P10: a request went out with a token older than the one held");
            }
        }
        let is_again = self.tokens[text].is_again;
        if !is_again && self.calls[call].sent_with.as_deref() == Some(text) {
            self.breaks("P3: the repeat carried the token that was answered 401");
        }
        self.saw(wanted, text, at);
        self.calls[call].sent_with = Some(text.to_owned());
        sends
    }

    /// A request carries this token: so it is, or was, what requests see.
    fn saw(&mut self, mode: RequestMode, text: &str, at: u64) {
        let of = self.tokens[text].refresh;
        let is_seen = |news: &mut News| match news {
            News::Tokens(news) => news.login == of.login && news.index <= of.index,
            News::SignedOut => false,
        };
        if self.news.take_if(is_seen).is_some() {
            self.current = BTreeSet::from([Some(of.login)]);
        }
        let settled =
            self.refresh_request.is_none() && self.minted.is_none() && self.news.is_none();
        let crowded = self.crowded;
        let slot = &self.slots[mode as usize];
        let is_older =
            |than: &Option<String>| than.as_ref().is_some_and(|it| self.is_older(text, it));
        let is_newest = !is_older(&slot.newest_sent);
        // A newer one may be on its way, to be saved a second time after the store lost a write.
        let settled = settled && !is_older(&slot.held);
        if let Some(token) = self.tokens.get_mut(text) {
            token.sent.get_or_insert(at);
        }
        let slot = self.slot(mode);
        if is_newest {
            slot.newest_sent = Some(text.to_owned());
        }
        if !slot.sure && settled && !crowded {
            // Whatever was asked for meanwhile may be about this one.
            slot.held = Some(text.to_owned());
            (slot.sure, slot.wanted, slot.rejected) = (true, true, true);
        }
    }

    pub(crate) fn answered(&mut self, call: usize, answer: Answer) {
        self.calls[call].last = Some(answer);
        let Call { mode, ours, sends, .. } = self.calls[call];
        self.is_route_refused |= ours && sends == 2 && answer == Answer::Unauthorized;
        if !ours || answer != Answer::Unauthorized {
            return;
        }
        let slot = &self.slots[mode as usize];
        let sent_with = self.serial(self.calls[call].sent_with.as_ref());
        if !slot.sure || sent_with >= self.serial(slot.held.as_ref()) {
            let slot = self.slot(mode);
            (slot.wanted, slot.rejected) = (true, true);
        }
    }

    pub(crate) fn call_ended(&mut self, call: usize, end: &End) {
        let Call { mode, ours, repeatable, began, sends, last, .. } = self.calls[call];
        let longest = LONGEST_CALL + SLACK + if self.crowded { LONGEST_QUEUE } else { 0 };
        if self.now.mono - began.mono > longest {
            self.breaks("a call took longer than the longest way allows");
        }
        match end {
            End::Answered { status, reason } => {
                if last.and_then(Answer::status) != Some(*status) {
                    self.breaks("the answer is not the one that the server gave last");
                }
                let is_401 = ours && last == Some(Answer::Unauthorized);
                if is_401 && sends == 1 && reason.is_none() {
                    self.breaks("a 401 came through without a retry and without a reason");
                }
                if let Some(reason) = reason {
                    if !is_401 || sends == 2 && !reason.is_route_refused() {
                        self.breaks("a reason beside an answer that needs none");
                    }
                    if reason.is_retryable_by_caller() && repeatable {
                        self.breaks("P9: a body that could be sent again was not");
                    }
                    self.may_fail_with(reason);
                }
            }
            End::Inner if last != Some(Answer::Fails) => {
                self.breaks("an error of the inner service that it did not give");
            }
            End::Inner => {}
            End::Ours(error) => {
                if !ours || sends != 0 {
                    self.breaks("an error of the crate's own although something was sent");
                }
                let is_believed = self
                    .held(mode)
                    .is_some_and(|held| held.is_seen() && held.expiry.is_believed(self.now));
                let Call { login_changes, ref logins, .. } = self.calls[call];
                let may_be_another = login_changes < self.login_changes || logins.len() > 1;
                if error.is_login_changed() {
                    if !may_be_another {
                        self.breaks("a call failed for a change of the login that was none");
                    }
                } else if is_believed {
                    self.breaks("P10: a call failed although a token is held that is still good");
                }
                self.may_fail_with(error);
            }
        }
    }

    /// Is there a cause for an error of this kind?
    pub(crate) fn may_fail_with(&mut self, error: &Error) {
        let now = self.now;
        while self.mints.front().is_some_and(|at| now.mono - at.mono > 30 * MILLIS + SLACK) {
            self.mints.pop_front();
        }
        let cause = if error.is_shut_down() {
            self.shutdown != Shutdown::No
        } else if error.is_login_required() {
            self.current.contains(&None)
                || self.is_doubted
                || self.logins.iter().any(|login| login.refused.is_some())
        } else if error.is_login_changed() {
            self.login_changes > 0
        } else if error.is_retryable_by_caller() {
            // Nothing failed: it says why a 401 that was to be expected is the answer.
            true
        } else if error.is_route_refused() {
            self.is_route_refused
        } else if error.is_configuration() {
            self.failures > 0
        } else if error.is_refresh_limited() {
            self.mints.len() >= 4
        } else if error.is_store() {
            self.store_failures + self.upheavals > 0
        } else if error.is_timeout() && self.is_slow {
            // The refresh requests of both modes, one after the other.
            true
        } else if error.is_transient() || error.is_outcome_unknown() || error.is_protocol() {
            self.failures + self.upheavals + self.store_failures > 0 || self.crowded
        } else {
            false
        };
        if !cause {
            self.breaks(format!("there is no cause for this error: {error}"));
        }
    }
}
