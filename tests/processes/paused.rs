//! A process that is stopped (SIGSTOP) in the midst of a refresh, and wakes up after another one has
//! gone ahead.

use std::time::Duration;

use tower_teamup_auth::RequestMode;
use tower_teamup_auth::testing::FakeTeamUp;

use crate::redis_server::until;
use crate::shared::Shared;
use crate::worker::{NO_TOKEN_IN_TIME, Plan, Worker, was_a_worker};

/// The shortest there is: it really runs out, while its holder stands still.
const SHORT: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn p2_redis_stopped_before_its_refresh_request_it_starts_over_and_adopts() {
    const NAME: &str =
        "paused::p2_redis_stopped_before_its_refresh_request_it_starts_over_and_adopts";
    if was_a_worker().await {
        return;
    }
    let server = FakeTeamUp::start().await;
    let shared = Shared::redis();
    shared.seed(&server.issue_tokens(&[RequestMode::Provider])).await;
    let plan = Plan::new(&server).lease_lifetime(SHORT);
    let mut stopped = Worker::start(NAME, &plan.clone().stopping_at("Loaded"), &shared);
    let mut other = Worker::start(NAME, &plan, &shared);

    stopped.refresh_up_to_its_step();
    stopped.process().pause();
    shared.until_lease_is_over();
    assert_eq!(other.refresh(), "done", "{}", other.log());
    assert_eq!(shared.lease_owner(), None);

    stopped.process().resume();
    assert_eq!(stopped.finish_refresh(), "done", "{}", stopped.log());
    stopped.tells_of("the lease was lost");
    stopped.tells_of("record adopted");

    assert_eq!(server.refresh_requests(), 1, "{}", server.journal());
    goes_on(&server, &shared, [stopped, other]).await;
    assert_eq!(server.double_spends(), 0, "{}", server.journal());
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_redis_stopped_after_its_answer_its_write_is_refused_where_another_has_refreshed() {
    const NAME: &str = "paused::p2_redis_stopped_after_its_answer_its_write_is_refused_where_\
                        another_has_refreshed";
    if was_a_worker().await {
        return;
    }
    // A server that takes a spent refresh token once more, as some do for a while: on any other
    // nobody can refresh in that moment.
    let server = FakeTeamUp::builder().reuse_detection(false).start().await;
    let shared = Shared::redis();
    shared.seed(&server.issue_tokens(&[RequestMode::Provider])).await;
    let plan = Plan::new(&server);
    let mut stopped = Worker::start(NAME, &plan.clone().stopping_at("Answered"), &shared);
    let mut other = Worker::start(NAME, &plan, &shared);

    stopped.refresh_up_to_its_step();
    stopped.process().pause();
    shared.expire_lease();
    assert_eq!(other.refresh(), "done", "{}", other.log());
    assert_eq!(server.rotations(), 2, "{}", server.journal());
    wakes_up_and_adopts(&server, &shared, stopped, other, "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_redis_stopped_after_its_answer_its_write_is_refused_where_another_has_logged_in() {
    const NAME: &str = "paused::p2_redis_stopped_after_its_answer_its_write_is_refused_where_\
                        another_has_logged_in";
    if was_a_worker().await {
        return;
    }
    let server = FakeTeamUp::start().await;
    let shared = Shared::redis();
    shared.seed(&server.issue_tokens(&[RequestMode::Provider])).await;
    let plan = Plan::new(&server);
    let mut stopped = Worker::start(NAME, &plan.clone().stopping_at("Answered"), &shared);
    let mut other = Worker::start(NAME, &plan, &shared);

    stopped.refresh_up_to_its_step();
    stopped.process().pause();
    shared.expire_lease();
    assert_eq!(other.log_in(&server.issue_tokens(&[RequestMode::Provider])), "done");
    // It was asked for a token of the login that is gone.
    let changed = "the login changed while this request waited";
    wakes_up_and_adopts(&server, &shared, stopped, other, changed).await;
    assert_eq!(server.double_spends(), 0, "{}", server.journal());
}

async fn wakes_up_and_adopts(
    server: &FakeTeamUp,
    shared: &Shared,
    mut stopped: Worker,
    other: Worker,
    ending: &str,
) {
    let newer = shared.load().await;
    stopped.process().resume();
    let ended = stopped.finish_refresh();
    assert!(ended.starts_with(ending), "{ended}: {}", stopped.log());
    stopped.tells_of("record adopted");
    assert_eq!(shared.load().await, newer, "it has overwritten the newer pair");
    goes_on(server, shared, [stopped, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_file_stopped_it_keeps_the_lease_and_the_others_go_on_with_what_they_have() {
    const NAME: &str =
        "paused::p2_file_stopped_it_keeps_the_lease_and_the_others_go_on_with_what_they_have";
    if was_a_worker().await {
        return;
    }
    for step in ["Loaded", "Answered"] {
        let server = FakeTeamUp::start().await;
        let shared = Shared::file();
        shared.seed(&server.issue_tokens(&[RequestMode::Provider])).await;
        let plan = Plan::new(&server).wait_timeout(Duration::from_millis(100));
        let mut stopped = Worker::start(NAME, &Plan::new(&server).stopping_at(step), &shared);
        let mut other = Worker::start(NAME, &plan, &shared);

        stopped.refresh_up_to_its_step();
        stopped.process().pause();
        // Its patience and that of its worker end in the same moment. A worker that still waits would adopt
        // the record by itself, and the next refresh be one more.
        until("its worker has given up", || {
            let answer = other.refresh();
            let is_over = answer.contains("another process held the lease");
            assert!(is_over || answer.contains(NO_TOKEN_IN_TIME), "{answer}");
            is_over
        });
        assert_eq!(other.request(), "200", "its token is still good");

        stopped.process().resume();
        assert_eq!(stopped.finish_refresh(), "done", "{}", stopped.log());
        assert_eq!(server.refresh_requests(), 1, "{step}: {}", server.journal());
        // The failure is remembered for a moment. On a busy machine a refresh may outlast its caller.
        let mut unheard = 0;
        until("the other one has what the first one got", || {
            let answer = other.refresh();
            unheard += usize::from(answer.contains(NO_TOKEN_IN_TIME));
            answer == "done"
        });
        other.tells_of("record adopted");
        assert!(server.refresh_requests() <= 1 + unheard, "{step}: {}", server.journal());
        goes_on(&server, &shared, [stopped, other]).await;
        assert_eq!(server.double_spends(), 0, "{step}: {}", server.journal());
    }
}

/// Both have the newest pair and can rotate it, one after the other; neither leaves a lease behind.
async fn goes_on(server: &FakeTeamUp, shared: &Shared, workers: [Worker; 2]) {
    for mut worker in workers {
        assert_eq!(worker.request_again(), "200", "{}", worker.log());
        server.expire_access_tokens();
        let (rotations, revision) = (server.rotations(), shared.load().await.unwrap().revision());
        assert_eq!(worker.request_again(), "200", "{}", worker.log());
        assert_eq!(server.rotations(), rotations + 1, "{}", server.journal());
        assert_eq!(shared.load().await.unwrap().revision(), revision + 1);
        worker.ends();
        assert_eq!(shared.lease_owner(), None, "a lease that would lock the other out");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_file_ten_processes_adopt_the_fresh_token_of_one_that_stands_still_with_the_lock() {
    const NAME: &str = "paused::b6_file_ten_processes_adopt_the_fresh_token_of_one_that_stands_still_with_the_lock";
    if was_a_worker().await {
        return;
    }
    let server = FakeTeamUp::start().await;
    let shared = Shared::file();
    shared.seed(&server.issue_tokens(&[RequestMode::Provider])).await;
    let plan = Plan::new(&server);
    let mut holder = Worker::start(NAME, &plan.clone().stopping_at("Saved"), &shared);
    let mut others: Vec<_> = (0..10).map(|_| Worker::start(NAME, &plan, &shared)).collect();

    server.expire_access_tokens();
    holder.refresh_up_to_its_step();
    holder.process().pause();
    for other in &mut others {
        other.begin("request");
    }
    for other in &mut others {
        assert_eq!(other.ended(), "200", "{}", other.log());
        other.tells_of("record adopted");
    }
    assert_eq!(server.refresh_requests(), 1, "{}", server.journal());

    holder.process().resume();
    assert_eq!(holder.finish_refresh(), "done", "{}", holder.log());
    assert_eq!(server.refresh_requests(), 1, "{}", server.journal());
    assert_eq!(server.double_spends(), 0, "{}", server.journal());
    others.into_iter().for_each(Worker::ends);
    holder.ends();
}
