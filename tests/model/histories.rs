//! What can happen to a credential, and the property: whatever happens, no promise is broken.
//!
//! A history is a plain list of steps, and not `proptest-state-machine`'s sequence of transitions:
//! every step makes sense in every state, so there is nothing for a precondition to refuse, and a
//! failing history shrinks by leaving steps out. The model watches what the real thing does instead
//! of running beside it, because when a jittered, concurrent refresh is done is no function of the
//! steps alone. And one history is one `async` block under paused time, from beginning to end.
//!
//! A share of the histories, always the same, runs with every `cargo test`; others with
//!
//! ```sh
//! MODEL_HISTORIES=10000 cargo test -p tests --test model -- --nocapture
//! ```
//!
//! The seed of what fails is kept in `regressions/histories.txt`, outside of version control, and tried first
//! from then on. `regressions.rs` has the histories that stay.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{
    FileFailurePersistence, RngAlgorithm, TestCaseError, TestRng, TestRunner,
};
use tower_teamup_auth::{RefreshStep, RequestMode};

use crate::life::{Figures, live};
use crate::server::{Kind, RefreshAnswer};
use crate::store::{Fault, Op as StoreOp};
use crate::terms::{Answer, SLOWEST_ANSWER};
use crate::time::Stopwatch;

/// How long a process stands still at most, in milliseconds.
pub(crate) const LONGEST_FREEZE: u64 = 60_000;

/// How many histories run where `MODEL_HISTORIES` says nothing.
const SHARE: u32 = 300;

const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/model/regressions/histories.txt");

#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) begin: Begin,
    pub(crate) steps: Vec<Step>,
}

/// How the world is in the beginning.
#[derive(Clone, Debug)]
pub(crate) struct Begin {
    pub(crate) store: bool,
    /// How many share the store; one where there is none.
    pub(crate) processes: usize,
    pub(crate) tokens: Tokens,
    /// The lifetime of what is minted, in seconds.
    pub(crate) lifetime: Option<u64>,
    /// How many requests and refresh requests the inner stack takes at a time, if that is limited.
    pub(crate) room: Option<usize>,
    /// The service that lives on has had requests before.
    pub(crate) grown: bool,
    /// The program's subscriber of events panics at each one.
    pub(crate) subscriber_panics: bool,
    pub(crate) seed: u64,
}

/// The access tokens of a token set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tokens {
    None,
    Expired,
    /// One for each mode, with a lifetime in seconds.
    Good(Option<u64>),
}

#[derive(Clone)]
pub(crate) struct Step {
    /// Whose step it is, counted around.
    pub(crate) process: usize,
    pub(crate) op: Op,
    /// How often the other tasks have a turn before the next step; the clock stands still.
    pub(crate) settles: usize,
}

impl fmt::Debug for Step {
    /// In one line: a history is read from top to bottom.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step { process, op, settles } = self;
        f.write_str(&format!("{process}: {op:?}, and {settles} turns"))
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Call(CallPlan),
    /// The caller of something that is under way goes away: of so many, counted around.
    Drop(usize),
    /// Time passes, in milliseconds.
    Pass(u64),
    /// The API takes no access token any more that was minted before.
    Revoke,
    /// How the next refresh request is answered that nothing was said of yet.
    Script(RefreshAnswer),
    /// What is minted lives for so many seconds.
    Lifetime(Option<u64>),
    /// A mode is refused new tokens, or no longer.
    Forbid(RequestMode, bool),
    /// A route refuses every token from now on.
    Refuse(usize),
    /// The wall clock of the process is set by an hour, ahead or back.
    Jump(bool),
    LogIn(Tokens),
    SignOut,
    RefreshNow(RequestMode),
    Shutdown,
    /// The next calls of the store go wrong.
    Fault(StoreOp, Fault, usize),
    /// No save succeeds until the store is mended.
    ReadOnly,
    Mend,
    /// The store loses its last write, or all that it has.
    StoreLoses {
        all: bool,
    },
    LeaseRunsOut,
    /// The process stands still for so many milliseconds.
    Freeze(u64),
    /// The process ends without a word, and is started again.
    Dies,
    /// The worker panics when it has next passed this step.
    WorkerDies(RefreshStep),
    /// The runtime ends with all its tasks, and another one takes its place.
    RuntimeEnds,
}

