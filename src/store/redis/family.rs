//! The stores of many credentials, from one configuration.

use std::collections::BTreeSet;
use std::fmt;

use ::redis::FromRedisValue;

use super::failure::Failure;
use super::scripts::Keys;
use super::{Configuration, RedisStore};
use crate::error::Error;
use crate::store::StoreError;
use crate::store::family::{ListKeys, StoreFamily};

/// The [`RedisStore`]s of many credentials, one for each key; made by [`RedisStore::family`].
///
/// ```no_run
/// use tower_teamup_auth::store::RedisStore;
/// use tower_teamup_auth::store::{ListKeys, StoreFamily};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let users = RedisStore::connect("redis://cache.internal", "default").await?.family("users")?;
/// let store = users.open("user-4711")?;
/// for key in users.list().await? {
///     println!("{key} has logged in once");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisFamily {
    configuration: Configuration,
}

impl RedisFamily {
    pub(super) fn new(configuration: Configuration) -> Self {
        RedisFamily { configuration }
    }

    async fn is_cluster(&self) -> Result<bool, StoreError> {
        let mut command = ::redis::cmd("INFO");
        command.arg("cluster");
        // A cluster client asks every node, and answers with a map.
        let answer: ::redis::Value = self.call(&command).await?;
        Ok(String::from_redis_value(answer).map_or(true, |text| text.contains("cluster_enabled:1")))
    }

    async fn call<T: FromRedisValue>(&self, command: &::redis::Cmd) -> Result<T, StoreError> {
        let server = &self.configuration.server;
        server.call(command).await.map_err(|failure: Failure| {
            StoreError::unavailable(format!("{} could not list keys", server.address()), failure)
        })
    }
}

impl StoreFamily for RedisFamily {
    type Store = RedisStore;

    /// Any text is a key, so this never fails.
    fn open(&self, key: &str) -> Result<RedisStore, Error> {
        Ok(RedisStore::open(self.configuration.clone(), key))
    }
}

impl ListKeys for RedisFamily {
    /// See [`ListKeys::list`]. Walks the whole key space of Redis with `SCAN`, a piece at a time.
    /// Fails on Redis Cluster, whose nodes each know their own keys only.
    async fn list(&self) -> Result<Vec<String>, StoreError> {
        if self.is_cluster().await? {
            return Err(StoreError::unavailable(
                format!("{} can't list keys", self.configuration.server.address()),
                "each node of a cluster knows its own keys only",
            ));
        }
        let prefix = &*self.configuration.prefix;
        let pattern = format!("{}:{{*", escape(prefix));
        let mut keys = BTreeSet::new();
        let mut cursor: u64 = 0;
        loop {
            let mut command = ::redis::cmd("SCAN");
            command.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let (next, names): (u64, Vec<Vec<u8>>) = self.call(&command).await?;
            let names = names.iter().filter_map(|name| std::str::from_utf8(name).ok());
            keys.extend(names.filter_map(|name| Keys::key_of(prefix, name)));
            if next == 0 {
                return Ok(keys.into_iter().collect());
            }
            cursor = next;
        }
    }
}

/// Keeps what `MATCH` reads as a pattern from being one.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

impl fmt::Debug for RedisFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisFamily")
            .field("server", &self.configuration.server.address())
            .field("prefix", &self.configuration.prefix)
            .finish_non_exhaustive()
    }
}
