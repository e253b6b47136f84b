//! Connections, their limits, and the end.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use http::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::gauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutWriter;
use tower::Service;
use tower_teamup_auth::BoxError;

use super::gateway::Gateway;
use super::{Answer, Forwarded};
use crate::args::Proxy;

/// Where clients come from.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener, SocketAddr),
    #[cfg(unix)]
    Unix(UnixListener, PathBuf),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Drained,
    /// So many connections had requests under way at the limit.
    CutOff(usize),
}

impl Listener {
    pub(super) async fn tcp(address: SocketAddr) -> anyhow::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("{address} can't be listened on"))?;
        let address = listener.local_addr()?;
        Ok((Listener::Tcp(listener, address), address))
    }

    /// A socket that this user alone can open, from its first moment on.
    #[cfg(unix)]
    pub(super) fn socket(path: &Path) -> anyhow::Result<Self> {
        use rustix::fs::Mode;

        remove_stale_socket(path)?;
        // No other thread makes files yet.
        let before = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let listener = UnixListener::bind(path);
        rustix::process::umask(before);
        let listener =
            listener.with_context(|| format!("{} can't be listened on", path.display()))?;
        Ok(Listener::Unix(listener, path.to_owned()))
    }
}

/// A process that was killed leaves its socket behind. One that still listens keeps it.
#[cfg(unix)]
fn remove_stale_socket(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    use std::os::unix::net::UnixStream;

    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        anyhow::bail!("{} is there already, and is no socket", path.display());
    }
    if UnixStream::connect(path).is_ok() {
        anyhow::bail!("another process listens on {}", path.display());
    }
    std::fs::remove_file(path).with_context(|| format!("{} can't be removed", path.display()))
}

/// Serves until `end`, and then until every request is answered or the limit is reached.
pub(super) async fn serve<S>(
    listener: Listener,
    gateway: Arc<Gateway>,
    stack: S,
    args: &Proxy,
    end: impl Future<Output = ()>,
) -> Ending
where
    S: Service<Forwarded, Response = Response<Answer>, Error = BoxError>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let permits = Arc::new(Semaphore::new(args.max_connections as usize));
    let (stop, stopping) = watch::channel(false);
    // Its default of at most 100 fields in a head costs no allocation, as another number does.
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(args.head_timeout)
        .max_buf_size(args.max_head);
    let mut connections = JoinSet::new();
    let mut end = pin!(end);
    loop {
        let permit = tokio::select! {
            () = &mut end => break,
            permit = Arc::clone(&permits).acquire_owned() => permit.expect("never closed"),
        };
        tokio::select! {
            () = &mut end => break,
            accepted = accept(&listener) => {
                let io = match accepted {
                    Ok(io) => io,
                    Err(error) => {
                        // Out of file descriptors, most likely: one that is closed makes room.
                        tracing::warn!("a connection could not be accepted: {error}");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                };
                let (gateway, stack) = (Arc::clone(&gateway), stack.clone());
                let (server, stopping) = (server.clone(), stopping.clone());
                match io {
                    Accepted::Tcp(io) => {
                        let io = limited(io, args.answer_timeout);
                        connections.spawn(connection(server, io, gateway, stack, stopping, permit));
                    }
                    #[cfg(unix)]
                    Accepted::Unix(io) => {
                        let io = limited(io, args.answer_timeout);
                        connections.spawn(connection(server, io, gateway, stack, stopping, permit));
                    }
                }
            }
        }
        // Those that are over are let go of.
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    tracing::info!("ending: {} connections are open", connections.len());
    stop.send_replace(true);
    let drained = tokio::time::timeout(args.drain_timeout, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_ok() {
        return Ending::Drained;
    }
    let left = connections.len();
    connections.shutdown().await;
    Ending::CutOff(left)
}

enum Accepted {
    Tcp(tokio::net::TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

async fn accept(listener: &Listener) -> std::io::Result<Accepted> {
    match listener {
        Listener::Tcp(listener, _) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Accepted::Tcp(stream))
        }
        #[cfg(unix)]
        Listener::Unix(listener, _) => Ok(Accepted::Unix(listener.accept().await?.0)),
    }
}

/// Fails when nothing could be written for so long.
fn limited<I: AsyncRead + AsyncWrite>(io: I, pause: Duration) -> Pin<Box<TimeoutWriter<I>>> {
    let mut io = TimeoutWriter::new(io);
    io.set_timeout(Some(pause));
    Box::pin(io)
}

async fn connection<I, S>(
    server: http1::Builder,
    io: I,
    gateway: Arc<Gateway>,
    stack: S,
    mut stopping: watch::Receiver<bool>,
    permit: OwnedSemaphorePermit,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Forwarded, Response = Response<Answer>, Error = BoxError>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let open = gauge!("teamup_auth_proxy_connections");
    open.increment(1.0);
    let service = service_fn(|request| {
        let (gateway, stack) = (Arc::clone(&gateway), stack.clone());
        async move { gateway.answer(request, stack).await }
    });
    let mut connection = pin!(server.serve_connection(TokioIo::new(io), service));
    let ended = tokio::select! {
        outcome = connection.as_mut() => Some(outcome),
        _ = stopping.changed() => None,
    };
    let outcome = match ended {
        Some(outcome) => outcome,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        // A client that hung up, or sent what is no HTTP.
        tracing::debug!("a connection ended early: {error}");
    }
    open.decrement(1.0);
    drop(permit);
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listener::Tcp(_, address) => write!(f, "http://{address}"),
            #[cfg(unix)]
            Listener::Unix(_, path) => write!(f, "{}", path.display()),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Listener::Unix(_, path) = self {
            // It may be gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}