#[derive(Clone, Debug)]
pub(crate) struct CallPlan {
    pub(crate) mode: RequestMode,
    /// It goes to the API, and not elsewhere.
    pub(crate) ours: bool,
    pub(crate) repeatable: bool,
    /// It goes through the service that lives on.
    pub(crate) lasting: bool,
    /// How each of its sends is answered, and after how many seconds.
    pub(crate) answers: [(Answer, u64); 2],
    /// After how many polls its caller goes away.
    pub(crate) patience: Option<usize>,
}

fn mode() -> impl Strategy<Value = RequestMode> {
    prop_oneof![3 => Just(RequestMode::Provider), 1 => Just(RequestMode::Customer)]
}

fn lifetime() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        4 => prop_oneof![Just(2), Just(20), Just(600), Just(7200)].prop_map(Some),
        1 => Just(None),
    ]
}

fn tokens() -> impl Strategy<Value = Tokens> {
    prop_oneof![
        1 => Just(Tokens::None),
        1 => Just(Tokens::Expired),
        3 => lifetime().prop_map(Tokens::Good),
    ]
}

fn answer() -> impl Strategy<Value = (Answer, u64)> {
    let answer = prop_oneof![
        12 => Just(Answer::Judged),
        2 => Just(Answer::Unauthorized),
        1 => Just(Answer::InsufficientScope),
        1 => Just(Answer::Forbidden),
        1 => Just(Answer::Unavailable),
        1 => Just(Answer::Fails),
    ];
    (answer, prop_oneof![4 => Just(0), 1 => Just(1), 1 => Just(SLOWEST_ANSWER)])
}

fn call() -> impl Strategy<Value = CallPlan> {
    let patience = prop_oneof![4 => Just(None), 1 => (1_usize..6).prop_map(Some)];
    let ours = prop::bool::weighted(0.9);
    let repeatable = prop::bool::weighted(0.75);
    (mode(), ours, repeatable, any::<bool>(), [answer(), answer()], patience).prop_map(
        |(mode, ours, repeatable, lasting, answers, patience)| CallPlan {
            mode,
            ours,
            repeatable,
            lasting,
            answers,
            patience,
        },
    )
}

fn refresh_request() -> impl Strategy<Value = RefreshAnswer> {
    let kind = prop_oneof![
        4 => Just(Kind::Granted),
        1 => Just(Kind::GrantedForever),
        1 => Just(Kind::GrantedAgain),
        1 => Just(Kind::GrantedWithoutRotation),
        1 => Just(Kind::GrantedThenLost),
        2 => Just(Kind::Unreachable),
        2 => prop_oneof![Just(0), Just(3), Just(90), Just(4000)].prop_map(Kind::TooMany),
        3 => prop_oneof![Just(500), Just(503), Just(404), Just(302), Just(502), Just(504)]
            .prop_map(Kind::Status),
        1 => prop_oneof![Just(400), Just(401)].prop_map(Kind::Refused),
        1 => prop_oneof![Just(400), Just(401), Just(403)].prop_map(Kind::Doubted),
        1 => Just(Kind::Forbidden),
        1 => prop_oneof![Just(400), Just(401), Just(403)].prop_map(Kind::Foreign),
        1 => Just(Kind::GatewayAfter),
        1 => Just(Kind::LostBefore),
        1 => Just(Kind::LostAfter),
        1 => Just(Kind::Garbage),
        1 => Just(Kind::Faulty),
        1 => Just(Kind::Portal),
        1 => Just(Kind::Panics),
    ];
    let seconds = prop_oneof![4 => Just(0), 2 => Just(1), 1 => Just(8), 1 => Just(15),
        1 => prop_oneof![Just(45), Just(118), Just(200)]];
    (kind, seconds, any::<bool>()).prop_map(|(kind, seconds, spent_first)| RefreshAnswer {
        seconds,
        spent_first,
        kind,
    })
}

fn fault() -> impl Strategy<Value = Op> {
    let write = (
        prop_oneof![3 => Just(StoreOp::Save), 1 => Just(StoreOp::Release)],
        prop_oneof![
            Just(Fault::Fails),
            Just(Fault::Panics),
            Just(Fault::Slow),
            Just(Fault::Hangs),
            Just(Fault::DoneAndFails)
        ],
    );
    let read = (
        prop_oneof![Just(StoreOp::Acquire), Just(StoreOp::Load)],
        prop_oneof![Just(Fault::Fails), Just(Fault::Panics), Just(Fault::Slow), Just(Fault::Hangs)],
    );
    (prop_oneof![2 => write.boxed(), 1 => read.boxed()], 1_usize..6)
        .prop_map(|((op, fault), times)| Op::Fault(op, fault, times))
}

