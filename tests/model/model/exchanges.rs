//! Exchanges, the store, and what the program asks for.

use std::collections::BTreeSet;

use tower_teamup_auth::RequestMode;

use super::{Change, Exchange, Model, Shutdown};
use crate::terms::{Expiry, Failure, MILLIS, Now, Refresh};

impl Model {
    /// The credential has the right to refresh, and a transaction begins.
    pub(crate) fn transaction_began(&mut self) {
        self.unknowns = 0;
    }

    /// `stored` is what the store holds.
    pub(crate) fn exchange_began(
        &mut self,
        mode: RequestMode,
        refresh: Refresh,
        stored: Option<Refresh>,
    ) {
        let now = self.now;
        if self.exchange.replace(Exchange { refresh, began: now }).is_some() {
            self.breaks("P1: two exchanges at once");
        }
        if let Some(held) = self.held(mode) {
            if !self.slots[mode as usize].wanted && !held.expiry.is_advised(now) {
                self.breaks(format!(
                    "P1: an exchange for {mode} mode that nobody had a reason for"
                ));
            }
        }
        if !self.current.contains(&refresh.login) {
            self.breaks("P2: an exchange for a login that is not the credential's any more");
        }
        let login = &self.logins[refresh.login];
        if refresh.index < login.known {
            self.breaks("P2: a refresh token sent that was known to be spent");
        } else if refresh.index > login.known {
            self.breaks("P2: a refresh token sent that the credential was never told");
        } else if login.refused == Some(refresh.index) {
            self.breaks("P2: a refresh token sent again that was refused");
        }
        if self.unknowns >= 2 {
            self.breaks("P2: a third exchange after two unknown outcomes");
        }
        if self.stored && !self.overtaken && stored != Some(refresh) {
            self.breaks("P2: an exchange before its refresh token was safe in the store");
        }
        if self.quiet.is_some_and(|(token, until)| token == refresh && now.mono < until) {
            self.breaks("the endpoint was asked again sooner than it may be");
        }
        if self.shutdown == Shutdown::Done {
            self.breaks("an exchange after shutdown");
        }
        if self.changes == 0 {
            self.current = BTreeSet::from([refresh.login]);
        }
    }

    /// When the exchange under way began.
    pub(crate) fn exchange_since(&self) -> Now {
        self.exchange.as_ref().map_or(self.now, |exchange| exchange.began)
    }

    /// The answer came: the pair after the one that was sent.
    pub(crate) fn granted(&mut self, mode: RequestMode, token: String) {
        if let Some(exchange) = self.exchange.take() {
            self.logins[exchange.refresh.login].known = exchange.refresh.index + 1;
            self.quiet = None;
            self.mints.push_back(self.now);
            if self.stored {
                self.minted = Some((mode, token));
            } else {
                self.publish(mode, token);
            }
        }
    }

    pub(crate) fn exchange_failed(&mut self, mode: RequestMode, failure: Failure) {
        let Some(Exchange { refresh, .. }) = self.exchange.take() else { return };
        self.failures += 1;
        let mut pause = Some(125);
        match failure {
            Failure::Transient { retry_after } => {
                pause = Some(125.max(retry_after.min(300) as i64 * MILLIS));
            }
            Failure::Protocol => {}
            Failure::Unknown => self.unknowns += 1,
            Failure::Rotated => {
                self.unknowns += 1;
                self.logins[refresh.login].known = refresh.index + 1;
            }
            Failure::Refused => {
                pause = None;
                self.logins[refresh.login].refused = Some(refresh.index);
                // Refused by the API and by the endpoint: then it may be given up.
                let slot = self.slot(mode);
                slot.given_up |= slot.rejected;
                slot.sure &= !slot.given_up;
            }
        }
        self.quiet = pause.map(|pause| (refresh, self.now.mono + pause - 2));
    }

    pub(crate) fn save_began(&mut self, refresh: Refresh) {
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
    }

    pub(crate) fn loaded(&mut self, stored: Option<Refresh>) {
        self.overtaken = false;
        let Some(refresh) = stored else { return };
        let is_another = match self.current.last() {
            Some(&newest) if self.changes == 0 => refresh.login > newest,
            _ => !self.current.contains(&refresh.login),
        };
        let login = &mut self.logins[refresh.login];
        if (is_another || refresh.index > login.known) && !self.signed_out {
            login.known = login.known.max(refresh.index);
            login.saved = login.saved.max(refresh.index);
            self.current.insert(refresh.login);
            self.news = Some(refresh);
            self.nothing_is_sure();
        }
    }

    /// Any process may refresh now, with the refresh token that it finds in the store.
    pub(crate) fn right_is_free(&mut self, stored: Option<Refresh>) {
        let Some(refresh) = stored.filter(|_| self.changes == 0) else { return };
        let is_spent = refresh.index < self.logins[refresh.login].known;
        if is_spent && self.current.contains(&refresh.login) {
            self.breaks("P2: another process may spend a refresh token that is spent");
        }
    }

    /// Another process has written to the store.
    pub(crate) fn overtaken(&mut self) {
        self.overtaken = true;
        self.upheavals += 1;
    }

    /// Changes take effect in the order in which they are asked for.
    pub(crate) fn change_began(&mut self, change: Change) {
        self.changes += 1;
        self.upheavals += 1;
        self.last_change = Some(change);
        self.quiet = None;
        self.nothing_is_sure();
        if let Change::SetTokens(refresh) = change {
            self.signed_out = false;
            self.current.insert(refresh.login);
        }
    }

    pub(crate) fn change_ended(&mut self) {
        self.changes -= 1;
        self.quiet = None;
        self.nothing_is_sure();
        match self.last_change {
            Some(Change::SetTokens(refresh)) if self.changes == 0 => {
                self.current = BTreeSet::from([refresh.login]);
            }
            Some(Change::SignOut) if self.changes == 0 => {
                self.signed_out = true;
                self.current.clear();
                self.slots.iter_mut().for_each(|slot| slot.held = None);
            }
            _ => {}
        }
    }

    pub(crate) fn refresh_now_began(&mut self, mode: RequestMode) {
        self.slot(mode).wanted = true;
    }

    pub(crate) fn shutdown_began(&mut self) {
        if self.shutdown == Shutdown::No {
            self.shutdown = Shutdown::Asked;
        }
    }

    /// `stored` is what the store holds when everything that was under way is done.
    pub(crate) fn shutdown_done(&mut self, stored: Option<Refresh>) {
        self.shutdown = Shutdown::Done;
        self.newest_is_stored("after shutdown", stored);
    }

    /// Somebody has set the wall clock.
    pub(crate) fn jumped(&mut self) {
        self.last_jump = self.now.mono;
        self.quiet = None;
        for token in self.tokens.values_mut() {
            if token.sent.is_none() && token.expiry != Expiry::Never {
                token.expiry = Expiry::Unknown;
            }
        }
    }
}
