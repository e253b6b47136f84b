//! The tokens that the server has issued, and which of them are still good.
//!
//! A family is what one login brought: one living refresh token, those it was rotated from, and
//! every access token minted on the way. A spent refresh token that comes back means that two
//! parties hold the family, so all of it dies (RFC 9700 section 4.14.2).

use std::collections::HashMap;
use std::time::Duration;

use super::settings::Settings;
use crate::headers::RequestMode;

/// Milliseconds of the server's own time.
pub(super) type Millis = u64;

#[derive(Default)]
pub(super) struct Families {
    access: HashMap<String, AccessRecord>,
    refresh: HashMap<String, RefreshRecord>,
    families: u64,
}

struct AccessRecord {
    owner: Owner,
    mode: RequestMode,
    expires_at: Option<Millis>,
    revoked: bool,
}

struct RefreshRecord {
    family: u64,
    state: RefreshState,
    expires_at: Option<Millis>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RefreshState {
    Alive,
    Spent,
    Revoked,
}

/// Whom a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// The user behind a token family.
    User(u64),
    /// A business: an M2M token.
    Business(u64),
}

/// What is known of an access token that a request carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Good { owner: Owner, mode: RequestMode },
    Expired,
    Revoked,
    Unknown,
}

/// What came of an exchange.
pub(super) enum Spending {
    Rotated { access_token: String, refresh_token: String },
    DoubleSpent,
    Expired,
    Revoked,
    Unknown,
}

impl Families {
    /// A new family and its refresh token.
    pub(super) fn found(&mut self, settings: &Settings, now: Millis) -> (u64, String) {
        self.families += 1;
        let family = self.families;
        (family, self.mint_refresh(family, settings, now))
    }

    fn mint_refresh(&mut self, family: u64, settings: &Settings, now: Millis) -> String {
        let token = random_token("refresh");
        let expires_at = settings.refresh_token_lifetime.map(|lifetime| after(now, lifetime));
        self.refresh.insert(
            token.clone(),
            RefreshRecord { family, state: RefreshState::Alive, expires_at },
        );
        token
    }

    /// An access token of `family` for requests in `mode`.
    pub(super) fn mint_access(
        &mut self,
        family: u64,
        mode: RequestMode,
        settings: &Settings,
        now: Millis,
    ) -> String {
        let token = random_token(mode.as_str());
        let expires_at = settings.access_token_lifetime.map(|lifetime| after(now, lifetime));
        let owner = Owner::User(family);
        self.access.insert(token.clone(), AccessRecord { owner, mode, expires_at, revoked: false });
        token
    }

    /// A long-lived token of a business.
    pub(super) fn mint_m2m(&mut self) -> String {
        self.families += 1;
        let token = random_token("m2m");
        self.access.insert(
            token.clone(),
            AccessRecord {
                owner: Owner::Business(self.families),
                mode: RequestMode::Provider,
                expires_at: None,
                revoked: false,
            },
        );
        token
    }

    /// Spends `refresh_token` for an access token of `mode` and the next refresh token.
    pub(super) fn exchange(
        &mut self,
        refresh_token: &str,
        mode: RequestMode,
        settings: &Settings,
        now: Millis,
    ) -> Spending {
        let Some(record) = self.refresh.get_mut(refresh_token) else {
            return Spending::Unknown;
        };
        let family = record.family;
        match record.state {
            RefreshState::Revoked => return Spending::Revoked,
            RefreshState::Spent if settings.reuse_detection => {
                self.kill(family);
                return Spending::DoubleSpent;
            }
            RefreshState::Spent | RefreshState::Alive => {}
        }
        if record.expires_at.is_some_and(|expires_at| now >= expires_at) {
            return Spending::Expired;
        }
        record.state = RefreshState::Spent;
        if settings.rotation_revokes_access_tokens {
            for access in self.access.values_mut() {
                access.revoked |= access.owner == Owner::User(family) && access.mode == mode;
            }
        }
        Spending::Rotated {
            access_token: self.mint_access(family, mode, settings, now),
            refresh_token: self.mint_refresh(family, settings, now),
        }
    }

    /// Ends a family. What was spent stays known as spent, so that a third use counts as one too.
    pub(super) fn kill(&mut self, family: u64) {
        for access in self.access.values_mut() {
            access.revoked |= access.owner == Owner::User(family);
        }
        for refresh in self.refresh.values_mut() {
            if refresh.family == family && refresh.state == RefreshState::Alive {
                refresh.state = RefreshState::Revoked;
            }
        }
    }

    /// Does this text hold a token, of whatever kind, that was minted here?
    pub(super) fn have_minted_one_in(&self, text: &str) -> bool {
        text.match_indices(PREFIX).any(|(start, _)| {
            let word = text[start..]
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                .next()
                .unwrap_or_default();
            // A word may be a token and more.
            (PREFIX.len()..=word.len()).rev().any(|end| {
                self.access.contains_key(&word[..end]) || self.refresh.contains_key(&word[..end])
            })
        })
    }

    /// What an API request's token is worth.
    pub(super) fn standing(&self, access_token: &str, now: Millis) -> Standing {
        match self.access.get(access_token) {
            None => Standing::Unknown,
            Some(record) if record.revoked => Standing::Revoked,
            Some(record) if record.expires_at.is_some_and(|expires_at| now >= expires_at) => {
                Standing::Expired
            }
            Some(record) => Standing::Good { owner: record.owner, mode: record.mode },
        }
    }

    /// Every OAuth access token of `mode` (`None`: of both) is expired from `now` on.
    pub(super) fn expire(&mut self, mode: Option<RequestMode>, now: Millis) {
        for access in self.access.values_mut() {
            let of_a_user = matches!(access.owner, Owner::User(_));
            if of_a_user && mode.is_none_or(|mode| mode == access.mode) {
                access.expires_at = Some(access.expires_at.map_or(now, |at| at.min(now)));
            }
        }
    }

    /// No token issued so far is good for anything any more.
    pub(super) fn revoke_all(&mut self) {
        for access in self.access.values_mut() {
            access.revoked = true;
        }
        for refresh in self.refresh.values_mut() {
            if refresh.state == RefreshState::Alive {
                refresh.state = RefreshState::Revoked;
            }
        }
    }
}

fn after(now: Millis, lifetime: Duration) -> Millis {
    now.saturating_add(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX))
}

/// What every token begins with.
const PREFIX: &str = "fake-";

/// A token that tells a reader of a trace what it is, and that nobody guesses by accident.
fn random_token(kind: &str) -> String {
    format!("{PREFIX}{kind}-{:032x}", fastrand::u128(..))
}
