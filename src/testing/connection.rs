//! One connection: whether it is idle, and when it is to be closed.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use super::settings::Transport;

/// The connection that a request came over. Clones are the same connection.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) id: u64,
    activity: Arc<Activity>,
    /// The worker that serves the connection. A request that is worked on keeps it, even when the
    /// connection is gone.
    _worker: Option<Arc<OwnedSemaphorePermit>>,
    pub(super) limits: Limits,
    /// True, or an error: the server stops.
    stop: watch::Receiver<bool>,
}

/// What the connections of a server share.
#[derive(Clone)]
pub(super) struct Limits {
    pub(super) transport: Transport,
    connection_workers: Option<Arc<Semaphore>>,
    request_workers: Option<Arc<Semaphore>>,
}

#[derive(Default)]
struct Activity {
    /// Requests whose answers have not been sent whole.
    requests: watch::Sender<usize>,
    close: Notify,
    abort: Notify,
}

/// A request of a connection; dropped when its answer was sent whole or is of no use any more.
pub(super) struct ActiveRequest {
    activity: Arc<Activity>,
    close_after: bool,
}

impl Limits {
    pub(super) fn new(transport: Transport) -> Self {
        let semaphore = |permits: Option<usize>| permits.map(|n| Arc::new(Semaphore::new(n)));
        Limits {
            connection_workers: semaphore(transport.connection_workers),
            request_workers: semaphore(transport.request_workers),
            transport,
        }
    }

    /// Waits for a worker where there are not enough for every request.
    pub(super) async fn request_worker(&self) -> Option<OwnedSemaphorePermit> {
        acquire(self.request_workers.as_ref()).await
    }
}

async fn acquire(workers: Option<&Arc<Semaphore>>) -> Option<OwnedSemaphorePermit> {
    match workers {
        // The semaphore is never closed.
        Some(workers) => Arc::clone(workers).acquire_owned().await.ok(),
        None => None,
    }
}

impl Connection {
    /// An accepted connection, once a worker is free for it.
    pub(super) async fn new(id: u64, limits: Limits, stop: watch::Receiver<bool>) -> Self {
        let worker = acquire(limits.connection_workers.as_ref()).await.map(Arc::new);
        Connection { id, activity: Arc::default(), _worker: worker, limits, stop }
    }

    pub(super) fn begin_request(&self) -> ActiveRequest {
        self.activity.requests.send_modify(|requests| *requests += 1);
        let close_after = self.limits.transport.close_after_answer;
        ActiveRequest { activity: Arc::clone(&self.activity), close_after }
    }

    /// Closes the connection at once, whatever else goes on over it.
    pub(super) fn abort(&self) {
        self.activity.abort.notify_one();
    }

    pub(super) async fn aborted(&self) {
        self.activity.abort.notified().await;
    }

    /// An answer was sent after which the connection is to be closed.
    pub(super) async fn closing(&self) {
        self.activity.close.notified().await;
    }

    /// The connection has had no request for as long as the server keeps such connections.
    pub(super) async fn idle_for_too_long(&self) {
        let Some(limit) = self.limits.transport.idle_timeout else {
            return pending().await;
        };
        let mut requests = self.activity.requests.subscribe();
        // The sender lives in `self`, so there is no error to meet.
        while requests.wait_for(|requests| *requests == 0).await.is_ok() {
            if self.is_quiet_for(limit, &mut requests).await {
                return;
            }
        }
    }

    async fn is_quiet_for(&self, limit: Duration, requests: &mut watch::Receiver<usize>) -> bool {
        tokio::select! {
            // Any change: one that begins and ends between two polls counts too.
            _ = requests.changed() => false,
            () = tokio::time::sleep(limit) => true,
        }
    }

    /// The server was told to stop, or its last handle is gone.
    pub(super) async fn server_stops(&self) {
        stops(&mut self.stop.clone()).await;
    }
}

pub(super) async fn stops(stop: &mut watch::Receiver<bool>) {
    // An error means that the last handle is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

impl ActiveRequest {
    /// Closes the connection once the answer was sent, without an announcement.
    pub(super) fn close_after(&mut self) {
        self.close_after = true;
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.activity.requests.send_modify(|requests| *requests -= 1);
        if self.close_after {
            self.activity.close.notify_one();
        }
    }
}
