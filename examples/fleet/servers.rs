//! Starts the servers that the fleet's stores need, on free loopback ports. Each ends with its value.

use std::process::Command;

use self::postgres::PostgresServer;
use self::redis::RedisServer;

#[path = "../../tests/support/postgres.rs"]
mod postgres;
#[path = "../../tests/support/redis.rs"]
mod redis;

/// A Redis; `None`, and a word to the person, where it is not installed.
pub(crate) fn redis() -> Option<RedisServer> {
    let is_installed = Command::new("redis-server").arg("--version").output().is_ok();
    started("Redis", "redis-server", is_installed, RedisServer::start)
}

/// A PostgreSQL with a cluster in a temporary folder; `None`, and a word, where it is not installed.
pub(crate) fn postgres() -> Option<PostgresServer> {
    started("PostgreSQL", "postgresql", PostgresServer::is_installed(), PostgresServer::start)
}

fn started<S>(
    product: &str,
    package: &str,
    is_installed: bool,
    start: impl FnOnce() -> S,
) -> Option<S> {
    if !is_installed {
        eprintln!(
            "\nfleet: {product} is not installed, so its part is missing: \
             `apt-get install {package}` brings it, for instance"
        );
    }
    is_installed.then(start)
}
