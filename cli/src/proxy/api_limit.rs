//! The time that the API has: until an answer begins, and between the parts of its body.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower::Service;
use tower_teamup_auth::BoxError;

use super::pause::PauseLimit;

/// Ends a send that the API leaves without an answer. It belongs inside the layer, where a retry has the whole
/// time again.
#[derive(Clone, Debug)]
pub(super) struct ApiLimit<S> {
    inner: S,
    limit: Duration,
}

/// The API did not begin its answer within the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unanswered;

impl<S> ApiLimit<S> {
    pub(super) fn new(inner: S, limit: Duration) -> Self {
        ApiLimit { inner, limit }
    }
}

impl<S, B, R> Service<Request<B>> for ApiLimit<S>
where
    S: Service<Request<SentBody<B>>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Response = Response<PauseLimit<R>>;
    type Error = BoxError;
    type Future = Sending<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let progress = Progress::of(request.body());
        let request = request.map(|body| SentBody { body, progress: progress.clone() });
        let limit = self.limit;
        Sending { answer: self.inner.call(request), timer: sleep(limit), limit, progress }
    }
}

pin_project! {
    /// Waits for the answer. While the request's body moves, or the client is waited for, the API need not
    /// answer yet: the time counts anew.
    #[derive(Debug)]
    pub(super) struct Sending<F> {
        #[pin]
        answer: F,
        #[pin]
        timer: Sleep,
        limit: Duration,
        progress: Progress,
    }
}

impl<F, R, E> Future for Sending<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<PauseLimit<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let limit = *this.limit;
        if let Poll::Ready(answer) = this.answer.poll(cx) {
            let answer = answer.map(|answer| answer.map(|body| PauseLimit::new(body, limit)));
            return Poll::Ready(answer.map_err(Into::into));
        }
        loop {
            ready!(this.timer.as_mut().poll(cx));
            if !this.progress.take() {
                return Poll::Ready(Err(Unanswered.into()));
            }
            this.timer.set(sleep(limit));
        }
    }
}

pin_project! {
    /// A request's body that tells how far it is.
    #[derive(Debug)]
    pub(crate) struct SentBody<B> {
        #[pin]
        body: B,
        progress: Progress,
    }

    impl<B> PinnedDrop for SentBody<B> {
        fn drop(this: Pin<&mut Self>) {
            this.progress.end();
        }
    }
}

impl<B: Body> Body for SentBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = this.body.poll_frame(cx);
        this.progress.set(if frame.is_pending() { WAITS } else { MOVED });
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Nothing has happened since it was last asked for.
const STILL: u8 = 0;
/// A part was sent, or the body ended.
const MOVED: u8 = 1;
/// The client has to send the next part. Its own limit ends that.
const WAITS: u8 = 2;

/// What a request's body does, shared with the wait for the answer. `None`: there is no body to send.
#[derive(Clone, Debug)]
struct Progress(Option<Arc<AtomicU8>>);

impl Progress {
    fn of(body: &impl Body) -> Self {
        Progress((!body.is_end_stream()).then(|| Arc::new(AtomicU8::new(STILL))))
    }

    fn set(&self, state: u8) {
        if let Some(current) = &self.0 {
            current.store(state, Ordering::Relaxed);
        }
    }

    /// Whether the body has moved since this was last asked, or waits for the client.
    fn take(&self) -> bool {
        let Some(current) = &self.0 else { return false };
        // One that waits goes on waiting.
        current.fetch_and(!MOVED, Ordering::Relaxed) != STILL
    }

