//! Whole fleets on one file or one key of Redis: an expiry, and an outage of the endpoint.

use http::StatusCode;
use tower_teamup_auth::RequestMode;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};

use crate::shared::Shared;
use crate::worker::{Plan, Worker, was_a_worker};

/// Starts so many processes on the tokens of one login.
async fn fleet(size: usize, name: &str, server: &FakeTeamUp, shared: &Shared) -> Vec<Worker> {
    shared.seed(&server.issue_tokens(&[RequestMode::Provider])).await;
    let plan = Plan::new(server).threads(1);
    (0..size).map(|_| Worker::start(name, &plan, shared)).collect()
}

async fn adopts_one_refresh(size: usize, name: &str, shared: Shared) {
    let server = FakeTeamUp::start().await;
    let mut fleet = fleet(size, name, &server, &shared).await;
    server.expire_access_tokens();
    for worker in &mut fleet {
        worker.begin("timed request");
    }
    let mut answered: Vec<i64> = Vec::new();
    for worker in &mut fleet {
        let ended = worker.ended();
        let time = ended.strip_prefix("200 ").unwrap_or_else(|| panic!("{ended}"));
        answered.push(time.parse().unwrap());
    }
    answered.sort_unstable();
    eprintln!(
        "{size} processes, from the first to the last: {} ms",
        answered[size - 1] - answered[0]
    );
    assert_eq!((server.refresh_requests(), server.rotations()), (1, 1), "{}", server.journal());
    assert_eq!(server.double_spends(), 0, "{}", server.journal());
    fleet.into_iter().for_each(Worker::ends);
    assert_eq!(shared.lease_owner(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_redis_a_hundred_processes_adopt_one_refresh_after_an_expiry() {
    const NAME: &str = "fleet::p1_redis_a_hundred_processes_adopt_one_refresh_after_an_expiry";
    if !was_a_worker().await {
        adopts_one_refresh(100, NAME, Shared::redis()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_file_a_hundred_processes_adopt_one_refresh_after_an_expiry() {
    const NAME: &str = "fleet::p1_file_a_hundred_processes_adopt_one_refresh_after_an_expiry";
    if !was_a_worker().await {
        adopts_one_refresh(100, NAME, Shared::file()).await;
    }
}

async fn is_told_of_the_endpoint(name: &str, shared: Shared) {
    let server = FakeTeamUp::start().await;
    let mut fleet = fleet(10, name, &server, &shared).await;
    server.fail_every_refresh(Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    for worker in &mut fleet {
        worker.begin("refresh, and say who failed");
    }
    for worker in &mut fleet {
        assert_eq!(worker.ended(), "the endpoint");
        assert_eq!(worker.request(), "200", "its token is still good");
    }
    assert_eq!((server.rotations(), server.double_spends()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_file_each_of_ten_processes_is_told_that_the_endpoint_is_out_of_service() {
    const NAME: &str =
        "fleet::b7_file_each_of_ten_processes_is_told_that_the_endpoint_is_out_of_service";
    if !was_a_worker().await {
        is_told_of_the_endpoint(NAME, Shared::file()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_redis_each_of_ten_processes_is_told_that_the_endpoint_is_out_of_service() {
    const NAME: &str =
        "fleet::b7_redis_each_of_ten_processes_is_told_that_the_endpoint_is_out_of_service";
    if !was_a_worker().await {
        is_told_of_the_endpoint(NAME, Shared::redis()).await;
    }
}
