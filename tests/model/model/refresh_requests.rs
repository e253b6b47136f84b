//! Refresh requests, the store, and what the program asks for.

use std::collections::BTreeSet;

use tower_teamup_auth::store::StoredRecord;
use tower_teamup_auth::{Error, RequestMode};

use super::{Change, ModeState, Model, News, Pause, SentRefresh, Shutdown};
use crate::store::refresh_of;
use crate::terms::{Expiry, Failure, Found, MILLIS, Now, Refresh, WAIT};

/// The shortest pauses after failures, in milliseconds: the first and the longest.
const SECOND_TRY: i64 = 250;
const TRANSIENT: (i64, i64) = (5 * MILLIS, 300 * MILLIS);
const NOT_THE_ENDPOINT: (i64, i64) = (MILLIS, 600 * MILLIS);
const DOUBTED: (i64, i64) = (60 * MILLIS, 3600 * MILLIS);

/// So many requests are sent for one refresh at most.
const MOST_REQUESTS: u32 = 2;

impl Model {
    /// The credential has the lease.
    pub(crate) fn lease_acquired(&mut self) {
        // It may be for another refresh.
        self.requests = 0;
        self.robbed = false;
        self.leased_for_the_end = self.shutdown != Shutdown::No;
    }

    /// `stored` is what the store holds.
    pub(crate) fn refresh_request_began(
        &mut self,
        mode: RequestMode,
        refresh: Refresh,
        is_stored: bool,
    ) {
        let now = self.now;
        if self.refresh_request.replace(SentRefresh { refresh, began: now }).is_some() {
            self.breaks("P1: two refresh requests at once");
        }
        if let Some(held) = self.held(mode) {
            if !self.slots[mode as usize].wanted && !held.expiry.is_advised(now) {
                self.breaks(format!(
                    "P1: a refresh request for {mode} mode that nobody had a reason for"
                ));
            }
        }
        if !self.current.contains(&Some(refresh.login)) {
            self.breaks("P11: a refresh request for a login that is not the credential's any more");
        }
        let login = &self.logins[refresh.login];
        if refresh.index < login.known && login.held.contains(&refresh.index) {
            self.breaks("P2: a refresh token sent that was known to be spent");
        } else if refresh.index > login.known.max(login.read) {
            self.breaks("P2: a refresh token sent that the credential was never told");
        } else if login.refused == Some(refresh.index) {
            self.breaks("P2: a refresh token sent again that was refused");
        }
        if self.stored && !self.overtaken && !self.robbed && !is_stored {
            self.breaks("P2: a refresh request before its refresh token was safe in the store");
        }
        let pause = self.pauses[mode as usize];
        let is_asked = pause.ends_when_asked && self.slots[mode as usize].asked > 0;
        if now.mono < pause.until && !is_asked {
            self.breaks("the endpoint was asked again sooner than it may be");
        }
        // One that was begun before may have waited for room.
        let was_begun = self.crowded && !self.leased_for_the_end;
        if self.shutdown == Shutdown::Done || self.shutdown == Shutdown::Asked && !was_begun {
            self.breaks("a refresh request that began after shutdown");
        }
        if self.refreshing != Some(mode) {
            self.requests = 0;
        }
        self.logins[refresh.login].goes_by(refresh.index);
        self.refreshing = Some(mode);
        self.requests += 1;
        // Nothing that was read of the store is still on its way.
        self.news = None;
        self.current = BTreeSet::from([Some(refresh.login)]);
    }

    /// When the refresh request under way began.
    pub(crate) fn refresh_request_since(&self) -> Now {
        self.refresh_request.as_ref().map_or(self.now, |refresh_request| refresh_request.began)
    }

    /// The answer came: the pair after the one that was sent, or the same refresh token once more.
    pub(crate) fn granted(&mut self, mode: RequestMode, token: String, next: Refresh) {
        let Some(SentRefresh { refresh, began }) = self.refresh_request.take() else { return };
        self.took(began);
        if !self.current.contains(&Some(refresh.login)) {
            return;
        }
        self.logins[refresh.login].known = next.index;
        self.pauses[mode as usize] = Pause::default();
        self.requests = 0;
        self.is_lost = false;
        self.mints.push_back(self.now);
        if self.stored {
            self.minted = Some((mode, token));
        } else {
            self.publish(mode, token);
        }
        if self.hanging > 0 || self.robbed || self.now.mono <= self.frozen_until {
            self.nothing_can_be_saved();
        }
    }

    /// A refresh request that began then is over.
    fn took(&mut self, began: Now) {
        self.is_slow |= self.now.mono - began.mono >= WAIT.as_millis() as i64 / 2;
    }

