//! What `Credentials::status` and its subscribers are told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use http::StatusCode;
use tokio_test::{assert_pending, assert_ready, task};
use tower_teamup_auth::status::{Status, Token};
use tower_teamup_auth::{Credentials, RequestMode, TokenSet};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::support::refresh_answers::RefreshAnswer;
use crate::support::server::Server;
use crate::support::stores::{Fault, Op, Store};
use crate::support::*;

/// How far ahead of the machine's wall clock something began: paused time moves the credential's.
fn ahead(began: std::time::SystemTime) -> Duration {
    began.duration_since(wall_time()).unwrap_or_default()
}

fn is_ready(state: &Status, mode: RequestMode) -> bool {
    matches!(state.token(mode), Token::Ready { .. })
}

#[tokio::test(start_paused = true)]
async fn state_tells_until_when_each_mode_is_ready() {
    let server = Server::new();
    let tokens = server.good_tokens(Some(1000)).with_access_token_until(
        Customer,
        "s3cret-other".parse().unwrap(),
        None,
    );
    let credentials = builder(&server).tokens(tokens.clone()).build().await.unwrap();
    let state = credentials.status();
    assert!(state.is_ready() && state.is_healthy() && !state.is_refreshing());
    assert!(state.failure().is_none() && state.dirty().is_none() && !state.is_shut_down());
    let apart = |one: std::time::SystemTime, other: std::time::SystemTime| {
        one.duration_since(other).or_else(|_| other.duration_since(one)).unwrap()
    };
    let expiry = tokens.expires_at(Provider).unwrap();
    assert!(apart(state.ready_until().unwrap(), expiry) < Duration::from_secs(1));
    assert!(matches!(state.token(Customer), Token::Ready { until: None, .. }));

    tokio::time::sleep(Duration::from_secs(1001)).await;
    let state = credentials.status();
    assert!(!state.is_ready() && state.is_healthy(), "a refresh will do");
    assert_eq!(state.ready_until(), None);
    let Token::Expired { since, .. } = state.token(Provider) else { panic!("{state}") };
    assert!(apart(since, expiry) < Duration::from_secs(1));
    assert!(is_ready(&state, Customer));

    let bare = builder(&server).tokens(server.bare_tokens()).build().await.unwrap();
    assert_eq!(bare.status().token(Provider), Token::Missing);
    bare.refresh(Provider).await.unwrap();
    assert!(bare.status().is_ready());
    assert_eq!(bare.status().token(Customer), Token::Missing);
}

#[tokio::test(start_paused = true)]
async fn state_of_an_m2m_token_is_ready_without_an_end() {
    let credentials = Credentials::m2m("s3cret".parse().unwrap()).build().await.unwrap();
    let state = credentials.status();
    assert!(state.is_ready() && state.is_healthy());
    assert_eq!(state.ready_until(), None);
    assert_eq!(state.token(Customer), Token::Missing);
    assert_eq!(state.to_string(), "ready in provider mode");
}

#[tokio::test(start_paused = true)]
async fn failing_is_told_with_its_beginning_and_its_latest_reason_until_a_refresh_succeeds() {
    let server = Server::new();
    let credentials =
        builder(&server).tokens(server.good_tokens(Some(1000))).build().await.unwrap();
    server.every_answer(RefreshAnswer::Refused);
    assert!(credentials.refresh(Provider).await.unwrap_err().is_transient());
    let state = credentials.status();
    let since = state.failure().unwrap().since();
    assert!(state.is_healthy() && state.is_ready(), "its token is valid: {state}");
    assert!(state.to_string().contains("; failing since "), "{state}");

    tokio::time::sleep(Duration::from_secs(1000)).await;
    server.every_answer(RefreshAnswer::json(404, "{}"));
    assert!(credentials.refresh(Provider).await.unwrap_err().is_protocol());
    let state = credentials.status();
    assert_eq!(state.failure().unwrap().since(), since);
    assert!(state.failure().unwrap().error().is_protocol());
    assert!(!state.is_ready() && !state.is_healthy(), "{state}");

    server.every_answer(RefreshAnswer::Granted);
    tokio::time::sleep(Duration::from_secs(10)).await;
    credentials.refresh(Provider).await.unwrap();
    assert!(credentials.status().failure().is_none() && credentials.status().is_healthy());
}

#[tokio::test(start_paused = true)]
async fn what_another_process_has_refreshed_ends_the_failing() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    server.every_answer(RefreshAnswer::Refused);
    credentials.refresh(Provider).await.unwrap_err();
    assert!(credentials.status().failure().is_some());

    // The other process got through.
    let theirs = TokenSet::new(format!("{SECRET}-theirs").parse().unwrap());
    let adopted = format!("{SECRET}-adopted").parse().unwrap();
    store.put_refreshed(theirs.with_access_token(Provider, adopted, None), 7);
    tokio::time::sleep(Duration::from_secs(10)).await;
    credentials.refresh(Provider).await.unwrap();
    let state = credentials.status();
    assert!(state.is_ready() && state.failure().is_none(), "{state}");
}

