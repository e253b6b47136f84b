//! What is checked, and which losses have a name. Nothing else is excused.

use std::collections::{BTreeMap, BTreeSet};

use tower_teamup_auth::Error;

use crate::teamup::{Access, SECRET, Spendable};
use crate::world::{Life, State};

/// For how long a lease may be believed in, with the slowest reply: what happens to its holder within this
/// time can cost the lease.
const LEASE_WINDOW: u64 = 30_000;
/// Two rotations of one login are never as close as this without a cause.
const QUIET: u64 = 60_000;
/// A token that is good for longer than this must serve requests.
const MARGIN: u64 = 120_000;

/// A refresh token that was spent.
#[derive(Clone, Debug)]
struct Rotation {
    token: Spendable,
    life: Life,
    at: u64,
    was_delivered: bool,
    was_saved: bool,
    /// When each host first sent an access token that is as new.
    first_use: Vec<Option<u64>>,
}

/// The token that served a host's last request.
#[derive(Clone, Copy, Debug)]
struct Serving {
    life: Life,
    access: Access,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) violations: Vec<String>,
    /// Refresh tokens that were rotated, refused, and refresh requests that met the rate limit.
    pub(crate) rotated: u64,
    pub(crate) rejected: u64,
    pub(crate) limited: u64,
    pub(crate) calls: u64,
    /// Calls that failed without having been sent.
    pub(crate) refused: u64,
    /// How often each named cause has cost something.
    pub(crate) causes: BTreeMap<&'static str, u64>,
    rotations: Vec<Rotation>,
    /// Which host could not keep a lease, and from when until when.
    disturbed: Vec<(usize, u64, u64)>,
    failovers: Vec<u64>,
    revocations: Vec<u64>,
    lost_answers: BTreeSet<(Life, Spendable)>,
    sends: BTreeMap<Spendable, Vec<(Life, u64)>>,
    ended: BTreeMap<usize, &'static str>,
    /// The largest error of a wall clock that there was.
    pub(crate) largest_skew: u64,
    /// Logins below this number were signed out, at whichever host.
    signed_out_below: usize,
    /// The login that each call was sent with.
    call_logins: BTreeMap<u64, usize>,
    /// Logins that a host itself has left, since when.
    left: Vec<BTreeMap<usize, u64>>,
    begun: BTreeMap<u64, u64>,
    serving: Vec<Option<Serving>>,
    /// How many logins were told to a host, to the end of the call.
    pub(crate) logged_in: usize,
    /// The login that each host last sent a request with.
    acting: Vec<Option<usize>>,
    lives: Vec<u32>,
    /// How often somebody has begun to log in or to sign out at each host: that ends a refresh request.
    login_changes: Vec<u32>,
}

impl Oracle {
    pub(crate) fn new(hosts: usize) -> Self {
        Oracle {
            left: vec![BTreeMap::new(); hosts],
            serving: vec![None; hosts],
            acting: vec![None; hosts],
            lives: vec![0; hosts],
            login_changes: vec![0; hosts],
            ..Oracle::default()
        }
    }

