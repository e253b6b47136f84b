//! Those who call the API, and don't always wait for its answer.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Either, Full};
use tokio::sync::watch;
use tower::{BoxError, ServiceExt};
use tower_teamup_auth::body::{ReplayBody, SendOnce};
use tower_teamup_auth::testing::CALLER;
use tower_teamup_auth::{Error, RequestMode};

use crate::account::{Account, End};
use crate::user::User;

pub(crate) const PER_CREDENTIAL: usize = 16;

/// In memory, a stream that is kept while it is sent, a stream that is sent once.
pub(crate) type Body = Either<Full<Bytes>, Either<ReplayBody<Chunks>, SendOnce<Chunks>>>;

/// Calls until the end comes.
pub(crate) async fn call_on(user: Arc<User>, account: Arc<Account>, end: watch::Receiver<bool>) {
    while !*end.borrow() {
        let at_elsewhere = fastrand::u8(..50) == 0;
        let base_url = if at_elsewhere { &user.elsewhere } else { &user.base_url };
        let request = request(&user.name, base_url);
        let call = call(&user, request, at_elsewhere);
        let end = match fastrand::u8(..100) {
            0..4 => given_up_after(fastrand::usize(1..6), call).await.unwrap_or(End::Cancelled),
            _ => call.await,
        };
        account.note(end);
        match end {
            End::ToLogInAgain => user.log_in_again().await,
            // The failure is everybody's answer for a while; a program has something else to do.
            End::WithoutToken | End::Unauthorized => {
                tokio::time::sleep(Duration::from_millis(20)).await
            }
            _ => {}
        }
    }
}

/// Whose request it is, of a caller's name.
pub(crate) fn user_of(caller: &str) -> Option<&str> {
    Some(caller.split_once('#')?.0)
}

fn request(user: &str, base_url: &str) -> Request<Body> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    // So that the journal tells a retry from another request.
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let caller = format!("{user}#{}-{number}", std::process::id());
    let (path, body) = match fastrand::u8(..10) {
        0..6 => ("/echo", Either::Left(Full::default())),
        6 | 7 => ("/uploads", Either::Left(Full::from(vec![b'x'; fastrand::usize(1..4096)]))),
        8 => ("/uploads", Either::Right(Either::Left(ReplayBody::new(Chunks(3))))),
        _ => ("/uploads", Either::Right(Either::Right(SendOnce::new(Chunks(3))))),
    };
    let mode = if fastrand::bool() { RequestMode::Customer } else { RequestMode::Provider };
    let request = Request::post(format!("{base_url}{path}")).extension(mode).header(CALLER, caller);
    request.body(body).expect("a request of known parts")
}

async fn call(user: &User, request: Request<Body>, elsewhere: bool) -> End {
    let response = match user.api.clone().oneshot(request).await {
        Ok(response) => response,
        Err(error) => return of_error(&error),
    };
    let status = response.status();
    let reason = response.extensions().get::<Error>();
    if reason.is_some_and(Error::is_login_required) {
        return End::ToLogInAgain;
    }
    if response.into_body().collect().await.is_err() {
        return End::Failed;
    }
    match status {
        // It wants a token, and has got none.
        StatusCode::UNAUTHORIZED if elsewhere => End::Elsewhere,
        StatusCode::OK => End::Ok,
        StatusCode::UNAUTHORIZED => End::Unauthorized,
        _ => End::Failed,
    }
}

fn of_error(error: &BoxError) -> End {
    match error.downcast_ref::<Error>() {
        Some(error) if error.is_login_required() => End::ToLogInAgain,
        Some(_) => End::WithoutToken,
        None => End::Failed,
    }
}

/// Polls `call` so many times, each time that it is woken, and then drops it.
async fn given_up_after<F: Future>(polls: usize, call: F) -> Option<F::Output> {
    let mut call = pin!(call);
    let mut left = polls;
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// A stream of so many chunks that does not tell its size.
pub(crate) struct Chunks(u8);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // Not always ready, as a stream is.
        if fastrand::u8(..4) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
        self.0 = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"a chunk of a stream")))))
    }
}
