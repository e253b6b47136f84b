//! Three processes, each with the shipped machine, one store and one endpoint, model-checked.
//!
//! All three need a new token at once. Up to a bound of faults, a process is killed and starts again,
//! stands still past its lease, or never hears an answer; a request arrives late; the store loses its
//! last write; a person logs in. Everything else interleaves freely.
//!
//! A refresh token may reach the endpoint twice only in the windows that [`Window`] names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stateright::{Checker, Model, Property};

use super::*;
use crate::token::AccessToken;

const PROCESSES: usize = 3;
const MODE: RequestMode = RequestMode::Provider;
const START: Moment = Moment { monotonic: 1_000, wall: 1_000 };

/// When a refresh token may be sent although it is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Window {
    /// The answer was lost, or the process died while the request was under way.
    LostAnswer,
    /// The process died between the answer and the save.
    DiedBeforeSave,
    /// The lease ran out while the request was under way or its answer was unsaved: the process or
    /// its connection to the store stood still.
    LeaseRanOut,
    /// The store lost a write that it had confirmed.
    LostWrite,
    /// Its login was replaced while the request was under way or its answer was unsaved, and the
    /// new login has not reached the store yet.
    LoginReplaced,
}

/// A refresh token: its login, and which one of the login.
type Token = (u8, u32);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Process {
    state: CredentialState<u32, u8>,
    action: Option<Action<u32>>,
    /// The request has reached the endpoint, which answered like this.
    answer: Option<Outcome<u32, u8>>,
    now: Moment,
    /// The lease that it was granted last is known to have run out.
    lease_over: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Fleet {
    processes: Vec<Process>,
    record: Option<StoredRecord>,
    /// What the store would hold if it lost its last write.
    before: Option<StoredRecord>,
    holder: Option<u32>,
    next_lease: u32,
    /// The living refresh token of each login.
    live: BTreeMap<u8, u32>,
    /// Logins whose living token nobody heard of, or whose holder died.
    lost: BTreeSet<u8>,
    /// Requests that will reach the endpoint although nobody waits for them any more.
    strays: BTreeSet<Token>,
    /// Tokens that may be sent once more, and why.
    windows: BTreeSet<(Token, Window)>,
    /// A spent token has reached the endpoint, and this explains it.
    explained: BTreeSet<Window>,
    /// The same, and no window explains it.
    unexplained: bool,
    faults_left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    Next(usize),
    /// The store does what it was told, or the worker wakes.
    Done(usize),
    /// The request reaches the endpoint.
    Arrives(usize),
    Answered(usize),
    /// The lease of a process that has died runs out.
    DeadLeaseRunsOut,
    // From here on they count as faults.
    AnswerLost(usize),
    RequestDelayed(usize),
    StrayArrives(Token),
    Dies(usize, bool),
    LeaseRunsOut(usize),
    LastWriteLost,
    LogsIn(usize),
}

/// The bound: how many faults there may be.
#[derive(Clone)]
struct Bound {
    faults: u8,
}

fn token(login: u8, number: u32) -> RefreshToken {
    RefreshToken::new(format!("{login}.{number}")).unwrap()
}

fn parse(token: &RefreshToken) -> Token {
    let (login, number) = token.expose().split_once('.').unwrap();
    (login.parse().unwrap(), number.parse().unwrap())
}

fn login_id(login: u8) -> LoginId {
    LoginId::from_bytes([login; 16])
}

fn config() -> Config {
    Config {
        has_store: true,
        renewal: Renewal::Refresh,
        base_url: "https://t".into(),
        window: RefreshWindow { leeway: Duration::from_secs(300), jitter: 0 },
        lease_wait: Duration::from_secs(30),
        limit: RefreshLimit { count: 5, window: Duration::from_secs(30) },
        keep_warm: None,
    }
}

impl Process {
    fn start(record: Option<StoredRecord>) -> Self {
        let mut process = Process {
            state: CredentialState::new(config(), record, START),
            action: None,
            answer: None,
            now: START,
            lease_over: false,
        };
        process.ask();
        process
    }

    fn tick(&self) -> Tick {
        Tick { now: self.now, jitter: 0 }
    }

    fn ask(&mut self) {
        let generation = self.state.generation(MODE);
        self.state.enqueue(Operation::Refresh { generation, reason: Reason::Expired }, self.tick());
    }

    fn next(&mut self) {
        self.state.worker_epoch = 0;
        self.state.start_worker();
        let left = self.lease_over.then_some(Duration::ZERO);
        let (action, _) = self.state.next(self.tick(), left);
        self.action = (action != Action::Idle).then_some(action);
    }

    fn complete(&mut self, outcome: Outcome<u32, u8>) {
        self.action = None;
        self.answer = None;
        self.state.complete(1, outcome, self.tick());
    }

    fn sending(&self) -> Option<Token> {
        match &self.action {
            Some(Action::SendRefresh { refresh_token, .. }) => Some(parse(refresh_token)),
            _ => None,
        }
    }

    /// The refresh token that it holds.
    fn holds(&self) -> Option<Token> {
        self.state.tokens().map(|tokens| parse(tokens.refresh_token()))
    }
}

impl Fleet {
    fn new(faults: u8) -> Self {
        let record =
            StoredRecord::new(login_id(1), 1, RecordContent::Tokens(TokenSet::new(token(1, 1))))
                .with_base_url(&config().base_url);
        Fleet {
            processes: vec![Process::start(Some(record.clone())); PROCESSES],
            before: Some(record.clone()),
            record: Some(record),
            holder: None,
            next_lease: 1,
            live: BTreeMap::from([(1, 1)]),
            lost: BTreeSet::new(),
            strays: BTreeSet::new(),
            windows: BTreeSet::new(),
            explained: BTreeSet::new(),
            unexplained: false,
            faults_left: faults,
        }
    }

    fn holder_process(&self) -> Option<usize> {
        let held = |process: &Process| {
            process.state.lease().is_some_and(|lease| Some(*lease) == self.holder)
        };
        self.processes.iter().position(held)
    }

    /// A token reaches the endpoint: the next one, or `None` if it is spent.
    fn spend(&mut self, (login, number): Token) -> Option<u32> {
        let live = self.live.get_mut(&login)?;
        if *live == number {
            *live += 1;
            return Some(*live);
        }
        let sent = (login, number);
        let windows = self.windows.iter().filter(|(spent, _)| *spent == sent);
        self.explained = windows.map(|(_, window)| *window).collect();
        self.unexplained |= self.explained.is_empty();
        None
    }

    fn arrives(&mut self, index: usize) {
        let Some(sent) = self.processes[index].sending() else { return };
        let outcome = match self.spend(sent) {
            Some(number) => {
                let access = AccessToken::new(format!("{}.{number}", sent.0)).unwrap();
                let expires_at = Some(START.wall_time() + Duration::from_secs(7200));
                let refresh_token = Some(token(sent.0, number));
                let issued = IssuedToken { token: access, expires_at };
                Outcome::Refreshed { response: Minted { refresh_token, issued }, sent_at: START }
            }
            None => failure(FailureClass::Rejected),
        };
        self.processes[index].answer = Some(outcome);
    }

    fn load(&self) -> Found<u8> {
        self.record.clone().map_or(Found::Empty, |record| Found::Record(Box::new(record)))
    }

    fn done(&mut self, index: usize) {
        let Some(action) = self.processes[index].action.clone() else { return };
        let outcome = match action {
            Action::AcquireLease => {
                let lease = self.holder.is_none().then_some(self.next_lease);
                if lease.is_some() {
                    self.next_lease += 1;
                    self.holder = lease;
                    self.processes[index].lease_over = false;
                }
                Outcome::Acquired { lease, found: Some(self.load()) }
            }
            Action::ReadSource => unreachable!("these credentials are refreshed"),
            Action::Load => Outcome::Loaded { found: self.load() },
            Action::Save { lease, expected, record } => {
                if self.holder != Some(lease) {
                    Outcome::NotSaved { conflict: false, lease_lost: true, error: 1 }
                } else if expected.allows(self.record.as_ref()) {
                    self.before = self.record.replace(*record);
                    Outcome::Saved
                } else {
                    Outcome::NotSaved { conflict: true, lease_lost: false, error: 1 }
                }
            }
            Action::ReleaseLease { lease } => {
                self.holder = self.holder.filter(|holder| *holder != lease);
                Outcome::Released
            }
            Action::Sleep { pause, for_change } => {
                if !for_change {
                    self.processes[index].now = self.processes[index].now.plus(pause);
                }
                Outcome::Woke
            }
            Action::SendRefresh { .. } | Action::Idle => return,
        };
        self.processes[index].complete(outcome);
    }

    /// Every spent token of the login that `index` holds may be sent again by whoever finds it in
    /// the store.
    fn excuse_spent_of(&mut self, index: usize, window: Window) {
        if let Some((login, number)) = self.processes[index].holds() {
            self.windows.extend((1..number).map(|spent| ((login, spent), window)));
        }
    }

    fn dies(&mut self, index: usize, done: bool) {
        if done {
            // What it was doing is done, and it dies before it hears of it.
            match self.processes[index].action {
                Some(Action::SendRefresh { .. }) if self.processes[index].answer.is_some() => {}
                Some(Action::SendRefresh { .. }) => self.arrives(index),
                _ => self.done(index),
            }
        }
        if let Some(sent) = self.processes[index].sending() {
            self.windows.insert((sent, Window::LostAnswer));
            if let Some(Outcome::Refreshed { .. }) = self.processes[index].answer {
                self.lost.insert(sent.0);
            }
        }
        if self.processes[index].state.view().dirty.is_some() {
            self.excuse_spent_of(index, Window::DiedBeforeSave);
            self.lost.extend(self.processes[index].holds().map(|(login, _)| login));
        }
        self.processes[index] = Process::start(self.record.clone());
    }

    fn lease_runs_out(&mut self, index: usize) {
        if let Some(sent) = self.processes[index].sending() {
            self.windows.insert((sent, Window::LeaseRanOut));
        }
        if self.processes[index].state.view().dirty.is_some() {
            self.excuse_spent_of(index, Window::LeaseRanOut);
        }
        self.holder = None;
        self.processes[index].lease_over = true;
    }

    fn log_in(&mut self, index: usize) {
        if let Some(sent) = self.processes[index].sending() {
            self.windows.insert((sent, Window::LoginReplaced));
            self.lost.insert(sent.0);
        }
        if self.processes[index].state.view().dirty.is_some() {
            self.excuse_spent_of(index, Window::LoginReplaced);
            self.lost.extend(self.processes[index].holds().map(|(login, _)| login));
        }
        let login = u8::try_from(self.live.len() + 1).unwrap();
        self.live.insert(login, 1);
        let tokens = TokenSet::new(token(login, 1));
        let operation = Operation::LogIn { login: login_id(login), tokens, overwrite: false };
        let tick = self.processes[index].tick();
        self.processes[index].state.enqueue(operation, tick);
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Next(index) => self.processes[index].next(),
            Event::Done(index) => self.done(index),
            Event::Arrives(index) => self.arrives(index),
            Event::Answered(index) => {
                if let Some(outcome) = self.processes[index].answer.clone() {
                    self.processes[index].complete(outcome);
                }
            }
            Event::DeadLeaseRunsOut => self.holder = None,
            Event::AnswerLost(index) => {
                if let Some(sent) = self.processes[index].sending() {
                    self.windows.insert((sent, Window::LostAnswer));
                    if let Some(Outcome::Refreshed { .. }) = self.processes[index].answer {
                        self.lost.insert(sent.0);
                    }
                }
                self.processes[index].complete(failure(FailureClass::OutcomeUnknown));
            }
            Event::RequestDelayed(index) => {
                if let Some(sent) = self.processes[index].sending() {
                    self.windows.insert((sent, Window::LostAnswer));
                    self.strays.insert(sent);
                }
                self.processes[index].complete(failure(FailureClass::OutcomeUnknown));
            }
            Event::StrayArrives(sent) => {
                self.strays.remove(&sent);
                if self.spend(sent).is_some() {
                    self.lost.insert(sent.0);
                }
            }
            Event::Dies(index, done) => self.dies(index, done),
            Event::LeaseRunsOut(index) => self.lease_runs_out(index),
            Event::LastWriteLost => {
                self.record = self.before.clone();
                let tokens = self.record.as_ref().and_then(StoredRecord::tokens);
                if let Some((login, number)) = tokens.map(|t| parse(t.refresh_token())) {
                    self.windows.insert(((login, number), Window::LostWrite));
                    self.lost.insert(login);
                }
            }
            Event::LogsIn(index) => self.log_in(index),
        }
    }

    fn usual_events(&self) -> Vec<Event> {
        let mut events: Vec<_> =
            self.strays.iter().map(|sent| Event::StrayArrives(*sent)).collect();
        if self.holder.is_some() && self.holder_process().is_none() {
            events.push(Event::DeadLeaseRunsOut);
        }
        for (index, process) in self.processes.iter().enumerate() {
            match &process.action {
                None if process.state.has_work() => events.push(Event::Next(index)),
                None => {}
                Some(Action::SendRefresh { .. }) if process.answer.is_some() => {
                    events.push(Event::Answered(index));
                }
                Some(Action::SendRefresh { .. }) => events.push(Event::Arrives(index)),
                Some(_) => events.push(Event::Done(index)),
            }
        }
        events
    }

    fn faults(&self) -> Vec<Event> {
        let mut events = Vec::new();
        if self.record != self.before {
            events.push(Event::LastWriteLost);
        }
        if let Some(index) = self.holder_process() {
            events.push(Event::LeaseRunsOut(index));
        }
        for (index, process) in self.processes.iter().enumerate() {
            if process.action.is_some() {
                events.extend([Event::Dies(index, false), Event::Dies(index, true)]);
            }
            if process.sending().is_some() {
                events.push(Event::AnswerLost(index));
                if process.answer.is_none() {
                    events.push(Event::RequestDelayed(index));
                }
            }
        }
        events.push(Event::LogsIn(0));
        events
    }

    /// Does every token stand beside the login that it belongs to?
    fn logins_are_apart(&self) -> bool {
        let memories = self.processes.iter().filter_map(|process| process.state.record.as_ref());
        memories.chain(&self.record).all(|record| {
            record.tokens().is_none_or(|tokens| {
                let owner = |text: &str| text.split('.').next().unwrap().parse().map(login_id);
                let access = tokens.access_token(MODE).map(|token| token.expose());
                let mut texts = access.into_iter().chain([tokens.refresh_token().expose()]);
                texts.all(|text| owner(text) == Ok(record.login()))
            })
        })
    }

    /// How many processes have a request under way under a lease that has not run out?
    fn requests_at_once(&self) -> usize {
        let sending = |process: &&Process| process.sending().is_some() && !process.lease_over;
        self.processes.iter().filter(sending).count()
    }

    /// Everybody is done, and the living token of the stored login was lost to nobody: whoever asks
    /// next gets a new access token.
    fn somebody_can_refresh(&self) -> bool {
        let Some(RecordContent::Tokens(tokens) | RecordContent::Rejected(tokens)) =
            self.record.as_ref().map(StoredRecord::content)
        else {
            return false;
        };
        let (login, _) = parse(tokens.refresh_token());
        if self.lost.contains(&login) {
            return true;
        }
        (0..PROCESSES).all(|index| {
            let mut fleet = self.clone();
            fleet.processes[index].now = START.plus(Duration::from_secs(100_000));
            // A login elsewhere is told to the first who asks.
            for _ in 0..3 {
                fleet.processes[index].ask();
                for _ in 0..100 {
                    match fleet.usual_events().first() {
                        Some(event) => fleet.take(*event),
                        None => break,
                    }
                }
            }
            let refreshed = fleet.processes[index].state.issued(MODE).is_some();
            refreshed && fleet.processes[index].state.login_required().is_none()
        })
    }
}

