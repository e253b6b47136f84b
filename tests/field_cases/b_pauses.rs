//! B5, B8, B9: how long nothing is asked after a failure.

use std::time::Duration;

use http::StatusCode;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Auth, Credentials, Error};

use crate::scene::{MODE, Place, StandingClock, api_of, process_on, run_tasks};
use crate::support::{Http, Protocol, call, credentials, expired_tokens, get, status, why};
use crate::time::Stopwatch;

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

/// A program whose token has expired, on a file.
async fn expired(server: &FakeTeamUp, place: &Place) -> (Credentials, Auth<Http>) {
    let builder = credentials(server, &Protocol::Http1.client()).store(place.store());
    let builder = builder.clock(Clock::tokio()).tokens(expired_tokens(server));
    let credentials = builder.build().await.unwrap();
    let api = api_of(&credentials);
    (credentials, api)
}

/// The same without a store. A file is read and written by a thread of its own, which the clock does not
/// wait for: where time passes during a refresh, there must be none.
async fn expired_in_memory(server: &FakeTeamUp) -> (Credentials, Auth<Http>) {
    let builder = credentials(server, &Protocol::Http1.client()).clock(Clock::tokio());
    let credentials = builder.tokens(expired_tokens(server)).build().await.unwrap();
    let api = api_of(&credentials);
    (credentials, api)
}

async fn refused(api: &Auth<Http>, server: &FakeTeamUp, caller: &str) -> Error {
    why(call(api, get(server, "/echo", caller)).await)
}

fn unavailable() -> Fault {
    Fault::status(StatusCode::SERVICE_UNAVAILABLE)
}

#[tokio::test]
async fn b5_route_that_refuses_each_token_is_polled_for_ten_minutes_and_others_go_on() {
    let clock = StandingClock::start();
    let server = FakeTeamUp::start().await;
    let builder = credentials(&server, &Protocol::Http1.client()).clock(Clock::tokio());
    let credentials = builder.tokens(server.issue_tokens(&[MODE])).build().await.unwrap();
    let api = api_of(&credentials);
    server.fail_path("/reports", Fault::unauthorized());
    for second in 0..600 {
        let answer = call(&api, get(&server, "/reports", second)).await.unwrap();
        assert_eq!(answer.status, 401);
        clock.pass(1).await;
    }
    let refreshes = server.refresh_requests();
    assert!((1..=10).contains(&refreshes), "{refreshes}");
    // The token of another route was truly revoked meanwhile.
    server.expire_access_tokens();
    assert_eq!(status(&api, &server, "another route").await, 200);
    assert_eq!(server.refresh_requests(), refreshes + 1);
    assert_eq!(server.double_spends(), 0);
}

#[tokio::test]
async fn b8_endpoint_that_asks_for_half_an_hour_is_asked_again_after_half_an_hour() {
    let clock = StandingClock::start();
    let date = crate::time::wall_time() + HALF_AN_HOUR;
    for fault in [unavailable().retry_after(HALF_AN_HOUR), unavailable().retry_after_date(date)] {
        let server = FakeTeamUp::start().await;
        let place = Place::new();
        let (_credentials, api) = expired(&server, &place).await;
        server.fail_every_refresh(fault.clone());
        let error = refused(&api, &server, "first").await;
        assert!(error.is_transient() && !error.is_store(), "{error:?}");
        assert_eq!(server.refresh_requests(), 1, "{fault:?}");
        server.clear_faults();
        let since = Stopwatch::start();
        while since.elapsed() < HALF_AN_HOUR - Duration::from_secs(30) {
            let error = refused(&api, &server, "meanwhile").await;
            assert!(error.retry_after().is_some(), "{error:?}");
            clock.jump(Duration::from_secs(20)).await;
        }
        assert_eq!(server.refresh_requests(), 1, "{fault:?}: {}", server.journal());
        clock.jump(Duration::from_secs(60)).await;
        assert_eq!(status(&api, &server, "after half an hour").await, 200);
        assert_eq!((server.refresh_requests(), server.rotations()), (2, 1), "{fault:?}");
    }
}

#[tokio::test]
async fn b8_tokens_of_another_process_are_adopted_while_the_endpoint_is_not_asked() {
    let clock = StandingClock::start();
    let server = FakeTeamUp::start().await;
    let place = Place::new();
    let (_credentials, api) = expired(&server, &place).await;
    let other = process_on(&server, &place).await;
    server.fail_refresh(unavailable().retry_after(HALF_AN_HOUR));
    assert!(refused(&api, &server, "first").await.is_transient());
    // The other one was not told to wait.
    clock.running(other.refresh(MODE)).await.unwrap();
    assert_eq!(server.refresh_requests(), 2);
    clock.jump(Duration::from_secs(5)).await;
    assert_eq!(clock.running(status(&api, &server, "adopts")).await, 200);
    assert_eq!((server.refresh_requests(), server.rotations()), (2, 1), "{}", server.journal());
    assert_eq!(server.double_spends(), 0);
}

#[tokio::test]
async fn b9_failure_after_30_s_is_shared_for_longer_each_time() {
    let clock = StandingClock::start();
    let server = FakeTeamUp::start().await;
    let (_credentials, api) = expired_in_memory(&server).await;
    server.fail_every_refresh(unavailable().delayed(Duration::from_secs(30)));
    let mut requests = tokio::task::JoinSet::new();
    // When a refresh request is under way and when not, second by second.
    let (mut pauses, mut pause) = (Vec::new(), None);
    for second in 0..900_u64 {
        let (api, request) = (api.clone(), get(&server, "/echo", second));
        requests.spawn(async move { why(call(&api, request).await) });
        run_tasks().await;
        let sent = server.refresh_requests();
        let answered = server.journal().under_way() == 0;
        match (&mut pause, answered) {
            (None, true) if sent > 0 => pause = Some(1),
            (Some(seconds), true) => *seconds += 1,
            (Some(seconds), false) => {
                pauses.push(*seconds);
                pause = None;
            }
            _ => {}
        }
        clock.pass(1).await;
    }
    // The second try of the first refresh comes at once; the pauses between refreshes count.
    let pauses: Vec<u64> = pauses.into_iter().filter(|pause| *pause > 2).collect();
    assert!(pauses.len() >= 4, "{pauses:?}");
    assert!(pauses[0] >= 4, "{pauses:?}");
    assert!(pauses.is_sorted_by(|earlier, later| earlier < later), "{pauses:?}");
    assert_eq!(server.rotations(), 0);
    clock.pass(31).await;
    for error in requests.join_all().await {
        assert!(error.is_transient() && !error.is_login_required(), "{error:?}");
    }
}

#[tokio::test]
async fn b9_failure_after_30_s_is_over_with_the_first_refresh_that_succeeds() {
    let clock = StandingClock::start();
    let server = FakeTeamUp::start().await;
    let (credentials, api) = expired_in_memory(&server).await;
    server.fail_every_refresh(unavailable().delayed(Duration::from_secs(30)));
    let waiting = tokio::spawn({
        let (api, request) = (api.clone(), get(&server, "/echo", "first"));
        async move { why(call(&api, request).await) }
    });
    clock.pass(65).await;
    assert!(waiting.await.unwrap().is_transient());
    assert_eq!(server.refresh_requests(), 2, "{}", server.journal());
    server.clear_faults();
    clock.pass(10).await;
    assert_eq!(status(&api, &server, "works again").await, 200);
    assert!(credentials.status().failure().is_none());
    assert_eq!((server.rotations(), server.double_spends()), (1, 0));
}
