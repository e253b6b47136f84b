//! P2: a dropped, timed-out or panicking caller never loses a rotated refresh token.

use std::sync::mpsc;
use std::time::Duration;

use http::StatusCode;
use tokio::runtime::{Builder, Runtime};
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{AuthLayer, Credentials, TokenSet};

use crate::support::server::Server;
use crate::support::stores::{Fault, Op, Store};
use crate::support::*;

/// A credential whose tokens live in a store that takes its time.
async fn stored(server: &Server, tokens: TokenSet) -> (Credentials, Store) {
    let store = Store::with_tokens(tokens);
    (builder(server).store(store.clone()).build().await.unwrap(), store)
}

/// What must be true however a caller went away: one refresh request, its pair in the store, and the next
/// refresh request spends the rotated token.
async fn nothing_is_lost(server: &Server, credentials: &Credentials, store: &Store) {
    until(|| server.granted() == 1 && store.refresh_token() == server.live_refresh_token()).await;
    assert_eq!(status(&client(credentials, server)).await, StatusCode::OK);
    assert_eq!(server.granted(), 1);
    credentials.refresh(Provider).await.unwrap();
    assert_eq!((server.granted(), server.double_spent()), (2, 0));
    assert_eq!(store.refresh_token(), server.live_refresh_token());
}

/// Drops a caller after one poll, in another world after two, and so on until it is answered
/// first; `others` call at the same time and stay. Hands out how many polls the answer took.
async fn drop_after_every_poll(rejected: bool, others: usize) -> usize {
    for polls in 1.. {
        let server = Server::new();
        let tokens = if rejected { server.good_tokens(None) } else { server.expired_tokens() };
        let (credentials, store) = stored(&server, tokens).await;
        server.expire_everything();
        let client = client(&credentials, &server);
        let first = tokio::spawn({
            let client = client.clone();
            async move { polled(send(&client, get("/first")), polls).await }
        });
        tokio::task::yield_now().await;
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..others {
            let client = client.clone();
            waiting.spawn(async move { status(&client).await });
        }
        let first = first.await.unwrap().map(|answer| answer.unwrap().status());
        let statuses = waiting.join_all().await;
        assert!(statuses.iter().all(|status| *status == StatusCode::OK), "after {polls} polls");
        run_pending_tasks().await;
        // Alone, a caller that is gone before its 401 has come asks for no refresh.
        if server.refresh_requests().count() > 0 {
            nothing_is_lost(&server, &credentials, &store).await;
        } else {
            assert!(rejected && others == 0 && first.is_none());
        }
        if first.is_some() {
            assert_eq!(first, Some(StatusCode::OK));
            return polls;
        }
    }
    unreachable!()
}

#[tokio::test(start_paused = true)]
async fn p2_first_waiter_for_a_token_dropped_at_every_await_point_changes_nothing_for_the_others() {
    assert!(drop_after_every_poll(false, 10).await >= 3);
}

#[tokio::test(start_paused = true)]
async fn p2_first_caller_answered_401_dropped_at_every_await_point_changes_nothing_for_the_others()
{
    assert!(drop_after_every_poll(true, 10).await >= 4);
}

#[tokio::test(start_paused = true)]
async fn p2_only_waiter_for_a_token_dropped_at_every_await_point_loses_nothing() {
    assert!(drop_after_every_poll(false, 0).await >= 3);
}

#[tokio::test(start_paused = true)]
async fn p2_only_caller_answered_401_dropped_at_every_await_point_loses_nothing() {
    assert!(drop_after_every_poll(true, 0).await >= 4);
}

#[tokio::test(start_paused = true)]
async fn p2_all_callers_dropped_while_the_refresh_request_is_under_way_lose_nothing() {
    let server = Server::new();
    let (credentials, store) = stored(&server, server.expired_tokens()).await;
    let client = client(&credentials, &server);
    server.refresh_requests().hold();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let client = client.clone();
        callers.spawn(async move { status(&client).await });
    }
    server.refresh_requests().arrived(1).await;
    run_pending_tasks().await;
    callers.shutdown().await;
    server.refresh_requests().open();
    nothing_is_lost(&server, &credentials, &store).await;
    assert_eq!(server.seen_calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn p2_caller_timed_out_by_tower_leaves_the_refresh_running() {
    let server = Server::new();
    let (credentials, store) = stored(&server, server.expired_tokens()).await;
    let impatient = ServiceBuilder::new()
        .timeout(Duration::from_secs(1))
        .layer(AuthLayer::new(credentials.clone()))
        .service(checked(&server));
    server.refresh_requests().hold();
    let error = impatient.clone().oneshot(get("/events")).await.unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>(), "{error:?}");
    server.refresh_requests().open();
    nothing_is_lost(&server, &credentials, &store).await;
}

#[tokio::test(start_paused = true)]
async fn p2_caller_that_panics_while_it_waits_changes_nothing_for_the_others() {
    let server = Server::new();
    let (credentials, store) = stored(&server, server.expired_tokens()).await;
    let client = client(&credentials, &server);
    server.refresh_requests().hold();
    let panicking = tokio::spawn({
        let client = client.clone();
        async move {
            polled(send(&client, get("/first")), 1).await;
            panic!("as the test wants it");
        }
    });
    let other = tokio::spawn(async move { status(&client).await });
    server.refresh_requests().arrived(1).await;
    assert!(panicking.await.unwrap_err().is_panic());
    server.refresh_requests().open();
    assert_eq!(other.await.unwrap(), StatusCode::OK);
    nothing_is_lost(&server, &credentials, &store).await;
}

