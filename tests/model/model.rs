//! The reference model: what a credential may do, told plainly and one step after the other.
//!
//! The world reports to it whatever can be seen from outside, in the order in which it happens: a
//! request that begins, is sent, answered, ends; an exchange; a call of the store; a change that the
//! program asks for. The model keeps the little that follows from that and says which promise is
//! broken, if one is. It predicts nothing: jitter and waiting are the credential's own business, and
//! where two things happen at once, either order is allowed.

use std::collections::{BTreeSet, HashMap, VecDeque};

use tower_teamup_auth::{Error, RequestMode};

use crate::terms::{Answer, Expiry, Failure, MILLIS, Now, Refresh, SLACK};

/// What is known of one credential and of the world around it.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) now: Now,
    /// Which of the promises were broken, in words; a history that leaves it empty has passed.
    pub(crate) broken: Vec<String>,
    /// Is there a store?
    stored: bool,
    /// May a request have to wait for room in the inner stack?
    crowded: bool,
    logins: Vec<Login>,
    /// The logins of which one is the credential's; more than one while they are changed, none
    /// after signing out.
    current: BTreeSet<usize>,
    tokens: HashMap<String, Token>,
    slots: [Slot; 2],
    /// `set_tokens` and `sign_out` that are under way.
    changes: usize,
    last_change: Option<Change>,
    signed_out: bool,
    /// The exchange under way: at most one.
    exchange: Option<Exchange>,
    /// How many outcomes remained unknown in this transaction.
    unknowns: usize,
    /// The refresh token that must not be sent before this time: it has just failed.
    quiet: Option<(Refresh, i64)>,
    /// What was minted and is not published yet.
    minted: Option<(RequestMode, String)>,
    /// What was read in the store and is not published yet, as far as can be told.
    news: Option<Refresh>,
    /// Somebody else wrote to the store since the credential has looked last.
    overtaken: bool,
    /// How often tokens came another way than from an exchange.
    upheavals: usize,
    failures: usize,
    store_failures: usize,
    /// When tokens were minted.
    mints: VecDeque<Now>,
    shutdown: Shutdown,
    calls: Vec<Call>,
    last_jump: i64,
    /// Counts what happens: of two things, it tells which came first.
    clock: u64,
}

/// One login of the user: the refresh tokens that follow one another.
#[derive(Debug, Default)]
struct Login {
    /// The newest that the credential has been told of: all before it are known to be spent.
    known: usize,
    refused: Option<usize>,
    /// The newest that it has saved, or has tried to.
    saved: usize,
}

#[derive(Debug)]
struct Token {
    mode: RequestMode,
    refresh: Refresh,
    serial: usize,
    expiry: Expiry,
    /// It came from an exchange of this credential.
    own: bool,
    /// When it was sent first.
    sent: Option<u64>,
}

/// What the credential holds for one mode: the generation that requests see.
#[derive(Debug, Default)]
struct Slot {
    held: Option<String>,
    /// `held` is what requests see; else it is what they saw last.
    sure: bool,
    /// Somebody had a reason to ask for the replacement of this generation.
    wanted: bool,
    /// It was answered 401.
    rejected: bool,
    /// The API refused it and the endpoint its refresh token: it may be taken away.
    given_up: bool,
    newest_sent: Option<String>,
}

