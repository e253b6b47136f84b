//! The reference model: what a credential may do, told plainly and one step after the other.
//!
//! The world reports to it whatever can be seen from outside, in the order in which it happens: a
//! request that begins, is sent, answered, ends; an exchange; a call of the store; a change that the
//! program asks for. The model keeps the little that follows from that and says which promise is
//! broken, if one is. It predicts nothing: jitter and waiting are the credential's own business, and
//! where two things happen at once, either order is allowed.

mod exchanges;
mod requests;

use std::collections::{BTreeSet, HashMap, VecDeque};

use tower_teamup_auth::{Error, RequestMode};

use crate::terms::{Answer, Expiry, Now, Refresh};

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
    /// `log_in` and `sign_out` that are under way.
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
            // It counts from when the exchange was begun, which may have waited for room.
            Some(_) if own && self.crowded => Expiry::Unknown,
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

    /// Everything is mended and at rest: the newest tokens must be where the next process looks.
    pub(crate) fn newest_is_stored(&mut self, when: &str, stored: Option<Refresh>) {
        if !self.stored || self.overtaken || self.changes > 0 {
            return;
        }
        // After signing out it holds tokens only where it could not be cleared.
        let is_right = match stored {
            None => self.signed_out,
            Some(_) if self.signed_out => self.store_failures > 0,
            Some(refresh) => {
                let login = &self.logins[refresh.login];
                refresh.index == login.known && self.current.contains(&refresh.login)
            }
        };
        if !is_right {
            self.breaks(format!("P2: {when}, the store holds {stored:?}, not the newest"));
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
