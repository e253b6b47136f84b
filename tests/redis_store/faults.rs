//! When Redis is gone, silent, closed to the store, or back again.

use tower_teamup_auth::store::{Expected, RedisStore, TokenStore};

use crate::redis_server::{RedisServer, free_port, until};
use crate::relay::{Hold, Relay};
use crate::support::{KEY, impatient, lease, record, store_at, told};

#[tokio::test(flavor = "multi_thread")]
async fn f4_an_idle_connection_that_was_forgotten_without_a_word_costs_one_reconnect() {
    let server = RedisServer::start();
    // Each operation is the first one after the silence, once.
    for operation in 0..6 {
        server.query::<()>(&["FLUSHALL"]);
        let relay = Relay::to(server.port());
        let store = impatient(relay.url());
        let held = lease(&store).await;
        store.save(&held, Expected::Empty, &record(1, "a")).await.unwrap();
        let before = connections(&server);

        // Nothing that is sent on this connection arrives any more, and nothing comes back.
        relay.hold(Hold::Request, "EVAL");
        match operation {
            0 => assert_eq!(store.load().await.unwrap(), Some(record(1, "a"))),
            1 => assert!(store.try_acquire().await.unwrap().lease.is_none()),
            2 => drop(store.renew(&held).await.unwrap()),
            3 => store.save(&held, Expected::Revision(1), &record(2, "b")).await.unwrap(),
            4 => store.delete(&held).await.unwrap(),
            _ => store.release(held).await.unwrap(),
        }
        relay.wait_until_held();
        assert_eq!(connections(&server) - before, 2, "one new connection, and the asker's own");
        relay.cut();
    }
}