#[tokio::test(start_paused = true)]
async fn re_authorization_is_told_until_new_tokens_are_set() {
    let server = Server::new();
    let credentials = expired(&server).await;
    server.every_answer(RefreshAnswer::rejected(400));
    tokio::time::sleep(Duration::from_secs(100)).await;
    credentials.refresh(Provider).await.unwrap_err();
    let state = credentials.status();
    assert!(state.is_login_required() && !state.is_healthy());
    let failure = state.failure().unwrap();
    assert_eq!(failure.error().api_error().unwrap().code, "invalid_grant");
    assert!(ahead(failure.since()) >= Duration::from_secs(99));

    credentials.log_in(server.good_tokens(None)).await.unwrap();
    let state = credentials.status();
    assert!(!state.is_login_required() && state.is_ready() && state.is_healthy());

    credentials.sign_out().await.unwrap();
    let state = credentials.status();
    assert!(state.is_login_required() && !state.is_ready() && !state.is_healthy());
    assert_eq!(state.token(Provider), Token::Missing);
}

#[tokio::test(start_paused = true)]
async fn unsaved_tokens_are_told_until_the_store_has_them() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    store.faults(Op::Save, [Fault::Fails; 3]);
    let mut changes = credentials.subscribe();
    credentials.refresh(Provider).await.unwrap();
    let state = credentials.status();
    assert!(state.is_ready() && state.is_healthy(), "the new token is in use: {state}");
    let unsaved = state.dirty().expect("not in the store").clone();
    assert!(unsaved.error().is_store());
    assert!(state.to_string().contains("newest tokens unsaved since "), "{state}");
    assert!(state.to_string().ends_with("the disk: is full"), "{state}");

    // The third write fails too, the fourth succeeds. No refresh is needed to tell.
    let mut last = None;
    while last.as_ref().is_none_or(|state: &Status| !state.is_ready() || state.dirty().is_some()) {
        last = changes.next().await;
        if let Some(later) = last.as_ref().and_then(Status::dirty) {
            assert_eq!(later.since(), unsaved.since());
        }
    }
    let state = credentials.status();
    assert!(state.dirty().is_none() && state.failure().is_none(), "{state}");
    assert_eq!(store.refresh_token(), server.live_refresh_token());
}

#[tokio::test(start_paused = true)]
async fn a_login_that_could_not_be_saved_is_told_too_and_so_is_a_sign_out() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    store.faults(Op::Save, [Fault::Fails; 100]);
    assert!(credentials.log_in(server.good_tokens(None)).await.unwrap_err().is_unsaved());
    assert!(credentials.status().dirty().is_some() && credentials.status().is_ready());
    // It takes effect at once, and the store is still to be told.
    assert!(credentials.sign_out().await.unwrap_err().is_unsaved());
    let state = credentials.status();
    assert!(state.dirty().is_some() && state.is_login_required() && !state.is_ready());
    assert!(store.kept_tokens().access_token(Provider).is_some());
    store.mend();
    until(|| credentials.status().dirty().is_none()).await;
    assert!(store.record().unwrap().is_signed_out());
}