fn step() -> impl Strategy<Value = RefreshStep> {
    prop_oneof![
        Just(RefreshStep::LeaseAcquired),
        Just(RefreshStep::Loaded),
        Just(RefreshStep::Answered),
        Just(RefreshStep::Saved),
        Just(RefreshStep::Published),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let pass =
        prop_oneof![(1_u64..3000), (3000_u64..30_000), (30_000_u64..700_000), Just(7_300_000)];
    prop_oneof![
        40 => call().prop_map(Op::Call),
        6 => (0..64_usize).prop_map(Op::Drop),
        16 => pass.prop_map(Op::Pass),
        8 => Just(Op::Revoke),
        14 => refresh_request().prop_map(Op::Script),
        2 => lifetime().prop_map(Op::Lifetime),
        3 => any::<bool>().prop_map(Op::Jump),
        3 => tokens().prop_map(Op::LogIn),
        1 => Just(Op::SignOut),
        5 => mode().prop_map(Op::RefreshNow),
        1 => Just(Op::Shutdown),
        6 => fault(),
        1 => Just(Op::Mend),
        1 => Just(Op::ReadOnly),
        1 => any::<bool>().prop_map(|all| Op::StoreLoses { all }),
        1 => Just(Op::LeaseRunsOut),
        1 => (1_000..LONGEST_FREEZE).prop_map(Op::Freeze),
        1 => Just(Op::Dies),
        1 => step().prop_map(Op::WorkerDies),
        1 => Just(Op::RuntimeEnds),
        1 => (mode(), any::<bool>()).prop_map(|(mode, refused)| Op::Forbid(mode, refused)),
        1 => (0..3_usize).prop_map(Op::Refuse),
    ]
}

fn history() -> impl Strategy<Value = History> {
    let room = prop_oneof![5 => Just(None), 1 => (1_usize..4).prop_map(Some)];
    let store = prop::bool::weighted(0.75);
    let processes = prop_oneof![2 => Just(1), 3 => Just(2), 1 => Just(3)];
    let panics = prop::bool::weighted(0.1);
    let begin = (store, processes, tokens(), lifetime(), room, any::<bool>(), panics, any::<u64>())
        .prop_map(|(store, processes, tokens, lifetime, room, grown, panics, seed)| Begin {
            store,
            processes,
            tokens,
            lifetime,
            room,
            grown,
            subscriber_panics: panics,
            seed,
        });
    let settles = prop_oneof![2 => Just(0), 1 => Just(1), 1 => 2_usize..8, 4 => Just(60)];
    let step = (0..3_usize, op(), settles).prop_map(|(process, op, settles)| Step {
        process,
        op,
        settles,
    });
    (begin, vec(step, 1..60)).prop_map(|(begin, steps)| History { begin, steps })
}

#[test]
fn p1_to_p12_hold_in_every_history() {
    let asked = std::env::var("MODEL_HISTORIES").ok();
    let cases = asked.as_ref().map(|count| count.parse().expect("MODEL_HISTORIES is a number"));
    let cases = cases.unwrap_or(SHARE);
    let config = ProptestConfig {
        cases,
        max_shrink_iters: 20_000,
        max_shrink_time: 60_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        ..ProptestConfig::default()
    };
    let sum = Mutex::new(Figures::default());
    let began = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stopwatch = began.block_on(async { Stopwatch::start() });
    let mut runner = match asked {
        Some(_) => TestRunner::new(config),
        None => {
            let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            TestRunner::new_with_rng(config, rng)
        }
    };
    let result = runner.run(&history(), |history| {
        let figures = live(&history).map_err(TestCaseError::fail)?;
        let mut sum = sum.lock().unwrap();
        sum.steps += figures.steps;
        sum.calls += figures.calls;
        sum.refresh_requests += figures.refresh_requests;
        sum.double_spent += figures.double_spent;
        for (cause, count) in figures.causes {
            *sum.causes.entry(cause).or_default() += count;
        }
        sum.seconds += figures.seconds;
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let sum = sum.into_inner().unwrap();
    let took = began.block_on(async move { stopwatch.elapsed() });
    let causes: BTreeMap<String, usize> =
        sum.causes.iter().map(|(cause, count)| (cause.to_string(), *count)).collect();
    println!(
        "model: {cases} histories, {} steps, {} requests, {} refresh_requests, {} spent tokens sent: \
         {causes:?}, {} days of their time, in {:.1} s",
        sum.steps,
        sum.calls,
        sum.refresh_requests,
        sum.double_spent,
        sum.seconds / 86_400,
        Duration::as_secs_f64(&took),
    );
}
