//! A transient failure: backoff, `Retry-After`, and one shared error that is remembered for a
//! while.

use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;
use tower_teamup_auth::Credentials;
use tower_teamup_auth::refresh::{
    FailureClass, Refresh, RefreshError, RefreshRequest, RefreshResponse,
};
use tower_teamup_auth::store::{MemoryStore, TokenStore};

use crate::support::refresh_answers::RefreshAnswer;
use crate::support::server::Server;
use crate::support::*;

/// The pauses between the refresh requests so far.
fn pauses(server: &Server) -> Vec<Duration> {
    server.seen_refresh_requests().windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}

/// Tokio's timers wake on whole milliseconds, at most one late.
fn about(pause: Duration, least: u64, most: u64) -> bool {
    (Duration::from_millis(least)..=Duration::from_millis(most + 2)).contains(&pause)
}

/// Sends a request every 100 ms until one is answered, and none before.
async fn until_answered(client: &Client) {
    for _ in 0..100_000 {
        if let Ok(response) = send(client, get("/events")).await {
            assert_eq!(response.status(), StatusCode::OK);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never answered");
}

#[tokio::test(start_paused = true)]
async fn transient_failure_is_tried_once_more_within_the_refresh() {
    let status_only = |status| RefreshAnswer::Answered(status, Vec::new(), String::new());
    let mut failures = vec![RefreshAnswer::Refused];
    failures.extend([408, 425, 429, 500, 503].map(status_only));
    for failure in failures {
        let server = Server::new();
        server.next_answers([failure.clone()]);
        let client = client(&expired(&server).await, &server);
        assert_eq!(status(&client).await, StatusCode::OK, "{failure:?}");
        let [pause] = pauses(&server)[..] else { panic!("two refresh requests") };
        assert!(about(pause, 250, 375), "{pause:?}: {failure:?}");
        // Each carried the same refresh token, which neither had spent.
        let sent = server.seen_refresh_requests();
        assert!(sent.iter().all(|seen| seen.field("refresh_token") == "s3cret-refresh-0"));
        assert_eq!((server.granted(), server.double_spent()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn refreshes_that_fail_for_the_moment_are_repeated_with_backoff_and_jitter() {
    let server = Server::new();
    // Two requests for the first refresh, and one for each of seven more.
    server.next_answers(std::iter::repeat_n(RefreshAnswer::Refused, 9));
    until_answered(&client(&expired(&server).await, &server)).await;
    let pauses = pauses(&server);
    assert_eq!(pauses.len(), 9);
    assert!(about(pauses[0], 250, 375), "{:?}", pauses[0]);
    let backoff = [5_000, 15_000, 45_000, 135_000, 300_000, 300_000, 300_000, 300_000];
    for (&pause, least) in pauses[1..].iter().zip(backoff) {
        // The next request comes within 100 ms.
        assert!(about(pause, least, least * 3 / 2 + 110), "{pause:?} of {least} ms");
    }
    let sent = server.seen_refresh_requests();
    assert!(sent.iter().all(|seen| seen.field("refresh_token") == "s3cret-refresh-0"));
    assert_eq!((server.granted(), server.double_spent()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn pauses_are_drawn_by_lot() {
    let mut first_pauses = Vec::new();
    for _ in 0..20 {
        let server = Server::new();
        server.next_answers([RefreshAnswer::Refused]);
        assert_eq!(status(&client(&expired(&server).await, &server)).await, StatusCode::OK);
        first_pauses.extend(pauses(&server));
    }
    first_pauses.sort();
    first_pauses.dedup();
    assert!(first_pauses.len() > 5, "{first_pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_in_seconds_and_as_a_date() {
    let date = httpdate::fmt_http_date(wall_time() + Duration::from_secs(20));
    // A second is waited for within the refresh; no caller waits for what is longer.
    for (retry_after, least, most) in
        [("1", 1000, 1000), ("8", 8000, 8110), (date.as_str(), 18_000, 20_110)]
    {
        let server = Server::new();
        server.next_answers([RefreshAnswer::too_many(retry_after)]);
        until_answered(&client(&expired(&server).await, &server)).await;
        let [pause] = pauses(&server)[..] else { panic!("two refresh requests") };
        assert!(about(pause, least, most), "{pause:?} of {most} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_that_asks_for_less_than_the_backoff_does_not_shorten_it() {
    for retry_after in ["0", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", "-5"] {
        let server = Server::new();
        server.next_answers([RefreshAnswer::too_many(retry_after)]);
        assert_eq!(status(&client(&expired(&server).await, &server)).await, StatusCode::OK);
        let [pause] = pauses(&server)[..] else { panic!("two refresh requests") };
        assert!(about(pause, 250, 375), "{retry_after}: {pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn long_retry_after_ends_the_refresh_at_once_and_is_kept_to_for_as_long_as_it_says() {
    for asked in ["120", "3600", "86400"] {
        let server = Server::new();
        server.next_answers([RefreshAnswer::too_many(asked)]);
        let client = client(&expired(&server).await, &server);
        let stopwatch = Stopwatch::start();
        let error = failure(send(&client, get("/events")).await);
        assert!(error.is_transient(), "{error}");
        let asked = Duration::from_secs(asked.parse().unwrap());
        assert_eq!(error.refresh_error().unwrap().retry_after(), Some(asked));
        assert_eq!(stopwatch.elapsed(), Duration::ZERO);

        tokio::time::sleep(asked - Duration::from_secs(1)).await;
        let error = failure(send(&client, get("/events")).await);
        assert!(error.is_transient());
        assert!(error.retry_after().unwrap() <= Duration::from_secs(1), "{error:?}");
        assert_eq!((server.seen_refresh_requests().len(), server.seen_calls().len()), (1, 0));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(status(&client).await, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn failure_is_shared_by_all_waiters_and_by_newcomers_for_a_short_while() {
    let server = Server::new();
    server.every_answer(RefreshAnswer::Refused);
    let client = client(&expired(&server).await, &server);
    let stopwatch = Stopwatch::start();
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let client = client.clone();
        callers.spawn(async move { failure(send(&client, get("/events")).await) });
    }
    let errors = callers.join_all().await;
    assert!(errors.iter().all(|error| {
        error.is_transient() && error.refresh_error().unwrap().class() == FailureClass::Transient
    }));
    assert!(stopwatch.elapsed() <= Duration::from_millis(377), "{:?}", stopwatch.elapsed());
    assert_eq!(server.seen_refresh_requests().len(), 2);

    // For five seconds at least, newcomers are told without delay.
    let failed = Stopwatch::start();
    for _ in 0..4 {
        let error = failure(send(&client, get("/events")).await);
        assert!(error.is_transient() && error.retry_after().is_some(), "{error:?}");
        tokio::time::sleep(Duration::from_millis(1_240)).await;
    }
    assert_eq!(failed.elapsed(), Duration::from_millis(4_960));
    assert_eq!(server.seen_refresh_requests().len(), 2);

    // After seven and a half at most, the next one tries again. No expired token was ever sent.
    tokio::time::sleep(Duration::from_millis(7_505) - failed.elapsed()).await;
    assert_eq!(server.seen_calls().len(), 0);
    server.every_answer(RefreshAnswer::Granted);
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(server.seen_refresh_requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn refresh_that_fails_for_the_moment_does_not_use_up_the_callers_time() {
    let server = Server::new();
    server.every_answer(RefreshAnswer::Refused);
    let credentials = builder(&server)
        .tokens(server.expired_tokens())
        .wait_timeout(Duration::from_secs(3))
        .build()
        .await
        .unwrap();
    let client = client(&credentials, &server);
    let stopwatch = Stopwatch::start();
    let error = failure(send(&client, get("/events")).await);
    assert!(error.is_transient() && !error.is_timeout(), "{error}");
    assert!(stopwatch.elapsed() <= Duration::from_millis(377), "{:?}", stopwatch.elapsed());
    assert_eq!(server.seen_refresh_requests().len(), 2);
}

/// Fails for the moment until `fails_until`, and then takes its time.
struct Slow {
    started: Stopwatch,
    fails_until: Duration,
    takes: Duration,
}

impl Refresh for Slow {
    async fn refresh(&self, _: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        if self.started.elapsed() < self.fails_until {
            return Err(RefreshError::transient("not yet"));
        }
        tokio::time::sleep(self.takes).await;
        let (access, refresh) = ("s3cret-late".parse().unwrap(), "s3cret-next".parse().unwrap());
        Ok(RefreshResponse::new(access, None, refresh))
    }
}

/// Credentials whose callers wait for two seconds, and whose refresh request takes eight; and their store.
async fn slow(fails_until: Duration) -> (Credentials, MemoryStore) {
    let server = Server::new();
    let store = MemoryStore::with_record(server.expired_tokens());
    let slow = Slow { started: Stopwatch::start(), fails_until, takes: Duration::from_secs(8) };
    let builder = builder(&server).store(store.clone()).wait_timeout(Duration::from_secs(2));
    (builder.refresh_with(slow).build().await.unwrap(), store)
}

async fn stored_refresh_token(store: &MemoryStore) -> String {
    let tokens =
        store.load().await.unwrap().expect("the first tokens, or those of the refresh request");
    tokens.tokens().unwrap().refresh_token().expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn p2_refresh_request_that_began_before_the_time_limit_is_not_cut_short_by_it() {
    // The first refresh request fails, and the second begins within the limit.
    let (credentials, store) = slow(Duration::from_millis(100)).await;
    let stopwatch = Stopwatch::start();
    assert!(credentials.refresh(Provider).await.unwrap_err().is_timeout());
    assert_eq!(stopwatch.elapsed(), Duration::from_secs(2));
    assert_eq!(stored_refresh_token(&store).await, "s3cret-refresh-0");
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(stored_refresh_token(&store).await, "s3cret-next");
    assert!(credentials.status().is_ready());
}

#[tokio::test(start_paused = true)]
async fn p2_shutdown_waits_for_a_refresh_request_that_outlasts_the_wait_of_its_callers() {
    let (credentials, store) = slow(Duration::ZERO).await;
    assert!(polled(credentials.refresh(Provider), 1).await.is_none());
    run_pending_tasks().await;
    credentials.shutdown().await.unwrap();
    assert_eq!(stored_refresh_token(&store).await, "s3cret-next");
}

/// Credentials whose refresh requests are given up before their callers give up.
async fn short_refresh_requests(server: &Server) -> Credentials {
    let builder = builder(server).tokens(server.expired_tokens());
    let builder = builder.refresh_request_timeout(Duration::from_secs(10));
    builder.wait_timeout(Duration::from_secs(60)).build().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn refresh_request_that_is_not_answered_is_given_up_and_tried_once_more() {
    let server = Server::new();
    server.next_answers([RefreshAnswer::Unanswered]);
    let client = client(&short_refresh_requests(&server).await, &server);
    assert_eq!(status(&client).await, StatusCode::OK);
    let [pause] = pauses(&server)[..] else { panic!("two refresh requests") };
    // The limit, five seconds in which an answer may come yet, and the pause.
    assert!(about(pause, 15_250, 15_375), "{pause:?}");
}

#[tokio::test(start_paused = true)]
async fn unknown_outcome_leads_to_one_more_try_and_then_to_an_error_that_says_so() {
    for lost in [RefreshAnswer::LostBefore, RefreshAnswer::Unanswered] {
        let server = Server::new();
        server.every_answer(lost.clone());
        let client = client(&short_refresh_requests(&server).await, &server);
        let error = failure(send(&client, get("/events")).await);
        assert!(error.is_outcome_unknown() && !error.is_transient(), "{error}");
        assert!(error.to_string().contains("unknown"), "{error}");
        assert_eq!(server.seen_refresh_requests().len(), 2);

        // The next refresh finds out: it was not spent.
        tokio::time::sleep(Duration::from_secs(8)).await;
        server.every_answer(RefreshAnswer::Granted);
        assert_eq!(status(&client).await, StatusCode::OK, "{lost:?}");
        assert_eq!((server.seen_refresh_requests().len(), server.double_spent()), (3, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn pair_that_was_lost_on_its_way_ends_in_re_authorization() {
    let server = Server::new();
    server.next_answers([RefreshAnswer::LostAfter]);
    let client = client(&expired(&server).await, &server);
    let error = failure(send(&client, get("/events")).await);
    assert!(error.is_login_required(), "{error}");
    // The one more try, whose outcome is known.
    assert_eq!((server.seen_refresh_requests().len(), server.double_spent()), (2, 1));
}
