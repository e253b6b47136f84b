//! The lease: exclusive among processes, never granted twice, and no loss when it is lost.

use std::ffi::OsString;
use std::time::Duration;

use tower_teamup_auth::store::{Expected, RedisStore, StoredRecord, TokenStore};

use crate::process::{OtherProcess, part, say, told as told_by_parent};
use crate::redis_server::{RedisServer, until};
use crate::relay::{Hold, Relay};
use crate::support::{KEY, LEASE, found, is_busy, lease, record, store_at};

/// The URL that this process was given, if it is a child.
fn url_of_child() -> Option<String> {
    part::<OsString>().map(|(_, url)| url.into_string().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_two_processes_with_equal_seeds_never_both_have_the_lease() {
    if let Some(url) = url_of_child() {
        // Whatever is drawn from the pseudo-random generator is the same in both.
        fastrand::seed(42);
        let store = store_at(url);
        let attempt = store.try_acquire().await.unwrap();
        say(if attempt.lease.is_some() { "granted" } else { "busy" });
        let _ = told_by_parent();
        return;
    }
    let server = RedisServer::start();
    let name = "lease::f6_two_processes_with_equal_seeds_never_both_have_the_lease";
    let first = OtherProcess::start(name, "child", &server.url());
    assert_eq!(first.hear(), "granted");
    let second = OtherProcess::start(name, "child", &server.url());
    assert_eq!(second.hear(), "busy");
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_processes_that_take_turns_lose_no_rotation() {
    const ROTATIONS: u64 = 10;
    if let Some(url) = url_of_child() {
        let store = store_at(url);
        say("ready");
        let _ = told_by_parent();
        for _ in 0..ROTATIONS {
            let attempt = loop {
                let attempt = store.try_acquire().await.unwrap();
                if attempt.lease.is_some() {
                    break attempt;
                }
                store.changed().await;
            };
            let lease = attempt.lease.clone().unwrap();
            let before = found(attempt);
            let next = record(before.as_ref().map_or(0, StoredRecord::revision) + 1, "n");
            store.save(&lease, Expected::found(before.as_ref()), &next).await.unwrap();
            store.release(lease).await.unwrap();
        }
        return;
    }
    let server = RedisServer::start();
    let name = "lease::p1_processes_that_take_turns_lose_no_rotation";
    let mut others = [(); 3].map(|()| OtherProcess::start(name, "child", &server.url()));
    for other in &mut others {
        assert_eq!(other.hear(), "ready");
    }
    for other in &mut others {
        other.go_on();
    }
    for other in others {
        other.passes();
    }
    let record = store_at(server.url()).load().await.unwrap().unwrap();
    assert_eq!(record.revision(), 3 * ROTATIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_comes_with_the_answer_granted_or_busy() {
    let server = RedisServer::start();
    let store = store_at(server.url());
    let attempt = store.try_acquire().await.unwrap();
    let lease = attempt.lease.clone().unwrap();
    assert_eq!(found(attempt), None);
    store.save(&lease, Expected::Empty, &record(1, "a")).await.unwrap();

    let before = server.calls("eval");
    let attempt = store.try_acquire().await.unwrap();
    assert!(attempt.lease.is_none());
    assert_eq!(found(attempt), Some(record(1, "a")));
    store.release(lease).await.unwrap();
    let attempt = store.try_acquire().await.unwrap();
    assert!(attempt.lease.is_some());
    assert_eq!(found(attempt), Some(record(1, "a")));
    assert_eq!(server.calls("eval"), before + 3, "one round trip each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_grant_was_lost_on_the_way_is_granted_all_the_same() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port());
    let store = store_at(relay.url());
    assert_eq!(store.load().await.unwrap(), None);
    relay.hold(Hold::Answer, "PTTL");
    let asking = {
        let store = store.clone();
        tokio::spawn(async move { store.try_acquire().await })
    };
    relay.wait_until_held();
    assert!(server.query::<bool>(&["EXISTS", LEASE]), "Redis has granted the lease");
    relay.cut();
    let lease = asking.await.unwrap().unwrap().lease.expect("the same grant, asked for again");
    assert!(is_busy(&store).await);
    store.release(lease).await.unwrap();
    assert!(!server.query::<bool>(&["EXISTS", LEASE]));
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_time_left_counts_from_before_the_request_was_sent() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port());
    let open = |url: String| {
        let builder = RedisStore::builder(url, "user-1").lease_lifetime(Duration::from_secs(60));
        builder.timeout(Duration::from_secs(20)).build().unwrap()
    };
    let store = open(relay.url());
    assert_eq!(store.load().await.unwrap(), None);
    relay.hold(Hold::Request, "PTTL");
    let asking = {
        let store = store.clone();
        tokio::spawn(async move { store.try_acquire().await.unwrap().lease.unwrap() })
    };
    relay.wait_until_held();
    // The request is on its way; the term in Redis begins when it arrives.
    let beside = open(server.url());
    let later = beside.with_key("another");
    let later_lease = lease(&later).await;
    let at_first = later.time_left(&later_lease).unwrap();
    until("the clock has moved", || {
        later.time_left(&later_lease).unwrap() + Duration::from_millis(50) < at_first
    });
    relay.let_pass();
    let lease = asking.await.unwrap();
    assert!(store.time_left(&lease).unwrap() <= later.time_left(&later_lease).unwrap());
    let left_in_redis = Duration::from_millis(server.query(&["PTTL", LEASE]));
    assert!(store.time_left(&lease).unwrap() < left_in_redis);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_without_an_end_is_given_one() {
    let server = RedisServer::start();
    let store = store_at(server.url());
    let lease = lease(&store).await;
    assert!(server.query::<bool>(&["PERSIST", LEASE]));
    assert!(is_busy(&store).await);
    assert!(server.query::<i64>(&["PTTL", LEASE]) > 0);
    store.renew(&lease).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_holder_that_lost_its_lease_saves_what_it_rotated_unless_another_has_saved() {
    let server = RedisServer::start();
    let (one, other) = (store_at(server.url()), store_at(server.url()));
    let lost = lease(&one).await;
    one.save(&lost, Expected::Empty, &record(1, "one")).await.unwrap();
    assert!(server.query::<bool>(&["PEXPIRE", LEASE, "1"]));
    until("the lease has run out", || !server.query::<bool>(&["EXISTS", LEASE]));
    assert!(one.renew(&lost).await.unwrap_err().is_lease_lost());

    let held = lease(&other).await;
    assert!(one.renew(&lost).await.unwrap_err().is_lease_lost());
    one.release(lost.clone()).await.unwrap();
    assert!(is_busy(&one).await, "a lost lease was given back in another's place");
    one.save(&lost, Expected::Revision(1), &record(2, "one")).await.unwrap();
    let error = other.save(&held, Expected::Revision(1), &record(2, "other")).await.unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    other.save(&held, Expected::Revision(2), &record(3, "other")).await.unwrap();
    let error = one.save(&lost, Expected::Revision(2), &record(3, "one")).await.unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    assert_eq!(one.load().await.unwrap(), Some(record(3, "other")));
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_redis_that_lost_its_data_takes_the_newest_record_again() {
    let mut server = RedisServer::start();
    let store = store_at(server.url());
    let held = lease(&store).await;
    store.save(&held, Expected::Empty, &record(4, "a")).await.unwrap();
    server.kill();
    assert!(store.load().await.unwrap_err().is_unavailable());
    server.restart();

    // Lost: the record and the lease. Not lost: what the holder has in memory.
    assert!(store.renew(&held).await.unwrap_err().is_lease_lost());
    let error = store.save(&held, Expected::Revision(4), &record(5, "b")).await.unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    assert_eq!(store.load().await.unwrap(), None);
    let held = lease(&store).await;
    store.save(&held, Expected::Empty, &record(5, "b")).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(record(5, "b")));
    assert!(server.query::<bool>(&["EXISTS", KEY]));
}
