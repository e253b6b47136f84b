//! The tokens that the server has issued, and which of them are still valid.
//!
//! A family is what one login brought: one valid refresh token, those it was rotated from, and
//! every access token minted on the way. A spent refresh token that comes back means that two
//! parties hold the family, so all of it is revoked (RFC 9700 section 4.14.2), unless the server
//! was told otherwise.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::settings::{Settings, SpentTokens};
use crate::headers::RequestMode;

/// Milliseconds of the server's own time.
pub(super) type Millis = u64;

/// M2M tokens that an application may have at a time for one provider (seen, not documented).
const M2M_TOKENS: usize = 2;

#[derive(Default)]
pub(super) struct Families {
    access: HashMap<String, AccessRecord>,
    refresh: HashMap<String, RefreshRecord>,
    /// The newest access token of each login and mode.
    newest: HashMap<(u64, RequestMode), String>,
    /// The account of each login; that of login 1 comes first.
    accounts: Vec<Arc<str>>,
    m2m_tokens: u64,
}

struct AccessRecord {
    owner: Owner,
    mode: RequestMode,
    expires_at: Option<Millis>,
    revoked: bool,
}

struct RefreshRecord {
    login: u64,
    state: RefreshState,
    expires_at: Option<Millis>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RefreshState {
    Valid,
    Spent,
    Revoked,
}

/// Whom a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// One login of a user.
    Login(u64),
    /// An M2M token.
    M2m {
        number: u64,
        /// `Some`: the only provider that it reaches.
        provider: Option<u64>,
    },
}

/// What is known of an access token that a request carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Valid { owner: Owner, mode: RequestMode },
    Expired,
    Revoked,
    Unknown,
}

/// What came of a refresh request.
pub(super) enum Spending {
    Rotated { access_token: String, refresh_token: String },
    DoubleSpent,
    Expired,
    Revoked,
    Unknown,
}

/// Which access token a refresh request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Minting {
    New,
    /// The newest one of the same login and mode again, with a new lifetime, if there is one.
    Same,
}

impl Families {
    /// A login of a user who has not logged in before, and its refresh token.
    pub(super) fn new_login(&mut self, settings: &Settings, now: Millis) -> (u64, String) {
        let account = format!("user {}", self.accounts.len() + 1);
        self.new_login_of(&account, settings, now)
    }

    /// A login of this account, and its refresh token.
    pub(super) fn new_login_of(
        &mut self,
        account: &str,
        settings: &Settings,
        now: Millis,
    ) -> (u64, String) {
        self.accounts.push(account.into());
        let login = self.accounts.len() as u64;
        (login, self.mint_refresh(login, settings, now))
    }

    /// The account of a login.
    pub(super) fn account(&self, login: u64) -> Arc<str> {
        Arc::clone(&self.accounts[login as usize - 1])
    }

    fn mint_refresh(&mut self, login: u64, settings: &Settings, now: Millis) -> String {
        let token = random_token("refresh");
        let expires_at = settings.refresh_token_lifetime.map(|lifetime| after(now, lifetime));
        let record = RefreshRecord { login, state: RefreshState::Valid, expires_at };
        self.refresh.insert(token.clone(), record);
        token
    }

    /// An access token of `login` for requests in `mode`.
    pub(super) fn mint_access(
        &mut self,
        login: u64,
        mode: RequestMode,
        settings: &Settings,
        now: Millis,
    ) -> String {
        let token = random_token(mode.as_str());
        let expires_at = settings.access_token_lifetime.map(|lifetime| after(now, lifetime));
        let owner = Owner::Login(login);
        self.access.insert(token.clone(), AccessRecord { owner, mode, expires_at, revoked: false });
        self.newest.insert((login, mode), token.clone());
        token
    }

    /// The newest access token of `login` for `mode` once more, with a new lifetime.
    fn extend_access(
        &mut self,
        login: u64,
        mode: RequestMode,
        settings: &Settings,
        now: Millis,
    ) -> Option<String> {
        let token = self.newest.get(&(login, mode))?;
        let record = self.access.get_mut(token)?;
        record.expires_at = settings.access_token_lifetime.map(|lifetime| after(now, lifetime));
        Some(token.clone())
    }

