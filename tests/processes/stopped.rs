//! A2: many processes that stand still while the answer to their refresh request is on its way.

use std::time::Duration;

use tower_teamup_auth::RequestMode;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};

use crate::shared::Shared;
use crate::worker::{NO_TOKEN_IN_TIME, Plan, Worker, was_a_worker};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standstill {
    /// SIGSTOP.
    Stopped,
    /// All threads of its runtime run synchronous code.
    Busy,
}

/// One process for each of `plans` stands still with its refresh request sent, for `stop`. The answers
/// come to their sockets meanwhile.
async fn stand_still(
    how: Standstill,
    name: &str,
    server: &FakeTeamUp,
    plans: Vec<Plan>,
    stop: Duration,
) {
    let mut fleet = Vec::new();
    for plan in &plans {
        let shared = Shared::file();
        shared.seed(&server.issue_tokens(&[RequestMode::Provider])).await;
        fleet.push((Worker::start(name, plan, &shared), shared));
    }
    server.expire_access_tokens();
    server.fail_every_refresh(Fault::delay(Duration::ZERO).answer_delayed(stop));
    let hold = server.hold_refresh_answer();
    for (worker, _) in &mut fleet {
        worker.begin("request");
    }
    hold.arrived(plans.len()).await;
    for ((worker, _), plan) in fleet.iter_mut().zip(&plans) {
        match how {
            Standstill::Stopped => worker.process().pause(),
            Standstill::Busy => worker.becomes_busy(plan.runtime_threads()),
        }
    }
    hold.release();
    server.wait_for(|journal| journal.under_way() == 0).await;
    for (worker, _) in &mut fleet {
        match how {
            Standstill::Stopped => worker.process().resume(),
            Standstill::Busy => worker.becomes_free(),
        }
    }
    for (worker, _) in &mut fleet {
        // Its caller may have given up.
        let ended = worker.ended();
        assert!(ended == "200" || ended.contains(NO_TOKEN_IN_TIME), "{ended}");
        assert_eq!(worker.request_again(), "200", "{}", worker.log());
    }
    assert_eq!(server.refresh_requests(), plans.len(), "{}", server.journal());
    assert_eq!(server.double_spends(), 0, "{}", server.journal());
    // Each login lives, and its store has the newest pair.
    server.clear_faults();
    server.expire_access_tokens();
    for (mut worker, shared) in fleet {
        assert_eq!(worker.request_again(), "200", "{}", worker.log());
        worker.ends();
        assert!(shared.load().await.unwrap().tokens().is_some());
    }
    assert_eq!(server.rotations(), 2 * plans.len(), "{}", server.journal());
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_twenty_stopped_processes_read_the_answers_that_wait_in_their_sockets() {
    const NAME: &str =
        "stopped::a2_twenty_stopped_processes_read_the_answers_that_wait_in_their_sockets";
    if was_a_worker().await {
        return;
    }
    let server = FakeTeamUp::start().await;
    let plan = Plan::new(&server).wait_timeout(SECOND).refresh_request_timeout(SECOND);
    let plans = (0..20).map(|number| plan.clone().threads(1 + number % 2)).collect();
    stand_still(Standstill::Stopped, NAME, &server, plans, 2 * SECOND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_processes_whose_threads_are_all_busy_read_the_answers_that_wait_in_their_sockets() {
    const NAME: &str = "stopped::\
         a2_processes_whose_threads_are_all_busy_read_the_answers_that_wait_in_their_sockets";
    if was_a_worker().await {
        return;
    }
    let server = FakeTeamUp::start().await;
    let plan = Plan::new(&server).wait_timeout(SECOND).refresh_request_timeout(SECOND);
    let plans = (0..10).map(|number| plan.clone().threads(1 + number % 2)).collect();
    // Longer than the limit and the five seconds after it.
    stand_still(Standstill::Busy, NAME, &server, plans, 7 * SECOND).await;
}

#[cfg(heavy_tests)]
#[tokio::test(flavor = "multi_thread")]
async fn a2_processes_with_the_default_limits_are_stopped_for_11_s() {
    const NAME: &str = "stopped::a2_processes_with_the_default_limits_are_stopped_for_11_s";
    if was_a_worker().await {
        return;
    }
    let server = FakeTeamUp::start().await;
    let plans = (1..=2).map(|threads| Plan::new(&server).threads(threads)).collect();
    stand_still(Standstill::Stopped, NAME, &server, plans, 11 * SECOND).await;
}
