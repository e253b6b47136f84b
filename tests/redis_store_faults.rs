//! `RedisStore` when Redis is gone, slow, closed to it, or back again.

#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/relay.rs"]
mod relay;
#[path = "support/tokens.rs"]
mod tokens;
#[path = "support/witness.rs"]
mod witness;

use std::error::Error as _;
use std::time::Duration;

use redis_server::{RedisServer, free_port, until};
use relay::{Hold, Relay};
use tokens::rotated;
use tower_teamup_auth::store::{RedisStore, StoreError, TokenStore};

fn store_at(url: String) -> RedisStore {
    RedisStore::builder(url, "user-1").build().unwrap()
}

/// All that an error says, its sources included.
fn told(error: &StoreError) -> String {
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source} / {error:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_works_again_as_soon_as_redis_is_back() {
    let mut server = RedisServer::start();
    let store = store_at(server.url());
    let lease = store.lock().await.unwrap();
    store.save(&lease, None, &rotated(0)).await.unwrap();

    for end in [RedisServer::kill, RedisServer::stop] {
        end(&mut server);
        for error in [
            store.load().await.unwrap_err(),
            store.lock().await.unwrap_err(),
            store.save(&lease, Some(0), &rotated(1)).await.unwrap_err(),
            store.clear(&lease).await.unwrap_err(),
            store.check().await.unwrap_err(),
        ] {
            let told = told(&error);
            assert!(!error.is_conflict() && !error.is_unreadable(), "{told}");
            assert!(told.contains(&format!("127.0.0.1:{}", server.port())), "{told}");
            assert!(told.contains("refused"), "{told}");
        }

        server.restart();
        assert_eq!(store.load().await.unwrap(), None, "it has lost what it held");
        assert!(store.save(&lease, Some(0), &rotated(1)).await.unwrap_err().is_conflict());
        store.save(&lease, None, &rotated(1)).await.unwrap();
        assert_eq!(store.load().await.unwrap(), Some(rotated(1)));
    }
    drop(lease);
    let _lease = store.lock().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_redis_closed_meanwhile_costs_no_call() {
    let server = RedisServer::start();
    let store = store_at(server.url());
    let lease = store.lock().await.unwrap();
    for revision in 0..4_u64 {
        server.query::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let over = revision.checked_sub(1);
        store.save(&lease, over, &rotated(revision)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_does_not_answer_is_not_waited_for_longer_than_said() {
    let server = RedisServer::start();
    let store = RedisStore::builder(server.url(), "user-1")
        .timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let lease = store.lock().await.unwrap();
    store.save(&lease, None, &rotated(0)).await.unwrap();

    server.pause();
    // The first finds a connection, the others can't make one.
    for _ in 0..2 {
        for error in [
            store.load().await.unwrap_err(),
            store.lock().await.unwrap_err(),
            store.save(&lease, Some(0), &rotated(1)).await.unwrap_err(),
        ] {
            let told = told(&error);
            assert!(told.contains("no answer within 200ms"), "{told}");
            assert!(!error.is_conflict() && !error.is_unreadable(), "{told}");
        }
    }
    server.resume();

    // What was sent to the paused server may have been carried out: saving it again is safe.
    until_saved(&store, &lease).await;
    assert_eq!(store.load().await.unwrap(), Some(rotated(1)));
    drop(lease);
    let _lease = store.lock().await.unwrap();
}

/// The resumed server may need longer than the short limit for its first answer.
async fn until_saved(store: &RedisStore, lease: &<RedisStore as TokenStore>::Lease) {
    for _ in 0..50 {
        match store.save(lease, Some(0), &rotated(1)).await {
            Ok(()) => return,
            Err(error) => assert!(!error.is_conflict(), "{error:?}"),
        }
    }
    panic!("the store does not work again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_answers_stopped_coming_is_not_used_again() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port());
    let store = RedisStore::builder(relay.url(), "user-1")
        .timeout(Duration::from_millis(500))
        .build()
        .unwrap();
    relay.hold(Hold::Answer, "HGETALL");
    let told = told(&store.load().await.unwrap_err());
    assert!(told.contains("no answer within 500ms"), "{told}");
    assert_eq!(store.load().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_whose_answer_was_lost_is_a_save() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port());
    let store = store_at(relay.url());
    let lease = store.lock().await.unwrap();
    relay.hold(Hold::Answer, "HSET");
    let saving = {
        let store = store.clone();
        tokio::spawn(async move { store.save(&lease, None, &rotated(0)).await })
    };
    relay.wait_until_held();
    assert_eq!(store_at(server.url()).load().await.unwrap(), Some(rotated(0)));
    relay.cut();
    saving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_save_leaves_the_old_tokens_or_the_new() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port());
    let store = store_at(relay.url());
    let beside = store_at(server.url());
    let lease = std::sync::Arc::new(store.lock().await.unwrap());
    store.save(&lease, None, &rotated(0)).await.unwrap();
    for (hold, held) in [(Hold::Request, rotated(0)), (Hold::Answer, rotated(1))] {
        relay.hold(hold, "HSET");
        let (store, lease) = (store.clone(), lease.clone());
        let saving =
            tokio::spawn(async move { store.save(&lease, Some(0), &rotated(1)).await.unwrap() });
        relay.wait_until_held();
        saving.abort();
        assert!(saving.await.unwrap_err().is_cancelled());
        assert_eq!(beside.load().await.unwrap(), Some(held));
        relay.cut();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_a_refused_password_is_not_repeated() {
    let server = RedisServer::start_with(&["--requirepass", "s3cret-right"]);
    let url = |user_info: &str| format!("redis://{user_info}127.0.0.1:{}/3", server.port());
    for user_info in ["", ":s3cret-wrong@", "nobody:s3cret-wrong@"] {
        for protocol in ["resp2", "resp3"] {
            let url = format!("{}?protocol={protocol}", url(user_info));
            let told = told(&store_at(url).load().await.unwrap_err());
            assert!(!told.contains("s3cret"), "{told}");
            let why = ["uthentication", "NOAUTH", "invalid username-password"];
            assert!(why.iter().any(|why| told.contains(why)), "{told}");
        }
    }

    let right = url(":s3cret-right@");
    let store = RedisStore::connect(right.clone(), "user-1").await.unwrap();
    assert!(!format!("{store:?}").contains("s3cret"));
    store.save(&store.lock().await.unwrap(), None, &rotated(0)).await.unwrap();
    // In the database that the URL names.
    assert!(server.query_as::<bool>(&right, &["EXISTS", "tower-teamup-auth:{user-1}"]));
}

fn is_held(server: &RedisServer) -> bool {
    server.query(&["EXISTS", "tower-teamup-auth:{user-1}:lease"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_takes_no_writes_is_found_out_before_the_first_rotation() {
    let primary = RedisServer::start();
    let port = primary.port().to_string();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]);
    let error = RedisStore::connect(replica.url(), "user-1").await.unwrap_err();
    assert!(error.is_store());
    let told = format!("{error:?}");
    assert!(told.contains("read only replica"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_followed_by_the_name_that_leads_to_the_new_primary() {
    let at_once = ["--repl-diskless-sync-delay", "0"];
    let (old, new) = (RedisServer::start_with(&at_once), RedisServer::start_with(&at_once));
    let name = Relay::to(old.port());
    let store = store_at(name.url());
    let lease = store.lock().await.unwrap();
    store.save(&lease, None, &rotated(0)).await.unwrap();

    // The old primary keeps its connections, and has become a replica.
    new.query::<()>(&["REPLICAOF", "127.0.0.1", &old.port().to_string()]);
    until("the new primary has what the old one had", || {
        new.query::<bool>(&["EXISTS", "tower-teamup-auth:{user-1}"])
    });
    new.query::<()>(&["REPLICAOF", "NO", "ONE"]);
    old.query::<()>(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    name.lead_to(new.port());

    store.save(&lease, Some(0), &rotated(1)).await.unwrap();
    assert_eq!(store_at(new.url()).load().await.unwrap(), Some(rotated(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_than_redis_is_named_as_such() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let not_redis = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let store = store_at(format!("redis://127.0.0.1:{port}"));
    let told = told(&store.load().await.unwrap_err());
    assert!(told.contains("form that was not expected"), "{told}");
    not_redis.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_the_address_is_said_at_once() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let error = RedisStore::connect(url, "user-1").await.unwrap_err();
    assert!(error.is_store() && error.is_transient());
    assert!(format!("{error:?}").contains("refused"), "{error:?}");
}

#[test]
fn a_store_outlives_the_runtime_that_it_first_ran_in() {
    let server = RedisServer::start();
    let store = store_at(server.url());
    for revision in 0..3_u64 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let over = revision.checked_sub(1);
        runtime.block_on(async {
            let lease = store.lock().await.unwrap();
            store.save(&lease, over, &rotated(revision)).await.unwrap();
            drop(lease);
            until("the lease is given back", || !is_held(&server));
        });
    }
}
