//! P3: one retry at most; no loop is possible, whatever the server answers.

use std::time::Duration;

use http::StatusCode;
use tower_teamup_auth::store::MemoryStore;
use tower_teamup_auth::{Error, PROVIDER_ID, RequestMode};

use crate::support::refresh_answers::RefreshAnswer;
use crate::support::server::{Call, Server};
use crate::support::*;
use crate::witness::Heard;

const REFUSED: Call = Call::Answered(401, &[]);

/// Another route for each `route`, so that none of them is remembered yet.
fn get_route(route: impl std::fmt::Display) -> http::Request<Body> {
    get(&format!("/events/route-{route}"))
}

#[tokio::test(start_paused = true)]
async fn p3_server_that_answers_401_permanently_gets_each_request_twice_at_most() {
    let server = Server::new();
    server.every_call(REFUSED);
    let client = client(&good(&server).await, &server);
    for request in 1..=4 {
        let response = send(&client, get_route(request)).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(server.seen_calls().len(), 2 * request);
        assert_eq!(server.granted(), request);
    }
    // The first send and the retry of each carry different tokens, the newest each time.
    let calls = server.seen_calls();
    let tokens: Vec<_> = calls.iter().map(|seen| seen.token().unwrap()).collect();
    for (index, pair) in tokens.chunks(2).enumerate() {
        assert_eq!(pair[0], format!("{SECRET}-provider-{index}"));
        assert_eq!(pair[1], format!("{SECRET}-provider-{}", index + 1));
    }
}

