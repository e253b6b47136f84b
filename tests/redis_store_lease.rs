//! The lease of `RedisStore`: exclusive, renewed, given back, and no loss when it is lost.

#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/relay.rs"]
mod relay;
#[path = "support/tokens.rs"]
mod tokens;
#[path = "support/witness.rs"]
mod witness;

use std::sync::mpsc;
use std::time::Duration;

use redis_server::{RedisServer, until};
use relay::{Hold, Relay};
use tokens::rotated_by;
use tokio::runtime::Runtime;
use tokio_test::{assert_pending, assert_ready, task};
use tower_teamup_auth::store::{RedisLease, RedisStore, TokenStore};

const LEASE: &str = "tower-teamup-auth:{user-1}:lease";

/// A store whose lease runs out within a test only if the test makes it.
fn store_at(url: String) -> RedisStore {
    store_for(url, Duration::from_secs(3600))
}

fn store_for(url: String, lifetime: Duration) -> RedisStore {
    RedisStore::builder(url, "user-1").lease_lifetime(lifetime).build().unwrap()
}

/// Takes the lease in a runtime that ends at once: what a process leaves behind that is killed.
fn lease_of_the_dead(store: &RedisStore) -> RedisLease {
    let runtime = Runtime::new().unwrap();
    let lease = runtime.block_on(store.lock()).unwrap();
    runtime.shutdown_background();
    lease
}

/// Lets the lease run out now instead of later.
fn expire_lease(server: &RedisServer) {
    assert!(server.query::<bool>(&["PEXPIRE", LEASE, "1"]));
    until("the lease has run out", || !is_held(server));
}