    pub(crate) fn refresh_request_failed(&mut self, mode: RequestMode, failure: Failure) {
        let Some(SentRefresh { refresh, began }) = self.refresh_request.take() else { return };
        self.took(began);
        self.failures += 1;
        if !self.current.contains(&Some(refresh.login)) {
            // It was dropped with its login.
            return;
        }
        let was_lost = self.is_lost;
        let mut retry_after = 0;
        let (first, longest) = match failure {
            Failure::Transient { retry_after: seconds } => {
                retry_after = seconds as i64 * MILLIS;
                TRANSIENT
            }
            Failure::Unknown => {
                self.is_lost = true;
                TRANSIENT
            }
            Failure::Rotated => {
                self.is_lost = false;
                self.logins[refresh.login].known = refresh.index + 1;
                TRANSIENT
            }
            Failure::Protocol => NOT_THE_ENDPOINT,
            Failure::Doubted => {
                self.is_doubted = true;
                DOUBTED
            }
            Failure::Configuration => (i64::MAX, i64::MAX),
            Failure::Refused => {
                self.requests = 0;
                self.logins[refresh.login].refused = Some(refresh.index);
                return;
            }
        };
        let again = self.shutdown == Shutdown::No
            && self.requests < MOST_REQUESTS
            && match failure {
                // A mode that has failed before sends one request for each refresh.
                Failure::Transient { .. } => {
                    retry_after <= MILLIS && self.pauses[mode as usize].failures == 0
                }
                Failure::Unknown => !was_lost,
                Failure::Rotated => true,
                _ => false,
            };
        let pause = &mut self.pauses[mode as usize];
        let length = if again {
            SECOND_TRY
        } else {
            self.requests = 0;
            pause.failures += 1;
            first.saturating_mul(1 << (pause.failures - 1).min(20)).min(longest)
        };
        pause.until = self.now.mono.saturating_add(length.max(retry_after)).saturating_sub(2);
        pause.ends_when_asked =
            matches!(failure, Failure::Protocol | Failure::Doubted | Failure::Configuration);
    }

    pub(crate) fn save_began(&mut self, record: &StoredRecord) {
        self.revision = record.revision();
        let Some(refresh) = refresh_of(record) else { return };
        let tokens = record.tokens();
        for mode in RequestMode::ALL {
            let access = tokens.and_then(|tokens| tokens.access_token(mode));
            let is_strange = |text: &str| {
                let token = self.tokens.get(text);
                token.is_none_or(|token| token.refresh.login != refresh.login || token.mode != mode)
            };
            if access.is_some_and(|access| is_strange(access.expose())) {
                self.breaks("P11: tokens of two logins, or of two modes, in one record");
            }
        }
        let ours = |(_, token): &mut (RequestMode, String)| self.tokens[token].refresh == refresh;
        if let Some((mode, token)) = self.minted.take_if(ours) {
            self.publish(mode, token);
        }
    }

    pub(crate) fn save_ended(&mut self, refresh: Refresh) {
        let login = &mut self.logins[refresh.login];
        login.saved = login.saved.max(refresh.index);
    }

    pub(crate) fn store_failed(&mut self) {
        self.store_failures += 1;
        self.requests = 0;
        // A refresh that ends here takes the pause before its second request along.
        for pause in self.pauses.iter_mut().filter(|pause| pause.failures == 0) {
            pause.until = i64::MIN;
        }
        self.nothing_can_be_saved();
    }

    /// A call of the store takes longer than it is waited for, or has come back after all.
    pub(crate) fn store_hangs(&mut self, hangs: bool) {
        if hangs {
            self.hanging += 1
        } else {
            // One that was begun in an earlier life may end in this one.
            self.hanging = self.hanging.saturating_sub(1);
        }
        self.store_failed();
    }

    pub(crate) fn stands_still(&mut self, until: i64) {
        self.frozen_until = until;
        self.store_failed();
    }

    /// What was minted is used, although it could not be saved.
    fn nothing_can_be_saved(&mut self) {
        for login in &mut self.logins {
            login.saved = login.saved.max(login.known);
        }
        if let Some((mode, token)) = self.minted.take() {
            self.publish(mode, token);
            self.slot(mode).wanted = true;
        }
    }

    /// The store is asked for something: what it said before is known to the credential.
    pub(crate) fn asks_the_store(&mut self) {
        self.news.take_if(|news| *news == News::SignedOut);
    }