    /// The body is no longer asked for parts, so that nobody waits for the client.
    fn end(&self) {
        if let Some(current) = &self.0 {
            let _ = current.compare_exchange(WAITS, MOVED, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the API did not answer within the limit")
    }
}

impl std::error::Error for Unanswered {}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;
    use std::pin::pin;

    use bytes::Bytes;
    use http_body_util::channel::Channel;
    use http_body_util::{BodyExt, Empty};
    use tokio::time::timeout;
    use tower::{ServiceExt, service_fn};

    use super::super::pause::Paused;
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// Never answers, and keeps the request as a client does that has sent it or has lost sight of it.
    async fn silent<B>(
        request: Request<SentBody<B>>,
    ) -> Result<Response<Empty<Bytes>>, Infallible> {
        let _request = request;
        pending().await
    }

    /// Reads the body, and answers after `pause`.
    async fn slow<B>(
        request: Request<SentBody<B>>,
        pause: Duration,
    ) -> Result<Response<Empty<Bytes>>, BoxError>
    where
        B: Body<Error: Into<BoxError>>,
    {
        request.into_body().collect().await.map_err(Into::into)?;
        sleep(pause).await;
        Ok(Response::new(Empty::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_that_stays_silent_ends_the_send_at_the_limit() {
        let api = ApiLimit::new(service_fn(silent::<Empty<Bytes>>), LIMIT);
        let mut sending = pin!(api.oneshot(Request::new(Empty::new())));
        let second = Duration::from_secs(1);
        assert!(timeout(LIMIT - second, sending.as_mut()).await.is_err(), "too early");
        let error = timeout(second * 2, sending).await.expect("an end").unwrap_err();
        assert!(error.is::<Unanswered>(), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn so_does_one_that_takes_nothing_of_an_upload() {
        let (_sender, body) = Channel::<Bytes>::new(1);
        let api = ApiLimit::new(service_fn(silent::<Channel<Bytes>>), LIMIT);
        let error = api.oneshot(Request::new(body)).await.unwrap_err();
        assert!(error.is::<Unanswered>(), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_may_take_longer_than_the_limit() {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let sending = tokio::spawn(async move {
            for pause in [LIMIT / 2, LIMIT * 3, LIMIT / 2] {
                sleep(pause).await;
                sender.send_data("part".into()).await.unwrap();
            }
        });
        let api = service_fn(|request| slow(request, LIMIT * 9 / 10));
        ApiLimit::new(api, LIMIT).oneshot(Request::new(body)).await.unwrap();
        sending.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_api_has_the_limit_after_an_upload_and_no_more_than_twice_of_it() {
        for (pause, is_answered) in [(LIMIT, true), (LIMIT * 2 + LIMIT / 10, false)] {
            let (mut sender, body) = Channel::<Bytes>::new(1);
            let sending = tokio::spawn(async move {
                sleep(LIMIT / 2).await;
                sender.send_data("all".into()).await.unwrap();
            });
            let api = service_fn(|request| slow(request, pause));
            let answer = ApiLimit::new(api, LIMIT).oneshot(Request::new(body)).await;
            assert_eq!(answer.is_ok(), is_answered, "{pause:?}");
            sending.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_pauses_for_too_long_ends() {
        let (_sender, body) = Channel::<Bytes>::new(1);
        let mut body = Some(body);
        let api = service_fn(move |_: Request<SentBody<Empty<Bytes>>>| {
            let body = body.take().expect("one request");
            async { Ok::<_, Infallible>(Response::new(body)) }
        });
        let answer = ApiLimit::new(api, LIMIT).oneshot(Request::new(Empty::new())).await.unwrap();
        let reading = timeout(LIMIT * 2, answer.into_body().collect());
        let error = reading.await.expect("an end").unwrap_err();
        assert!(error.is::<Paused>(), "{error}");
    }

    /// The client is waited for, and then the connection loses the request without a word.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_dropped_waits_for_nobody() {
        let (_sender, body) = Channel::<Bytes>::new(1);
        let api = service_fn(|request: Request<SentBody<Channel<Bytes>>>| async move {
            let reading = request.into_body().collect();
            assert!(timeout(LIMIT / 2, reading).await.is_err());
            pending::<Result<Response<Empty<Bytes>>, Infallible>>().await
        });
        let sending = ApiLimit::new(api, LIMIT).oneshot(Request::new(body));
        let outcome = timeout(LIMIT * 10, sending).await.expect("an end");
        let error = outcome.unwrap_err();
        assert!(error.is::<Unanswered>(), "{error}");
    }
}
