//! The reference model: what a credential may do, told plainly and one step after the other.
//!
//! The world reports to it whatever can be seen from outside, in the order in which it happens: a
//! request that begins, is sent, answered, ends; a refresh request; a call of the store; a change that the
//! program asks for. The model keeps the little that follows from that and says which promise is
//! broken, if one is. It predicts nothing: jitter and waiting are the credential's own business, and
//! where two things happen at once, either order is allowed.

mod refresh_requests;
mod requests;

use std::collections::{BTreeSet, HashMap, VecDeque};

use tower_teamup_auth::{Error, RequestMode};

use crate::terms::{Answer, EARLY_WAIT, Expiry, MILLIS, Mint, Now, Refresh, SLOWEST_ANSWER, WAIT};

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
    /// The login that is the credential's, `None` after signing out. More than one where it depends
    /// on what the store is found to hold.
    current: BTreeSet<Option<usize>>,
    /// How often the login was changed, or may have been.
    login_changes: usize,
    tokens: HashMap<String, Token>,
    /// How many tokens there were.
    serials: usize,
    slots: [ModeState; 2],
    /// The refresh request under way: at most one.
    refresh_request: Option<SentRefresh>,
    /// The mode of the latest refresh, and how many requests were sent for it, at least.
    refreshing: Option<RequestMode>,
    requests: u32,
    /// The answer to the latest request was lost: its refresh token may be spent.
    is_lost: bool,
    /// How long the endpoint is left alone, for each mode.
    pauses: [Pause; 2],
    /// Something has taken half of a caller's wait or longer: a refresh request, or somebody with the lease.
    pub(crate) is_slow: bool,
    /// What was minted and is not published yet.
    minted: Option<(RequestMode, String)>,
    /// What was read in the store and is not published yet, as far as can be told.
    news: Option<News>,
    /// Somebody else wrote to the store since the credential has looked last.
    overtaken: bool,
    /// The revision that it has saved or adopted last.
    revision: u64,
    /// The lease ran out while the credential had it.
    robbed: bool,
    /// The lease was granted after shutdown was asked for.
    leased_for_the_end: bool,
    /// How often a record of another process was read that may have been adopted.
    adoptions: usize,
    /// How often tokens came another way than from a refresh request.
    upheavals: usize,
    failures: usize,
    /// The endpoint has refused a refresh token in words that nobody knows.
    is_doubted: bool,
    /// A retry was answered 401.
    is_route_refused: bool,
    store_failures: usize,
    /// Calls of the store that take longer than they are waited for.
    hanging: usize,
    /// The process stands still until then, with what it has asked of the store.
    frozen_until: i64,
    /// When tokens were minted.
    mints: VecDeque<Now>,
    shutdown: Shutdown,
    calls: Vec<Call>,
    last_jump: i64,
    /// Counts what happens: of two things, it tells which came first.
    clock: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Tokens(Refresh),
    SignedOut,
}

/// One login of the user: the refresh tokens that follow one another.
#[derive(Debug, Default)]
struct Login {
    /// The newest that the credential goes by: all before it are known to be spent.
    known: usize,
    /// Those that it has gone by. Of others it can't know: the store may have lost what came after them.
    held: BTreeSet<usize>,
    /// The newest that it has read. One of a revision that is not higher may be older than its own.
    read: usize,
    refused: Option<usize>,
    /// The newest that it has saved, or has tried to.
    saved: usize,
}

#[derive(Clone, Debug)]
struct Token {
    mode: RequestMode,
    refresh: Refresh,
    serial: usize,
    /// The server has given the same text more than once.
    is_again: bool,
    expiry: Expiry,
    /// It came from a refresh request of this credential.
    own: bool,
    /// When it was sent first.
    sent: Option<u64>,
}

/// What the credential holds for one mode: the generation that requests see.
#[derive(Debug, Default)]
struct ModeState {
    held: Option<String>,
    /// `held` is what requests see; else it is what they saw last.
    sure: bool,
    /// Somebody had a reason to ask for the replacement of this generation.
    wanted: bool,
    /// How many refreshes of it the program has asked for that may be under way.
    asked: usize,
    /// It was answered 401.
    rejected: bool,
    newest_sent: Option<String>,
}

#[derive(Debug)]
struct SentRefresh {
    refresh: Refresh,
    began: Now,
}

/// The endpoint is left alone after a failure.
#[derive(Clone, Copy, Debug)]
struct Pause {
    until: i64,
    /// A refresh that the program asks for is made all the same.
    ends_when_asked: bool,
    /// How many refreshes have failed in a row, at least.
    failures: u32,
}

impl Default for Pause {
    fn default() -> Self {
        Pause { until: i64::MIN, ends_when_asked: false, failures: 0 }
    }
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
    /// Whose it may be: it is sent as one of them, or not at all.
    logins: BTreeSet<Option<usize>>,
    /// How often the login had changed when it began.
    login_changes: usize,
    /// How often other processes' records had been read.
    adoptions: usize,
    /// It can't go out with an older token than this.
    floor: Option<String>,
    sends: usize,
    sent_with: Option<String>,
    last: Option<Answer>,
}

