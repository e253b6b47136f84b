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

use crate::support::exchanges::Exchange;
use crate::support::server::Server;
use crate::support::*;

/// The pauses between the exchanges so far.
fn pauses(server: &Server) -> Vec<Duration> {
    server.seen_exchanges().windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}

/// Tokio's timers wake on whole milliseconds, at most one late.
fn about(pause: Duration, least: u64, most: u64) -> bool {
    (Duration::from_millis(least)..=Duration::from_millis(most + 2)).contains(&pause)
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_tried_again_with_backoff_and_jitter() {
    let status_only = |status| Exchange::Answered(status, Vec::new(), String::new());
    let server = Server::new();
    server.next_exchanges([Exchange::Refused]);
    server.next_exchanges([408, 425, 429, 500, 502, 503].map(status_only));
    assert_eq!(status(&client(&expired(&server).await, &server)).await, StatusCode::OK);
    let pauses = pauses(&server);
    assert_eq!(pauses.len(), 7);
    for (pause, most) in pauses.into_iter().zip([250, 500, 1000, 2000, 4000, 5000, 5000]) {
        assert!(about(pause, most / 2, most), "{pause:?} of {most} ms");
    }
    // Each of them carried the same refresh token, which none of them had spent.
    assert!(
        server
            .seen_exchanges()
            .iter()
            .all(|seen| { seen.field("refresh_token") == format!("{SECRET}-refresh-0") })
    );
    assert_eq!((server.granted(), server.double_spent()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn pauses_are_drawn_by_lot() {
    let mut first_pauses = Vec::new();
    for _ in 0..20 {
        let server = Server::new();
        server.next_exchanges([Exchange::Refused]);
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
    for (retry_after, least, most) in [("7", 7000, 7000), (date.as_str(), 18_000, 20_000)] {
        let server = Server::new();
        server.next_exchanges([Exchange::too_many(retry_after)]);
        assert_eq!(status(&client(&expired(&server).await, &server)).await, StatusCode::OK);
        let [pause] = pauses(&server)[..] else { panic!("two exchanges") };
        assert!(about(pause, least, most), "{pause:?} of {most} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_that_asks_for_less_than_the_backoff_does_not_shorten_it() {
    for retry_after in ["0", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", "-5"] {
        let server = Server::new();
        server.next_exchanges([Exchange::too_many(retry_after)]);
        assert_eq!(status(&client(&expired(&server).await, &server)).await, StatusCode::OK);
        let [pause] = pauses(&server)[..] else { panic!("two exchanges") };
        assert!(about(pause, 125, 250), "{retry_after}: {pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_beyond_the_refreshs_own_limit_ends_it_at_once_and_is_kept_to() {
    for (asked, kept_to) in [("120", 120), ("3600", 300)] {
        let server = Server::new();
        server.next_exchanges([Exchange::too_many(asked)]);
        let client = client(&expired(&server).await, &server);
        let stopwatch = Stopwatch::start();
        let error = failure(send(&client, get("/events")).await);
        assert!(error.is_transient(), "{error}");
        let asked = Duration::from_secs(asked.parse().unwrap());
        assert_eq!(error.refresh_error().unwrap().retry_after(), Some(asked));
        assert_eq!(stopwatch.elapsed(), Duration::ZERO);

        tokio::time::sleep(Duration::from_secs(kept_to - 1)).await;
        assert!(failure(send(&client, get("/events")).await).is_transient());
        assert_eq!((server.seen_exchanges().len(), server.seen_calls().len()), (1, 0));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(status(&client).await, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn failure_is_shared_by_all_waiters_and_by_newcomers_for_a_short_while() {
    let server = Server::new();
    server.every_exchange(Exchange::Refused);
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
    assert!(stopwatch.elapsed() <= Duration::from_secs(30), "{:?}", stopwatch.elapsed());
    let exchanges = server.seen_exchanges().len();

    // For half a second at least, newcomers are told without delay.
    let failed = Stopwatch::start();
    for _ in 0..4 {
        assert!(failure(send(&client, get("/events")).await).is_transient());
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    assert!(failed.elapsed() < Duration::from_millis(500));
    assert_eq!(server.seen_exchanges().len(), exchanges);

    // After one and a half at most, the next one tries again. No expired token was ever sent.
    tokio::time::sleep(Duration::from_millis(1505) - failed.elapsed()).await;
    assert_eq!(server.seen_calls().len(), 0);
    server.every_exchange(Exchange::Granted);
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(server.seen_exchanges().len(), exchanges + 1);
}

#[tokio::test(start_paused = true)]
async fn refresh_has_a_time_limit_of_its_own() {
    let server = Server::new();
    server.every_exchange(Exchange::Refused);
    let credentials = builder(&server)
        .tokens(server.expired_tokens())
        .wait_timeout(Duration::from_secs(3))
        .build()
        .await
        .unwrap();
    let client = client(&credentials, &server);
    let stopwatch = Stopwatch::start();
    assert!(failure(send(&client, get("/events")).await).is_transient());
    assert!(stopwatch.elapsed() <= Duration::from_secs(3), "{:?}", stopwatch.elapsed());
    assert!(server.seen_exchanges().len() >= 3);
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

/// Credentials that stop beginning things two seconds after a refresh began, and whose exchange takes
/// eight; and their store.
async fn slow(fails_until: Duration) -> (Credentials, MemoryStore) {
    let server = Server::new();
    let store = MemoryStore::with_record(server.expired_tokens());
    let slow = Slow { started: Stopwatch::start(), fails_until, takes: Duration::from_secs(8) };
    let builder = builder(&server).store(store.clone()).wait_timeout(Duration::from_secs(2));
    (builder.refresh_with(slow).build().await.unwrap(), store)
}

async fn stored_refresh_token(store: &MemoryStore) -> String {
    let tokens = store.load().await.unwrap().expect("the first tokens, or those of the exchange");
    tokens.tokens().unwrap().refresh_token().expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn p2_exchange_that_began_before_the_time_limit_is_not_cut_short_by_it() {
    let (credentials, store) = slow(Duration::from_secs(1)).await;
    credentials.refresh(Provider).await.unwrap();
    assert_eq!(stored_refresh_token(&store).await, "s3cret-next");
}

#[tokio::test(start_paused = true)]
async fn p2_shutdown_waits_for_an_exchange_that_outlasts_the_time_limit_of_its_refresh() {
    let (credentials, store) = slow(Duration::ZERO).await;
    assert!(polled(credentials.refresh(Provider), 1).await.is_none());
    credentials.shutdown().await.unwrap();
    assert_eq!(stored_refresh_token(&store).await, "s3cret-next");
}

#[tokio::test(start_paused = true)]
async fn exchange_that_is_not_answered_is_given_up_and_tried_once_more() {
    let server = Server::new();
    server.next_exchanges([Exchange::Unanswered]);
    let client = client(&expired(&server).await, &server);
    assert_eq!(status(&client).await, StatusCode::OK);
    let [pause] = pauses(&server)[..] else { panic!("two exchanges") };
    assert!(about(pause, 10_125, 10_250), "{pause:?}");
}

#[tokio::test(start_paused = true)]
async fn unknown_outcome_leads_to_one_more_try_and_then_to_an_error_that_says_so() {
    for lost in [Exchange::LostBefore, Exchange::Unanswered] {
        let server = Server::new();
        server.every_exchange(lost.clone());
        let client = client(&expired(&server).await, &server);
        let error = failure(send(&client, get("/events")).await);
        assert!(error.is_outcome_unknown() && !error.is_transient(), "{error}");
        assert!(error.to_string().contains("unknown"), "{error}");
        assert_eq!(server.seen_exchanges().len(), 2);

        // The next refresh finds out: it was not spent.
        tokio::time::sleep(Duration::from_secs(2)).await;
        server.every_exchange(Exchange::Granted);
        assert_eq!(status(&client).await, StatusCode::OK, "{lost:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pair_that_was_lost_on_its_way_ends_in_re_authorization() {
    let server = Server::new();
    server.next_exchanges([Exchange::LostAfter]);
    let client = client(&expired(&server).await, &server);
    let error = failure(send(&client, get("/events")).await);
    assert!(error.is_login_required(), "{error}");
    // The one more try, whose outcome is known.
    assert_eq!((server.seen_exchanges().len(), server.double_spent()), (2, 1));
}
