//! P1: any number of concurrent 401s or expiries of one generation cost one refresh request.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tower_teamup_auth::refresh::{RefreshRequest, RefreshResponse};
use tower_teamup_auth::{Error, TokenSet};

use crate::support::refresh_answers::RefreshAnswer;
use crate::support::server::Server;
use crate::support::*;

const CALLERS: usize = 10_000;

/// Sends `count` requests at once, each in a task of its own.
fn call_at_once(client: &Client, count: usize) -> JoinSet<StatusCode> {
    let mut callers = JoinSet::new();
    for _ in 0..count {
        let client = client.clone();
        callers.spawn(async move { status(&client).await });
    }
    callers
}

async fn all_ok(callers: JoinSet<StatusCode>) -> usize {
    let statuses = callers.join_all().await;
    assert!(statuses.iter().all(|status| *status == StatusCode::OK));
    statuses.len()
}

#[tokio::test(start_paused = true)]
async fn p1_ten_thousand_callers_on_an_expired_token_share_one_refresh_request() {
    let server = Server::new();
    let client = client(&expired(&server).await, &server);
    server.refresh_requests().hold();
    let callers = call_at_once(&client, CALLERS);
    server.refresh_requests().arrived(1).await;
    run_pending_tasks().await;
    assert_eq!(server.seen_calls().len(), 0);
    server.refresh_requests().open();
    assert_eq!(all_ok(callers).await, CALLERS);
    assert_eq!(server.seen_refresh_requests().len(), 1);
    assert_eq!(server.seen_calls().len(), CALLERS);
    assert!(server.seen_calls().iter().all(|seen| seen.answered == Some(StatusCode::OK)));
}

#[tokio::test(start_paused = true)]
async fn p1_ten_thousand_callers_answered_401_share_one_refresh_request_and_none_sees_the_401() {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    server.expire_everything();
    server.calls().hold();
    let callers = call_at_once(&client, CALLERS);
    server.calls().arrived(CALLERS).await;
    server.calls().open();
    assert_eq!(all_ok(callers).await, CALLERS);
    assert_eq!(server.seen_refresh_requests().len(), 1);
    assert_eq!(server.seen_calls().len(), 2 * CALLERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p1_callers_on_many_threads_share_one_refresh_request_for_each_expiry() {
    let server = Server::new();
    let credentials = builder(&server)
        .tokens(server.expired_tokens())
        .refresh_limit(100, Duration::from_secs(30))
        .build()
        .await
        .unwrap();
    let client = client(&credentials, &server);
    for expiry in 1..=20 {
        assert_eq!(all_ok(call_at_once(&client, 200)).await, 200);
        assert_eq!(server.granted(), expiry);
        server.expire_everything();
    }
    assert_eq!((server.double_spent(), server.most_refresh_requests_at_once()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn p1_the_due_the_rejected_and_the_asked_for_share_the_refresh_that_is_under_way() {
    let server = Server::new();
    let credentials =
        builder(&server).tokens(server.good_tokens(Some(1000))).build().await.unwrap();
    let client = client(&credentials, &server);
    server.refresh_requests().hold();

    // In the advised window a refresh starts beside the request.
    tokio::time::sleep(Duration::from_secs(995)).await;
    assert_eq!(status(&client).await, StatusCode::OK);
    server.refresh_requests().arrived(1).await;

    // Rejected, then asked for, then due.
    server.expire_everything();
    let mut callers = call_at_once(&client, 10);
    server.calls().arrived(11).await;
    let asked_for = tokio::spawn({
        let credentials = credentials.clone();
        async move { credentials.refresh(Provider).await }
    });
    run_pending_tasks().await;
    tokio::time::advance(Duration::from_secs(8)).await;
    callers.spawn(async move { status(&client).await });
    run_pending_tasks().await;
    server.refresh_requests().open();
    assert_eq!(all_ok(callers).await, 11);
    asked_for.await.unwrap().unwrap();
    assert_eq!(server.seen_refresh_requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn p1_a_failure_is_shared_by_all_that_waited_for_it() {
    let server = Server::new();
    let client = client(&expired(&server).await, &server);
    server.every_answer(RefreshAnswer::rejected(400));
    let mut callers = JoinSet::new();
    for _ in 0..1000 {
        let client = client.clone();
        callers.spawn(async move { failure(send(&client, get("/events")).await) });
    }
    let errors = callers.join_all().await;
    assert_eq!(errors.len(), 1000);
    assert!(errors.iter().all(Error::is_login_required));
    assert_eq!(server.seen_refresh_requests().len(), 1);
    assert_eq!(server.seen_calls().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn p1_a_late_401_of_an_older_generation_takes_the_new_token_and_refreshes_nothing() {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    server.expire_everything();
    server.calls().hold();
    let mut callers = call_at_once(&client, 2);
    server.calls().arrived(2).await;

    // The first is answered 401, renews and is repeated, while the other is still on its way.
    server.calls().let_through(1);
    server.calls().arrived(3).await;
    server.calls().let_through(1);
    assert_eq!(server.seen_refresh_requests().len(), 1);
    server.calls().open();
    assert_eq!(callers.join_next().await.unwrap().unwrap(), StatusCode::OK);
    assert_eq!(all_ok(callers).await, 1);
    assert_eq!(server.seen_refresh_requests().len(), 1);
    assert_eq!(server.seen_calls().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn late_401_takes_the_new_token_even_where_no_refresh_may_start_any_more() {
    let server = Server::new();
    let credentials = good(&server).await;
    let client = client(&credentials, &server);
    server.expire_everything();
    server.calls().hold();
    let mut callers = call_at_once(&client, 1);
    server.calls().arrived(1).await;
    credentials.refresh(Provider).await.unwrap();
    credentials.shutdown().await.unwrap();
    server.calls().open();
    assert_eq!(callers.join_next().await.unwrap().unwrap(), StatusCode::OK);
    assert_eq!((server.seen_refresh_requests().len(), server.seen_calls().len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn p1_one_closure_refreshes_for_two_credentials_once_each() {
    let (seen, mut refreshed) = mpsc::unbounded_channel();
    let broker = Arc::new(move |request: RefreshRequest| {
        let spent = request.refresh_token().expose().to_owned();
        let minted = RefreshResponse::without_rotation("minted".parse().unwrap(), None);
        seen.send((spent, request.mode())).unwrap();
        async move { Ok(minted) }
    });
    for refresh_token in ["s3cret-ada", "s3cret-bob"] {
        let server = Server::new();
        let builder = builder(&server).tokens(TokenSet::new(refresh_token.parse().unwrap()));
        let credentials = builder.refresh_with(Arc::clone(&broker)).build().await.unwrap();
        let (first, second) =
            tokio::join!(credentials.access_token(Provider), credentials.access_token(Provider));
        for token in [first.unwrap(), second.unwrap()] {
            assert_eq!(token.expose(), "minted");
        }
        assert_eq!(refreshed.try_recv().unwrap(), (refresh_token.to_owned(), Provider));
        assert!(refreshed.try_recv().is_err());
    }
}