/// How many connections Redis has accepted; the question is one more.
fn connections(server: &RedisServer) -> u64 {
    let statistics: String = server.query(&["INFO", "stats"]);
    let start = "total_connections_received:";
    statistics.lines().find_map(|line| line.strip_prefix(start)?.parse().ok()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn f4_a_connection_that_was_closed_meanwhile_costs_no_operation() {
    let server = RedisServer::start();
    let store = store_at(server.url());
    let lease = lease(&store).await;
    for revision in 1..4_u64 {
        server.query::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let expected =
            if revision == 1 { Expected::Empty } else { Expected::Revision(revision - 1) };
        store.save(&lease, expected, &record(revision, "a")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f5_a_command_that_the_acl_forbids_is_found_at_build() {
    let server = RedisServer::start();
    let url = format!("redis://app:s3cret-pw@127.0.0.1:{}", server.port());
    let allow = |rules: &[&str]| {
        let user = ["ACL", "SETUSER", "app", "reset", "on", ">s3cret-pw"];
        server.query::<()>(&[&user, rules].concat());
    };
    let keys = "~tower-teamup-auth:*";
    let commands = [
        "eval", "get", "set", "del", "pttl", "pexpire", "exists", "hget", "hset", "hgetall", "hdel",
    ];
    let needed: Vec<String> = commands.iter().map(|command| format!("+{command}")).collect();
    let needed: Vec<&str> = needed.iter().map(String::as_str).collect();

    // What the docs say is enough, is enough, for every operation.
    allow(&[&[keys, "+hello", "+client"][..], &needed].concat());
    let store = store_at(url.clone());
    store.check().await.unwrap();
    let held = lease(&store).await;
    store.save(&held, Expected::Empty, &record(1, "a")).await.unwrap();
    store.save(&held, Expected::Anything, &record(2, "b")).await.unwrap();
    let held = store.renew(&held).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(record(2, "b")));
    store.delete(&held).await.unwrap();
    store.release(held).await.unwrap();

    for command in commands {
        allow(&[keys, "+@all", &format!("-{command}")]);
        let error = RedisStore::connect(url.clone(), "user-1").await.unwrap_err();
        assert!(error.is_store(), "without {command}: {error:?}");
        let told = told(&error);
        assert!(told.contains("permission") || told.contains("can't run"), "{command}: {told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
    allow(&["~something-else:*", "+@all"]);
    assert!(store_at(url.clone()).check().await.unwrap_err().is_unavailable());
    // The neighbour: a user with all of it, who may touch no other key.
    allow(&[keys, "+@all"]);
    store_at(url).check().await.unwrap();
    let names: Vec<String> = server.query(&["KEYS", "*"]);
    assert_eq!(names, [""; 0], "a check leaves nothing behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn f5_a_redis_that_takes_no_writes_is_found_at_build() {
    let primary = RedisServer::start();
    let port = primary.port().to_string();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]);
    let error = RedisStore::connect(replica.url(), "user-1").await.unwrap_err();
    assert!(told(&error).contains("read only replica"), "{error:?}");

    primary.query::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = RedisStore::connect(primary.url(), "user-1").await.unwrap_err();
    assert!(told(&error).contains("OOM"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_a_save_that_the_acl_forbids_half_way_leaves_the_old_record() {
    let server = RedisServer::start();
    let url = format!("redis://app:s3cret-pw@127.0.0.1:{}", server.port());
    let store = store_at(server.url());
    let held = lease(&store).await;
    store.save(&held, Expected::Empty, &record(1, "old")).await.unwrap();
    for command in ["hget", "hset", "hdel", "exists", "del"] {
        let denied = format!("-{command}");
        let user = ["ACL", "SETUSER", "app", "reset", "on", ">s3cret-pw", "~*", "+@all", &denied];
        server.query::<()>(&user);
        for expected in [Expected::Empty, Expected::Revision(1), Expected::Anything] {
            let saved = store_at(url.clone()).save(&held, expected, &record(2, "new")).await;
            let found = store.load().await.unwrap();
            let allowed = if saved.is_ok() || command == "hdel" {
                [record(1, "old"), record(2, "new")]
            } else {
                [record(1, "old"), record(1, "old")]
            };
            assert!(allowed.contains(&found.clone().unwrap()), "{command}: {found:?}");
            store.save(&held, Expected::Anything, &record(1, "old")).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_does_not_answer_is_not_waited_for_longer_than_said() {
    let server = RedisServer::start();
    let store = impatient(server.url());
    let held = lease(&store).await;
    store.save(&held, Expected::Empty, &record(1, "a")).await.unwrap();
    server.pause();
    // The first finds a connection, the others can't make one.
    for _ in 0..2 {
        for error in [
            store.load().await.unwrap_err(),
            store.try_acquire().await.unwrap_err(),
            store.save(&held, Expected::Revision(1), &record(2, "b")).await.unwrap_err(),
        ] {
            let told = told(&error);
            assert!(error.is_unavailable() && told.contains("no answer within 600ms"), "{told}");
        }
    }
    server.resume();
    // What was sent to the paused server may have been carried out: saving it again is safe.
    let store = store_at(server.url());
    store.save(&held, Expected::Revision(1), &record(2, "b")).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(record(2, "b")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_whose_answer_was_lost_is_a_save() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port());
    let store = store_at(relay.url());
    let held = lease(&store).await;
    relay.hold(Hold::Answer, "HSET");
    let saving =
        tokio::spawn(async move { store.save(&held, Expected::Empty, &record(1, "a")).await });
    relay.wait_until_held();
    assert_eq!(store_at(server.url()).load().await.unwrap(), Some(record(1, "a")));
    relay.cut();
    saving.await.unwrap().unwrap();
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
    store.save(&lease(&store).await, Expected::Empty, &record(1, "a")).await.unwrap();
    // In the database that the URL names.
    assert!(server.query_as::<bool>(&right, &["EXISTS", KEY]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_redis_or_not_there_is_named_as_such() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let not_redis = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let error = store_at(format!("redis://127.0.0.1:{port}")).load().await.unwrap_err();
    assert!(told(&error).contains("form that was not expected"), "{error:?}");
    not_redis.join().unwrap();

    let url = format!("redis://127.0.0.1:{}", free_port());
    let error = RedisStore::connect(url, "user-1").await.unwrap_err();
    assert!(error.is_store() && error.is_transient());
    assert!(told(&error).contains("refused"), "{error:?}");
}

#[test]
fn a_store_outlives_the_runtime_that_it_first_ran_in() {
    let server = RedisServer::start();
    let store = store_at(server.url());
    for revision in 1..4_u64 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let held = lease(&store).await;
            let before = store.load().await.unwrap();
            let next = record(revision, "a");
            store.save(&held, Expected::found(before.as_ref()), &next).await.unwrap();
            store.release(held).await.unwrap();
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_followed_by_the_name_that_leads_to_the_new_primary() {
    let at_once = ["--repl-diskless-sync-delay", "0"];
    let (old, new) = (RedisServer::start_with(&at_once), RedisServer::start_with(&at_once));
    let name = Relay::to(old.port());
    let store = store_at(name.url());
    let held = lease(&store).await;
    store.save(&held, Expected::Empty, &record(1, "a")).await.unwrap();

    // The old primary keeps its connections, and has become a replica.
    new.query::<()>(&["REPLICAOF", "127.0.0.1", &old.port().to_string()]);
    until("the new primary has what the old one had", || new.query::<bool>(&["EXISTS", KEY]));
    new.query::<()>(&["REPLICAOF", "NO", "ONE"]);
    old.query::<()>(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    name.lead_to(new.port());

    store.save(&held, Expected::Revision(1), &record(2, "b")).await.unwrap();
    assert_eq!(store_at(new.url()).load().await.unwrap(), Some(record(2, "b")));
}