    pub(crate) fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(what());
        }
    }

    fn allow(&mut self, cause: &'static str) {
        *self.causes.entry(cause).or_default() += 1;
    }

    // What goes wrong on purpose.

    /// From now until then the host can't keep a lease.
    pub(crate) fn disturb(&mut self, host: usize, from: u64, until: u64) {
        self.disturbed.push((host, from, until));
    }

    pub(crate) fn failed_over(&mut self, now: u64) {
        self.failovers.push(now);
    }

    pub(crate) fn revoked(&mut self, now: u64) {
        self.revocations.push(now);
        self.serving.fill(None);
    }

    pub(crate) fn life_ended(&mut self, host: usize, number: u32) {
        self.lives[host] = number;
        self.serving[host] = None;
        self.left[host].clear();
    }

    pub(crate) fn ended(&mut self, login: usize, cause: &'static str) {
        self.ended.insert(login, cause);
    }

    /// The host has left this login: a person signed out there, or logged in anew.
    pub(crate) fn left(&mut self, host: usize, login: usize, now: u64) {
        self.left[host].insert(login, now);
    }

    /// The host has left the login that it acted as. The store was out of reach: if it holds a login that
    /// the host has not seen, the host acts as that one later.
    pub(crate) fn left_own(&mut self, host: usize, now: u64) {
        if let Some(login) = self.acting[host] {
            self.left(host, login, now);
        }
    }

    /// A person has signed out at a host: whoever learns of it acts as nobody.
    pub(crate) fn signed_out(&mut self, newest: usize) {
        self.signed_out_below = newest + 1;
    }

    /// Somebody begins to log in or to sign out at a host.
    pub(crate) fn login_changes_at(&mut self, host: usize) {
        self.login_changes[host] += 1;
    }

    pub(crate) fn login_changes(&self, host: usize) -> u32 {
        self.login_changes[host]
    }

    // What the servers see.

    pub(crate) fn refresh_sent(&mut self, life: Life, token: Spendable, now: u64) {
        self.sends.entry(token).or_default().push((life, now));
    }

    pub(crate) fn answer_lost(&mut self, life: Life, token: Spendable) {
        self.lost_answers.insert((life, token));
    }

    /// The client has dropped a refresh request whose answer would have come.
    pub(crate) fn given_up(&mut self, life: Life, token: Spendable, login_changes: u32, now: u64) {
        // The history is over where there are no hosts any more.
        let (Some(number), Some(changes)) =
            (self.lives.get(life.host), self.login_changes.get(life.host))
        else {
            return;
        };
        let is_explained = life.number != *number || login_changes != *changes;
        self.must(is_explained, || {
            format!("P2: {life:?} gave up the refresh request of {token:?} at {now}")
        });
    }

    /// Was the host unable to keep its lease, or did Redis lose it, at any moment since `since`?
    fn disturbance(&self, life: Life, since: u64, now: u64) -> Option<&'static str> {
        let since = since.saturating_sub(LEASE_WINDOW);
        if life.number != self.lives[life.host] {
            return Some("a host ended with what it had rotated");
        }
        let hit = |(host, from, until): &(usize, u64, u64)| {
            *host == life.host && *from <= now && *until >= since
        };
        if self.disturbed.iter().any(hit) {
            return Some("a host stood still or was cut off for longer than its lease");
        }
        let is_recent = |at: &u64| *at >= since && *at <= now;
        self.failovers.iter().any(is_recent).then_some("Redis lost its last writes")
    }

    pub(crate) fn spent_twice(&mut self, life: Life, token: Spendable, now: u64) {
        let Some(rotation) = self.rotations.iter().find(|rotation| rotation.token == token) else {
            return;
        };
        let (first, since) = (rotation.life, rotation.at);
        let cause = if self.lost_answers.iter().any(|(_, lost)| *lost == token) {
            Some("an answer was lost")
        } else {
            self.disturbance(first, since, now).or_else(|| self.disturbance(life, since, now))
        };
        match cause {
            Some(cause) => self.allow(cause),
            None => self.violations.push(format!(
                "P1: {token:?} was spent by {first:?} at {since} and by {life:?} at {now}, sent: {:?}",
                self.sends.get(&token)
            )),
        }
    }

    pub(crate) fn rotated(&mut self, life: Life, token: Spendable, now: u64) {
        self.rotated += 1;
        let before = self.rotations.iter().rev().find(|before| before.token.login == token.login);
        if let Some(before) = before.filter(|before| before.at + QUIET > now) {
            let (first, since) = (before.life, before.at);
            let was_revoked = self.revocations.iter().any(|at| at + 600_000 > now);
            let cause = if was_revoked {
                Some("access tokens were revoked")
            } else {
                self.disturbance(first, since, now).or_else(|| self.disturbance(life, since, now))
            };
            self.must(cause.is_some(), || {
                format!("P1: {token:?} was rotated at {now}, {since} ms after the one before")
            });
        }
        let hosts = self.lives.len();
        self.rotations.push(Rotation {
            token,
            life,
            at: now,
            was_delivered: false,
            was_saved: false,
            first_use: vec![None; hosts],
        });
    }

    pub(crate) fn delivered(&mut self, life: Life, token: Spendable) {
        let is_it = |rotation: &&mut Rotation| rotation.token == token && rotation.life == life;
        if let Some(rotation) = self.rotations.iter_mut().find(is_it) {
            rotation.was_delivered = true;
        }
    }

    pub(crate) fn saved(&mut self, token: Option<Spendable>) {
        let Some(token) = token else { return };
        for rotation in &mut self.rotations {
            let spent = rotation.token;
            rotation.was_saved |= spent.login == token.login && spent.index < token.index;
        }
    }

    pub(crate) fn call_began(&mut self, call: u64, now: u64) {
        self.calls += 1;
        self.begun.insert(call, now);
    }

    pub(crate) fn sent(
        &mut self,
        life: Life,
        call: u64,
        token: &str,
        access: Option<Access>,
        now: u64,
    ) {
        self.must(token.starts_with(SECRET), || format!("a request without a token: {token:?}"));
        let Some(access) = access else { return };
        let minted_with = access.minted_with;
        let login = minted_with.login;
        self.acting[life.host] = Some(login);
        let first = *self.call_logins.entry(call).or_insert(login);
        self.must(first == login, || {
            format!("P11: call {call} of {life:?} was sent for login {first} and for {login}")
        });
        let began = self.begun.get(&call).copied().unwrap_or(now);
        let left = self.left[life.host].get(&login).copied();
        self.must(left.is_none_or(|left| began <= left), || {
            format!("P11: {life:?} sent call {call} for login {login}, which it left at {left:?}")
        });
        for rotation in self.rotations.iter_mut().rev() {
            if rotation.token.login != login {
                continue;
            }
            if rotation.token.index >= minted_with.index {
                continue;
            }
            let slot = &mut rotation.first_use[life.host];
            if slot.is_some() {
                break;
            }
            *slot = Some(now);
        }
    }

    pub(crate) fn answered(&mut self, life: Life, access: Option<Access>, is_good: bool) {
        let access = access.filter(|_| is_good);
        self.serving[life.host] = access.map(|access| Serving { life, access });
    }

    // What callers see.

    pub(crate) fn call_failed(&mut self, state: &CallContext, call: u64, error: &Error) {
        let text = format!("{error} {error:?}");
        self.must(!text.contains(SECRET), || format!("P5: an error shows a token: {text}"));
        if self.call_logins.contains_key(&call) {
            return;
        }
        self.refused += 1;
        if error.is_login_changed() || error.is_shut_down() {
            return;
        }
        let Some(serving) = self.serving[state.life.host] else { return };
        let login = serving.access.minted_with.login;
        let is_current = state.newest_login == Some(login)
            && login >= self.signed_out_below
            && !self.ended.contains_key(&login)
            && !self.left[state.life.host].contains_key(&login);
        let is_good = serving.access.until > state.now + MARGIN + state.skew;
        self.must(!(serving.life == state.life && is_current && is_good), || {
            format!(
                "P10: {:?} has a token that is good until {} and call {call} failed at {}: {error}",
                state.life, serving.access.until, state.now
            )
        });
    }

    /// A shutdown has said that everything is saved.
    pub(crate) fn shut_down(&mut self, life: Life, stored: Option<Spendable>, now: u64) {
        let unsaved: Vec<Spendable> = self
            .rotations
            .iter()
            .filter(|rotation| rotation.life == life && rotation.was_delivered)
            .filter(|rotation| !self.failovers.iter().any(|at| *at >= rotation.at && *at <= now))
            .map(|rotation| rotation.token)
            .filter(|token| {
                stored.is_some_and(|stored| {
                    stored.login == token.login && stored.index <= token.index
                })
            })
            .collect();
        self.must(unsaved.is_empty(), || {
            format!("P12: {life:?} has shut down, {unsaved:?} are spent and {stored:?} is stored")
        });
    }

    /// Nobody can refresh `login` any more: is there a cause with a name?
    pub(crate) fn login_lost(&mut self, login: usize, now: u64) {
        if let Some(cause) = self.ended.get(&login).copied() {
            self.allow(cause);
            return;
        }
        let last = self.rotations.iter().rev().find(|rotation| rotation.token.login == login);
        let Some(last) = last.cloned() else {
            self.violations.push(format!("P2: login {login} is lost and was never refreshed"));
            return;
        };
        let cause = if !last.was_delivered {
            let is_over = last.life.number != self.lives[last.life.host];
            let cause =
                if is_over { "a host ended before the answer came" } else { "an answer was lost" };
            Some(cause)
        } else {
            self.disturbance(last.life, last.at, now)
        };
        match cause {
            Some(cause) => self.allow(cause),
            None => self.violations.push(format!("P2: login {login} is lost after {last:?}")),
        }
    }

    /// For each rotation, how long it took until the last host that used a token of it did so.
    pub(crate) fn adoption_times(&self) -> impl Iterator<Item = u64> {
        self.rotations.iter().filter_map(|rotation| {
            let last = rotation.first_use.iter().flatten().max()?;
            Some(last - rotation.at)
        })
    }
}

/// What the oracle must know of a call that failed.
#[derive(Debug)]
pub(crate) struct CallContext {
    pub(crate) life: Life,
    pub(crate) now: u64,
    /// By how much the clock of the host that stored an expiry, and that of the reader, may be wrong together.
    pub(crate) skew: u64,
    pub(crate) newest_login: Option<usize>,
}

impl CallContext {
    pub(crate) fn of(state: &State, life: Life) -> Self {
        CallContext {
            life,
            now: state.now,
            skew: state.links[life.host].skew.unsigned_abs() + state.oracle.largest_skew,
            newest_login: state.api.alive.len().checked_sub(1),
        }
    }
}