#[tokio::test(start_paused = true)]
async fn shutdown_is_told_and_is_healthy_for_as_long_as_the_token_is_valid() {
    let server = Server::new();
    let credentials =
        builder(&server).tokens(server.good_tokens(Some(1000))).build().await.unwrap();
    let mut changes = credentials.subscribe();
    assert!(!changes.next().await.unwrap().is_shut_down());
    credentials.shutdown().await.unwrap();
    let state = changes.next().await.unwrap();
    assert!(state.is_shut_down() && state.is_healthy());
    tokio::time::sleep(Duration::from_secs(1000)).await;
    assert!(!credentials.status().is_healthy());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_sees_each_step_of_a_refresh_and_nothing_twice() {
    let server = Server::new();
    let credentials = expired(&server).await;
    let mut changes = credentials.subscribe();
    let state = changes.next().await.unwrap();
    assert!(!state.is_ready() && !state.is_refreshing());

    server.refresh_requests().hold();
    let request = tokio::spawn({
        let client = client(&credentials, &server);
        async move { status(&client).await }
    });
    assert!(changes.next().await.unwrap().is_refreshing());
    server.refresh_requests().arrived(1).await;
    assert_pending!(task::spawn(changes.next()).poll());

    server.refresh_requests().open();
    let mut states = Vec::new();
    while states.last().is_none_or(|state: &Status| state.is_refreshing()) {
        states.push(changes.next().await.unwrap());
    }
    assert_eq!(request.await.unwrap(), StatusCode::OK);
    assert!(states.last().unwrap().is_ready());
    // Published while the flight was still in hand, then landed; or both at once.
    assert!(states.len() <= 2, "{states:?}");

    // Requests that change nothing tell nothing.
    run_pending_tasks().await;
    let mut next = task::spawn(changes.next());
    assert_pending!(next.poll());
    assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
    assert_pending!(next.poll());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_who_was_away_misses_what_lies_between_and_never_the_newest() {
    let server = Server::new();
    let credentials = good(&server).await;
    let mut changes = credentials.subscribe();
    changes.next().await.unwrap();
    for _ in 0..100 {
        credentials.sign_out().await.unwrap();
        credentials.log_in(server.bare_tokens()).await.unwrap();
    }
    credentials.sign_out().await.unwrap();
    let state = assert_ready!(task::spawn(changes.next()).poll()).unwrap();
    assert!(state.is_login_required());
    assert_pending!(task::spawn(changes.next()).poll());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_lost_between_threads() {
    let server = Server::new();
    let credentials = good(&server).await;
    for round in 0..200 {
        let mut changes = credentials.subscribe();
        assert!(!changes.next().await.unwrap().is_login_required(), "round {round}");
        let signing_out = tokio::spawn({
            let credentials = credentials.clone();
            async move { credentials.sign_out().await }
        });
        while !changes.next().await.unwrap().is_login_required() {}
        signing_out.await.unwrap().unwrap();
        credentials.log_in(server.bare_tokens()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_for_a_change_leaves_the_change_for_the_next() {
    let server = Server::new();
    let credentials = good(&server).await;
    let mut changes = credentials.subscribe();
    changes.next().await.unwrap();
    assert_pending!(task::spawn(changes.next()).poll());
    credentials.sign_out().await.unwrap();
    assert!(changes.next().await.unwrap().is_login_required());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_keeps_no_credential_alive_and_ends_with_it() {
    let server = Server::new();
    let credentials = good(&server).await;
    let mut changes = credentials.subscribe();
    changes.next().await.unwrap();
    let waiting = tokio::spawn(async move { changes.next().await });
    run_pending_tasks().await;
    let mut late = credentials.subscribe();
    drop(credentials);
    assert!(waiting.await.unwrap().is_none());
    assert!(late.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn p5_no_state_shows_a_secret() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    let mut changes = credentials.subscribe();
    let mut shown = String::new();
    store.faults(Op::Save, [Fault::Fails; 3]);
    server.next_answers([RefreshAnswer::Quoted, RefreshAnswer::Quoted, RefreshAnswer::Quoted]);
    for _ in 0..3 {
        credentials.refresh(Provider).await.ok();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let state = credentials.status();
        shown += &format!("{state} {state:?} {state:#?} {changes:?} {:?}", changes.next().await);
    }
    assert!(shown.contains("failing since") && !shown.contains(SECRET), "{shown}");
}

/// A subscriber of events that asks for the credential's status at each of them.
#[derive(Clone, Default)]
struct Asking {
    of: Arc<OnceLock<Credentials>>,
    asked: Arc<AtomicUsize>,
}

impl<S: Subscriber> Layer<S> for Asking {
    fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
        if let Some(credentials) = self.of.get() {
            credentials.status();
            self.asked.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn p2_subscriber_of_events_that_asks_for_the_status_stops_nothing() {
    let asking = Asking::default();
    let (asked, of) = (Arc::clone(&asking.asked), Arc::clone(&asking.of));
    let (ended, has_ended) = mpsc::channel();
    // A thread of its own: what would wait for itself here could not be given up.
    thread::spawn(move || {
        let _second = Dispatch::new(NoSubscriber::new());
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(asking));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answered = runtime.block_on(async {
            let server = Server::new();
            let store = Store::with_tokens(server.expired_tokens());
            let credentials = builder(&server).store(store.clone()).build().await.unwrap();
            of.set(credentials.clone()).unwrap();
            store.faults(Op::Save, [Fault::Fails]);
            let answered = status(&client(&credentials, &server)).await;
            credentials.flush().await.unwrap();
            credentials.sign_out().await.unwrap();
            credentials.shutdown().await.unwrap();
            answered
        });
        ended.send(answered).unwrap();
    });
    let answered =
        has_ended.recv_timeout(Duration::from_secs(60)).expect("nothing waits for itself");
    assert_eq!(answered, StatusCode::OK);
    assert!(asked.load(Ordering::SeqCst) > 3);
}

#[tokio::test(start_paused = true)]
async fn states_are_equal_while_a_failure_is_the_same_and_differ_after_the_next() {
    let server = Server::new();
    server.every_answer(RefreshAnswer::Refused);
    let credentials = expired(&server).await;
    let mut before = None;
    for _ in 0..2 {
        credentials.refresh(RequestMode::Provider).await.unwrap_err();
        let failed = credentials.status();
        assert_eq!(failed, credentials.status());
        assert!(failed.failure().is_some());
        assert_ne!(before.replace(failed.clone()), Some(failed));
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
}
