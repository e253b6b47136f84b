//! The scripted world: what the servers, the store and the processes know, and the models that watch them.

use std::error::Error as StdError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tower_teamup_auth::{Error, RefreshStep, RequestMode, TokenSet};

use crate::histories::{Begin, Tokens};
use crate::journal::{Journal, Life};
use crate::model::{End, Model};
use crate::server::{Delivered, Inner, Knowledge};
use crate::store::Kept;
use crate::terms::{Answer, Mint, Now, Refresh, SECRET};
use crate::time::{Stopwatch, wall_time};

/// The world as one life of a process sees it. A clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    pub(crate) life: Life,
}

#[derive(Debug)]
pub(crate) struct State {
    /// Those of the process whose view it is.
    acting: Life,
    processes: Vec<Process>,
    /// It watches what is left of lives that have ended, and nobody asks it.
    past: Process,
    /// How many requests such lives have made.
    past_calls: usize,
    pub(crate) api: Knowledge,
    pub(crate) kept: Kept,
    pub(crate) journal: Journal,
    started: Stopwatch,
    wall_at_start: SystemTime,
    has_store: bool,
}

/// A process: one credential after the other.
#[derive(Debug)]
pub(crate) struct Process {
    model: Model,
    /// For each call, how its first send is answered and how the second, and after how long.
    answers: Vec<[(Answer, u64); 2]>,
    /// The number of its life.
    life: usize,
    wall_shift: i64,
    /// It stands still until then.
    frozen_until: i64,
    /// Its worker panics when it has passed this step.
    pub(crate) worker_dies_at: Option<RefreshStep>,
}

impl Process {
    fn new(begin: &Begin) -> Self {
        Process {
            model: Model::new(begin.store, begin.room.is_some()),
            answers: Vec::new(),
            life: 0,
            wall_shift: 0,
            frozen_until: 0,
            worker_dies_at: None,
        }
    }
}

impl State {
    pub(crate) fn process(&mut self) -> &mut Process {
        let process = &mut self.processes[self.acting.process];
        if process.life == self.acting.number { process } else { &mut self.past }
    }

    pub(crate) fn model(&mut self) -> &mut Model {
        &mut self.process().model
    }

    /// The models of the other processes; what is left of an ended life is another to the next one.
    pub(crate) fn others(&mut self) -> impl Iterator<Item = &mut Model> {
        let acting = self.acting;
        let processes = self.processes.iter_mut().enumerate();
        let others = processes.filter(move |(number, process)| {
            *number != acting.process || process.life != acting.number
        });
        others.map(|(_, process)| &mut process.model)
    }

    pub(crate) fn model_of(&mut self, process: usize) -> &mut Model {
        &mut self.processes[process].model
    }

    /// What follows is of another life.
    pub(crate) fn act_as(&mut self, life: Life) {
        self.acting = life;
    }

    pub(crate) fn has_store(&self) -> bool {
        self.has_store
    }

    /// Is the lease gone that this life had, or the life itself?
    pub(crate) fn is_robbed(&self, life: Life) -> bool {
        let process = &self.processes[life.process];
        process.life != life.number || process.model.is_robbed()
    }

    pub(crate) fn acting(&self) -> Life {
        self.acting
    }

    pub(crate) fn is_over(&self) -> bool {
        self.processes[self.acting.process].life != self.acting.number
    }

    /// How many requests there were.
    pub(crate) fn calls(&self) -> usize {
        self.past_calls + self.processes.iter().map(|process| process.answers.len()).sum::<usize>()
    }

    pub(crate) fn mend_store(&mut self) {
        self.kept.faults = Default::default();
        self.kept.is_read_only = false;
    }

    /// A shutdown has said that everything is done.
    pub(crate) fn shutdown_done(&mut self) {
        let acting = self.acting;
        let stored = self.kept.refresh();
        let is_leased = self.kept.holder.is_some_and(|lease| lease.life == acting && !lease.late);
        let has_lost = self.kept.has_lost;
        self.model().shutdown_done((!has_lost).then_some(stored), is_leased);
    }

    pub(crate) fn answers(&mut self) -> &mut Vec<[(Answer, u64); 2]> {
        &mut self.process().answers
    }

    /// The wall clock's time, as the process sees it.
    pub(crate) fn wall(&mut self) -> SystemTime {
        let wall = self.model().now.wall;
        match wall {
            0.. => self.wall_at_start + Duration::from_millis(wall as u64),
            _ => self.wall_at_start - Duration::from_millis(wall.unsigned_abs()),
        }
    }

    /// Somebody sets the wall clock of the process.
    pub(crate) fn jump(&mut self, by: i64) {
        self.process().wall_shift += by;
        self.model().jumped();
    }

    /// Somebody may keep the lease for so long that others give up.
    pub(crate) fn waits_are_long(&mut self) {
        self.processes.iter_mut().for_each(|process| process.model.is_slow = true);
    }

    pub(crate) fn freeze(&mut self, millis: u64) {
        self.waits_are_long();
        let until = self.model().now.mono + millis as i64;
        self.process().frozen_until = until;
        self.model().stands_still(until);
    }

    /// A new access token.
    pub(crate) fn mint(&mut self, mint: Mint, own: bool) -> String {
        self.api.minted += 1;
        let text = format!("{SECRET}-{}-{}", mint.mode, self.api.minted);
        self.mint_as(&text, mint, own);
        text
    }

    /// The same, with this text.
    pub(crate) fn mint_as(&mut self, text: &str, mint: Mint, own: bool) {
        self.model().learn(text, mint, own);
        self.others().for_each(|other| other.learn(text, mint, false));
    }