/// What the program asks for.
#[derive(Debug)]
pub(crate) enum Change {
    /// With the access tokens of the new login, in the order of the modes.
    LogIn(Refresh, [Option<String>; 2]),
    SignOut,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum End {
    Answered { status: u16, reason: Option<Error> },
    Inner,
    Ours(Error),
}

/// The longest that a call may take: an early wait that is without effect, a wait for each of its sends, and
/// two answers.
const LONGEST_CALL: i64 =
    (EARLY_WAIT.as_secs() + 2 * WAIT.as_secs() + 2 * SLOWEST_ANSWER) as i64 * MILLIS;

/// The longest that it may wait for room in the inner stack beside that.
const LONGEST_QUEUE: i64 = 240 * MILLIS;

impl Login {
    /// An older one may come back: another process takes what a store has left that lost its newest.
    fn goes_by(&mut self, index: usize) {
        if index >= self.known {
            self.known = index;
            self.held.insert(index);
        }
    }
}

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
            current: BTreeSet::from([Some(0)]),
            login_changes: 0,
            tokens: HashMap::new(),
            serials: 0,
            slots: Default::default(),
            refresh_request: None,
            refreshing: None,
            requests: 0,
            is_lost: false,
            pauses: Default::default(),
            is_slow: false,
            minted: None,
            news: None,
            overtaken: false,
            revision: 0,
            robbed: false,
            leased_for_the_end: false,
            adoptions: 0,
            upheavals: 0,
            failures: 0,
            is_doubted: false,
            is_route_refused: false,
            store_failures: 0,
            hanging: 0,
            frozen_until: 0,
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

    /// The next life of the process. It knows nothing but what it finds in the store.
    pub(crate) fn reborn(&self) -> Self {
        let tokens = self.tokens.iter().map(|(text, token)| {
            let expiry = token.expiry.seen_at(self.now);
            (text.clone(), Token { own: false, sent: None, expiry, ..token.clone() })
        });
        Model {
            now: self.now,
            logins: self.logins.iter().map(|_| Login::default()).collect(),
            current: BTreeSet::from([None]),
            tokens: tokens.collect(),
            serials: self.serials,
            is_slow: true,
            last_jump: self.last_jump,
            ..Model::new(self.stored, self.crowded)
        }
    }

    fn breaks(&mut self, what: impl Into<String>) {
        self.broken.push(what.into());
    }

    /// The user logs in, here or elsewhere.
    pub(crate) fn knows_login(&mut self, login: usize) {
        self.logins.resize_with(login + 1, Login::default);
    }

    /// A new access token. The server may give the same text again.
    pub(crate) fn learn(&mut self, text: &str, mint: Mint, own: bool) {
        let Mint { mode, refresh, lifetime, from } = mint;
        self.serials += 1;
        let serial = self.serials;
        // A clock that was set in between leaves open when the token is due on the other one.
        let expiry = match lifetime {
            Some(_) if from.mono <= self.last_jump => Expiry::Unknown,
            // It counts from when the refresh request was begun, which may have waited for room.
            Some(_) if own && self.crowded => Expiry::Unknown,
            _ if own => Expiry::after(lifetime, from),
            _ => Expiry::after(lifetime, from).seen_at(self.now),
        };
        // Nobody can tell a text that is in use already from the one before.
        let is_again = self.tokens.contains_key(text);
        let (own, expiry) = (own && !is_again, if is_again { Expiry::Unknown } else { expiry });
        let token = Token { mode, refresh, serial, is_again, expiry, own, sent: None };
        self.tokens.insert(text.to_owned(), token);
    }

    /// The credential begins with this access token, if with any.
    pub(crate) fn begins_with(&mut self, mode: RequestMode, token: Option<String>) {
        let slot = self.slot(mode);
        slot.held = token;
        slot.sure = true;
    }

    fn slot(&mut self, mode: RequestMode) -> &mut ModeState {
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
        let sure = self.news.is_none();
        let slot = self.slot(mode);
        *slot = ModeState {
            held: Some(token),
            sure,
            newest_sent: slot.newest_sent.take(),
            ..ModeState::default()
        };
    }

    fn nothing_is_sure(&mut self) {
        for slot in &mut self.slots {
            slot.sure = false;
        }
    }

    /// Nothing may be in memory alone: the newest tokens, or that the user has signed out, must be
    /// where the next process looks.
    pub(crate) fn newest_is_stored(&mut self, when: &str, stored: Option<Refresh>) {
        if !self.stored || self.overtaken {
            return;
        }
        let is_right = self.current.contains(&stored.map(|refresh| refresh.login))
            && stored.is_none_or(|refresh| refresh.index >= self.logins[refresh.login].known);
        if !is_right {
            self.breaks(format!("{when}, the store holds {stored:?}, not the newest"));
        }
    }

    pub(crate) fn is_robbed(&self) -> bool {
        self.robbed
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.shutdown != Shutdown::No
    }

    /// Must a refresh succeed, now that nothing is in its way? `alive` is the newest refresh token of
    /// each login at the server.
    pub(crate) fn must_refresh(&self, alive: &[usize]) -> bool {
        let [Some(login)] = self.current.iter().copied().collect::<Vec<_>>()[..] else {
            return false;
        };
        self.shutdown == Shutdown::No
            && alive[login] == self.logins[login].known
            && self.logins[login].refused != Some(alive[login])
    }
}
