//! The connection to Redis, made when it is needed and made anew when it is gone.
//!
//! The driver's own `ConnectionManager` would answer the first call after an outage with the error
//! of the attempt before it, and would keep a connection on which answers have stopped coming.
//! Here each call that finds no connection makes one, and a connection that failed to answer is
//! dropped.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    RedisError, ServerErrorKind,
};
use tokio::sync::Mutex;

use super::failure::Failure;

/// How often one call is sent at most. A connection that turns out to be closed costs one attempt,
/// and so does the word of a Redis that the key is to be written on another.
const ATTEMPTS: u32 = 4;

pub(super) struct Link {
    /// Where the URL points.
    home: ConnectionInfo,
    /// How long one call may take, connecting included.
    timeout: Duration,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    connection: Option<MultiplexedConnection>,
    /// Counts the connections, so that a failed call drops the one that it used and no newer one.
    number: u64,
    /// The node of a cluster that keeps the keys, if that is not the one that the URL names.
    moved_to: Option<(String, u16)>,
}

impl Link {
    pub(super) fn new(home: ConnectionInfo, timeout: Duration) -> Self {
        Link { home, timeout, line: Mutex::default() }
    }

    /// Where the URL points, without what opens the door there.
    pub(super) fn address(&self) -> String {
        self.home.addr().to_string()
    }

    /// Sends a command that may be sent twice, and gives its answer.
    pub(super) async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, self.attempt(command)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let settings = self.home.redis_settings();
                Err(Failure::of(&error, settings.password().into_iter().chain(settings.username())))
            }
            Err(_) => {
                // Whoever holds the line at this moment is already making another connection.
                if let Ok(mut line) = self.line.try_lock() {
                    line.connection = None;
                    line.moved_to = None;
                }
                Err(Failure::no_answer_within(self.timeout))
            }
        }
    }

    async fn attempt<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            let (mut connection, number) = self.connection().await?;
            match command.query_async(&mut connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let again = self.line.lock().await.learn(&self.home, &error, number);
                    if !again || attempts == 0 {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), RedisError> {
        let mut line = self.line.lock().await;
        if line.connection.is_none() {
            let connection = match line.moved_to.clone() {
                None => connect(self.home.clone()).await?,
                Some(node) => match connect(at(&self.home, node)).await {
                    Ok(connection) => connection,
                    // That node is gone: the one that the URL names knows where its keys went.
                    Err(_) => {
                        line.moved_to = None;
                        connect(self.home.clone()).await?
                    }
                },
            };
            line.connection = Some(connection);
            line.number += 1;
        }
        let connection = line.connection.clone().expect("made above where there was none");
        Ok((connection, line.number))
    }
}

impl Line {
    /// Draws the conclusion from a failed call over connection `number`: is it worth sending again?
    fn learn(&mut self, home: &ConnectionInfo, error: &RedisError, number: u64) -> bool {
        let moved = error.kind() == ErrorKind::Server(ServerErrorKind::Moved);
        // A primary that became a replica: its name may lead to the new primary by now.
        let demoted = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        if number == self.number && (moved || demoted || error.is_unrecoverable_error()) {
            self.connection = None;
            self.moved_to = if moved { redirection(home, error) } else { None };
        }
        moved || demoted || error.is_connection_dropped()
    }
}

/// The node that `MOVED <slot> <host>:<port>` names; an empty host is the one that was asked.
fn redirection(home: &ConnectionInfo, error: &RedisError) -> Option<(String, u16)> {
    let (address, _slot) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match (host, home.addr()) {
        ("", ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. }) => host.clone(),
        _ => host.trim_start_matches('[').trim_end_matches(']').to_owned(),
    };
    Some((host, port))
}

/// How `home` is reached, at another address.
fn at(home: &ConnectionInfo, (host, port): (String, u16)) -> ConnectionInfo {
    let address = match home.addr().clone() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    home.clone().set_addr(address)
}

async fn connect(info: ConnectionInfo) -> Result<MultiplexedConnection, RedisError> {
    #[cfg(feature = "redis-tls")]
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        super::tls::choose_provider();
    }
    // The limit of the whole call is the only one.
    let unlimited =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    Client::open(info)?.get_multiplexed_async_connection_with_config(&unlimited).await
}
