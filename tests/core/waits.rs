//! How long a request waits for a refresh: briefly for an early one, within one limit for any other.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_teamup_auth::{AuthLayer, Credentials, Error, TokenSet};

use crate::readiness::Checked;
use crate::support::server::Server;
use crate::support::*;

const LIMIT: Duration = Duration::from_secs(30);

/// Credentials whose token is in the last part of its life, with `left` seconds to go.
async fn in_the_last_part(server: &Server, left: u64) -> Credentials {
    let tokens = server.good_tokens(Some(1000));
    let credentials = builder(server).tokens(tokens).build().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1000 - left)).await;
    credentials
}

/// Credentials whose refresh requests may take longer than anybody waits for them.
async fn patient(server: &Server, tokens: TokenSet) -> Credentials {
    let builder = builder(server).tokens(tokens);
    builder.refresh_request_timeout(Duration::from_secs(120)).build().await.unwrap()
}

/// The number of the token that the last request came with.
fn last_token(server: &Server) -> String {
    let calls = server.seen_calls();
    calls.last().unwrap().token().unwrap().trim_start_matches(SECRET).to_owned()
}

#[tokio::test(start_paused = true)]
async fn a13_the_request_that_starts_an_early_refresh_waits_for_it_and_the_others_go_on() {
    let server = Server::new();
    let client = client(&in_the_last_part(&server, 50).await, &server);
    server.refresh_requests().hold();
    let stopwatch = Stopwatch::start();
    let first = tokio::spawn({
        let client = client.clone();
        async move { status(&client).await }
    });
    server.refresh_requests().arrived(1).await;
    let mut others = JoinSet::new();
    for _ in 0..100 {
        let client = client.clone();
        others.spawn(async move { status(&client).await });
    }
    assert!(others.join_all().await.iter().all(|status| *status == StatusCode::OK));
    assert_eq!((server.seen_calls().len(), stopwatch.elapsed()), (100, Duration::ZERO));
    assert_eq!(last_token(&server), "-provider-0");

    server.refresh_requests().open();
    assert_eq!(first.await.unwrap(), StatusCode::OK);
    assert_eq!(last_token(&server), "-provider-1");
    assert_eq!(stopwatch.elapsed(), Duration::ZERO);
    assert_eq!(server.seen_refresh_requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_early_wait_ends_after_3_s_with_the_old_token() {
    let server = Server::new();
    let client = client(&in_the_last_part(&server, 50).await, &server);
    server.refresh_requests().hold();
    let stopwatch = Stopwatch::start();
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(
        (last_token(&server).as_str(), stopwatch.elapsed()),
        ("-provider-0", Duration::from_secs(3))
    );
    // The refresh goes on, and nobody else waits for it.
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(stopwatch.elapsed(), Duration::from_secs(3));
    server.refresh_requests().open();
    until(|| server.granted() == 1).await;
    run_pending_tasks().await;
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(last_token(&server), "-provider-1");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_during_the_early_wait_is_not_sent() {
    let server = Server::new();
    let client = client(&in_the_last_part(&server, 2).await, &server);
    server.refresh_requests().hold();
    let waiting = tokio::spawn(async move { status(&client).await });
    server.refresh_requests().arrived(1).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(server.seen_calls().len(), 0);
    server.refresh_requests().open();
    assert_eq!(waiting.await.unwrap(), StatusCode::OK);
    assert_eq!(
        (last_token(&server).as_str(), server.seen_refresh_requests().len()),
        ("-provider-1", 1)
    );
}

#[tokio::test(start_paused = true)]
async fn p6_an_early_wait_holds_no_capacity_of_the_inner_stack() {
    let server = Server::new();
    let credentials = in_the_last_part(&server, 50).await;
    let limited = ServiceBuilder::new().concurrency_limit(1).service(server.clone());
    let client = AuthLayer::new(credentials).layer(Checked::new(limited));
    server.refresh_requests().hold();
    let mut keeps = client.clone();
    let waiting = tokio::spawn(async move {
        // The readied service is kept until the answer is there.
        let ready = ServiceExt::<Request<Body>>::ready(&mut keeps).await.unwrap();
        ready.call(get("/events")).await.unwrap().status()
    });
    server.refresh_requests().arrived(1).await;
    for _ in 0..3 {
        let response = client.clone().oneshot(get("/events")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    server.refresh_requests().open();
    assert_eq!(waiting.await.unwrap(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_first_send_waits_for_30_s_and_the_refresh_goes_on() {
    let server = Server::new();
    let client = client(&patient(&server, server.expired_tokens()).await, &server);
    server.refresh_requests().hold();
    let stopwatch = Stopwatch::start();
    let early = tokio::spawn({
        let client = client.clone();
        async move { failure(send(&client, get("/events")).await) }
    });
    server.refresh_requests().arrived(1).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let late = tokio::spawn({
        let client = client.clone();
        async move { status(&client).await }
    });
    let error = early.await.unwrap();
    assert!(error.is_transient() && !error.is_store(), "{error}");
    assert_eq!(stopwatch.elapsed(), LIMIT);
    assert_eq!(server.seen_calls().len(), 0);
    server.refresh_requests().open();
    assert_eq!(late.await.unwrap(), StatusCode::OK);
    assert_eq!(server.seen_refresh_requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_30_s_and_the_401_says_so() {
    let server = Server::new();
    let client = client(&patient(&server, server.good_tokens(None)).await, &server);
    server.expire_everything();
    server.refresh_requests().hold();
    let stopwatch = Stopwatch::start();
    let answer = send(&client, get("/events")).await;
    assert!(reason(&answer).is_transient());
    assert_eq!(stopwatch.elapsed(), LIMIT);
    server.refresh_requests().open();
    until(|| server.granted() == 1).await;
    run_pending_tasks().await;
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!((server.seen_refresh_requests().len(), server.seen_calls().len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_wait_is_configurable() {
    let server = Server::new();
    let limit = Duration::from_millis(700);
    let tokens = server.expired_tokens();
    let credentials = builder(&server).tokens(tokens).wait_timeout(limit).build().await.unwrap();
    let client = Arc::new(client(&credentials, &server));
    server.refresh_requests().hold();
    let stopwatch = Stopwatch::start();
    let error = client.as_ref().clone().oneshot(get("/events")).await.unwrap_err();
    assert!(Error::find(&error).is_some_and(Error::is_transient), "{error:?}");
    assert_eq!(stopwatch.elapsed(), limit);
}

#[tokio::test(start_paused = true)]
async fn c4_a_request_that_waits_when_another_person_logs_in_is_not_sent() {
    let server = Server::new();
    let credentials = patient(&server, server.expired_tokens()).await;
    let client = client(&credentials, &server);
    server.refresh_requests().hold();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { failure(send(&client, get("/events")).await) }
    });
    server.refresh_requests().arrived(1).await;
    credentials.log_in(server.log_in_again("another")).await.unwrap();
    let error = waiting.await.unwrap();
    assert!(error.is_login_changed(), "{error}");
    assert_eq!(server.seen_calls().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn c4_a_401_that_arrives_after_another_person_logged_in_is_not_retried() {
    // Also where the first person signed out in between.
    for signs_out in [false, true] {
        let server = Server::new();
        let credentials = good(&server).await;
        let client = client(&credentials, &server);
        server.expire_everything();
        server.calls().hold();
        let delete = tokio::spawn({
            let client = client.clone();
            let mut request = get("/events");
            *request.method_mut() = http::Method::DELETE;
            async move { send(&client, request).await }
        });
        server.calls().arrived(1).await;
        if signs_out {
            credentials.sign_out().await.unwrap();
        }
        credentials.log_in(server.log_in_again("another")).await.unwrap();
        server.calls().open();
        let answer = delete.await.unwrap();
        assert!(reason(&answer).is_login_changed(), "{}", reason(&answer));
        assert_eq!(server.seen_calls().len(), 1, "{signs_out}");

        // The neighbour: what begins after the login is the new person's.
        assert_eq!(status(&client).await, StatusCode::OK, "{signs_out}");
    }
}

#[tokio::test(start_paused = true)]
async fn c4_a_request_in_its_early_wait_is_not_sent_for_another_person_either() {
    let server = Server::new();
    let credentials = in_the_last_part(&server, 50).await;
    let client = client(&credentials, &server);
    server.refresh_requests().hold();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { failure(send(&client, get("/events")).await) }
    });
    server.refresh_requests().arrived(1).await;
    credentials.log_in(server.log_in_again("another")).await.unwrap();
    let error = waiting.await.unwrap();
    assert!(error.is_login_changed(), "{error}");
    assert_eq!(server.seen_calls().len(), 0);
}
