//! A9, A11, A12: a runtime or a task goes away in the middle of something.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Runtime;
use tower_teamup_auth::store::{RedisStore, TokenStore};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Auth, Credentials, RefreshStep};

use crate::redis_server::RedisServer;
use crate::scene::{Gate, MODE, Place, api_of, gate};
use crate::support::{Http, Protocol, credentials, expired_tokens, status};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// What the endpoint takes in A9 and A13.
const A_WHILE: Duration = Duration::from_millis(300);

#[test]
fn a9_with_a_runtime_for_each_call_the_first_call_waits_for_the_refresh_that_it_starts() {
    let server = FakeTeamUp::start_blocking();
    let place = Place::new();
    let clock = Clock::tokio();
    let (credentials, api) = runtime().block_on(async {
        let builder = credentials(&server, &Protocol::Http1.client()).store(place.store());
        let builder = builder.clock(clock.clone()).tokens(server.issue_tokens(&[MODE]));
        let credentials = builder.build().await.unwrap();
        (credentials.clone(), api_of(&credentials))
    });
    for round in 1..=3 {
        into_the_last_minute(&clock, &credentials);
        server.fail_refresh(Fault::delay(A_WHILE));
        assert_eq!(runtime().block_on(status(&api, &server, "first")), 200);
        assert_eq!((server.refresh_requests(), server.rotations()), (round, round));
        let stored = runtime().block_on(place.refresh_token());
        assert_eq!(runtime().block_on(status(&api, &server, "next")), 200);
        assert_eq!(server.refresh_requests(), round, "{}", server.journal());
        assert_eq!(runtime().block_on(place.refresh_token()), stored);
    }
    assert_eq!((server.double_spends(), server.unauthorized()), (0, 0), "{}", server.journal());
    runtime().block_on(credentials.shutdown()).unwrap();
}

#[test]
fn a9_with_a_runtime_for_each_call_an_expired_and_a_refused_token_are_replaced_too() {
    let server = FakeTeamUp::start_blocking();
    let place = Place::new();
    let api = runtime().block_on(async {
        let builder = credentials(&server, &Protocol::Http1.client()).store(place.store());
        api_of(&builder.tokens(expired_tokens(&server)).build().await.unwrap())
    });
    for round in 1..=3 {
        server.fail_refresh(Fault::delay(A_WHILE));
        for caller in ["first", "next"] {
            assert_eq!(runtime().block_on(status(&api, &server, caller)), 200);
            assert_eq!((server.refresh_requests(), server.rotations()), (round, round));
        }
        server.expire_access_tokens();
    }
    assert_eq!(server.double_spends(), 0, "{}", server.journal());
}

/// Moves the wall clock so that the token has 60 seconds left.
fn into_the_last_minute(clock: &Clock, credentials: &Credentials) {
    clock.shift_wall_back(Duration::ZERO);
    let until = credentials.status().ready_until().expect("a ready token");
    let shown = until.duration_since(crate::time::wall_time()).unwrap();
    let shifted = SHIFTED.with(|shifted| {
        let now = shown - Duration::from_secs(60);
        let further = now - shifted.get();
        shifted.set(now);
        further
    });
    clock.shift_wall(shifted);
}

thread_local! {
    /// How far the clock of this test has been shifted.
    static SHIFTED: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) };
}

/// Polls once; what is polled has to wait.
fn has_to_wait(future: std::pin::Pin<&mut impl Future>) {
    let polled = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending), "it did not wait for the save");
}

/// A runtime of a program that asks for a token, and whose save of the new pair stands at a gate.
struct Saving {
    server: FakeTeamUp,
    place: Place,
    credentials: Credentials,
    api: Auth<Http>,
    gate: Gate,
}

fn saving(step: &'static str) -> Saving {
    let server = FakeTeamUp::start_blocking();
    let place = Place::new();
    let (gate, stop) = gate();
    // The seed's own save is over when the credential is built.
    let built = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_built = std::sync::Arc::clone(&built);
    let store = place.store().on_save_step(move |at| {
        if is_built.load(std::sync::atomic::Ordering::SeqCst) && format!("{at:?}") == step {
            stop();
        }
    });
    let (credentials, api) = runtime().block_on(async {
        let builder = credentials(&server, &Protocol::Http1.client()).store(store);
        let credentials = builder.tokens(expired_tokens(&server)).build().await.unwrap();
        (credentials.clone(), api_of(&credentials))
    });
    built.store(true, std::sync::atomic::Ordering::SeqCst);
    Saving { server, place, credentials, api, gate }
}