#[derive(Debug)]
struct Exchange {
    refresh: Refresh,
    began: Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shutdown {
    No,
    Asked,
    Done,
}

#[derive(Debug)]
struct Call {
    mode: RequestMode,
    ours: bool,
    repeatable: bool,
    began: Now,
    began_at: u64,
    /// The token with which it must be sent at once, or with a newer one.
    due_at_once: Option<String>,
    /// It began when nobody was signed in.
    locked_out: bool,
    /// It can't go out with an older token than this.
    floor: Option<String>,
    sends: usize,
    sent_with: Option<String>,
    last: Option<Answer>,
}

/// What the program asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    SetTokens(Refresh),
    SignOut,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum End {
    Answered { status: u16, reason: Option<Error> },
    Inner,
    Ours(Error),
}

/// The longest that a call may take: two refreshes with a change of the tokens before each.
const LONGEST_CALL: i64 = 240 * 1000;

impl Token {
    /// Do requests see it for certain? What was minted may be on its way to the store.
    fn is_seen(&self) -> bool {
        self.sent.is_some() || !self.own
    }
}

impl Model {
    pub(crate) fn new(stored: bool, crowded: bool) -> Self {
        Model {
            now: Now::default(),
            broken: Vec::new(),
            stored,
            crowded,
            logins: vec![Login::default()],
            current: BTreeSet::from([0]),
            tokens: HashMap::new(),
            slots: Default::default(),
            changes: 0,
            last_change: None,
            signed_out: false,
            exchange: None,
            unknowns: 0,
            quiet: None,
            minted: None,
            news: None,
            overtaken: false,
            upheavals: 0,
            failures: 0,
            store_failures: 0,
            mints: VecDeque::new(),
            shutdown: Shutdown::No,
            calls: Vec::new(),
            last_jump: i64::MIN,
            clock: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn breaks(&mut self, what: impl Into<String>) {
        self.broken.push(what.into());
    }

    // --- tokens ---

    /// The user logs in, here or elsewhere.
    pub(crate) fn login(&mut self) -> Refresh {
        self.logins.push(Login::default());
        Refresh { login: self.logins.len() - 1, index: 0 }
    }

    /// A new access token of `refresh`; its lifetime counts from `from`.
    pub(crate) fn mint(
        &mut self,
        mode: RequestMode,
        refresh: Refresh,
        lifetime: Option<u64>,
        from: Now,
        own: bool,
    ) -> String {
        let serial = self.tokens.len();
        let text = format!("{}-{mode}-{serial}", crate::terms::SECRET);
        // A clock that was set in between leaves open when the token is due on the other one.
        let expiry = match lifetime {
            Some(_) if from.mono <= self.last_jump => Expiry::Unknown,
            _ => Expiry::after(lifetime, from),
        };
        let token = Token { mode, refresh, serial, expiry, own, sent: None };
        self.tokens.insert(text.clone(), token);
        text
    }

    /// The credential begins with this access token, if with any.
    pub(crate) fn begins_with(&mut self, mode: RequestMode, token: Option<String>) {
        let slot = self.slot(mode);
        slot.held = token;
        slot.sure = true;
    }

    fn slot(&mut self, mode: RequestMode) -> &mut Slot {
        &mut self.slots[mode as usize]
    }

    /// The token that requests of `mode` see for certain.
    fn held(&self, mode: RequestMode) -> Option<&Token> {
        let slot = &self.slots[mode as usize];
        slot.held.as_ref().filter(|_| slot.sure).map(|text| &self.tokens[text])
    }

    fn serial(&self, text: Option<&String>) -> Option<usize> {
        text.map(|text| self.tokens[text].serial)
    }

    fn is_older(&self, token: &str, than: &str) -> bool {
        let (token, than) = (&self.tokens[token], &self.tokens[than]);
        token.refresh.login == than.refresh.login && token.serial < than.serial
    }

    fn publish(&mut self, mode: RequestMode, token: String) {
        let sure = self.changes == 0;
        self.news = None;
        let slot = self.slot(mode);
        *slot = Slot {
            held: Some(token),
            sure,
            newest_sent: slot.newest_sent.take(),
            ..Slot::default()
        };
    }

    fn nothing_is_sure(&mut self) {
        for slot in &mut self.slots {
            (slot.sure, slot.given_up) = (false, false);
        }
    }

    // --- exchanges ---

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

    // --- the store ---

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

    // --- what the program asks for ---

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

    // --- requests ---

    /// A request begins; the answer is its number.
    pub(crate) fn call_began(&mut self, mode: RequestMode, ours: bool, repeatable: bool) -> usize {
        let now = self.now;
        let began_at = self.tick();
        let held = self.held(mode);
        let is_good = held.is_some_and(|held| held.is_seen() && held.expiry.is_good(now));
        let due_at_once = (ours && is_good && !self.crowded)
            .then(|| self.slots[mode as usize].held.clone())
            .flatten();
        if ours && held.is_none_or(|held| held.expiry.is_advised(now)) {
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
            locked_out: self.signed_out && self.changes == 0,
            floor,
            sends: 0,
            sent_with: None,
            last: None,
        });
        self.calls.len() - 1
    }

    /// It was polled once: with a good token it has been sent.
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
        if self.calls[call].locked_out && self.signed_out {
            self.breaks("a request was sent although the user has signed out");
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
            if !self.crowded && self.changes == 0 && self.is_older(text, &floor) {
                self.breaks("P1: a request went out with a token older than one that was in use");
            }
        }
        if let Some(due) = self.calls[call].due_at_once.clone() {
            if sends == 1 && self.is_older(text, &due) {
                self.breaks("P10: a request went out with a token older than the one held");
            }
        }
        if sends == 2 && self.calls[call].sent_with.as_deref() == Some(text) {
            self.breaks("P3: the repeat carried the token that was answered 401");
        }
        self.saw(wanted, text, at);
        self.calls[call].sent_with = Some(text.to_owned());
        sends
    }

