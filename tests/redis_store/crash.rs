//! A process that is killed (SIGKILL) at each step of a refresh.
//!
//! Each test is its own child. The parent reaches the step by what the child says, or by a relay
//! that holds the child's request or its answer; never by chance.

use std::ffi::OsString;

use tower_teamup_auth::store::{Expected, RedisStore, TokenStore};

use crate::process::{OtherProcess, part, say, told};
use crate::redis_server::{RedisServer, until};
use crate::relay::{Hold, Relay};
use crate::support::{LEASE, lease, record, store_at};

const STEPS: [&str; 5] =
    ["before the lease", "before the load", "before the save", "before the release", "done"];

/// A refresh that says each step before it is taken, and waits to be told to take it.
async fn refresh_in_steps(store: &RedisStore) {
    let mut steps = STEPS.into_iter();
    let mut step = || {
        say(steps.next().unwrap());
        let _ = told();
    };
    step();
    let held = lease(store).await;
    step();
    assert_eq!(store.load().await.unwrap(), Some(record(1, "old")));
    step();
    store.save(&held, Expected::Revision(1), &record(2, "new")).await.unwrap();
    step();
    store.release(held).await.unwrap();
    step();
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_redis_killed_at_each_step_and_within_each_command() {
    if let Some((_, url)) = part::<OsString>() {
        return refresh_in_steps(&store_at(url.into_string().unwrap())).await;
    }
    let name = "crash::p8_redis_killed_at_each_step_and_within_each_command";
    let server = RedisServer::start();
    let store = store_at(server.url());
    let begin = async || {
        server.query::<()>(&["FLUSHALL"]);
        let held = lease(&store).await;
        store.save(&held, Expected::Empty, &record(1, "old")).await.unwrap();
        store.release(held).await.unwrap();
    };
    let carry_on = async |is_held: bool, is_saved: bool, at: &str| {
        assert_eq!(server.query::<bool>(&["EXISTS", LEASE]), is_held, "{at}");
        if is_held {
            assert!(server.query::<i64>(&["PTTL", LEASE]) > 0, "the dead one's lease has no end");
            server.query::<()>(&["PEXPIRE", LEASE, "1"]);
            until("the lease has run out", || !server.query::<bool>(&["EXISTS", LEASE]));
        }
        let expected = if is_saved { record(2, "new") } else { record(1, "old") };
        assert_eq!(store.load().await.unwrap().as_ref(), Some(&expected), "{at}");
        let held = lease(&store).await;
        let revision = expected.revision();
        let next = record(revision + 1, "next");
        store.save(&held, Expected::Revision(revision), &next).await.unwrap();
        assert_eq!(store.load().await.unwrap(), Some(next));
    };

    for (index, at) in STEPS.into_iter().enumerate() {
        begin().await;
        let mut child = OtherProcess::start(name, "child", &server.url());
        for step in &STEPS[..index] {
            assert_eq!(child.hear(), *step);
            child.go_on();
        }
        assert_eq!(child.hear(), at);
        child.kill();
        carry_on((1..4).contains(&index), index >= 3, at).await;
    }

    // The script's text marks the request; what was in the network when its sender died may arrive.
    for (hold, marker, arrives, is_held, is_saved) in [
        (Hold::Request, "PTTL", false, false, false),
        (Hold::Request, "PTTL", true, true, false),
        (Hold::Answer, "PTTL", false, true, false),
        (Hold::Request, "HSET", false, true, false),
        (Hold::Request, "HSET", true, true, true),
        (Hold::Answer, "HSET", false, true, true),
        (Hold::Request, "'DEL'", false, true, true),
        (Hold::Answer, "'DEL'", false, false, true),
    ] {
        begin().await;
        let relay = Relay::to(server.port());
        let mut child = OtherProcess::start(name, "child", &relay.url());
        for step in STEPS {
            assert_eq!(child.hear(), step);
            let is_next = match step {
                "before the lease" => marker == "PTTL",
                "before the save" => marker == "HSET",
                "before the release" => marker == "'DEL'",
                _ => false,
            };
            if is_next {
                relay.hold(hold, marker);
            }
            child.go_on();
            if is_next {
                break;
            }
        }
        relay.wait_until_held();
        let before = server.calls("eval");
        child.kill();
        if arrives {
            relay.let_pass();
            until("the command is carried out", || server.calls("eval") > before);
        } else {
            relay.cut();
        }
        carry_on(is_held, is_saved, marker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_a_dropped_save_leaves_the_old_record_or_the_new() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port());
    let (store, beside) = (store_at(relay.url()), store_at(server.url()));
    let held = lease(&store).await;
    store.save(&held, Expected::Empty, &record(1, "old")).await.unwrap();
    for (hold, left) in [(Hold::Request, record(1, "old")), (Hold::Answer, record(2, "new"))] {
        relay.hold(hold, "HSET");
        let (store, held) = (store.clone(), held.clone());
        let saving = tokio::spawn(async move {
            store.save(&held, Expected::Revision(1), &record(2, "new")).await.unwrap();
        });
        relay.wait_until_held();
        saving.abort();
        assert!(saving.await.unwrap_err().is_cancelled());
        assert_eq!(beside.load().await.unwrap(), Some(left));
        relay.cut();
    }
}
