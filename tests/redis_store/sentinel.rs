//! A failover by Sentinel to a replica that lacks the last write: what is lost, and what is not.

use tower_teamup_auth::store::{Expected, TokenStore};

use crate::conformance::through;
use crate::redis_server::{RedisSentinel, RedisServer, until};
use crate::relay::{Hold, Relay};
use crate::support::{KEY, lease, record, store_at, told};

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_failover_loses_the_last_write_and_the_holder_writes_it_again() {
    let mut primary = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]);
    // The primary's stream to its replica, in which what comes last can be held back.
    let stream = Relay::to(primary.port());
    let replica =
        RedisServer::start_with(&["--replicaof", "127.0.0.1", &stream.port().to_string()]);
    let sentinel = RedisSentinel::start(&primary);
    let store = store_at(through(&sentinel));
    let held = lease(&store).await;
    store.save(&held, Expected::Empty, &record(1, "a")).await.unwrap();
    until("the replica has the record", || replica.query::<bool>(&["EXISTS", KEY]));

    // The replica confirms once a second; nothing that the primary sends after that arrives.
    stream.hold(Hold::Answer, "ACK");
    let mut last = 1;
    loop {
        last += 1;
        store.save(&held, Expected::Revision(last - 1), &record(last, "b")).await.unwrap();
        let on_replica: u64 = replica.query(&["HGET", KEY, "revision"]);
        if on_replica < last && stream.is_holding() {
            break;
        }
        store.changed().await;
    }
    let kept: u64 = replica.query(&["HGET", KEY, "revision"]);
    primary.kill();
    stream.cut();
    until("Sentinel has made the replica the primary", || sentinel.primary() == replica.port());

    // Each operation asks Sentinel anew; one may still meet the replica before it takes writes.
    let mut tries = 0;
    let found = loop {
        match store.check().await {
            Ok(()) => break store.load().await.unwrap().unwrap(),
            Err(error) => assert!(error.is_unavailable() && tries < 100, "{}", told(&error)),
        }
        tries += 1;
        store.changed().await;
    };
    // Lost: the last write. Not lost: the record before, and what the holder has in memory.
    assert_eq!(found.revision(), kept);
    assert!(kept < last);
    let newest = record(last, "b");
    let error = store.save(&held, Expected::Revision(last), &newest).await.unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    store.save(&held, Expected::Revision(kept), &newest).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(newest));
    let _server = replica;
}
