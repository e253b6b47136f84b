//! The server's handle: where it is, and how it is stopped.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::net::TcpSocket;
use tokio::sync::watch;

use super::accept::accept;
use super::settings::Settings;
use super::shared::Shared;
use crate::token::Clock;

/// Connections that may wait to be accepted: a thousand callers connect at once.
const BACKLOG: u32 = 4096;

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
    /// `Some`: the server runs on this thread, and nobody has waited for its end yet.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl FakeTeamUp {
    /// Binds the port; the server runs while the future that comes with it is polled.
    pub(super) fn bind(
        address: SocketAddr,
        settings: Settings,
        clock: Clock,
    ) -> io::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let socket = TcpSocket::new_v4()?;
        // A server that stopped leaves connections behind that block its port for a while.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let shared = Shared::new(format!("http://{address}"), settings, clock);
        let stop = watch::Sender::new(false);
        let running = accept(listener, Arc::clone(&shared), stop.subscribe());
        let thread = Mutex::new(None);
        Ok((FakeTeamUp(Arc::new(Handle { shared, address, stop, thread })), running))
    }

    /// The server runs on this thread.
    pub(super) fn runs_on(&self, thread: JoinHandle<()>) {
        *self.0.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
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
    /// that is done. Requests that it still works on are given up. The journal can still be read.
    /// Stopping twice does nothing.
    ///
    /// # Cancel safety
    ///
    /// The server stops even if the future is dropped.
    pub async fn shutdown(&self) {
        self.0.stop.send_replace(true);
        self.0.stop.closed().await;
    }

    /// Stops the server, for a test without a runtime: returns when the thread of a server that
    /// was [started with one](FakeTeamUp::start_blocking) has ended. Another server is told to stop
    /// and not waited for.
    pub fn shutdown_blocking(&self) {
        self.0.stop.send_replace(true);
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // The server's own panics are in its connections' tasks and show there.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for FakeTeamUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FakeTeamUp").field(&self.origin()).finish()
    }
}
