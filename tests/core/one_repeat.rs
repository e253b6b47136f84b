//! P3: one repeat at most; no loop is possible, whatever the server answers.

use std::time::Duration;

use http::StatusCode;
use tower_teamup_auth::Error;

use crate::support::exchanges::Exchange;
use crate::support::server::{Call, Server};
use crate::support::*;
use crate::witness::Heard;

const REFUSED: Call = Call::Answered(401, &[]);

#[tokio::test(start_paused = true)]
async fn p3_server_that_answers_401_for_ever_gets_each_request_twice_at_most() {
    let server = Server::new();
    server.every_call(REFUSED);
    let client = client(&good(&server).await, &server);
    for request in 1..=4 {
        let response = send(&client, get("/events")).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(server.seen_calls().len(), 2 * request);
        assert_eq!(server.granted(), request);
    }
    // The first send and the repeat of each carry different tokens, the newest each time.
    let calls = server.seen_calls();
    let tokens: Vec<_> = calls.iter().map(|seen| seen.token().unwrap()).collect();
    for (index, pair) in tokens.chunks(2).enumerate() {
        assert_eq!(pair[0], format!("{SECRET}-provider-{index}"));
        assert_eq!(pair[1], format!("{SECRET}-provider-{}", index + 1));
    }
}

#[tokio::test(start_paused = true)]
async fn p3_storm_guard_refuses_the_fifth_exchange_within_30_s_and_opens_again() {
    let trace = Heard::start();
    let server = Server::new();
    server.every_call(REFUSED);
    let client = client(&good(&server).await, &server);
    let stopwatch = Stopwatch::start();
    for _ in 0..4 {
        send(&client, get("/events")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(trace.count("storm guard"), 0);
    for refused in 1..=10 {
        let answer = send(&client, get("/events")).await;
        assert!(reason(&answer).is_refresh_limited());
        assert!(reason(&answer).is_transient());
        assert_eq!((server.granted(), server.seen_calls().len()), (4, 8 + refused));
    }
    assert_eq!(trace.count("storm guard refused a refresh"), 10);
    assert_eq!(trace.lines("storm guard refused a refresh mode=\"provider\"").len(), 10);

    // Right before the first of the four leaves the window, and right after.
    tokio::time::sleep(Duration::from_millis(29_990) - stopwatch.elapsed()).await;
    assert!(reason(&send(&client, get("/events")).await).is_refresh_limited());
    tokio::time::sleep(Duration::from_millis(30_010) - stopwatch.elapsed()).await;
    let response = send(&client, get("/events")).await.unwrap();
    assert!(response.extensions().get::<Error>().is_none());
    assert_eq!(server.granted(), 5);

    // The window slides: the next one waits for the second of the four.
    assert!(reason(&send(&client, get("/events")).await).is_refresh_limited());
    tokio::time::sleep(Duration::from_secs(60)).await;
    server.every_call(Call::Judged);
    assert_eq!(status(&client).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn p3_open_storm_guard_leaves_requests_alone_that_are_not_answered_401() {
    let server = Server::new();
    server.next_calls(std::iter::repeat_n(REFUSED, 8));
    let credentials = good(&server).await;
    let client = client(&credentials, &server);
    for _ in 0..4 {
        send(&client, get("/events")).await.unwrap();
    }
    assert_eq!(status(&client).await, StatusCode::OK);
    // A first token for the other mode, and a refresh that the program asks for, are no storm.
    credentials.refresh(Customer).await.unwrap();
    credentials.refresh(Provider).await.unwrap();
    assert_eq!(server.granted(), 6);
}

#[tokio::test(start_paused = true)]
async fn p3_refresh_that_queued_before_the_guard_opened_is_refused_too() {
    let trace = Heard::start();
    let server = Server::new();
    server.every_call(REFUSED);
    let credentials = good(&server).await;
    let client = client(&credentials, &server);
    for _ in 0..3 {
        send(&client, get("/events")).await.unwrap();
    }
    server.exchanges().hold();
    let fourth = tokio::spawn({
        let client = client.clone();
        async move { send(&client, get("/events")).await }
    });
    server.exchanges().arrived(4).await;
    let fifth = tokio::spawn(async move { send(&client, get_as(Customer, "/events")).await });
    settle().await;
    server.exchanges().open();
    assert!(fourth.await.unwrap().unwrap().extensions().get::<Error>().is_none());
    assert!(reason(&fifth.await.unwrap()).is_refresh_limited());
    assert_eq!(server.granted(), 4);
    assert_eq!(trace.count("storm guard refused a refresh mode=\"customer\""), 1);
    // It is no failure that others would have to share.
    credentials.refresh(Customer).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn p3_the_guard_is_configurable() {
    let server = Server::new();
    server.every_call(REFUSED);
    let credentials = builder(&server)
        .tokens(server.good_tokens(None))
        .refresh_limit(2, Duration::from_secs(5))
        .build()
        .await
        .unwrap();
    let client = client(&credentials, &server);
    send(&client, get("/events")).await.unwrap();
    let error = reason(&send(&client, get("/events")).await);
    assert!(error.to_string().contains("number 2 within 5 s"), "{error}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    send(&client, get("/events")).await.unwrap();
    assert_eq!(server.granted(), 2);
}

#[tokio::test(start_paused = true)]
async fn p3_request_that_waited_for_its_first_token_is_repeated_once_too() {
    let server = Server::new();
    server.every_call(REFUSED);
    let client = client(&expired(&server).await, &server);
    let response = send(&client, get("/events")).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((server.granted(), server.seen_calls().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn the_second_answer_is_the_callers_whatever_it_is() {
    for second in [200, 403, 404, 429, 500] {
        let server = Server::new();
        server.next_calls([REFUSED, Call::Answered(second, &[])]);
        let client = client(&good(&server).await, &server);
        let response = send(&client, get("/events")).await.unwrap();
        assert_eq!(response.status(), second);
        assert_eq!((server.granted(), server.seen_calls().len()), (1, 2));
    }
    let server = Server::new();
    server.next_calls([REFUSED, Call::Failed("the wire was cut")]);
    let client = client(&good(&server).await, &server);
    let error = send(&client, get("/events")).await.unwrap_err();
    assert_eq!(error.to_string(), "the wire was cut");
    assert!(!error.is::<Error>());
}

#[tokio::test(start_paused = true)]
async fn any_answer_but_401_and_any_error_pass_as_they_came() {
    for first in [200, 204, 301, 400, 403, 404, 407, 429, 500, 503] {
        let server = Server::new();
        server.next_calls([Call::Answered(first, &[("x-of-the-server", "yes")])]);
        let client = client(&good(&server).await, &server);
        let response = send(&client, get("/events")).await.unwrap();
        assert_eq!(response.status(), first);
        assert_eq!(response.headers()["x-of-the-server"], "yes");
        assert!(response.extensions().is_empty());
        assert_eq!((server.seen_exchanges().len(), server.seen_calls().len()), (0, 1));
    }
    let server = Server::new();
    server.next_calls([Call::Failed("the wire was cut")]);
    let client = client(&good(&server).await, &server);
    let error = send(&client, get("/events")).await.unwrap_err();
    assert_eq!(error.to_string(), "the wire was cut");
    assert_eq!(server.seen_exchanges().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_401_for_insufficient_scope_passes_and_costs_no_refresh() {
    const CHALLENGE: &[(&str, &str)] = &[(
        "www-authenticate",
        "Bearer realm=\"TeamUp\", error=\"insufficient_scope\", scope=\"read_write\"",
    )];
    let server = Server::new();
    server.every_call(Call::Answered(401, CHALLENGE));
    let client = client(&good(&server).await, &server);
    let response = send(&client, get("/events")).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(response.extensions().is_empty());
    assert_eq!((server.seen_exchanges().len(), server.seen_calls().len()), (0, 1));

    const INVALID: &[(&str, &str)] = &[("www-authenticate", "Bearer error=\"invalid_token\"")];
    server.every_call(Call::Answered(401, INVALID));
    send(&client, get("/events")).await.unwrap();
    assert_eq!((server.seen_exchanges().len(), server.seen_calls().len()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_401_whose_renewal_fails_passes_as_it_came_with_the_reason_beside_it() {
    let server = Server::new();
    server.every_call(Call::Answered(401, &[("x-of-the-server", "yes")]));
    server.every_exchange(Exchange::Refused);
    let client = client(&good(&server).await, &server);
    let answer = send(&client, get("/events")).await;
    assert!(reason(&answer).is_transient());
    let response = answer.unwrap();
    assert_eq!(response.headers()["x-of-the-server"], "yes");
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!(body, "answer 0");
    assert_eq!(server.seen_calls().len(), 1);
}