    /// A request carries this token: so it is, or was, what requests see.
    fn saw(&mut self, mode: RequestMode, text: &str, at: u64) {
        let of = self.tokens[text].refresh;
        self.news.take_if(|news| news.login == of.login && news.index <= of.index);
        let settled = self.changes == 0
            && self.exchange.is_none()
            && self.minted.is_none()
            && self.news.is_none();
        let crowded = self.crowded;
        let is_newest = self.slots[mode as usize]
            .newest_sent
            .as_ref()
            .is_none_or(|newest| !self.is_older(text, newest));
        if let Some(token) = self.tokens.get_mut(text) {
            token.sent.get_or_insert(at);
        }
        let slot = self.slot(mode);
        if is_newest {
            slot.newest_sent = Some(text.to_owned());
        }
        if !slot.sure && !slot.given_up && settled && !crowded {
            // Whatever was asked for meanwhile may be about this one.
            slot.held = Some(text.to_owned());
            (slot.sure, slot.wanted, slot.rejected) = (true, true, true);
        }
    }

    pub(crate) fn answered(&mut self, call: usize, answer: Answer) {
        self.calls[call].last = Some(answer);
        let Call { mode, ours, .. } = self.calls[call];
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
        if self.now.mono - began.mono > LONGEST_CALL {
            self.breaks("a call took longer than the longest way allows");
        }
        match end {
            End::Answered { status, reason } => {
                if last.and_then(Answer::status) != Some(*status) {
                    self.breaks("the answer is not the one that the server gave last");
                }
                let in_vain =
                    ours && repeatable && sends == 1 && last == Some(Answer::Unauthorized);
                if in_vain && reason.is_none() {
                    self.breaks("a 401 came through without a repeat and without a reason");
                }
                if let Some(reason) = reason {
                    if !in_vain && !(ours && sends == 1 && !repeatable) {
                        self.breaks("a reason beside an answer that needs none");
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
                if is_believed && !self.signed_out {
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
        } else if error.is_reauthorization_required() {
            self.signed_out
                || self.changes > 0
                || self.logins.iter().any(|login| login.refused.is_some())
        } else if error.is_storm_guard_open() {
            self.mints.len() >= 4
        } else if error.is_store() {
            self.store_failures > 0
        } else if error.is_transient() || error.is_outcome_unknown() || error.is_protocol() {
            self.failures + self.upheavals + self.store_failures > 0 || self.crowded
        } else {
            false
        };
        if !cause {
            self.breaks(format!("there is no cause for this error: {error}"));
        }
    }

    // --- the end ---

    /// Everything is mended and at rest: the newest tokens must be where the next process looks.
    pub(crate) fn newest_is_stored(&mut self, when: &str, stored: Option<Refresh>) {
        if !self.stored || self.overtaken || self.changes > 0 {
            return;
        }
        match stored {
            Some(refresh) if self.signed_out => {
                // The store could not be cleared.
                if self.store_failures == 0 {
                    self.breaks(format!(
                        "{when}, the store holds {refresh:?} of a user signed out"
                    ));
                }
            }
            Some(refresh) => {
                if refresh.index != self.logins[refresh.login].known
                    || !self.current.contains(&refresh.login)
                {
                    self.breaks(format!("P2: {when}, the store holds {refresh:?}, not the newest"));
                }
            }
            None if !self.signed_out => self.breaks(format!("P2: {when}, the store is empty")),
            None => {}
        }
    }

    /// Must a refresh succeed, now that nothing is in its way? `alive` is the newest refresh token of
    /// each login at the server.
    pub(crate) fn must_refresh(&self, alive: &[usize]) -> bool {
        let open = self.shutdown == Shutdown::No && !self.signed_out && self.changes == 0;
        let [login] = self.current.iter().copied().collect::<Vec<_>>()[..] else { return false };
        open && alive[login] == self.logins[login].known
            && self.logins[login].refused != Some(alive[login])
    }
}
