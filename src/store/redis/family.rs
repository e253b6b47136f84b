//! The stores of many credentials, from one configuration.

use std::collections::BTreeSet;
use std::fmt;

use ::redis::FromRedisValue;

use super::failure::Failure;
use super::scripts::Keys;
use super::{Configuration, RedisStore, builder};
use crate::error::Error;
use crate::store::StoreError;

/// The [`RedisStore`]s of many credentials, one for each key; made by [`RedisStore::family`].
///
/// ```no_run
/// use tower_teamup_auth::store::RedisStore;
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

    /// The store of the credential `key`.
    ///
    /// # Errors
    ///
    /// When the key is empty or holds a brace ([`Error::is_invalid_input`]).
    pub fn open(&self, key: impl AsRef<str>) -> Result<RedisStore, Error> {
        builder::check_part("key", key.as_ref())?;
        Ok(RedisStore::open(self.configuration.clone(), key.as_ref()))
    }

    /// The keys that have a record, tombstones included, in order. Walks the whole key space of
    /// Redis with `SCAN`, a piece at a time.
    ///
    /// # Errors
    ///
    /// When Redis can't be asked, and on Redis Cluster, whose nodes each know their own keys only.
    pub async fn list(&self) -> Result<Vec<String>, StoreError> {
        if self.is_cluster().await? {
            return Err(StoreError::unavailable(
                format!("{} can't list keys", self.configuration.server.address()),
                "each node of a cluster knows its own keys only",
            ));
        }
        let prefix = &*self.configuration.prefix;
        let pattern = format!("{}:{{*}}", escape(prefix));
        let mut keys = BTreeSet::new();
        let mut cursor: u64 = 0;
        loop {
            let mut command = ::redis::cmd("SCAN");
            command.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let (next, names): (u64, Vec<String>) = self.call(&command).await?;
            keys.extend(
                names.iter().filter_map(|name| Keys::key_of(prefix, name).map(str::to_owned)),
            );
            if next == 0 {
                return Ok(keys.into_iter().collect());
            }
            cursor = next;
        }
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