    /// The store was read; `found`: what another process wrote, and its revision.
    pub(crate) fn loaded(&mut self, found: Option<Found>, revision: u64) {
        self.overtaken = false;
        let refresh = match found {
            None | Some(Found::Nothing) => return,
            Some(Found::SignedOut) => {
                // A credential that had nothing learns of it as of a change.
                let is_change = revision > self.revision || self.current != BTreeSet::from([None]);
                self.login_changes += usize::from(is_change);
                self.revision = self.revision.max(revision);
                if self.current != BTreeSet::from([None]) {
                    self.current.insert(None);
                    self.news = Some(News::SignedOut);
                    self.nothing_is_sure();
                }
                return;
            }
            Some(Found::Tokens(refresh)) => refresh,
            Some(Found::Rejected(refresh)) => {
                self.logins[refresh.login].refused = Some(refresh.index);
                refresh
            }
        };
        let is_another = self.current != BTreeSet::from([Some(refresh.login)]);
        let is_higher = revision > self.revision;
        self.revision = self.revision.max(revision);
        let login = &mut self.logins[refresh.login];
        login.read = login.read.max(refresh.index);
        if is_another || is_higher || refresh.index > login.known {
            if is_higher {
                login.goes_by(refresh.index);
            }
            login.saved = login.saved.max(refresh.index);
            self.current.insert(Some(refresh.login));
            self.login_changes += usize::from(is_another);
            self.news = Some(News::Tokens(refresh));
            self.pauses = Default::default();
            self.is_lost = false;
        } else if refresh.index == login.known {
            return;
        }
        // An older one may be adopted, too: in the place of one that was refused.
        self.adoptions += 1;
        self.slots.iter_mut().for_each(|slot| slot.newest_sent = None);
        self.nothing_is_sure();
    }

    /// Any process may refresh now, with the refresh token that it finds in the store.
    pub(crate) fn right_is_free(&mut self, usable: Option<Refresh>) {
        let Some(refresh) = usable else { return };
        let is_spent = refresh.index < self.logins[refresh.login].known;
        if is_spent && !self.robbed && self.current.contains(&Some(refresh.login)) {
            self.breaks("P2: another process may spend a refresh token that is spent");
        }
    }

    /// Another process has written to the store, or the store has lost a write.
    pub(crate) fn overtaken(&mut self) {
        self.overtaken = true;
        self.upheavals += 1;
    }

    /// The lease has run out while the credential had it.
    pub(crate) fn robbed(&mut self) {
        self.robbed = true;
        self.upheavals += 1;
        self.requests = 0;
        self.nothing_can_be_saved();
    }

    /// A login or a sign-out is asked for, and takes effect.
    pub(crate) fn changed(&mut self, change: Change) {
        if self.shutdown != Shutdown::No {
            return;
        }
        self.upheavals += 1;
        self.login_changes += 1;
        self.pauses = Default::default();
        self.requests = 0;
        self.is_lost = false;
        self.minted = None;
        let (login, held) = match change {
            Change::LogIn(refresh, held) => (Some(refresh.login), held),
            Change::SignOut => (None, [None, None]),
        };
        self.current = BTreeSet::from([login]);
        // What was read just now may be of a login that is newer still.
        self.current.extend(self.news.map(|news| match news {
            News::Tokens(refresh) => Some(refresh.login),
            News::SignedOut => None,
        }));
        let sure = self.news.is_none();
        for (slot, held) in self.slots.iter_mut().zip(held) {
            *slot = ModeState {
                held,
                sure,
                newest_sent: slot.newest_sent.take(),
                ..ModeState::default()
            };
        }
    }

    pub(crate) fn refresh_now_began(&mut self, mode: RequestMode) {
        let slot = self.slot(mode);
        slot.wanted = true;
        slot.asked += 1;
    }

    /// The refresh that the program asked for has ended, or is still under way after its time-out.
    pub(crate) fn refresh_now_ended(&mut self, mode: RequestMode, error: Option<&Error>) {
        if !error.is_some_and(Error::is_timeout) {
            let slot = self.slot(mode);
            slot.asked = slot.asked.saturating_sub(1);
        }
        if let Some(error) = error {
            self.may_fail_with(error);
        }
    }

    pub(crate) fn shutdown_began(&mut self) {
        if self.shutdown == Shutdown::No {
            self.shutdown = Shutdown::Asked;
        }
    }

    /// Everything that was under way is done. `stored` is what the store holds, if it has lost nothing;
    /// `is_leased`: the credential has the lease still.
    pub(crate) fn shutdown_done(&mut self, stored: Option<Option<Refresh>>, is_leased: bool) {
        self.shutdown = Shutdown::Done;
        if let Some(stored) = stored {
            self.newest_is_stored("P12: after shutdown", stored);
        }
        if is_leased {
            self.breaks("P12: the lease is held after shutdown");
        }
    }

    /// Somebody has set the wall clock.
    pub(crate) fn jumped(&mut self) {
        self.last_jump = self.now.mono;
        for pause in &mut self.pauses {
            pause.until = i64::MIN;
        }
        for token in self.tokens.values_mut() {
            if token.sent.is_none() && token.expiry != Expiry::Never {
                token.expiry = Expiry::Unknown;
            }
        }
    }
}
