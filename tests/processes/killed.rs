//! A process that is killed (SIGKILL) at each step of a refresh in turn.
//!
//! The steps are reached by the hook that credentials have for tests: the process says where it is
//! and stands still, and is killed there.

use tower_teamup_auth::store::StoredRecord;
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{RequestMode, TokenSet};

use crate::shared::Shared;
use crate::worker::{Plan, Worker, was_a_worker};

/// Every step, in order, and what the server and the store have by then.
const OF_A_FILE: [(&str, Has); 11] = [
    ("LeaseAcquired", Has::NothingNew),
    ("Loaded", Has::NothingNew),
    ("Answered", Has::RotatedOnly),
    ("save-Begun", Has::RotatedOnly),
    ("save-Created", Has::RotatedOnly),
    ("save-Written", Has::RotatedOnly),
    ("save-Synced", Has::RotatedOnly),
    ("save-Renamed", Has::Saved),
    ("save-Done", Has::Saved),
    ("Saved", Has::Saved),
    ("Published", Has::Saved),
];
const OF_REDIS: [(&str, Has); 5] = [
    ("LeaseAcquired", Has::NothingNew),
    ("Loaded", Has::NothingNew),
    ("Answered", Has::RotatedOnly),
    ("Saved", Has::Saved),
    ("Published", Has::Saved),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Has {
    NothingNew,
    /// TeamUp has rotated the refresh token, and only the process that died knew the new one.
    RotatedOnly,
    Saved,
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_file_killed_at_any_step_of_a_refresh() {
    const NAME: &str = "killed::p8_file_killed_at_any_step_of_a_refresh";
    if was_a_worker().await {
        return;
    }
    for (step, has) in OF_A_FILE {
        killed_at(NAME, step, has, &Shared::file()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_redis_killed_at_any_step_of_a_refresh() {
    const NAME: &str = "killed::p8_redis_killed_at_any_step_of_a_refresh";
    if was_a_worker().await {
        return;
    }
    for (step, has) in OF_REDIS {
        killed_at(NAME, step, has, &Shared::redis()).await;
    }
}

async fn killed_at(test: &str, step: &str, has: Has, shared: &Shared) {
    let server = FakeTeamUp::start().await;
    let plan = Plan::new(&server);
    let old = server.issue_tokens(&[RequestMode::Provider]);
    shared.seed(&old).await;
    let old = StoredRecord::from(old);

    let mut dying = Worker::start(test, &plan.clone().stopping_at(step), shared);
    dying.refresh_up_to_its_step();
    assert_eq!(server.rotations(), usize::from(has != Has::NothingNew), "{step}");
    dying.kill();

    // The store loads, and holds the old pair or the new one.
    let kept = shared.load().await.expect("it holds a pair");
    if has == Has::Saved {
        assert_eq!(kept.revision(), old.revision() + 1, "{step}");
        assert_eq!(kept.login(), old.login(), "{step}");
        let (kept, old) = (kept.tokens().unwrap(), old.tokens().unwrap());
        assert_ne!(kept.refresh_token(), old.refresh_token(), "{step}");
        assert_ne!(access_token(kept), access_token(old), "{step}");
    } else {
        assert_eq!(kept, old, "{step}");
    }
    shared.outlive_the_dead();

    // Another process carries on, with the token that is still good.
    let requests = server.refresh_requests();
    let mut next = Worker::start(test, &plan, shared);
    assert_eq!(next.request(), "200", "{step}");
    assert_eq!(server.refresh_requests(), requests, "{step}: it had no reason to refresh");

    server.expire_access_tokens();
    if has == Has::RotatedOnly {
        says_that_a_login_is_needed(&server, &mut next);
        assert_eq!(next.log_in(&server.issue_tokens(&[RequestMode::Provider])), "done", "{step}");
    }
    let (requests, rotations) = (server.refresh_requests(), server.rotations());
    if has != Has::RotatedOnly {
        assert_eq!(next.request(), "200", "{step}: {}", next.log());
        assert_eq!((server.refresh_requests(), server.rotations()), (requests + 1, rotations + 1));
    }
    assert_eq!(next.refresh(), "done", "{step}: {}", next.log());
    assert_eq!(next.request(), "200", "{step}");
    next.ends();
    assert_eq!(shared.lease_owner(), None, "{step}");
    assert_eq!(server.double_spends(), usize::from(has == Has::RotatedOnly), "{step}");

    // And what it leaves behind is good for the one after it.
    let requests = server.refresh_requests();
    let mut heir = Worker::start(test, &plan, shared);
    assert_eq!(heir.request(), "200", "{step}");
    assert_eq!(heir.refresh(), "done", "{step}");
    assert_eq!(server.refresh_requests(), requests + 1, "{step}");
    heir.ends();
}

/// Nobody can know the refresh token that died with its process: that is said at the first refresh,
/// in clear words, and the endpoint is not asked again.
fn says_that_a_login_is_needed(server: &FakeTeamUp, next: &mut Worker) {
    let requests = server.refresh_requests();
    for _ in 0..3 {
        let answer = next.request();
        assert!(answer.contains("a login is required"), "{answer}");
        assert!(answer.contains("let the user log in again"), "{answer}");
        assert_eq!(server.refresh_requests(), requests + 1, "{answer}");
    }
    next.tells_of("login required");
    assert!(!next.has_told_of("is sent again"), "{}", next.log());
}

fn access_token(tokens: &TokenSet) -> &str {
    tokens.access_token(RequestMode::Provider).unwrap().expose()
}
