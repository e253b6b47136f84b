//! Accepting connections, and serving each of them in a task of its own.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connection::{Connection, Limits, stops};
use super::protocols::protocols;
use super::serve::serve;
use super::shared::Shared;

/// Says that the server has stopped, also where its runtime is gone before it was told to.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.update(|state| state.stopped = true);
    }
}

/// Accepts connections until the server is told to stop, or nobody is left to tell it.
///
/// Dropped at any time, the future says that the server has stopped, before its first poll too.
pub(super) fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + use<> {
    let running = Running(Arc::clone(&shared));
    run(running, listener, shared, stop)
}

async fn run(
    running: Running,
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let limits = Limits::new(shared.lock().settings.transport.clone());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let id = shared.update(|state| state.journal.accept());
                    let connection = Connection::new(id, limits.clone(), stop.clone());
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move {
                        serve_connection(shared, stream, connection.await).await;
                    });
                }
                // Out of file descriptors, most likely: others will be closed in time.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
            () = stops(&mut stop) => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
    drop(running);
    // `stop` is dropped last: `shutdown` waits for it.
}

/// Speaks HTTP over one connection.
async fn serve_connection(shared: Arc<Shared>, stream: TcpStream, connection: Connection) {
    // Without it small answers would wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let http = protocols(&connection.limits.transport);
    let service = {
        let connection = connection.clone();
        service_fn(move |request| serve(Arc::clone(&shared), connection.clone(), request))
    };
    let mut conversation = pin!(http.serve_connection(TokioIo::new(stream), service));
    let mut idle_for_too_long = pin!(connection.idle_for_too_long());
    let mut announced = false;
    loop {
        tokio::select! {
            biased;
            // Whatever ended the connection, the journal says what became of its requests.
            _ = conversation.as_mut() => return,
            () = connection.aborted() => return,
            () = idle_for_too_long.as_mut() => {
                if announced {
                    return;
                }
                // Closes at once over HTTP/1.1. Over HTTP/2 the client is told first, and has as
                // much time again to answer.
                announced = true;
                conversation.as_mut().graceful_shutdown();
                idle_for_too_long.set(connection.idle_for_too_long());
            }
            () = connection.closing() => conversation.as_mut().graceful_shutdown(),
        }
    }
}
