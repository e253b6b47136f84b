//! A process that is killed (SIGKILL) while it holds the lease of `RedisStore` or saves.
//!
//! Each test is its own child: started again with `CHILD_URL` set, it does what is to be
//! interrupted, against the Redis at that URL. The parent reaches the step by what the child prints,
//! or by a relay that holds the child's request or its answer; never by luck.

#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/relay.rs"]
mod relay;
#[path = "support/tokens.rs"]
mod tokens;
#[path = "support/witness.rs"]
mod witness;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis_server::{RedisServer, until};
use relay::{Hold, Relay};
use tokens::{rotated, rotated_by};
use tower_teamup_auth::TokenSet;
use tower_teamup_auth::store::{RedisStore, TokenStore};

const CHILD_URL: &str = "TEAMUP_TEST_CHILD_URL";
const LEASE: &str = "tower-teamup-auth:{user-1}:lease";
const LOCKED: &str = "the child holds the lease";

/// A process in the midst of a refresh; it ends with this value at the latest.
struct Process(Child);

impl Process {
    /// Starts `test` as a child that uses the Redis at `url`.
    fn start(test: &str, url: String) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD_URL, url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Process(child)
    }

    fn wait_until_it_says(&mut self, word: &str) {
        let output = BufReader::new(self.0.stdout.as_mut().unwrap());
        let said = output.lines().map_while(Result::ok).any(|line| line.contains(word));
        assert!(said, "the child ended without a word of {word:?}");
    }

    /// Ends it between two instructions, whichever they are.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither can fail, unless it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A store whose lease runs out within a test only if the test makes it.
fn store_at(url: String) -> RedisStore {
    RedisStore::builder(url, "user-1").lease_lifetime(Duration::from_secs(3600)).build().unwrap()
}

/// What the child does: everything up to the end of a refresh, and then it waits for its end.
async fn refresh_as_child(url: String) {
    let store = store_at(url);
    let lease = store.lock().await.unwrap();
    println!("{LOCKED}");
    assert_eq!(store.load().await.unwrap(), Some(rotated(0)));
    store.save(&lease, Some(0), &rotated_by("child", 1)).await.unwrap();
    std::future::pending().await
}

/// The next process finds `expected`, gets the lease once the dead one's has run out, and goes on.
async fn carry_on(server: &RedisServer, expected: TokenSet) {
    let store = store_at(server.url());
    assert_eq!(store.load().await.unwrap(), Some(expected.clone()));
    let left: i64 = server.query(&["PTTL", LEASE]);
    assert!(left > 0, "the dead one's lease has no end");
    assert!(server.query::<bool>(&["PEXPIRE", LEASE, "1"]));

    let lease = store.lock().await.unwrap();
    let next = expected.revision() + 1;
    store.save(&lease, Some(expected.revision()), &rotated_by("heir", next)).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(rotated_by("heir", next)));
}

async fn server_with_tokens() -> RedisServer {
    let server = RedisServer::start();
    let store = store_at(server.url());
    let lease = store.lock().await.unwrap();
    store.save(&lease, None, &rotated(0)).await.unwrap();
    drop(lease);
    until("the lease is given back", || !server.query::<bool>(&["EXISTS", LEASE]));
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_killed_while_it_holds_the_lease() {
    if let Ok(url) = std::env::var(CHILD_URL) {
        return refresh_as_child(url).await;
    }
    let server = server_with_tokens().await;
    let relay = Relay::to(server.port());
    // After the lease was granted, and before the tokens are read again.
    relay.hold(Hold::Request, "HGETALL");
    let mut child = Process::start("p8_killed_while_it_holds_the_lease", relay.url());
    child.wait_until_it_says(LOCKED);
    child.kill();
    carry_on(&server, rotated(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_killed_after_redis_granted_the_lease_and_before_it_knew() {
    if let Ok(url) = std::env::var(CHILD_URL) {
        return refresh_as_child(url).await;
    }
    let server = server_with_tokens().await;
    let relay = Relay::to(server.port());
    relay.hold(Hold::Answer, "PTTL");
    let name = "p8_killed_after_redis_granted_the_lease_and_before_it_knew";
    let child = Process::start(name, relay.url());
    relay.wait_until_held();
    child.kill();
    carry_on(&server, rotated(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_killed_before_its_save_reached_redis() {
    if let Ok(url) = std::env::var(CHILD_URL) {
        return refresh_as_child(url).await;
    }
    let server = server_with_tokens().await;
    let relay = Relay::to(server.port());
    relay.hold(Hold::Request, "HSET");
    let child = Process::start("p8_killed_before_its_save_reached_redis", relay.url());
    relay.wait_until_held();
    child.kill();
    relay.cut();
    carry_on(&server, rotated(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_killed_after_its_save_and_before_it_knew() {
    if let Ok(url) = std::env::var(CHILD_URL) {
        return refresh_as_child(url).await;
    }
    let server = server_with_tokens().await;
    let relay = Relay::to(server.port());
    relay.hold(Hold::Answer, "HSET");
    let child = Process::start("p8_killed_after_its_save_and_before_it_knew", relay.url());
    relay.wait_until_held();
    child.kill();
    carry_on(&server, rotated_by("child", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_killed_while_its_save_is_on_the_way() {
    if let Ok(url) = std::env::var(CHILD_URL) {
        return refresh_as_child(url).await;
    }
    let server = server_with_tokens().await;
    let relay = Relay::to(server.port());
    relay.hold(Hold::Request, "HSET");
    let child = Process::start("p8_killed_while_its_save_is_on_the_way", relay.url());
    relay.wait_until_held();
    child.kill();
    // What was in the network arrives after its sender's death, and is carried out whole.
    let before = server.calls("hset");
    relay.let_pass();
    until("the save is carried out", || server.calls("hset") > before);
    carry_on(&server, rotated_by("child", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_killed_while_it_waits_for_the_lease() {
    if let Ok(url) = std::env::var(CHILD_URL) {
        return refresh_as_child(url).await;
    }
    let server = server_with_tokens().await;
    let store = store_at(server.url());
    let lease = store.lock().await.unwrap();
    let before = server.calls("eval");
    let child = Process::start("p8_killed_while_it_waits_for_the_lease", server.url());
    until("the child has asked for the lease", || server.calls("eval") > before);
    child.kill();
    store.save(&lease, Some(0), &rotated(1)).await.unwrap();
    carry_on(&server, rotated(1)).await;
}
