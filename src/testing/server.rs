//! The server itself: its handle, its accept loop, and what a test can do with it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::builder::FakeTeamUpBuilder;
use super::serve::{Connection, serve};
use super::settings::Settings;
use super::shared::Shared;
use crate::token::Clock;

/// Connections that may wait to be accepted: a thousand callers connect at once.
const BACKLOG: u32 = 4096;

/// HTTP/2 streams of one connection that may be open at a time.
const MAX_STREAMS: u32 = 1000;

/// Requests of one HTTP/2 connection that a client may give up before the server takes it for an
/// attack; a test drops many callers at once.
const MAX_RESETS: usize = 100_000;

/// A server on loopback that behaves like TeamUp's API.
///
/// A clone is the same server. It stops when the last clone is dropped, or with
/// [`shutdown`](FakeTeamUp::shutdown). The [module's page](super) tells what it does.
///
/// ```
/// use tower_teamup_auth::RequestMode;
/// use tower_teamup_auth::testing::FakeTeamUp;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let server = FakeTeamUp::start().await;
/// let tokens = server.issue_tokens(&[RequestMode::Provider]);
/// // … hand `tokens` and `server.base_url()` to the program under test …
/// server.expire_access_tokens();
/// assert_eq!(server.double_spends(), 0);
/// # }
/// ```
#[derive(Clone)]
pub struct FakeTeamUp(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// True, or dropped with the handle: the server stops.
    stop: watch::Sender<bool>,
}

impl FakeTeamUp {
    /// Starts a server that behaves as TeamUp documents it, on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When no port can be bound, or outside a Tokio runtime with I/O enabled.
    pub async fn start() -> Self {
        FakeTeamUp::builder().start().await
    }

    /// A server that behaves otherwise.
    pub fn builder() -> FakeTeamUpBuilder {
        FakeTeamUpBuilder::new()
    }

    pub(super) fn listen(
        address: SocketAddr,
        settings: Settings,
        clock: Clock,
    ) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // A server that stopped leaves connections behind that block its port for a while.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let shared = Shared::new(format!("http://{address}"), settings, clock);
        let stop = watch::Sender::new(false);
        tokio::spawn(run(listener, Arc::clone(&shared), stop.subscribe()));
        Ok(FakeTeamUp(Arc::new(Handle { shared, address, stop })))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Scheme, host and port: `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> &str {
        self.shared().origin()
    }

    /// The API's base: `http://127.0.0.1:PORT/api/v2`.
    pub fn base_url(&self) -> String {
        self.url("")
    }

    /// The URL of a path under the API's base: `url("/events")`.
    pub fn url(&self, path: &str) -> String {
        format!("{}/api/v2{path}", self.origin())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Stops the server: closes its port and every connection, answered or not, and returns when
    /// that is done. The journal can still be read. Stopping twice does nothing.
    ///
    /// # Cancel safety
    ///
    /// The server stops even if the future is dropped.
    pub async fn shutdown(&self) {
        self.0.stop.send_replace(true);
        self.0.stop.closed().await;
    }
}

impl fmt::Debug for FakeTeamUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FakeTeamUp").field(&self.origin()).finish()
    }
}

/// Accepts connections until it is told to stop, or nobody is left to tell it.
async fn run(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let id = shared.update(|state| state.journal.accept());
                    connections.spawn(converse(Arc::clone(&shared), stream, id));
                }
                // Out of file descriptors, most likely: others will be closed in time.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
            () = told_to_stop(&mut stop) => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
    shared.update(|state| state.stopped = true);
    // `stop` is dropped last: `shutdown` waits for it.
}

async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that the last handle is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Speaks HTTP/1.1 or, where the client begins with its preface, HTTP/2 over one connection.
async fn converse(shared: Arc<Shared>, stream: TcpStream, id: u64) {
    // Without it small answers would wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let drop_it = Arc::new(Notify::new());
    let connection = Connection { id, drop: Arc::clone(&drop_it) };
    let service =
        service_fn(move |request| serve(Arc::clone(&shared), connection.clone(), request));
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http2()
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS);
    tokio::select! {
        // Whatever ended the connection, the journal says what became of its requests.
        _ = http.serve_connection(TokioIo::new(stream), service) => {}
        () = drop_it.notified() => {}
    }
}
