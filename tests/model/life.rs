//! How a history is lived: its processes, one step after the other, and what must be true in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;
use tower_teamup_auth::store::StoredRecord;
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Error, RequestMode};

use crate::histories::{Begin, History, LONGEST_FREEZE, Op, Step};
use crate::journal::Cause;
use crate::running::{Running, access_token, route};
use crate::subscriber::Panicking;
use crate::terms::{Found, Refresh};
use crate::world::World;

/// After the last step, everything that is still under way must end within this time.
const LONGEST_END: Duration = Duration::from_secs(600);

/// Longer than any pause after a failure, and than the endpoint may ask to be left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(5500);

/// A process that waits for a login reads the store when somebody asks, and not sooner again.
const LOOK_PAUSE: Duration = Duration::from_secs(6);

/// So often every process asks for new tokens in the end: the first time, it may find that another has logged
/// in, or that the store has lost a write.
const ROUNDS: usize = 3;

/// What a history came to.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) steps: usize,
    pub(crate) calls: usize,
    pub(crate) refresh_requests: usize,
    pub(crate) double_spent: usize,
    pub(crate) causes: BTreeMap<Cause, usize>,
    pub(crate) seconds: u64,
}

/// The processes, and the runtime that they share.
struct Processes {
    begin: Begin,
    world: World,
    processes: Vec<Running>,
}

#[expect(clippy::disallowed_methods, reason = "a new runtime goes on where the old one has ended")]
fn runtime_at(then: Option<Instant>) -> Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    if let Some(then) = then {
        runtime.block_on(async { tokio::time::advance(then - Instant::now()).await });
    }
    runtime
}

#[expect(clippy::disallowed_methods, reason = "a new runtime goes on where the old one has ended")]
fn end_of(runtime: Runtime) -> Instant {
    let then = runtime.block_on(async { Instant::now() });
    drop(runtime);
    then
}

/// Lives a history from its beginning to its end; the error names what was broken, and when.
pub(crate) fn live(history: &History) -> Result<Figures, String> {
    // Jitter is drawn from here: what failed must fail again.
    fastrand::seed(history.begin.seed);
    let mut runtime = runtime_at(None);
    let mut life = runtime.block_on(Processes::begin(&history.begin));
    let panics = history.begin.subscriber_panics;
    let _subscriber = panics.then(|| tracing::subscriber::set_default(Panicking));
    for (number, step) in history.steps.iter().enumerate() {
        if matches!(step.op, Op::RuntimeEnds) {
            runtime = runtime_at(Some(end_of(runtime)));
            runtime.block_on(async { life.world.with(|state| state.waits_are_long()) });
        }
        runtime.block_on(life.step(step));
        let broken = runtime.block_on(async { life.world.broken() });
        broken.map_err(|broken| format!("step {number}: {broken}"))?;
    }
    runtime.block_on(async {
        life.end().await;
        life.check();
        life.world.broken().map_err(|broken| format!("at the end: {broken}"))?;
        Ok(life.world.with(|state| Figures {
            steps: history.steps.len(),
            calls: state.calls(),
            refresh_requests: state.api.refresh_requests,
            double_spent: state.api.double_spent,
            causes: std::mem::take(&mut state.journal.causes),
            seconds: state.model().now.mono as u64 / 1000,
        }))
    })
}

impl Processes {
    async fn begin(begin: &Begin) -> Processes {
        let world = World::new(begin);
        let tokens = world.tokens(Refresh { login: 0, index: 0 }, begin.tokens);
        let processes = if begin.store { begin.processes } else { 1 };
        for process in 0..processes {
            world.of(process).with(|state| {
                for mode in RequestMode::ALL {
                    state.model().begins_with(mode, access_token(&tokens, mode));
                }
            });
        }
        let given = (!begin.store).then(|| tokens.clone());
        if begin.store {
            world.with(|state| state.kept.record = Some(StoredRecord::from(tokens)));
        }
        let mut life = Processes { begin: begin.clone(), world, processes: Vec::new() };
        for process in 0..processes {
            let world = life.world.of(process);
            life.processes.push(Running::start(world, Clock::tokio(), begin, given.clone()).await);
        }
        life
    }