    /// An M2M token that reaches every provider, or this one alone. `None`: as many as are allowed
    /// are valid already.
    pub(super) fn mint_m2m(
        &mut self,
        provider: Option<u64>,
        lifetime: Option<Duration>,
        now: Millis,
    ) -> Option<String> {
        let is_rival = |record: &AccessRecord| {
            matches!(record.owner, Owner::M2m { provider: Some(id), .. } if Some(id) == provider)
                && !record.revoked
                && record.expires_at.is_none_or(|expires_at| now < expires_at)
        };
        if self.access.values().filter(|record| is_rival(record)).count() >= M2M_TOKENS {
            return None;
        }
        self.m2m_tokens += 1;
        let token = random_token("m2m");
        self.access.insert(
            token.clone(),
            AccessRecord {
                owner: Owner::M2m { number: self.m2m_tokens, provider },
                mode: RequestMode::Provider,
                expires_at: lifetime.map(|lifetime| after(now, lifetime)),
                revoked: false,
            },
        );
        Some(token)
    }

    /// Spends `refresh_token` for an access token of `mode` and the next refresh token.
    pub(super) fn rotate(
        &mut self,
        refresh_token: &str,
        mode: RequestMode,
        minting: Minting,
        settings: &Settings,
        now: Millis,
    ) -> Spending {
        let Some(record) = self.refresh.get_mut(refresh_token) else {
            return Spending::Unknown;
        };
        let login = record.login;
        match (record.state, settings.spent_tokens) {
            (RefreshState::Revoked, _) => return Spending::Revoked,
            (RefreshState::Spent, SpentTokens::RevokeLogin) => {
                self.revoke_login(login);
                return Spending::DoubleSpent;
            }
            (RefreshState::Spent, SpentTokens::Refuse) => return Spending::DoubleSpent,
            (RefreshState::Spent, SpentTokens::Accept) | (RefreshState::Valid, _) => {}
        }
        if record.expires_at.is_some_and(|expires_at| now >= expires_at) {
            return Spending::Expired;
        }
        record.state = RefreshState::Spent;
        if settings.rotation_revokes_access_tokens {
            for access in self.access.values_mut() {
                access.revoked |= access.owner == Owner::Login(login) && access.mode == mode;
            }
        }
        let extended = match minting {
            Minting::New => None,
            Minting::Same => self.extend_access(login, mode, settings, now),
        };
        Spending::Rotated {
            access_token: extended.unwrap_or_else(|| self.mint_access(login, mode, settings, now)),
            refresh_token: self.mint_refresh(login, settings, now),
        }
    }

    /// Revokes every token of a login. What was spent stays known as spent, so that a third use
    /// counts as one too.
    pub(super) fn revoke_login(&mut self, login: u64) {
        for access in self.access.values_mut() {
            access.revoked |= access.owner == Owner::Login(login);
        }
        for refresh in self.refresh.values_mut() {
            if refresh.login == login && refresh.state == RefreshState::Valid {
                refresh.state = RefreshState::Revoked;
            }
        }
    }

    /// Revokes one access token or M2M token. False: it was never issued.
    pub(super) fn revoke_access(&mut self, access_token: &str) -> bool {
        self.access.get_mut(access_token).map(|record| record.revoked = true).is_some()
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

    /// Whether an API request's token is valid.
    pub(super) fn standing(&self, access_token: &str, now: Millis) -> Standing {
        match self.access.get(access_token) {
            None => Standing::Unknown,
            Some(record) if record.revoked => Standing::Revoked,
            Some(record) if record.expires_at.is_some_and(|expires_at| now >= expires_at) => {
                Standing::Expired
            }
            Some(record) => Standing::Valid { owner: record.owner, mode: record.mode },
        }
    }

    /// The login that an access token or a refresh token came from, valid or not.
    pub(super) fn login_of(&self, token: &str) -> Option<u64> {
        match (self.access.get(token), self.refresh.get(token)) {
            (Some(AccessRecord { owner: Owner::Login(login), .. }), _) => Some(*login),
            (_, Some(record)) => Some(record.login),
            _ => None,
        }
    }

    /// Every OAuth access token of `mode` (`None`: of both) is expired from `now` on.
    pub(super) fn expire(&mut self, mode: Option<RequestMode>, now: Millis) {
        for access in self.access.values_mut() {
            let of_a_login = matches!(access.owner, Owner::Login(_));
            if of_a_login && mode.is_none_or(|mode| mode == access.mode) {
                access.expires_at = Some(access.expires_at.map_or(now, |at| at.min(now)));
            }
        }
    }

    /// No token issued so far is valid any more.
    pub(super) fn revoke_all(&mut self) {
        for access in self.access.values_mut() {
            access.revoked = true;
        }
        for refresh in self.refresh.values_mut() {
            if refresh.state == RefreshState::Valid {
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