fn failure(class: FailureClass) -> Outcome<u32, u8> {
    let failure = RequestFailure { class, retry_after: None, rotated: None, error: 1 };
    Outcome::RefreshFailed { failure }
}

impl Model for Bound {
    type State = Fleet;
    type Action = Event;

    fn init_states(&self) -> Vec<Fleet> {
        vec![Fleet::new(self.faults)]
    }

    fn actions(&self, fleet: &Fleet, events: &mut Vec<Event>) {
        events.extend(fleet.usual_events());
        if fleet.faults_left > 0 {
            events.extend(fleet.faults());
        }
    }

    fn next_state(&self, fleet: &Fleet, event: Event) -> Option<Fleet> {
        let mut next = fleet.clone();
        if !fleet.usual_events().contains(&event) {
            next.faults_left -= 1;
        }
        next.take(event);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties: Vec<Property<Self>> = vec![
            Property::always("P1: one refresh request at a time", |_, fleet: &Fleet| {
                fleet.requests_at_once() <= 1
            }),
            Property::always(
                "P1: a spent token is sent in the named windows alone",
                |_, fleet: &Fleet| !fleet.unexplained,
            ),
            Property::always("P8: the store holds a record", |_, fleet: &Fleet| {
                fleet.record.is_some()
            }),
            Property::always("P11: logins never mix", |_, fleet: &Fleet| fleet.logins_are_apart()),
            Property::always("somebody can refresh again", |_, fleet: &Fleet| {
                !fleet.usual_events().is_empty() || fleet.somebody_can_refresh()
            }),
            Property::sometimes("all have the new token", |_, fleet: &Fleet| {
                fleet.usual_events().is_empty()
                    && fleet.live.get(&1) == Some(&2)
                    && fleet.processes.iter().all(|p| p.state.issued(MODE).is_some())
            }),
        ];
        // That each window is more than a name.
        if self.faults > 0 {
            properties.extend([
                Property::sometimes("a spent token is sent: lost answer", |_, fleet: &Fleet| {
                    fleet.explained.contains(&Window::LostAnswer)
                }),
                Property::sometimes(
                    "a spent token is sent: died before save",
                    |_, fleet: &Fleet| fleet.explained.contains(&Window::DiedBeforeSave),
                ),
                Property::sometimes("a spent token is sent: lease ran out", |_, fleet: &Fleet| {
                    fleet.explained.contains(&Window::LeaseRanOut)
                }),
                Property::sometimes("a spent token is sent: lost write", |_, fleet: &Fleet| {
                    fleet.explained.contains(&Window::LostWrite)
                }),
            ]);
        }
        properties
    }
}

#[test]
fn p1_p8_p11_hold_for_three_processes_whatever_interleaves() {
    let faults = std::env::var("FLEET_FAULTS").ok().and_then(|text| text.parse().ok());
    let checker = Bound { faults: faults.unwrap_or(0) }.checker().threads(2).spawn_bfs().join();
    println!("fleet: states={} unique={}", checker.state_count(), checker.unique_state_count());
    checker.assert_properties();
}
