//! B4, B6: what another process has saved is adopted.

use std::time::Duration;

use tokio::runtime::Runtime;
use tower_teamup_auth::store::{Expected, RedisStore, TokenStore};
use tower_teamup_auth::testing::{FakeTeamUp, Fault, SpentTokens};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Credentials, RefreshStep};

use crate::redis_server::{RedisServer, until};
use crate::scene::{Gate, MODE, Place, StandingClock, api_of, gate};
use crate::support::{Crowd, Protocol, credentials, expired_tokens, status};

const LEASE: &str = "tower-teamup-auth:{user-1}:lease";

fn store_on(redis: &RedisServer) -> RedisStore {
    RedisStore::builder(redis.url(), "user-1").build().unwrap()
}

/// A process on a key of Redis.
async fn process_on_redis(server: &FakeTeamUp, redis: &RedisServer) -> Credentials {
    let builder = credentials(server, &Protocol::Http1.client());
    builder.store(store_on(redis)).build().await.unwrap()
}

/// The refresh request of the first process arrives when a second one has rotated its token twice.
/// Its access token is refused already, if `refused`.
async fn adopts_after_its_token_was_refused(refused: bool) {
    let clock = StandingClock::start();
    let server = FakeTeamUp::builder().spent_tokens(SpentTokens::Refuse).start().await;
    let redis = RedisServer::start();
    let store = store_on(&redis);
    let lease = store.try_acquire().await.unwrap().lease.expect("nobody has the lease");
    store.save(&lease, Expected::Empty, &expired_tokens(&server).into()).await.unwrap();
    store.release(lease).await.unwrap();

    let first = process_on_redis(&server, &redis).await;
    let second = process_on_redis(&server, &redis).await;
    server.fail_refresh(Fault::delay(Duration::from_secs(20)));
    let refreshing = tokio::spawn({
        let first = first.clone();
        async move { first.refresh(MODE).await }
    });
    server.wait_for(|journal| journal.refresh_requests() == 1).await;
    // The first one's lease is lost, as if it had stood still for longer than it lasts.
    assert!(redis.query::<bool>(&["PEXPIRE", LEASE, "1"]));
    until("the lease has run out", || !redis.query::<bool>(&["EXISTS", LEASE]));
    for rotation in 1..=2 {
        clock.running(second.refresh(MODE)).await.unwrap();
        assert_eq!(server.rotations(), rotation);
    }
    if refused {
        server.expire_access_tokens();
    }
    clock.pass(21).await;
    clock.running(refreshing).await.unwrap().unwrap();
    assert_eq!(server.double_spends(), 1, "{}", server.journal());
    assert!(!first.status().is_login_required());

    let requests = server.refresh_requests();
    assert_eq!(requests, 3, "{}", server.journal());
    let last = async {
        assert_eq!(status(&api_of(&first), &server, "first").await, 200);
        let sent = server.refresh_requests();
        assert_eq!(sent, requests + usize::from(refused), "{}", server.journal());
        assert_eq!(status(&api_of(&second), &server, "second").await, 200);
        // Nobody has sent a spent token but in that one request.
        assert_eq!(server.double_spends(), 1, "{}", server.journal());
        first.shutdown().await.unwrap();
        second.shutdown().await.unwrap();
    };
    clock.running(last).await;
}

#[tokio::test]
async fn b4_process_whose_refresh_token_was_refused_adopts_the_good_pair_of_the_store() {
    adopts_after_its_token_was_refused(false).await;
}

#[tokio::test]
async fn b4_process_whose_refresh_token_was_refused_goes_on_refreshing_the_pair_that_it_adopts() {
    adopts_after_its_token_was_refused(true).await;
}

/// A process that stands still with the lock of the file, once its next pair is saved.
struct Holder {
    credentials: Credentials,
    /// It stands still on a runtime of its own.
    runtime: Runtime,
    gate: Gate,
}

async fn holder_on(server: &FakeTeamUp, place: &Place) -> Holder {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
    let (gate, stop) = gate();
    let builder = credentials(server, &Protocol::Http1.client()).store(place.store());
    let builder = builder.runtime(runtime.handle().clone()).at_each_step(move |step| {
        if step == RefreshStep::Saved {
            stop();
        }
    });
    Holder { credentials: builder.build().await.unwrap(), runtime, gate }
}

impl Holder {
    /// Has it refresh, until it stands there with the new pair saved and the lock held.
    fn saves_and_stands_still(&self) {
        let refresh = self.credentials.clone();
        self.runtime.spawn(async move { refresh.refresh(MODE).await });
        tokio::task::block_in_place(|| self.gate.reached());
    }

    fn ends(self) {
        self.gate.open();
        self.runtime.shutdown_background();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b6_fresh_token_is_adopted_while_the_holder_of_the_lock_stands_still() {
    let server = FakeTeamUp::start().await;
    let place = Place::new();
    let builder = credentials(&server, &Protocol::Http1.client()).store(place.store());
    let waits = builder.tokens(expired_tokens(&server)).build().await.unwrap();
    let holder = holder_on(&server, &place).await;
    holder.saves_and_stands_still();
    assert!(place.store().try_acquire().await.unwrap().lease.is_none(), "the lock is held");

    let crowd = Crowd::calling(10, &api_of(&waits), &server);
    assert!(crowd.outputs().await.iter().all(|status| *status == 200));
    assert!(place.store().try_acquire().await.unwrap().lease.is_none(), "the lock is still held");
    assert_eq!((server.refresh_requests(), server.double_spends()), (1, 0));
    holder.ends();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b6_token_that_is_saved_while_others_wait_for_the_lock_is_adopted() {
    let server = FakeTeamUp::start().await;
    let place = Place::new();
    let builder = credentials(&server, &Protocol::Http1.client()).store(place.store());
    let waits = builder.tokens(expired_tokens(&server)).build().await.unwrap();
    let holder = holder_on(&server, &place).await;
    let hold = server.hold_refresh();
    let saves = tokio::spawn(async move {
        holder.saves_and_stands_still();
        holder
    });
    hold.arrived(1).await;
    let crowd = Crowd::calling(10, &api_of(&waits), &server);
    crowd.called().await;
    hold.release();
    assert!(crowd.outputs().await.iter().all(|status| *status == 200));
    let holder = saves.await.unwrap();
    assert!(place.store().try_acquire().await.unwrap().lease.is_none(), "the lock is still held");
    assert_eq!((server.refresh_requests(), server.double_spends()), (1, 0));
    holder.ends();
}

#[tokio::test]
async fn b6_lock_that_nobody_gives_back_is_waited_for_as_long_as_the_limit_says() {
    let clock = StandingClock::start();
    let server = FakeTeamUp::start().await;
    let place = Place::new();
    let builder = credentials(&server, &Protocol::Http1.client()).store(place.store());
    let builder = builder.clock(Clock::tokio()).tokens(expired_tokens(&server));
    let waits = builder.build().await.unwrap();
    let _lease = place.store().try_acquire().await.unwrap().lease.expect("the lock is free");
    let api = api_of(&waits);
    let waiting = Crowd::of(1, |_| {
        let (api, request) = (api.clone(), crate::support::get(&server, "/echo", "waits"));
        async move { crate::support::why(crate::support::call(&api, request).await) }
    });
    waiting.called().await;
    clock.pass(31).await;
    let error = waiting.outputs().await.remove(0);
    assert!(error.is_transient() && !error.is_login_required(), "{error:?}");
    assert_eq!(server.refresh_requests(), 0);
}
