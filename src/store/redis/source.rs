//! Where a [`RedisStore`](super::RedisStore) gets its connections from.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use ::redis::aio::ConnectionLike;
use ::redis::{Cmd, RedisFuture, RedisResult, Value};

/// Where a [`RedisStore`](super::RedisStore) gets its connections from: a URL, a connection of the
/// `redis` crate, or a function that makes one.
///
/// ```
/// use tower_teamup_auth::store::{RedisSource, RedisStore};
///
/// # async fn example(manager: redis::aio::ConnectionManager) -> Result<(), tower_teamup_auth::Error> {
/// let store = RedisStore::builder(RedisSource::connection(manager), "studio-7").build()?;
/// # Ok(())
/// # }
/// ```
pub struct RedisSource(pub(super) Source);

pub(super) enum Source {
    Url(String),
    Connect(Box<Connect>),
}

/// Makes a connection. Its errors are told, so they must name no secret.
pub(super) type Connect = dyn Fn() -> Connecting + Send + Sync;
pub(super) type Connecting = Pin<Box<dyn Future<Output = RedisResult<BoxConnection>> + Send>>;
pub(super) type BoxConnection = Box<dyn Connection>;

/// One connection, of whichever type.
pub(super) trait Connection: Send {
    fn send<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value>;

    /// The same connection for another call; `None` where it serves one call.
    fn share(&self) -> Option<BoxConnection>;
}

struct Shared<C>(C);
struct Pooled<C>(C);

impl<C: ConnectionLike + Clone + Send + 'static> Connection for Shared<C> {
    fn send<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.0.req_packed_command(command)
    }

    fn share(&self) -> Option<BoxConnection> {
        Some(shared(self.0.clone()))
    }
}

impl<C: ConnectionLike + Send + 'static> Connection for Pooled<C> {
    fn send<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.0.req_packed_command(command)
    }

    fn share(&self) -> Option<BoxConnection> {
        None
    }
}

pub(super) fn shared<C: ConnectionLike + Clone + Send + 'static>(connection: C) -> BoxConnection {
    Box::new(Shared(connection))
}

impl RedisSource {
    /// A connection that the program has, and that recovers by itself: a `ConnectionManager` or a
    /// cluster's `ClusterConnection`.
    ///
    /// A bare `MultiplexedConnection` does not recover: give its client's
    /// [connector](RedisSource::connector) instead.
    pub fn connection<C>(connection: C) -> Self
    where
        C: ConnectionLike + Clone + Send + Sync + 'static,
    {
        RedisSource(Source::Connect(Box::new(move || {
            let connection = shared(connection.clone());
            Box::pin(async { Ok(connection) })
        })))
    }

    /// A function that makes a connection. The store keeps what it returns, and calls it again
    /// after the connection has failed or its server has become a replica: what Sentinel needs.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use redis::sentinel::SentinelClient;
    /// use tokio::sync::Mutex;
    /// use tower_teamup_auth::store::RedisSource;
    ///
    /// # fn example(sentinel: SentinelClient) {
    /// let sentinel = Arc::new(Mutex::new(sentinel));
    /// let source = RedisSource::connector(move || {
    ///     let sentinel = Arc::clone(&sentinel);
    ///     async move { sentinel.lock().await.get_async_connection().await }
    /// });
    /// # }
    /// ```
    pub fn connector<C, F, R>(connect: F) -> Self
    where
        C: ConnectionLike + Clone + Send + 'static,
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = RedisResult<C>> + Send + 'static,
    {
        RedisSource(Source::Connect(Box::new(move || {
            let connecting = connect();
            Box::pin(async { connecting.await.map(shared) })
        })))
    }

    /// A function that takes a connection out of a pool. Each call to Redis takes one and gives it
    /// back.
    pub fn pool<C, F, R>(take: F) -> Self
    where
        C: ConnectionLike + Send + 'static,
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = RedisResult<C>> + Send + 'static,
    {
        RedisSource(Source::Connect(Box::new(move || {
            let taking = take();
            Box::pin(async {
                let connection = taking.await?;
                Ok(Box::new(Pooled(connection)) as BoxConnection)
            })
        })))
    }
}

impl From<String> for RedisSource {
    fn from(url: String) -> Self {
        RedisSource(Source::Url(url))
    }
}

impl From<&str> for RedisSource {
    fn from(url: &str) -> Self {
        RedisSource(Source::Url(url.to_owned()))
    }
}

impl fmt::Debug for RedisSource {
    /// A URL may hold a password, so it is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Url(_) => "RedisSource::from(url)",
            Source::Connect(_) => "RedisSource::connector(..)",
        })
    }
}
