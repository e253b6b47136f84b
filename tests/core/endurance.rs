//! P10: failure to refresh never evicts a token that is still valid.

use std::time::Duration;

use http::StatusCode;
use tower_teamup_auth::token::Clock;

use crate::support::refresh_answers::RefreshAnswer;
use crate::support::server::{Call, Server};
use crate::support::stores::{Fault, Op, Store};
use crate::support::*;

/// Every way in which a refresh request can fail for good.
fn failures() -> Vec<RefreshAnswer> {
    let html = vec![("content-type", "text/html".to_owned())];
    let elsewhere = vec![("location", "https://evil.test/".to_owned())];
    vec![
        RefreshAnswer::Refused,
        RefreshAnswer::LostBefore,
        RefreshAnswer::LostAfter,
        RefreshAnswer::Unanswered,
        RefreshAnswer::Late,
        RefreshAnswer::too_many("30"),
        RefreshAnswer::too_many("3600"),
        RefreshAnswer::json(500, "{}"),
        RefreshAnswer::rejected(400),
        RefreshAnswer::rejected(401),
        RefreshAnswer::rejected(403),
        RefreshAnswer::json(200, "{}"),
        RefreshAnswer::json(200, "not JSON"),
        RefreshAnswer::Answered(200, html, "<html>".to_owned()),
        RefreshAnswer::Answered(302, elsewhere, String::new()),
        RefreshAnswer::json(404, "{}"),
    ]
}