/// A runtime of its own, and a thread that drops it when told to.
fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Starts a request on a runtime, and drops the runtime once `here` says so; `lost` is called then.
/// The caller of another runtime that waits for the same refresh carries on with it.
fn lose_the_runtime(
    client: &Client,
    here: impl Future<Output = ()>,
    lost: impl FnOnce(),
) -> StatusCode {
    let (doomed, safe) = (runtime(), runtime());
    let first = client.clone();
    doomed.spawn(async move { status(&first).await });
    safe.block_on(here);
    let (waits, is_waiting) = mpsc::channel();
    let waiter = safe.spawn({
        let client = client.clone();
        async move {
            let mut answer = Box::pin(send(&client, get("/other")));
            assert!(polled(&mut answer, 1).await.is_none());
            waits.send(()).unwrap();
            answer.await.expect("an answer").status()
        }
    });
    is_waiting.recv().unwrap();
    drop(doomed);
    lost();
    safe.block_on(async { tokio::time::timeout(Duration::from_secs(60), waiter).await })
        .expect("it does not hang")
        .unwrap()
}

#[test]
fn p2_runtime_dropped_while_the_refresh_request_is_under_way_leaves_nobody_waiting() {
    let runtime = runtime();
    let (server, client) = runtime.block_on(async {
        let server = Server::new();
        let credentials = expired(&server).await;
        (server.clone(), client(&credentials, &server))
    });
    server.refresh_requests().hold();
    let answered = lose_the_runtime(&client, server.refresh_requests().arrived(1), || {
        // The one who waits has begun the one further try that an unknown outcome allows.
        runtime.block_on(server.refresh_requests().arrived(2));
        server.refresh_requests().open();
    });
    assert_eq!(answered, StatusCode::OK);
    assert_eq!(runtime.block_on(status(&client)), StatusCode::OK);
    assert_eq!((server.seen_refresh_requests().len(), server.granted()), (2, 1));
    assert_eq!(server.double_spent(), 0);
}

#[test]
fn p2_runtime_dropped_while_the_pair_is_saved_loses_neither_the_pair_nor_the_write() {
    let runtime = runtime();
    let (server, store, client) = runtime.block_on(async {
        let server = Server::new();
        let store = Store::with_tokens(server.expired_tokens());
        let credentials =
            builder(&server).clock(Clock::system()).store(store.clone()).build().await.unwrap();
        (server.clone(), store, client(&credentials, &server))
    });
    store.faults(Op::Save, [Fault::Hangs]);
    let saving = async {
        while store.count(Op::Save) == 0 {
            tokio::task::yield_now().await;
        }
    };
    // The pair is alive in memory: it is written first, and no second refresh request is needed.
    assert_eq!(lose_the_runtime(&client, saving, || ()), StatusCode::OK);
    assert_eq!(runtime.block_on(status(&client)), StatusCode::OK);
    assert_eq!((server.granted(), server.double_spent()), (1, 0));
    assert_eq!(store.refresh_token(), server.live_refresh_token());
}

fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Starts a worker on a runtime that is not polled any more after `turns`. It lives, so nothing says that
/// the worker is gone.
fn frozen(server: &Server, turns: impl Future<Output = ()>) -> (Runtime, Credentials, Store) {
    let frozen = paused();
    let (credentials, store) = frozen.block_on(async {
        let (credentials, store) = stored(server, server.expired_tokens()).await;
        assert!(polled(send(&client(&credentials, server), get("/first")), 1).await.is_none());
        turns.await;
        (credentials, store)
    });
    (frozen, credentials, store)
}

#[test]
fn p2_worker_that_nobody_polls_is_replaced_by_those_who_wait() {
    let server = Server::new();
    let (frozen, credentials, store) = frozen(&server, async {});
    assert_eq!(store.count(Op::Acquire), 0, "the worker was polled");
    let runtime = paused();
    assert_eq!(runtime.block_on(status(&client(&credentials, &server))), StatusCode::OK);
    drop(frozen);
    runtime.block_on(nothing_is_lost(&server, &credentials, &store));
}

#[test]
fn p2_worker_that_nobody_polls_is_not_replaced_while_its_refresh_request_is_under_way() {
    let server = Server::new();
    server.refresh_requests().hold();
    let (frozen, credentials, store) = frozen(&server, server.refresh_requests().arrived(1));
    let runtime = paused();
    let answer = runtime.block_on(send(&client(&credentials, &server), get("/second")));
    assert!(failure(answer).is_timeout());
    assert_eq!(server.seen_refresh_requests().len(), 1);

    // The program comes back to it, and the answer is there.
    server.refresh_requests().open();
    let is_saved = || store.refresh_token() == server.live_refresh_token();
    frozen.block_on(until(|| server.granted() == 1 && is_saved()));
    drop(frozen);
    runtime.block_on(nothing_is_lost(&server, &credentials, &store));
}