    pub(crate) fn login(&mut self) -> Refresh {
        self.api.alive.push(0);
        let login = self.api.alive.len() - 1;
        self.processes.iter_mut().for_each(|process| process.model.knows_login(login));
        self.past.model.knows_login(login);
        Refresh { login, index: 0 }
    }

    /// The life of the process is over, and a new one begins: its number.
    fn dies(&mut self) -> usize {
        let acting = self.acting;
        self.journal.died(acting.process);
        self.api.under_way.retain(|(life, _)| *life != acting);
        self.waits_are_long();
        self.kept.died(acting);
        let process = &mut self.processes[acting.process];
        process.life += 1;
        process.frozen_until = 0;
        let reborn = process.model.reborn();
        self.past.model = std::mem::replace(&mut process.model, reborn);
        self.past_calls += process.answers.len();
        process.answers.clear();
        process.life
    }

    pub(crate) fn must_be(&mut self, holds: bool, what: &str) {
        if !holds {
            let process = self.acting.process;
            self.journal.broken.push(format!("process {process}: {what}"));
        }
    }
}

impl World {
    pub(crate) fn new(begin: &Begin) -> Self {
        let life = Life { process: 0, number: 0 };
        let processes = (0..begin.processes).map(|_| Process::new(begin)).collect();
        let state = Arc::new(Mutex::new(State {
            acting: life,
            processes,
            past: Process::new(begin),
            past_calls: 0,
            api: Knowledge { alive: vec![0], lifetime: begin.lifetime, ..Knowledge::default() },
            kept: Kept::default(),
            journal: Journal::default(),
            started: Stopwatch::start(),
            wall_at_start: wall_time(),
            has_store: begin.store,
        }));
        World { state, life }
    }

    /// As another process sees it.
    pub(crate) fn of(&self, process: usize) -> Self {
        let state = Arc::clone(&self.state);
        let number = self.with(|state| state.processes[process].life);
        World { state, life: Life { process, number } }
    }

    /// Looks at the world, or changes it; the models know what time it is.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mono = state.started.elapsed().as_millis() as i64;
        for process in &mut state.processes {
            process.model.now = Now { mono, wall: mono + process.wall_shift };
        }
        state.past.model.now = Now { mono, wall: mono };
        state.acting = self.life;
        state.lease_may_run_out(mono);
        state.late_requests_arrive(mono);
        let result = look(&mut state);
        if state.processes.iter().any(|process| process.model.is_slow) {
            state.waits_are_long();
        }
        result
    }

    pub(crate) fn must_be(&self, holds: bool, what: &str) {
        self.with(|state| state.must_be(holds, what));
    }

    /// What was broken, in any process.
    pub(crate) fn broken(&self) -> Result<(), String> {
        self.with(|state| {
            let mut broken = std::mem::take(&mut state.journal.broken);
            for (number, process) in state.processes.iter_mut().enumerate() {
                let here = process.model.broken.drain(..);
                broken.extend(here.map(|what| format!("process {number}: {what}")));
            }
            if broken.is_empty() { Ok(()) } else { Err(broken.join("; ")) }
        })
    }

    /// The process ends without a word, and is started again: the world as its next life sees it.
    pub(crate) fn dies(&self) -> Self {
        let number = self.with(State::dies);
        World { state: Arc::clone(&self.state), life: Life { number, ..self.life } }
    }

    /// Input and output of a process that stands still wait until it goes on; those of one that has ended
    /// go on never.
    pub(crate) async fn go_on(&self) {
        loop {
            self.lives().await;
            let left = self.with(|state| state.process().frozen_until - state.model().now.mono);
            if left <= 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(left as u64)).await;
        }
    }

    /// Nothing of a life that has ended goes on.
    pub(crate) async fn lives(&self) {
        if self.with(|state| state.is_over()) {
            std::future::pending::<()>().await;
        }
    }

    /// A token set of `refresh`, with access tokens or without.
    pub(crate) fn tokens(&self, refresh: Refresh, tokens: Tokens) -> TokenSet {
        let mut set = TokenSet::new(refresh.text().parse().expect("a token"));
        for mode in RequestMode::ALL {
            let (lifetime, is_alive) = match tokens {
                Tokens::None => continue,
                Tokens::Expired => (Some(0), false),
                Tokens::Good(lifetime) => (lifetime, true),
            };
            set = self.with(|state| {
                let now = state.model().now;
                let token = state.mint(Mint { mode, refresh, lifetime, from: now }, false);
                if is_alive {
                    state.api.access.insert(token.clone(), mode);
                }
                let wall = state.wall();
                let until = lifetime.map(|lifetime| wall + Duration::from_secs(lifetime));
                set.with_access_token_until(mode, token.parse().expect("a token"), until)
            });
        }
        set
    }

    /// Tells the model how a call ended.
    pub(crate) fn call_ended(&self, call: usize, answer: Delivered) {
        let end = match answer {
            Ok(response) => End::Answered {
                status: response.status().as_u16(),
                reason: response.extensions().get::<Error>().cloned(),
            },
            Err(error) if error.is::<Inner>() => End::Inner,
            Err(error) => match error.downcast_ref::<Error>() {
                Some(error) => End::Ours(error.clone()),
                None => {
                    self.must_be(false, &format!("an error of nobody's: {error:?}"));
                    return;
                }
            },
        };
        if let End::Answered { reason: Some(error), .. } | End::Ours(error) = &end {
            let mut shown = format!("{error:?}");
            let mut next: Option<&dyn StdError> = Some(error);
            while let Some(error) = next {
                shown += &error.to_string();
                next = error.source();
            }
            self.must_be(!shown.contains(SECRET), "P5: a secret in an error");
        }
        self.with(|state| state.model().call_ended(call, &end));
    }
}
