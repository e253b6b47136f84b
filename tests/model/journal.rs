//! What became of each refresh token, whoever spent it, and which losses have a name. Nothing else is
//! excused.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use tower_teamup_auth::store::LoginId;

use crate::terms::Refresh;

/// One life of a process, from its start to its end. What belongs to an ended one never goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) process: usize,
    pub(crate) number: usize,
}

/// Why a spent refresh token may come again, or a login be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// No answer came, or the client had gone when it came.
    LostAnswer,
    /// The process ended with what it had rotated.
    Died,
    /// The process had no lease any more when it sent the token, or when it had rotated it.
    LeaseRanOut,
    /// The store lost what it had confirmed.
    LostWrite,
    /// The process was shut down and said that it had not saved.
    Unsaved,
    /// The client had given the request up before it reached the server.
    LateRequest,
}

/// Who has sent a refresh token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) life: Life,
    /// When the process had read the store last.
    pub(crate) since: u64,
    pub(crate) wrong: Option<Cause>,
}

/// A refresh token that was spent.
#[derive(Debug)]
struct Spending {
    by: Sender,
    at: u64,
    lost: Option<Cause>,
    /// When the store had what came after it.
    saved: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) broken: Vec<String>,
    pub(crate) causes: BTreeMap<Cause, usize>,
    spent: HashMap<(usize, usize), Spending>,
    /// What went wrong, and when; of one process, or of all.
    incidents: Vec<(Cause, Option<usize>, u64)>,
    /// Which login each id stands for that was saved.
    ids: HashMap<LoginId, usize>,
    /// When each process has read the store last.
    loads: HashMap<usize, u64>,
    clock: u64,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::LostAnswer => "lost_answer",
            Cause::Died => "died",
            Cause::LeaseRanOut => "lease_ran_out",
            Cause::LostWrite => "lost_write",
            Cause::Unsaved => "unsaved",
            Cause::LateRequest => "late_request",
        })
    }
}

impl Journal {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Something went wrong on purpose, with one process or with all.
    pub(crate) fn incident(&mut self, cause: Cause, process: Option<usize>) {
        let at = self.tick();
        self.incidents.push((cause, process, at));
    }

    /// A life has ended: nobody hears what was rotated in it and is not saved.
    pub(crate) fn died(&mut self, process: usize) {
        self.incident(Cause::Died, Some(process));
    }

    pub(crate) fn spent(&mut self, by: Sender, token: Refresh) {
        let at = self.tick();
        let spending = Spending { by, at, lost: None, saved: None };
        self.spent.insert((token.login, token.index), spending);
    }

    pub(crate) fn loaded(&mut self, process: usize) {
        let now = self.tick();
        self.loads.insert(process, now);
    }

    pub(crate) fn last_load(&self, process: usize) -> u64 {
        self.loads.get(&process).copied().unwrap_or_default()
    }

    /// The client never learns what came after `token`.
    pub(crate) fn answer_lost(&mut self, token: Refresh) {
        if let Some(spending) = self.spent.get_mut(&(token.login, token.index)) {
            spending.lost.get_or_insert(Cause::LostAnswer);
        }
    }

    /// A spent token reached the server again.
    pub(crate) fn came_again(&mut self, token: Refresh, from: Sender) {
        match from.wrong.or_else(|| self.cause(token, Some(from))) {
            Some(cause) => *self.causes.entry(cause).or_default() += 1,
            None => {
                let first = &self.spent[&(token.login, token.index)].by;
                let what = format!("P2: {token:?} was spent by {first:?} and is sent by {from:?}");
                self.broken.push(what);
            }
        }
    }

    /// Nobody has the refresh token that came after `token`.
    pub(crate) fn login_lost(&mut self, token: Refresh) {
        match self.cause(token, None) {
            Some(cause) => *self.causes.entry(cause).or_default() += 1,
            None => self.broken.push(format!("P2: what came after {token:?} is lost")),
        }
    }

    fn cause(&self, token: Refresh, sender: Option<Sender>) -> Option<Cause> {
        let spending = self.spent.get(&(token.login, token.index))?;
        let Spending { by, at, lost, saved } = *spending;
        // Whoever read the store later than that knows.
        let was_read = saved.is_some_and(|saved| sender.is_none_or(|it| saved < it.since));
        let is_of = |cause: Cause, process: Option<usize>| match cause {
            Cause::LostWrite => true,
            _ if was_read => false,
            Cause::LeaseRanOut if sender.is_some_and(|it| process == Some(it.life.process)) => true,
            _ => process == Some(by.life.process),
        };
        // After a lost write two processes may each write the same revision.
        let is_since = |cause: Cause, then: u64| then >= at || cause == Cause::LostWrite;
        let mut incidents = self.incidents.iter();
        let found =
            incidents.find(|(cause, of, then)| is_since(*cause, *then) && is_of(*cause, *of));
        let wrong = by.wrong.filter(|_| !was_read);
        lost.or(wrong).or_else(|| found.map(|(cause, ..)| *cause))
    }

    /// The store holds `token`: what came before it is known to whoever reads.
    pub(crate) fn saved(&mut self, token: Refresh) {
        let now = self.tick();
        for ((login, index), spending) in &mut self.spent {
            if *login == token.login && *index < token.index {
                spending.saved.get_or_insert(now);
            }
        }
    }

    /// A record is written: an id stands for one login, and a login has one id.
    pub(crate) fn saved_as(&mut self, id: LoginId, login: usize) {
        let is_same_id = *self.ids.entry(id).or_insert(login) == login;
        let is_same_login = self.ids.values().filter(|known| **known == login).count() == 1;
        if !(is_same_id && is_same_login) {
            self.broken.push("P11: the tokens of one login saved under the id of another".into());
        }
    }
}
