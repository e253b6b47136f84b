//! Runtimes that end, or stand still, while callers of another one wait for what runs there.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tower::{BoxError, Service, ServiceExt};
use tower_teamup_auth::token::RefreshToken;

use crate::account::Account;
use crate::callers::call_on;
use crate::patience::within_patience;
use crate::user::{Http, User};
use crate::windows::{Window, Windows};

/// Callers of each runtime.
const CALLERS: usize = 4;
/// Longer than a worker may go without being polled: another one takes its place.
const STANDSTILL: Duration = Duration::from_millis(1_200);

thread_local! {
    /// A runtime of this thread is being dropped, and its tasks with it.
    static ENDS: Cell<bool> = const { Cell::new(false) };
}

/// How often it happened.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    pub(crate) ended: AtomicUsize,
    pub(crate) stood_still: AtomicUsize,
    /// Runtimes that ended with a refresh request under way.
    pub(crate) with_a_request: AtomicUsize,
}

/// A thread with one runtime after the other, until the end comes.
pub(crate) struct Runtimes {
    ended: oneshot::Receiver<()>,
}

impl Runtimes {
    pub(crate) fn start(
        user: Arc<User>,
        account: Arc<Account>,
        end: watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        let (told, ended) = oneshot::channel();
        thread::Builder::new().name("runtimes".to_owned()).spawn(move || {
            while !*end.borrow() {
                live(&user, &account, &end);
            }
            // Nobody listens any more if the soak has ended with an error.
            let _ = told.send(());
        })?;
        Ok(Runtimes { ended })
    }

    /// # Errors
    ///
    /// When the thread has panicked or does not end.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let ended = within_patience("a thread of runtimes had ended", self.ended).await?;
        ended.context("a thread of runtimes has panicked")
    }
}

/// A runtime from its start to its end, in the middle of its calls.
fn live(user: &Arc<User>, account: &Arc<Account>, end: &watch::Receiver<bool>) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let happened = &account.runtimes;
    runtime.block_on(async {
        for _ in 0..CALLERS {
            tokio::spawn(call_on(Arc::clone(user), Arc::clone(account), end.clone()));
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(10..400))).await;
        if fastrand::u8(..30) == 0 {
            thread::sleep(STANDSTILL);
            happened.stood_still.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..50))).await;
        }
    });
    ENDS.set(true);
    drop(runtime);
    ENDS.set(false);
    happened.ended.fetch_add(1, Ordering::Relaxed);
}

/// A client of refresh requests that notes which of them end with their runtime.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) client: Http<Full<Bytes>>,
    pub(crate) windows: Windows,
    pub(crate) account: Arc<Account>,
}

/// A refresh request that was sent and is not answered yet.
struct Unanswered {
    token: Option<RefreshToken>,
    watched: Watched,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(token) = self.token.take().filter(|_| ENDS.get()) {
            self.watched.windows.open(token, Window::RuntimeEnded);
            self.watched.account.runtimes.with_a_request.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Service<Request<Full<Bytes>>> for Watched {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let watched = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let fields: serde_json::Value = serde_json::from_slice(&body)?;
            let token = fields["refresh_token"].as_str().context("a refresh request")?.parse()?;
            let client = watched.client.clone();
            let mut unanswered = Unanswered { token: Some(token), watched };
            let response = client.oneshot(Request::from_parts(head, Full::from(body))).await;
            let answer = match response {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let body = body.collect().await;
                    body.map(|body| Response::from_parts(head, Full::from(body.to_bytes())))
                        .map_err(BoxError::from)
                }
                Err(error) => Err(error.into()),
            };
            // From here on the crate has the answer.
            unanswered.token = None;
            answer
        })
    }
}
