//! One Redis, and the calls to it: each has a limit, and finds a connection or makes one.

use std::io;
use std::time::Duration;

use ::redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::failure::Failure;
use super::source::{BoxConnection, Connect};

/// How often one call is sent at most: over the connection that was there, over a new one, and once
/// more where its server has just become a replica.
const ATTEMPTS: u32 = 3;

pub(super) struct Server {
    connect: Box<Connect>,
    /// For messages; holds no secret.
    address: String,
    /// What no message may show.
    secrets: Vec<String>,
    /// How long one call may take, connecting included.
    limit: Duration,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    connection: Option<BoxConnection>,
    /// Counts the connections, so that a failed call drops the one that it used and no newer one.
    number: u64,
}

struct Taken {
    connection: BoxConnection,
    number: u64,
    /// Was it there before this call?
    is_reused: bool,
}

impl Server {
    pub(super) fn new(
        connect: Box<Connect>,
        address: String,
        secrets: Vec<String>,
        limit: Duration,
    ) -> Self {
        Server { connect, address, secrets, limit, current: Mutex::default() }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Sends a command that may be sent twice, and gives its answer.
    pub(super) async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        match timeout(self.limit, self.attempt(command)).await {
            Ok(answer) => answer
                .and_then(Value::extract_error)
                .and_then(|value| Ok(redis::from_redis_value(value)?))
                .map_err(|error| Failure::of(&error, self.secrets.iter().map(String::as_str))),
            Err(_) => {
                // A call that holds the lock at this moment is already making another connection.
                if let Ok(mut current) = self.current.try_lock() {
                    current.connection = None;
                }
                Err(Failure::no_answer_within(self.limit))
            }
        }
    }

    async fn attempt(&self, command: &Cmd) -> RedisResult<Value> {
        let mut attempts = ATTEMPTS;
        loop {
            attempts = attempts.saturating_sub(1);
            let Taken { mut connection, number, is_reused } = self.take().await?;
            let sending = connection.send(command);
            let answer = if is_reused {
                // A load balancer may have forgotten it without a word: then no answer ever comes,
                // and a new connection needs its share of the limit.
                timeout(self.limit / 3, sending).await.unwrap_or_else(|_| Err(silent()))
            } else {
                sending.await
            };
            let error = match answer.and_then(Value::extract_error) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // A primary that became a replica: a new connection may lead to the new primary.
            let is_demoted = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
            let is_lost = error.is_io_error() || error.is_unrecoverable_error();
            if is_demoted || is_lost {
                self.discard(number).await;
            }
            if attempts == 0 || !(is_demoted || error.is_io_error()) {
                return Err(error);
            }
        }
    }

    async fn take(&self) -> RedisResult<Taken> {
        let mut current = self.current.lock().await;
        let number = current.number;
        if let Some(connection) = current.connection.as_ref().and_then(|one| one.share()) {
            return Ok(Taken { connection, number, is_reused: true });
        }
        let connection = (self.connect)().await?;
        current.number = current.number.wrapping_add(1);
        current.connection = connection.share();
        Ok(Taken { connection, number: current.number, is_reused: false })
    }

    async fn discard(&self, number: u64) {
        let mut current = self.current.lock().await;
        if current.number == number {
            current.connection = None;
        }
    }
}

fn silent() -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, "the connection gave no answer").into()
}
