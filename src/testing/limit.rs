//! A limit on how long a test waits, in real time.
//!
//! A limit on Tokio's clock would be wrong here: a paused clock jumps to the next timer while a
//! socket is waited for, and the limit would be that timer.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;

/// Waits for at most `limit` of real time. `None`: it was over first.
pub(super) async fn within<T>(limit: Duration, waiting: impl Future<Output = T>) -> Option<T> {
    let mut waiting = pin!(waiting);
    let at_once = poll_fn(|context| match waiting.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    });
    if let Some(value) = at_once.await {
        return Some(value);
    }
    let (over, expired) = oneshot::channel();
    // Dropped with this future, which ends the thread.
    let (_waits, ended) = mpsc::channel::<()>();
    std::thread::Builder::new()
        .name("fake-teamup-limit".to_owned())
        .spawn(move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                let _ = over.send(());
            }
        })
        .expect("a thread can be started");
    tokio::select! {
        biased;
        value = waiting => Some(value),
        _ = expired => None,
    }
}

/// Runs a future to its end on a thread without a runtime.
///
/// # Panics
///
/// Inside a runtime, which this would block.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers can be built")
        .block_on(future)
}