#[test]
fn a11_after_a_runtime_was_dropped_during_a_save_shutdown_is_ok_only_with_the_pair_in_the_store() {
    for step in ["Begun", "Written", "Renamed"] {
        let Saving { server, place, credentials, api, gate } = saving(step);
        let dropped = runtime();
        let refresh = credentials.clone();
        dropped.spawn(async move { refresh.refresh(MODE).await });
        gate.reached();
        assert_eq!(server.rotations(), 1);
        dropped.shutdown_background();

        runtime().block_on(async {
            let mut shutdown = pin!(credentials.shutdown());
            has_to_wait(shutdown.as_mut());
            gate.open();
            shutdown.await.unwrap();
            let live = place.refresh_token().await;
            assert_eq!(status(&api, &server, "with the token that came").await, 200, "{step}");
            // Another process goes on with what the store holds.
            let heir = crate::scene::process_on(&server, &place).await;
            heir.refresh(MODE).await.unwrap();
            assert_ne!(place.refresh_token().await, live);
        });
        assert_eq!((server.refresh_requests(), server.rotations()), (2, 2), "{step}");
        assert_eq!(server.double_spends(), 0, "{step}: {}", server.journal());
    }
}

#[test]
fn a11_after_a_runtime_was_dropped_with_a_save_on_its_way_to_redis_shutdown_saves_the_pair() {
    let server = FakeTeamUp::start_blocking();
    let redis = std::sync::Arc::new(RedisServer::start());
    let store = || RedisStore::builder(redis.url(), "user-1").build().unwrap();
    let (gate, stop) = gate();
    let stopped = std::sync::Arc::clone(&redis);
    let credentials = runtime().block_on(async {
        let builder = credentials(&server, &Protocol::Http1.client()).store(store());
        let builder = builder.at_each_step(move |step| {
            if step == RefreshStep::Answered {
                // The save that follows is sent and not answered.
                stopped.pause();
                stop();
            }
        });
        builder.tokens(expired_tokens(&server)).build().await.unwrap()
    });
    let dropped = runtime();
    let refresh = credentials.clone();
    dropped.spawn(async move { refresh.refresh(MODE).await });
    gate.reached();
    gate.open();
    dropped.shutdown_background();
    redis.resume();

    runtime().block_on(async {
        credentials.shutdown().await.unwrap();
        let record = store().load().await.unwrap().expect("a record");
        assert_eq!(record.revision(), 2);
        let heir = crate::support::credentials(&server, &Protocol::Http1.client());
        let heir = heir.store(store()).build().await.unwrap();
        heir.refresh(MODE).await.unwrap();
    });
    assert_eq!((server.refresh_requests(), server.rotations()), (2, 2), "{}", server.journal());
    assert_eq!(server.double_spends(), 0, "{}", server.journal());
}

#[test]
fn a12_after_a_login_was_cancelled_during_its_save_shutdown_is_ok_only_with_it_in_the_store() {
    let Saving { server, place, credentials, api, gate } = saving("Written");
    let tokens = server.issue_tokens_to("second", &[MODE]);
    let refresh_token = tokens.refresh_token().clone();
    let runtime = runtime();
    let login = credentials.clone();
    let login = runtime.spawn(async move { login.log_in(tokens).await });
    gate.reached();
    runtime.block_on(async {
        login.abort();
        assert!(login.await.unwrap_err().is_cancelled());
        let mut shutdown = pin!(credentials.shutdown());
        has_to_wait(shutdown.as_mut());
        gate.open();
        shutdown.await.unwrap();
        assert_eq!(place.refresh_token().await, refresh_token.expose());
        assert_eq!(status(&api, &server, "as the second").await, 200);
    });
    assert_eq!(server.journal().entries()[0].account(), Some("second"));
}

#[test]
fn a12_after_a_sign_out_was_cancelled_during_its_save_shutdown_is_ok_only_with_it_in_the_store() {
    let Saving { place, credentials, gate, .. } = saving("Written");
    let runtime = runtime();
    let ends = credentials.clone();
    let ends = runtime.spawn(async move { ends.sign_out().await });
    gate.reached();
    runtime.block_on(async {
        ends.abort();
        assert!(ends.await.unwrap_err().is_cancelled());
        let mut shutdown = pin!(credentials.shutdown());
        has_to_wait(shutdown.as_mut());
        gate.open();
        shutdown.await.unwrap();
        assert!(place.record().await.is_signed_out());
    });
}