fn is_held(server: &RedisServer) -> bool {
    server.query(&["EXISTS", LEASE])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_lease_is_waited_for() {
    let server = RedisServer::start();
    let (one, other) = (store_at(server.url()), store_at(server.url()));
    let (tell, told) = mpsc::channel();

    let lease = one.lock().await.unwrap();
    let asked_before = server.calls("eval");
    let tell_other = tell.clone();
    let waiting = tokio::spawn(async move {
        let lease = other.lock().await.unwrap();
        tell_other.send("granted").unwrap();
        lease
    });
    until("the other one has asked and asked again", || server.calls("eval") >= asked_before + 3);
    tell.send("dropped").unwrap();
    drop(lease);

    let lease = waiting.await.unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["dropped", "granted"]);
    assert!(is_held(&server));
    drop(lease);
    until("the lease is given back", || !is_held(&server));
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_of_two_credentials_do_not_block_each_other() {
    let server = RedisServer::start();
    let store = store_at(server.url());
    let _lease = store.lock().await.unwrap();
    let _other = store.with_key("user-2").unwrap().lock().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_holder_renews_its_lease() {
    let server = RedisServer::start();
    let store = store_for(server.url(), Duration::from_secs(1));
    let lease = store.lock().await.unwrap();
    let left = || server.query::<i64>(&["PTTL", LEASE]);
    // Nothing but a renewal lets the time that is left grow.
    let mut before = left();
    for _ in 0..3 {
        until("the lease is renewed", || {
            let now = left();
            assert!(now > 0, "the lease ran out");
            let grew = now > before;
            before = now;
            grew
        });
    }
    assert!(store.is_held(&lease));
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_lease_that_redis_forgot_is_taken_again_by_its_holder_and_counts_as_lost() {
    let server = RedisServer::start();
    let store = store_for(server.url(), Duration::from_secs(1));
    let lease = store.lock().await.unwrap();
    let owner: String = server.query(&["GET", LEASE]);
    server.query::<()>(&["FLUSHALL"]);
    until("the lease is back", || is_held(&server));
    assert_eq!(server.query::<String>(&["GET", LEASE]), owner);
    assert!(!store.is_held(&lease), "somebody may have had it in the meantime");
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_lease_that_somebody_else_has_is_not_held() {
    let server = RedisServer::start();
    let store = store_for(server.url(), Duration::from_secs(1));
    let lease = store.lock().await.unwrap();
    server.query::<()>(&["SET", LEASE, "somebody else", "PX", "3600000"]);
    until("the holder has learnt it", || !store.is_held(&lease));
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_lease_that_could_not_be_renewed_for_its_lifetime_is_not_held() {
    let server = RedisServer::start();
    let store = store_for(server.url(), Duration::from_secs(1));
    let lease = store.lock().await.unwrap();
    server.pause();
    until("the lifetime is over", || !store.is_held(&lease));
    server.resume();
}

#[test]
fn p2_a_lease_whose_renewal_has_ended_is_held_until_its_lifetime_is_over() {
    let server = RedisServer::start();
    let store = store_for(server.url(), Duration::from_secs(1));
    let lease = lease_of_the_dead(&store);
    until("Redis has let go of it", || !is_held(&server));
    until("and so has its holder", || !store.is_held(&lease));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_gives_back_its_own_lease_only() {
    let server = RedisServer::start();
    let store = store_at(server.url());
    let lease = store.lock().await.unwrap();
    server.query::<()>(&["SET", LEASE, "somebody else", "PX", "3600000"]);
    let asked_before = server.calls("eval");
    drop(lease);
    until("the lease was to be given back", || server.calls("eval") > asked_before);
    assert_eq!(server.query::<String>(&["GET", LEASE]), "somebody else");
}

#[test]
fn a_dead_holders_lease_runs_out() {
    let server = RedisServer::start();
    let _dead = lease_of_the_dead(&store_at(server.url()));
    assert!(is_held(&server));
    expire_lease(&server);
    let _lease = Runtime::new().unwrap().block_on(store_at(server.url()).lock()).unwrap();
}

#[test]
fn a_lease_without_a_lifetime_is_given_one() {
    let server = RedisServer::start();
    let _dead = lease_of_the_dead(&store_at(server.url()));
    assert!(server.query::<bool>(&["PERSIST", LEASE]));
    let runtime = Runtime::new().unwrap();
    let store = store_at(server.url());
    let waiting = runtime.spawn(async move { store.lock().await });
    until("the lease has a lifetime", || server.query::<i64>(&["PTTL", LEASE]) > 0);
    assert!(server.query::<bool>(&["PEXPIRE", LEASE, "1"]));
    runtime.block_on(waiting).unwrap().unwrap();
}

#[test]
fn p2_a_holder_that_lost_its_lease_does_not_overwrite_what_another_has_saved() {
    let server = RedisServer::start();
    let (one, other) = (store_at(server.url()), store_at(server.url()));
    let lost = lease_of_the_dead(&one);
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        one.save(&lost, None, &rotated_by("one", 0)).await.unwrap();
        expire_lease(&server);
        let lease = other.lock().await.unwrap();
        other.save(&lease, Some(0), &rotated_by("other", 1)).await.unwrap();

        let error = one.save(&lost, Some(0), &rotated_by("one", 1)).await.unwrap_err();
        assert!(error.is_conflict(), "{error:?}");
        assert_eq!(one.load().await.unwrap(), Some(rotated_by("other", 1)));
        // The one that has the lease goes on undisturbed.
        drop(lost);
        other.save(&lease, Some(1), &rotated_by("other", 2)).await.unwrap();
        assert!(is_held(&server));
    });
}

#[test]
fn p2_a_holder_that_lost_its_lease_saves_what_it_rotated_if_nobody_else_has() {
    let server = RedisServer::start();
    let (one, other) = (store_at(server.url()), store_at(server.url()));
    let lost = lease_of_the_dead(&one);
    Runtime::new().unwrap().block_on(async {
        one.save(&lost, None, &rotated_by("one", 0)).await.unwrap();
        expire_lease(&server);
        let lease = other.lock().await.unwrap();

        one.save(&lost, Some(0), &rotated_by("one", 1)).await.unwrap();
        // The other one finds it: its own exchange was refused, or its own write comes too late.
        assert_eq!(other.load().await.unwrap(), Some(rotated_by("one", 1)));
        let error = other.save(&lease, Some(0), &rotated_by("other", 1)).await.unwrap_err();
        assert!(error.is_conflict(), "{error:?}");
    });
}

#[test]
fn a_holder_that_lost_its_lease_does_not_clear_under_another_ones_hands() {
    let server = RedisServer::start();
    let (one, other) = (store_at(server.url()), store_at(server.url()));
    let lost = lease_of_the_dead(&one);
    Runtime::new().unwrap().block_on(async {
        one.save(&lost, None, &rotated_by("one", 0)).await.unwrap();
        expire_lease(&server);
        let lease = other.lock().await.unwrap();
        let error = one.clear(&lost).await.unwrap_err();
        assert!(!error.is_conflict() && !error.is_unreadable(), "{error:?}");
        assert_eq!(other.load().await.unwrap(), Some(rotated_by("one", 0)));
        other.clear(&lease).await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_stops_waiting_leaves_nothing_taken() {
    let server = RedisServer::start();
    let (one, other) = (store_at(server.url()), store_at(server.url()));
    let lease = one.lock().await.unwrap();
    let asked_before = server.calls("eval");
    let waiting = tokio::spawn(async move { other.lock().await.map(drop) });
    until("the other one has asked", || server.calls("eval") > asked_before);
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());

    drop(lease);
    until("the lease is given back", || !is_held(&server));
    let _lease = one.lock().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_dropped_while_the_lease_is_being_granted_gives_it_back() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port());
    let store = store_at(relay.url());
    assert_eq!(store.load().await.unwrap(), None);

    relay.hold(Hold::Answer, "PTTL");
    let locking = tokio::spawn(async move { store.lock().await.map(drop) });
    relay.wait_until_held();
    assert!(is_held(&server), "Redis has granted the lease");
    locking.abort();
    assert!(locking.await.unwrap_err().is_cancelled());
    relay.let_pass();
    until("the lease is given back", || !is_held(&server));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_grant_was_lost_on_the_way_is_held_all_the_same() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port());
    let store = store_at(relay.url());
    relay.hold(Hold::Answer, "PTTL");
    let locking = tokio::spawn(async move { store.lock().await });
    relay.wait_until_held();
    assert!(is_held(&server), "Redis has granted the lease");
    relay.cut();
    let lease = locking.await.unwrap().unwrap();
    drop(lease);
    until("the lease is given back", || !is_held(&server));
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_lease_on_its_way_back_can_be_waited_for() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port());
    let store = store_at(relay.url());
    let lease = store.lock().await.unwrap();
    assert_ready!(task::spawn(store.settle()).poll());

    relay.hold(Hold::Request, "DEL");
    drop(lease);
    // Before the task that gives it back has even noticed, and a clone is the same store.
    let clone = store.clone();
    let mut settling = [task::spawn(store.settle()), task::spawn(clone.settle())];
    for settling in &mut settling {
        assert_pending!(settling.poll());
    }
    assert_ready!(task::spawn(store.with_key("user-2").unwrap().settle()).poll());
    relay.wait_until_held();
    assert!(is_held(&server));
    for settling in &mut settling {
        assert_pending!(settling.poll());
    }
    relay.let_pass();
    for settling in settling {
        settling.await;
    }
    assert!(!is_held(&server));
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_lease_that_nobody_waited_for_to_the_end_is_waited_for_on_its_way_back() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port());
    let store = store_at(relay.url());
    relay.hold(Hold::Answer, "PTTL");
    let mut locking = task::spawn(store.lock());
    assert_pending!(locking.poll());
    relay.wait_until_held();
    assert!(is_held(&server), "Redis has granted the lease");
    drop(locking);
    let mut settling = task::spawn(store.settle());
    assert_pending!(settling.poll());
    relay.let_pass();
    settling.await;
    assert!(!is_held(&server));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_redis_can_not_take_back_is_waited_for_until_it_has_run_out() {
    let mut server = RedisServer::start();
    let store = store_for(server.url(), Duration::from_secs(1));
    let lease = store.lock().await.unwrap();
    server.kill();
    drop(lease);
    let mut settling = task::spawn(store.settle());
    assert_pending!(settling.poll());
    settling.await;
}

#[test]
fn a_lease_whose_runtime_has_ended_is_not_waited_for() {
    let server = RedisServer::start();
    let store = store_at(server.url());
    drop(lease_of_the_dead(&store));
    // Its threads end on their own.
    let mut settling = task::spawn(store.settle());
    until("the store has settled", || settling.poll().is_ready());
}
