//! P2: a panic in what a user brought becomes an error for those who wait, never a hang.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use tower_teamup_auth::Credentials;
use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
use tower_teamup_auth::token::{AccessToken, Clock};

use crate::support::server::Server;
use crate::support::stores::{Fault, Op, Store};
use crate::support::*;
use crate::witness::Heard;

/// A refresh request that panics, in its future or before there is one, and succeeds after `panics`.
struct Panicking {
    panics: usize,
    at_once: bool,
    calls: AtomicUsize,
}

impl Refresh for Panicking {
    fn refresh(
        &self,
        request: RefreshRequest,
    ) -> impl Future<Output = Result<RefreshResponse, RefreshError>> + Send {
        let panics = self.calls.fetch_add(1, Ordering::SeqCst) < self.panics;
        assert!(!(panics && self.at_once), "as the test wants it");
        async move {
            tokio::task::yield_now().await;
            assert!(!panics, "as the test wants it");
            let minted = AccessToken::new(format!("{SECRET}-provider-0")).unwrap();
            Ok(RefreshResponse::new(minted, None, request.refresh_token().clone()))
        }
    }
}

async fn within_a_minute<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it does not hang")
}

#[tokio::test(start_paused = true)]
async fn p2_panic_in_the_refresh_is_an_error_for_all_who_wait_and_the_next_request_works() {
    for at_once in [false, true] {
        let server = Server::new();
        server.good_tokens(None);
        let credentials = Credentials::builder(Provider)
            .base_url(BASE)
            .clock(Clock::tokio())
            .tokens(server.bare_tokens())
            .refresh_with(Panicking { panics: 2, at_once, calls: AtomicUsize::new(0) })
            .build()
            .await
            .unwrap();
        let client = client(&credentials, &server);
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let client = client.clone();
            callers.spawn(async move { failure(send(&client, get("/events")).await) });
        }
        for error in within_a_minute(callers.join_all()).await {
            assert!(error.is_outcome_unknown(), "{error}");
        }
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!(within_a_minute(status(&client)).await, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn p2_panic_in_the_store_before_the_refresh_request_is_an_error_and_spends_nothing() {
    for op in [Op::Acquire, Op::Load] {
        for fault in [Fault::Panics, Fault::PanicsAtOnce] {
            let server = Server::new();
            let store = Store::with_tokens(server.expired_tokens());
            let credentials = builder(&server).store(store.clone()).build().await.unwrap();
            let client = client(&credentials, &server);
            store.faults(op, [fault]);
            let error = failure(within_a_minute(send(&client, get("/events"))).await);
            assert!(error.is_transient(), "{op:?} {fault:?}: {error}");
            assert_eq!(server.seen_refresh_requests().len(), 0);

            tokio::time::sleep(Duration::from_secs(8)).await;
            assert_eq!(within_a_minute(status(&client)).await, StatusCode::OK);
            assert_eq!((server.granted(), server.double_spent()), (1, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p2_panic_in_the_store_after_the_refresh_request_is_a_write_that_is_repeated() {
    for fault in [Fault::Panics, Fault::PanicsAtOnce] {
        let trace = Heard::start();
        let server = Server::new();
        let store = Store::with_tokens(server.expired_tokens());
        let credentials = builder(&server).store(store.clone()).build().await.unwrap();
        store.faults(Op::Save, [fault, fault]);
        assert_eq!(within_a_minute(status(&client(&credentials, &server))).await, StatusCode::OK);
        // A shutdown makes one attempt, and may be called again.
        assert!(within_a_minute(credentials.shutdown()).await.unwrap_err().is_unsaved());
        within_a_minute(credentials.shutdown()).await.unwrap();
        assert_eq!(store.refresh_token(), server.live_refresh_token());
        assert_eq!((server.granted(), store.count(Op::Save)), (1, 3));
        assert_eq!(trace.count("newest tokens not saved"), 1);
        assert_eq!(trace.count("newest tokens saved after all"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn p2_panic_while_a_store_is_written_back_does_not_end_the_repetition() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    store.faults(Op::Save, [Fault::Fails]);
    assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
    store.faults(Op::Load, [Fault::PanicsAtOnce, Fault::Panics]);
    store.faults(Op::Save, [Fault::PanicsAtOnce, Fault::Panics]);
    let saved = until(|| store.refresh_token() == server.live_refresh_token());
    within_a_minute(saved).await;
    within_a_minute(credentials.shutdown()).await.unwrap();
    assert!(!store.is_leased());
}
