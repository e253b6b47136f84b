//! A write that fails after the refresh request: the pair is used, held as dirty, and written again; and
//! `shutdown`, which waits for it.

use std::time::Duration;

use http::StatusCode;
use tower_teamup_auth::Credentials;

use crate::support::refresh_answers::RefreshAnswer;
use crate::support::server::Server;
use crate::support::stores::{Fault, Op, Store};
use crate::support::*;
use crate::witness::Heard;

async fn stored(server: &Server) -> (Credentials, Store) {
    let store = Store::with_tokens(server.expired_tokens());
    (builder(server).store(store.clone()).build().await.unwrap(), store)
}

/// After a refresh whose pair the store will not take so many times.
async fn unsaved(server: &Server, failures: usize) -> (Credentials, Store) {
    let (credentials, store) = stored(server).await;
    store.faults(Op::Save, vec![Fault::Fails; failures]);
    assert_eq!(status(&client(&credentials, server)).await, StatusCode::OK);
    assert_ne!(store.refresh_token(), server.live_refresh_token());
    (credentials, store)
}

#[tokio::test(start_paused = true)]
async fn p2_pair_that_can_not_be_saved_is_used_and_written_again_with_backoff() {
    let trace = Heard::start();
    let server = Server::new();
    let (credentials, store) = stored(&server).await;
    store.faults(Op::Save, [Fault::Fails; 7]);
    let stopwatch = Stopwatch::start();
    assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
    assert_eq!(stopwatch.elapsed(), Duration::ZERO);
    assert_eq!(store.refresh_token(), format!("{SECRET}-refresh-0"));
    let lines = trace.lines("newest tokens not saved");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("ERROR"), "{}", lines[0]);

    until(|| store.refresh_token() == server.live_refresh_token()).await;
    assert_eq!(trace.count("newest tokens saved after all revision=2"), 1);
    let times = store.times(Op::Save);
    assert_eq!(times.len(), 8);
    for (pair, least) in times.windows(2).zip([200, 400, 800, 1600, 3200, 6400, 12_800]) {
        let pause = pair[1] - pair[0];
        let bounds = Duration::from_millis(least)..=Duration::from_millis(least * 3 / 2 + 2);
        assert!(bounds.contains(&pause), "{pause:?} of {least} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn no_further_refresh_starts_before_the_last_pair_is_saved() {
    let server = Server::new();
    let (credentials, store) = stored(&server).await;
    let client = client(&credentials, &server);
    store.faults(Op::Save, [Fault::Fails; 1000]);
    assert_eq!(status(&client).await, StatusCode::OK);
    for _ in 0..50 {
        // Nor for the other mode, nor because the program asks for it.
        let error = failure(send(&client, get_as(Customer, "/events")).await);
        assert!(error.is_store() && error.is_transient(), "{error}");
        let error = credentials.refresh(Provider).await.unwrap_err();
        assert!(error.is_store() && error.is_transient(), "{error}");
        // What is held is good.
        assert_eq!(status(&client).await, StatusCode::OK);
        tokio::time::sleep(Duration::from_millis(777)).await;
    }
    assert_eq!(server.seen_refresh_requests().len(), 1);
    assert!(store.count(Op::Save) < 20, "{}", store.count(Op::Save));

    store.mend();
    // The longest pause between two attempts is 30 s and up to half of that more.
    tokio::time::sleep(Duration::from_secs(46)).await;
    assert_eq!(store.refresh_token(), server.live_refresh_token());
    send(&client, get_as(Customer, "/events")).await.unwrap();
    assert_eq!((server.granted(), server.double_spent()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_401_while_the_pair_is_unsaved_passes_with_the_reason() {
    let server = Server::new();
    let (credentials, store) = stored(&server).await;
    let client = client(&credentials, &server);
    store.faults(Op::Save, [Fault::Fails; 1000]);
    assert_eq!(status(&client).await, StatusCode::OK);
    server.expire_everything();
    let error = reason(&send(&client, get("/events")).await);
    assert!(error.is_store(), "{error}");
    assert_eq!(server.seen_refresh_requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn slow_store_is_given_up_after_its_time_limit_and_written_again() {
    for (fault, comes_back) in [(Fault::Hangs, false), (Fault::Slow(Duration::from_secs(60)), true)]
    {
        let server = Server::new();
        let store = Store::with_tokens(server.expired_tokens());
        let credentials = builder(&server)
            .store(store.clone())
            .store_timeout(Duration::from_secs(2))
            .build()
            .await
            .unwrap();
        store.faults(Op::Save, [fault]);
        let stopwatch = Stopwatch::start();
        assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
        let late = stopwatch.elapsed() - Duration::from_secs(2);
        assert!(late <= Duration::from_millis(2), "{late:?}");
        // A call that hangs has its turn, and no other begins before it ends: a disk that hangs holds
        // one thread. Nobody waits for it without limit.
        let error = credentials.shutdown().await.unwrap_err();
        assert!(error.is_unsaved(), "{error}");
        assert!(stopwatch.elapsed() <= Duration::from_secs(7), "{:?}", stopwatch.elapsed());
        assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
        assert_eq!((store.count(Op::Save), server.granted()), (1, 1));
        if comes_back {
            until(|| credentials.status().dirty().is_none()).await;
            credentials.shutdown().await.unwrap();
            assert_eq!(store.refresh_token(), server.live_refresh_token());
            assert!(!store.is_leased());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_its_time_within_the_limit_is_waited_for_before_the_token_is_used() {
    let server = Server::new();
    let (credentials, store) = stored(&server).await;
    store.faults(Op::Save, [Fault::Slow(Duration::from_secs(4))]);
    let client = client(&credentials, &server);
    let caller = tokio::spawn(async move { status(&client).await });
    until(|| store.count(Op::Save) == 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Persist before publish: no request carries a token that a crash could lose.
    assert_eq!((server.granted(), server.seen_calls().len()), (1, 0));
    assert_eq!(caller.await.unwrap(), StatusCode::OK);
    assert_eq!(store.refresh_token(), server.live_refresh_token());
}

#[tokio::test(start_paused = true)]
async fn rotated_token_of_a_faulty_answer_is_saved_and_spent() {
    let server = Server::new();
    let (credentials, store) = stored(&server).await;
    let rotated = format!("{SECRET}-refresh-rotated");
    let faulty = format!(r#"{{"refresh_token":"{rotated}","expires_in":60}}"#);
    server.next_answers([RefreshAnswer::json(200, faulty)]);
    server.refresh_requests().hold();
    let client = client(&credentials, &server);
    let caller = tokio::spawn(async move { status(&client).await });
    server.refresh_requests().arrived(1).await;
    server.revive_refresh_token(&rotated);
    server.refresh_requests().open();
    assert_eq!(caller.await.unwrap(), StatusCode::OK);
    let refresh_requests = server.seen_refresh_requests();
    assert_eq!(refresh_requests.len(), 2);
    assert_eq!(refresh_requests[1].field("refresh_token"), rotated);
    // Saved before it was spent, and its successor after that.
    assert_eq!((store.revision(), store.count(Op::Save)), (3, 2));
    assert_eq!(store.refresh_token(), server.live_refresh_token());
}

#[tokio::test(start_paused = true)]
async fn rotated_token_of_a_faulty_answer_is_not_spent_before_it_is_saved() {
    let server = Server::new();
    let (credentials, store) = stored(&server).await;
    let rotated = format!("{SECRET}-refresh-rotated");
    let faulty = format!(r#"{{"refresh_token":"{rotated}","expires_in":60}}"#);
    server.next_answers([RefreshAnswer::json(200, faulty)]);
    server.refresh_requests().hold();
    store.faults(Op::Save, [Fault::Fails; 3]);
    let client = client(&credentials, &server);
    let caller = tokio::spawn({
        let client = client.clone();
        async move { failure(send(&client, get("/events")).await) }
    });
    server.refresh_requests().arrived(1).await;
    server.revive_refresh_token(&rotated);
    server.refresh_requests().open();
    let error = caller.await.unwrap();
    assert!(error.is_store() && error.is_transient(), "{error}");
    assert_eq!(server.seen_refresh_requests().len(), 1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(store.refresh_token(), rotated);
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!((server.granted(), server.double_spent()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_the_refresh_under_way_and_starts_no_other() {
    let server = Server::new();
    let (credentials, store) = stored(&server).await;
    let client = client(&credentials, &server);
    server.refresh_requests().hold();
    let caller = tokio::spawn({
        let client = client.clone();
        async move { status(&client).await }
    });
    server.refresh_requests().arrived(1).await;
    let shutdown = tokio::spawn({
        let credentials = credentials.clone();
        async move { credentials.shutdown().await }
    });
    run_pending_tasks().await;
    assert!(!shutdown.is_finished());
    let error = failure(send(&client, get_as(Customer, "/events")).await);
    assert!(error.is_shut_down(), "{error}");
    server.refresh_requests().open();
    shutdown.await.unwrap().unwrap();
    assert_eq!(store.refresh_token(), server.live_refresh_token());
    assert_eq!(caller.await.unwrap(), StatusCode::OK);

    // A valid token stays in use; once the API refuses it, the 401 passes.
    assert_eq!(status(&client).await, StatusCode::OK);
    server.expire_everything();
    assert!(reason(&send(&client, get("/events")).await).is_shut_down());
    assert!(credentials.refresh(Provider).await.unwrap_err().is_shut_down());
    assert_eq!(server.seen_refresh_requests().len(), 1);
    credentials.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn p12_shutdown_saves_at_once_what_is_dirty() {
    let server = Server::new();
    let (credentials, store) = unsaved(&server, 1).await;
    credentials.shutdown().await.unwrap();
    assert_eq!(store.refresh_token(), server.live_refresh_token());
}

#[tokio::test(start_paused = true)]
async fn p12_flush_saves_at_once_what_is_dirty() {
    let server = Server::new();
    let (credentials, store) = unsaved(&server, 1).await;
    // Its worker pauses until the next attempt.
    run_pending_tasks().await;
    let stopwatch = Stopwatch::start();
    credentials.flush().await.unwrap();
    assert_eq!(stopwatch.elapsed(), Duration::ZERO);
    assert_eq!(store.refresh_token(), server.live_refresh_token());
}

#[tokio::test(start_paused = true)]
async fn p2_what_is_dirty_is_saved_after_the_last_handle_of_a_credential_that_is_kept_warm() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = builder(&server).store(store.clone()).keep_warm().build().await.unwrap();
    store.faults(Op::Save, [Fault::Fails; 3]);
    credentials.refresh(Provider).await.unwrap();
    drop(credentials);
    assert_ne!(store.refresh_token(), server.live_refresh_token());
    until(|| store.refresh_token() == server.live_refresh_token()).await;
}

#[tokio::test(start_paused = true)]
async fn p2_nobody_else_gets_the_lease_before_the_record_is_saved() {
    let server = Server::new();
    let (_credentials, store) = unsaved(&server, 4).await;
    // Another process, which would spend the spent token that it finds in the store.
    let mut lease = None;
    until(|| {
        lease = store.acquire_from_outside();
        lease.is_some()
    })
    .await;
    assert_eq!(store.refresh_token(), server.live_refresh_token());
    assert_eq!(store.count(Op::Save), 5);
}

#[tokio::test(start_paused = true)]
async fn p12_shutdown_tries_once_and_names_the_cause_and_may_be_called_again() {
    let server = Server::new();
    let (credentials, store) = unsaved(&server, 1000).await;
    let attempts = store.count(Op::Save);
    let stopwatch = Stopwatch::start();
    let error = credentials.shutdown().await.unwrap_err();
    assert!(error.is_unsaved() && error.is_transient(), "{error}");
    let cause = std::error::Error::source(&error).expect("the cause").to_string();
    assert!(cause.contains("the disk"), "{cause}");
    assert_eq!((stopwatch.elapsed(), store.count(Op::Save)), (Duration::ZERO, attempts + 1));
    // A shutdown that is given up changes nothing, and the save is repeated.
    assert!(polled(credentials.shutdown(), 1).await.is_none());
    store.mend();
    credentials.shutdown().await.unwrap();
    assert_eq!(store.refresh_token(), server.live_refresh_token());
    assert!(!store.is_leased());
}

#[tokio::test(start_paused = true)]
async fn p12_shutdown_is_ok_only_when_the_lease_is_given_back() {
    // A call that is slow has its turn, so the shutdown's own waits for it.
    let slow = Fault::Slow(Duration::from_secs(12));
    for (fault, times) in
        [(Fault::Fails, 2), (slow, 1), (Fault::Panics, 2), (Fault::PanicsAtOnce, 2)]
    {
        let server = Server::new();
        let (credentials, store) = stored(&server).await;
        store.faults(Op::Release, vec![fault; times]);
        assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
        assert!(store.is_leased(), "{fault:?}");
        let error = credentials.shutdown().await.unwrap_err();
        assert!(error.is_store() && !error.is_unsaved(), "{fault:?}: {error}");
        credentials.shutdown().await.unwrap();
        assert!(!store.is_leased(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p12_request_that_was_served_leaves_no_lease_behind() {
    let server = Server::new();
    let (credentials, store) = stored(&server).await;
    store.faults(Op::Release, [Fault::Slow(Duration::from_secs(4))]);
    // A program may end right after its request.
    assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
    assert!(!store.is_leased());
}

#[tokio::test(start_paused = true)]
async fn shutdown_of_idle_credentials_returns_at_once() {
    let server = Server::new();
    let stopwatch = Stopwatch::start();
    let credentials = good(&server).await;
    credentials.shutdown().await.unwrap();
    credentials.shutdown().await.unwrap();
    assert_eq!(stopwatch.elapsed(), Duration::ZERO);
    assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
}
