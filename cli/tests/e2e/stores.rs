//! Accounts in Redis and PostgreSQL: servers of the test's own.

use crate::postgres_server::PostgresServer;
use crate::redis_server::RedisServer;
use crate::support::{Fake, Home};

/// Two users' machines share one account in the store at `url`.
fn two_machines_share_the_account(url: &str) {
    let (fake, one, other) = (Fake::new(), Home::new(), Home::new());
    let base_url = fake.base_url();
    let shared = ["--base-url", &base_url, "--store", url];
    let args = ["login", "--tokens"].iter().chain(&shared);
    one.run_with_input(args, &fake.start["tokens"].to_string()).ok();
    let token = one.run(["token"]).ok();
    assert_eq!(other.run(["token"].iter().chain(&shared)).ok(), token);
    one.run(["refresh"]).ok();
    let next = other.run(["token"].iter().chain(&shared)).ok();
    assert_ne!(next, token);
    assert_eq!(one.run(["token"]).ok(), next);
    other.run(["logout"].iter().chain(&shared)).ok();
    assert_eq!(one.run(["token"]).code(), 3);
    assert!(!one.state().join("default.json").exists());
    assert_eq!((fake.count("rotations"), fake.count("double_spends")), (1, 0));
}

#[test]
fn an_account_in_redis_is_shared_by_two_machines() {
    let redis = RedisServer::start();
    two_machines_share_the_account(&format!("redis://127.0.0.1:{}/", redis.port()));
}

#[test]
fn an_account_in_postgres_is_shared_by_two_machines() {
    let postgres = PostgresServer::start();
    two_machines_share_the_account(&postgres.url());
}

#[test]
fn a_store_that_is_out_of_reach_has_an_exit_code_of_its_own() {
    let home = Home::new();
    let done = home.run(["token", "--store", "redis://127.0.0.1:9/"]);
    assert_eq!(done.code(), 5, "{}", done.err());
}