#[tokio::test(start_paused = true)]
async fn p10_failing_refresh_in_the_advised_window_never_stops_a_valid_token() {
    for failing in failures() {
        let server = Server::new();
        server.every_answer(failing.clone());
        let tokens = server.good_tokens(Some(1000));
        let credentials = builder(&server).tokens(tokens).build().await.unwrap();
        let client = client(&credentials, &server);
        let lifetime = Stopwatch::start();
        tokio::time::sleep(Duration::from_secs(905)).await;
        let (mut sent, mut waited) = (0, 0);
        while lifetime.elapsed() < Duration::from_secs(995) {
            let stopwatch = Stopwatch::start();
            assert_eq!(status(&client).await, StatusCode::OK, "{failing:?}");
            let wait = stopwatch.elapsed();
            assert!(wait <= Duration::from_secs(3), "{wait:?}: {failing:?}");
            sent += 1;
            waited += usize::from(wait > Duration::ZERO);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // None but those that began a refresh waited for it, and backoff keeps these few.
        assert!(sent >= 70 && waited <= 7, "{waited} of {sent}: {failing:?}");
        assert!(waited <= server.seen_refresh_requests().len());
        assert!(!server.seen_refresh_requests().is_empty());

        // Once it has expired it is not sent any more.
        let calls = server.seen_calls().len();
        tokio::time::sleep(Duration::from_secs(10)).await;
        failure(send(&client, get("/events")).await);
        assert_eq!(server.seen_calls().len(), calls, "{failing:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p10_failing_store_in_the_advised_window_never_stops_a_valid_token() {
    for op in [Op::Acquire, Op::Load] {
        for fault in [Fault::Fails, Fault::Hangs, Fault::Panics, Fault::PanicsAtOnce] {
            let server = Server::new();
            let store = Store::with_tokens(server.good_tokens(Some(1000)));
            let credentials = builder(&server).store(store.clone()).build().await.unwrap();
            store.faults(op, [fault; 1000]);
            let client = client(&credentials, &server);
            let lifetime = Stopwatch::start();
            tokio::time::sleep(Duration::from_secs(905)).await;
            while lifetime.elapsed() < Duration::from_secs(995) {
                let stopwatch = Stopwatch::start();
                assert_eq!(status(&client).await, StatusCode::OK, "{op:?} {fault:?}");
                assert!(stopwatch.elapsed() <= Duration::from_secs(3), "{op:?} {fault:?}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            assert_eq!(server.seen_refresh_requests().len(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p10_refusal_met_by_one_mode_leaves_the_valid_token_of_the_other_in_use() {
    for failing in failures() {
        let server = Server::new();
        let tokens = server.good_tokens(Some(1000)).with_access_token_until(
            Customer,
            "s3cret-expired".parse().unwrap(),
            Some(std::time::SystemTime::UNIX_EPOCH),
        );
        server.every_answer(failing.clone());
        let client = client(&builder(&server).tokens(tokens).build().await.unwrap(), &server);
        failure(send(&client, get_as(Customer, "/events")).await);
        for _ in 0..5 {
            assert_eq!(status(&client).await, StatusCode::OK, "{failing:?}");
            failure(send(&client, get_as(Customer, "/events")).await);
        }
        assert!(server.seen_calls().iter().all(|seen| seen.mode() == Some("provider")));
    }
}

#[tokio::test(start_paused = true)]
async fn p10_a_401_whose_refresh_fails_for_the_moment_leaves_the_token_in_use() {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    server.every_answer(RefreshAnswer::Refused);
    server.next_calls([Call::Answered(401, &[])]);
    assert!(reason(&send(&client, get("/events")).await).is_transient());
    // The API had a bad moment: the same token is good.
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(server.seen_calls()[1].token(), Some(&*format!("{SECRET}-provider-0")));
}

#[tokio::test(start_paused = true)]
async fn p10_wall_clock_set_ahead_with_the_endpoint_down_does_not_stop_a_valid_token() {
    let server = Server::new();
    let clock = Clock::tokio();
    let tokens = server.good_tokens(Some(1800));
    let credentials = builder(&server).clock(clock.clone()).tokens(tokens).build().await.unwrap();
    let client = client(&credentials, &server);
    server.every_answer(RefreshAnswer::Refused);
    clock.shift_wall(Duration::from_secs(3600));
    let stopwatch = Stopwatch::start();
    assert_eq!(status(&client).await, StatusCode::OK);
    assert!(stopwatch.elapsed() <= Duration::from_secs(31));
    assert_eq!(status(&client).await, StatusCode::OK);
    assert!(server.seen_calls().iter().all(|seen| seen.token_mode == Some(Provider)));

    // Once both clocks agree that it has expired, it is not sent any more.
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert!(failure(send(&client, get("/events")).await).is_transient());
    // And the endpoint's return is all it takes, after the second backoff.
    server.every_answer(RefreshAnswer::Granted);
    tokio::time::sleep(Duration::from_secs(23)).await;
    assert_eq!(status(&client).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn p10_wall_clock_set_back_neither_stops_a_valid_token_nor_keeps_an_expired_one() {
    let server = Server::new();
    let clock = Clock::tokio();
    let tokens = server.good_tokens(Some(1800));
    let credentials = builder(&server).clock(clock.clone()).tokens(tokens).build().await.unwrap();
    let client = client(&credentials, &server);
    server.every_answer(RefreshAnswer::Refused);
    clock.shift_wall_back(Duration::from_secs(3600));
    let stopwatch = Stopwatch::start();
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!((stopwatch.elapsed(), server.seen_refresh_requests().len()), (Duration::ZERO, 0));

    // The monotonic clock tells that it has expired, with the endpoint up again.
    tokio::time::sleep(Duration::from_secs(1800)).await;
    server.every_answer(RefreshAnswer::Granted);
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(server.seen_calls()[1].token(), Some(&*format!("{SECRET}-provider-1")));
}

#[tokio::test(start_paused = true)]
async fn laptop_that_was_suspended_renews_before_it_sends() {
    let server = Server::new();
    let clock = Clock::tokio();
    let tokens = server.good_tokens(Some(1800));
    let credentials = builder(&server).clock(clock.clone()).tokens(tokens).build().await.unwrap();
    let client = client(&credentials, &server);
    clock.shift_wall(Duration::from_secs(7200));
    server.expire_everything();
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!((server.seen_refresh_requests().len(), server.seen_calls().len()), (1, 1));
    // The new token's end counts from the clock as it stands.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(server.seen_refresh_requests().len(), 1);
}
