//! Histories that once broke a promise, written out: a seed would be worth nothing once histories
//! are drawn another way.

use tower_teamup_auth::RequestMode::{Customer, Provider};

use crate::histories::{Begin, CallPlan, History, Op, Step, Tokens};
use crate::life::live;
use crate::server::{Kind, RefreshAnswer};
use crate::store::{Fault, Op as StoreOp};
use crate::terms::Answer;

/// Each step has the number of its process, and how many turns follow.
fn passes(begin: Begin, ops: impl IntoIterator<Item = (usize, Op, usize)>) {
    let steps =
        ops.into_iter().map(|(process, op, settles)| Step { process, op, settles }).collect();
    live(&History { begin, steps }).unwrap();
}

fn begin(tokens: Tokens) -> Begin {
    Begin {
        store: true,
        processes: 2,
        tokens,
        lifetime: Some(2),
        room: None,
        grown: false,
        subscriber_panics: false,
        seed: 0,
    }
}

fn call(mode: tower_teamup_auth::RequestMode) -> Op {
    Op::Call(CallPlan {
        mode,
        ours: true,
        repeatable: false,
        lasting: false,
        answers: [(Answer::Judged, 0); 2],
        patience: None,
    })
}

/// It was sent again by the next refresh.
#[test]
fn p2_refused_refresh_token_while_the_store_can_not_be_read() {
    let refused = RefreshAnswer { seconds: 1, spent_first: false, kind: Kind::Refused(400) };
    passes(
        begin(Tokens::None),
        [
            (0, Op::Script(refused), 0),
            (0, call(Provider), 60),
            (0, Op::Fault(StoreOp::Load, Fault::Fails, 1), 0),
            (0, Op::Pass(3000), 60),
            (0, call(Provider), 60),
        ],
    );
}

/// It was the last resort of a refresh that failed.
#[test]
fn long_expired_token_from_the_store_and_a_wall_clock_set_back() {
    let failing = RefreshAnswer { seconds: 0, spent_first: false, kind: Kind::Status(404) };
    passes(
        begin(Tokens::None),
        [
            (0, Op::Fault(StoreOp::Save, Fault::Fails, 1), 0),
            (0, Op::Script(failing), 0),
            (1, Op::LogIn(Tokens::Expired), 60),
            (0, Op::Pass(7_300_000), 0),
            (1, Op::RefreshNow(Provider), 60),
            (0, Op::Fault(StoreOp::Save, Fault::Fails, 1), 0),
            (0, Op::RefreshNow(Provider), 0),
            (0, call(Customer), 3),
            (0, Op::Jump(false), 0),
            (0, call(Customer), 3),
        ],
    );
}

/// It had its token, waited for the inner service to be ready, and was sent after the login.
#[test]
fn p11_login_while_a_request_with_the_adopted_token_waits_for_room() {
    let plan = |ours, answer, repeatable| {
        let answers = [(Answer::Judged, answer), (Answer::Judged, 0)];
        let mode = Provider;
        Op::Call(CallPlan { mode, ours, repeatable, lasting: false, answers, patience: None })
    };
    passes(
        Begin { room: Some(2), ..begin(Tokens::Good(Some(600))) },
        [
            (0, Op::Revoke, 0),
            (0, plan(false, 12, false), 0),
            (0, plan(false, 1, false), 0),
            (0, plan(true, 0, true), 0),
            (0, Op::Mend, 0),
            (0, plan(false, 12, false), 0),
            (1, Op::RefreshNow(Provider), 60),
            (0, Op::Drop(0), 60),
            (0, Op::LogIn(Tokens::None), 0),
        ],
    );
}

fn answer(seconds: u64, kind: Kind) -> Op {
    Op::Script(RefreshAnswer { seconds, spent_first: false, kind })
}

/// It was sent again by a process that had read that it was refused.
#[test]
fn p2_a_token_that_another_process_was_refused_and_a_lost_write() {
    passes(
        begin(Tokens::None),
        [
            (0, call(Provider), 0),
            (0, answer(0, Kind::GatewayAfter), 0),
            (0, Op::Pass(308), 0),
            (1, call(Provider), 60),
            (0, Op::StoreLoses { all: false }, 0),
        ],
    );
}

/// The newest token was on its way to the store a second time, and the one before it in use.
#[test]
fn p10_token_in_use_while_the_newest_is_saved_again_after_a_lost_write() {
    passes(
        begin(Tokens::Good(None)),
        [
            (0, Op::RefreshNow(Customer), 4),
            (0, Op::Fault(StoreOp::Save, Fault::Slow, 2), 0),
            (0, Op::Revoke, 0),
            (0, call(Provider), 4),
            (0, Op::StoreLoses { all: false }, 0),
            (0, Op::Pass(2000), 1),
            (0, call(Provider), 0),
            (0, Op::Pass(2000), 0),
            (0, call(Provider), 0),
        ],
    );
}