#[tokio::test(start_paused = true)]
async fn b5_a_route_that_refuses_fresh_tokens_is_polled_for_ten_minutes() {
    let server = Server::new();
    server.every_call(REFUSED);
    let client = client(&good(&server).await, &server);
    for second in 0..600 {
        let answer = send(&client, get("/reports")).await;
        assert!(reason(&answer).is_route_refused(), "at {second} s: {}", reason(&answer));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(server.granted(), 5);
    assert_eq!(server.seen_calls().len(), 605);

    // A token that was truly revoked is refreshed and the request retried at once.
    server.expire_everything();
    server.every_call(Call::Judged);
    let response = send(&client, get("/events")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(server.granted(), 6);
}

#[tokio::test(start_paused = true)]
async fn b5_any_other_answer_clears_a_route_that_refused_fresh_tokens() {
    let server = Server::new();
    server.next_calls([REFUSED, REFUSED, REFUSED, Call::Answered(404, &[])]);
    let client = client(&good(&server).await, &server);
    send(&client, get("/reports/7?page=1")).await.unwrap();
    send(&client, get("/reports/8")).await.unwrap();
    assert_eq!((server.granted(), server.seen_calls().len()), (1, 3));
    assert_eq!(send(&client, get("/reports/9")).await.unwrap().status(), StatusCode::NOT_FOUND);
    server.expire_everything();
    assert_eq!(send(&client, get("/reports/7")).await.unwrap().status(), StatusCode::OK);
    assert_eq!(server.granted(), 2);
}

#[tokio::test(start_paused = true)]
async fn b5_a_retry_with_any_other_answer_clears_its_route_too() {
    let server = Server::new();
    server.next_calls([REFUSED, REFUSED]);
    let client = client(&good(&server).await, &server);
    send(&client, get("/reports/7")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    server.next_calls([REFUSED]);
    assert_eq!(send(&client, get("/reports/7")).await.unwrap().status(), StatusCode::OK);
    // Its next pause has begun, and counts no more.
    server.expire_everything();
    assert_eq!(send(&client, get("/reports/7")).await.unwrap().status(), StatusCode::OK);
    assert_eq!(server.granted(), 3);
}

#[tokio::test(start_paused = true)]
async fn b5_the_provider_of_a_long_request_is_a_part_of_its_route() {
    let server = Server::new();
    server.every_call(REFUSED);
    let client = client(&good(&server).await, &server);
    for (provider, granted) in [(7, 1), (7, 1), (8, 2), (8, 2)] {
        let mut request = get("/reports");
        request.headers_mut().insert(PROVIDER_ID, provider.into());
        let long = "x".repeat(5000).try_into().unwrap();
        request.headers_mut().insert("x-too-long-to-copy", long);
        send(&client, request).await.unwrap();
        assert_eq!(server.granted(), granted, "provider {provider}");
    }
}

#[tokio::test(start_paused = true)]
async fn b5_a_401_that_is_not_about_the_token_leaves_its_route_remembered() {
    const CHALLENGE: &[(&str, &str)] =
        &[("www-authenticate", "Bearer error=\"insufficient_scope\"")];
    let server = Server::new();
    server.next_calls([REFUSED, REFUSED, Call::Answered(401, CHALLENGE), REFUSED]);
    let client = client(&good(&server).await, &server);
    for _ in 0..2 {
        send(&client, get("/reports/7")).await.unwrap();
    }
    assert!(reason(&send(&client, get("/reports/7")).await).is_route_refused());
    assert_eq!((server.granted(), server.seen_calls().len()), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn p3_the_limit_refuses_the_fifth_refresh_within_30_s_and_ends() {
    let trace = Heard::start();
    let server = Server::new();
    server.every_call(REFUSED);
    let client = client(&good(&server).await, &server);
    let stopwatch = Stopwatch::start();
    for route in 0..4 {
        send(&client, get_route(route)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(trace.count("refresh limit"), 0);
    for refused in 1..=10 {
        let answer = send(&client, get_route(refused + 3)).await;
        assert!(reason(&answer).is_refresh_limited());
        assert!(reason(&answer).is_transient());
        assert_eq!((server.granted(), server.seen_calls().len()), (4, 8 + refused));
    }
    assert_eq!(trace.count("refresh limit reached"), 10);
    assert_eq!(trace.lines("refresh limit reached mode=\"provider\"").len(), 10);

    // Right before the first of the four leaves the window, and right after.
    tokio::time::sleep(Duration::from_millis(29_990) - stopwatch.elapsed()).await;
    assert!(reason(&send(&client, get_route("a")).await).is_refresh_limited());
    tokio::time::sleep(Duration::from_millis(30_010) - stopwatch.elapsed()).await;
    send(&client, get_route("b")).await.unwrap();
    assert_eq!(server.granted(), 5);

    // The window slides: the next one waits for the second of the four.
    assert!(reason(&send(&client, get_route("c")).await).is_refresh_limited());
    tokio::time::sleep(Duration::from_secs(60)).await;
    server.every_call(Call::Judged);
    assert_eq!(status(&client).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn p3_a_limit_that_is_reached_leaves_requests_alone_that_are_not_answered_401() {
    let server = Server::new();
    server.next_calls(std::iter::repeat_n(REFUSED, 8));
    let credentials = good(&server).await;
    let client = client(&credentials, &server);
    for route in 0..4 {
        send(&client, get_route(route)).await.unwrap();
    }
    assert_eq!(status(&client).await, StatusCode::OK);
    // A first token for the other mode, and a refresh that the program asks for, are no storm.
    credentials.refresh(Customer).await.unwrap();
    credentials.refresh(Provider).await.unwrap();
    assert_eq!(server.granted(), 6);
}

#[tokio::test(start_paused = true)]
async fn p3_one_mode_that_is_refused_everything_does_not_keep_the_other_from_its_refresh() {
    let server = Server::new();
    server.every_call(REFUSED);
    let credentials = good(&server).await;
    let client = client(&credentials, &server);
    for route in 0..4 {
        send(&client, get_route(route)).await.unwrap();
    }
    assert!(reason(&send(&client, get_route("fifth")).await).is_refresh_limited());
    server.every_call(Call::Judged);
    server.expire_everything();
    let response = send(&client, get_as(Customer, "/events")).await.unwrap();
    assert_eq!((response.status(), server.granted()), (StatusCode::OK, 5));
    assert!(reason(&send(&client, get_route("sixth")).await).is_refresh_limited());
}

#[tokio::test(start_paused = true)]
async fn p3_a_route_that_is_remembered_does_not_use_up_the_limit_of_others() {
    let server = Server::new();
    server.every_call(REFUSED);
    let tokens = server.good_tokens(None);
    let builder = builder(&server).tokens(tokens).refresh_limit(3, Duration::from_secs(600));
    let client = client(&builder.build().await.unwrap(), &server);
    // At 0, 30, 90 and 210 seconds.
    for _ in 0..=210 {
        send(&client, get_route("polled")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(server.granted(), 4);
    server.every_call(Call::Judged);
    server.expire_everything();
    assert_eq!(status(&client).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn p3_the_limit_is_configurable() {
    let server = Server::new();
    server.every_call(REFUSED);
    let credentials = builder(&server)
        .tokens(server.good_tokens(None))
        .refresh_limit(2, Duration::from_secs(5))
        .build()
        .await
        .unwrap();
    let client = client(&credentials, &server);
    send(&client, get_route(0)).await.unwrap();
    let error = reason(&send(&client, get_route(1)).await);
    assert!(error.to_string().contains("number 2 within 5 s"), "{error}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    send(&client, get_route(2)).await.unwrap();
    assert_eq!(server.granted(), 2);
}

#[tokio::test(start_paused = true)]
async fn p3_request_that_waited_for_its_first_token_is_retried_once_too() {
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
        assert_eq!((server.seen_refresh_requests().len(), server.seen_calls().len()), (0, 1));
    }
    let server = Server::new();
    server.next_calls([Call::Failed("the wire was cut")]);
    let client = client(&good(&server).await, &server);
    let error = send(&client, get("/events")).await.unwrap_err();
    assert_eq!(error.to_string(), "the wire was cut");
    assert_eq!(server.seen_refresh_requests().len(), 0);
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
    assert_eq!((server.seen_refresh_requests().len(), server.seen_calls().len()), (0, 1));

    const INVALID: &[(&str, &str)] = &[("www-authenticate", "Bearer error=\"invalid_token\"")];
    server.every_call(Call::Answered(401, INVALID));
    send(&client, get("/others")).await.unwrap();
    assert_eq!((server.seen_refresh_requests().len(), server.seen_calls().len()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_401_whose_renewal_fails_passes_as_it_came_with_the_reason_beside_it() {
    let server = Server::new();
    server.every_call(Call::Answered(401, &[("x-of-the-server", "yes")]));
    server.every_answer(RefreshAnswer::Refused);
    let client = client(&good(&server).await, &server);
    let answer = send(&client, get("/events")).await;
    assert!(reason(&answer).is_transient());
    let response = answer.unwrap();
    assert_eq!(response.headers()["x-of-the-server"], "yes");
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!(body, "answer 0");
    assert_eq!(server.seen_calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn p3_a_token_of_another_process_that_is_refused_at_once_says_nothing_of_the_route() {
    let server = Server::new();
    let store = MemoryStore::with_record(server.good_tokens(None));
    let of_process = || builder(&server).store(store.clone()).build();
    let (first, second) = (of_process().await.unwrap(), of_process().await.unwrap());
    let client = client(&second, &server);
    first.refresh(RequestMode::Provider).await.unwrap();
    // Nobody's token is taken any more: neither the second one's, nor the one that it adopts.
    server.expire_everything();
    let answer = send(&client, get("/reports")).await.unwrap();
    assert_eq!((answer.status(), server.granted()), (StatusCode::UNAUTHORIZED, 1));
    let answer = send(&client, get("/reports")).await.unwrap();
    assert_eq!((answer.status(), server.granted()), (StatusCode::OK, 2));
}