    async fn step(&mut self, step: &Step) {
        let world = self.world.clone();
        let number = step.process % self.processes.len();
        let process = &mut self.processes[number];
        match step.op {
            Op::Call(ref plan) => process.call(plan),
            Op::Drop(which) => process.drop_caller(which),
            Op::Pass(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Op::Revoke => world.with(|state| state.api.access.clear()),
            Op::Script(answer) => world.with(|state| state.api.script.push_back(answer)),
            Op::Lifetime(lifetime) => world.with(|state| state.api.lifetime = lifetime),
            Op::Forbid(mode, true) => drop(world.with(|state| state.api.forbidden.insert(mode))),
            Op::Forbid(mode, false) => drop(world.with(|state| state.api.forbidden.remove(&mode))),
            Op::Refuse(of) => drop(world.with(|state| state.api.refusing.insert(route(of)))),
            Op::Jump(ahead) => process.jump(if ahead { 3_600_000 } else { -3_600_000 }),
            Op::LogIn(tokens) => process.log_in(tokens),
            Op::SignOut => process.sign_out(),
            Op::RefreshNow(mode) => process.refresh(mode),
            Op::Shutdown => process.shut_down(),
            Op::Fault(op, fault, times) => world.with(|state| {
                state.kept.faults[op as usize].extend(std::iter::repeat_n(fault, times));
            }),
            Op::ReadOnly => world.with(|state| state.kept.is_read_only = true),
            Op::Mend => world.with(|state| state.mend_store()),
            Op::StoreLoses { all } => world.with(|state| state.store_loses(all)),
            Op::LeaseRunsOut => world.with(|state| state.lease_runs_out()),
            Op::Freeze(millis) => process.world.with(|state| state.freeze(millis)),
            Op::WorkerDies(at) => {
                process.world.with(|state| {
                    state.waits_are_long();
                    state.process().worker_dies_at = Some(at);
                });
            }
            Op::Dies if self.begin.store => self.restart(number).await,
            // It would have nothing left.
            Op::Dies => {}
            // It has ended already.
            Op::RuntimeEnds => {}
        }
        for _ in 0..step.settles {
            tokio::task::yield_now().await;
        }
        self.check();
    }

    /// The process dies, and a supervisor starts it again.
    async fn restart(&mut self, number: usize) {
        let (world, clock) = self.processes.remove(number).die();
        if number == 0 {
            self.world = world.clone();
        }
        let next = Running::start(world, clock, &self.begin, None).await;
        self.processes.insert(number, next);
    }

    fn check(&self) {
        self.processes.iter().for_each(Running::check);
    }

    /// Everything is mended, but for what the server refuses: what is under way must end, the newest tokens
    /// must be safe, and whoever may refresh must be able to.
    async fn end(&mut self) {
        let world = self.world.clone();
        world.with(|state| {
            state.mend_store();
            state.api.script.clear();
            state.api.lifetime = None;
        });
        for process in &mut self.processes {
            process.world.with(|state| state.process().worker_dies_at = None);
            for task in process.under_way.drain(..).chain(process.changes.drain(..)) {
                let ended = tokio::time::timeout(LONGEST_END, task).await;
                let panicked = matches!(&ended, Ok(Err(error)) if error.is_panic());
                process.world.must_be(ended.is_ok(), "a call never ends");
                process.world.must_be(!panicked, "a call panicked");
            }
        }
        // Whoever stands still goes on within this time.
        tokio::time::sleep(Duration::from_millis(LONGEST_FREEZE)).await;
        self.flush().await;
        // What a lost runtime had left behind is over, with the pauses after its failures.
        tokio::time::sleep(LONGEST_PAUSE).await;
        self.flush().await;
        for process in &self.processes {
            process.world.with(|state| state.newest_is_stored("in the end"));
        }
        for round in 1..=ROUNDS {
            for process in &self.processes {
                for mode in RequestMode::ALL {
                    refreshes(process, mode, round == ROUNDS).await;
                }
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        world.with(|state| state.check_the_stored());
    }

    /// Nothing is left in memory alone, also of a worker that was lost with its runtime.
    async fn flush(&self) {
        let mut left = String::new();
        for _ in 0..ROUNDS {
            left.clear();
            for process in &self.processes {
                let flushed = tokio::time::timeout(LONGEST_END, process.credentials.flush()).await;
                match flushed {
                    Ok(Ok(())) => {}
                    other => left += &format!("process {}: {other:?} ", process.world.life.process),
                }
            }
            if left.is_empty() {
                break;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        self.world.must_be(left.is_empty(), &format!("P12: not flushed: {left}"));
    }
}

async fn refreshes(process: &Running, mode: RequestMode, is_last: bool) {
    let Running { world, credentials, .. } = process;
    let (is_forbidden, must, is_settled) = world.with(|state| {
        state.model().refresh_now_began(mode);
        let is_settled = is_last && !state.kept.has_lost;
        (state.api.forbidden.contains(&mode), state.must_refresh(is_last), is_settled)
    });
    let refreshed = tokio::time::timeout(LONGEST_END, credentials.refresh(mode)).await;
    let is_right = match &refreshed {
        Err(_) => false,
        Ok(_) if !must => true,
        Ok(Ok(())) => !is_forbidden,
        Ok(Err(error)) if error.is_configuration() => is_forbidden,
        Ok(Err(error)) => !is_settled && may_be_found_first(error),
    };
    let why = format!("P2: no refresh of {mode} is possible any more: {refreshed:?}");
    world.must_be(is_right, &why);
    world.with(|state| {
        let error = refreshed.ok().and_then(Result::err);
        state.model().refresh_now_ended(mode, error.as_ref());
        if error.is_none() {
            state.newest_is_stored("after a refresh");
        }
    });
}

/// What another process has done is found by a refresh that fails.
fn may_be_found_first(error: &Error) -> bool {
    error.is_login_changed() || error.is_login_required()
}

impl crate::world::State {
    fn newest_is_stored(&mut self, when: &str) {
        if !self.kept.has_lost {
            let stored = self.kept.refresh();
            self.model().newest_is_stored(&format!("P2: {when}"), stored);
        }
    }

    /// Must the process be able to refresh? In the last round also with what others have stored.
    fn must_refresh(&mut self, is_last: bool) -> bool {
        let alive = self.api.alive.clone();
        let is_stored = self.kept.usable().is_some_and(|stored| {
            alive[stored.login] == stored.index && !self.model().is_shut_down()
        });
        self.model().must_refresh(&alive) || is_last && is_stored && !self.kept.has_lost
    }

    /// What the store holds is alive, or there is a cause with a name.
    fn check_the_stored(&mut self) {
        if !self.has_store() {
            return;
        }
        match self.kept.found() {
            Found::Tokens(stored) if self.api.alive[stored.login] == stored.index => {}
            Found::Tokens(stored) => self.journal.login_lost(stored),
            Found::Rejected(stored) => {
                let was_refused = self.api.refused.contains(&stored);
                self.must_be(was_refused, "P10: a token counts as rejected that nobody refused");
                if self.api.alive[stored.login] != stored.index {
                    self.journal.login_lost(stored);
                }
            }
            Found::SignedOut => {}
            Found::Nothing => self.must_be(self.kept.has_lost, "P8: the store is empty"),
        }
    }
}
