//! A body that may not pause for long.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_teamup_auth::BoxError;

pin_project! {
    /// Ends with [`Paused`] when nothing comes for longer than the limit. Time in which nobody asks for a frame
    /// does not count: what has come meanwhile is passed on first.
    #[derive(Debug)]
    pub(crate) struct PauseLimit<B> {
        #[pin]
        body: B,
        limit: Duration,
        // `Some` while the other side is waited for.
        waiting: Option<Pin<Box<Sleep>>>,
    }
}

/// The body paused for longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paused;

impl<B> PauseLimit<B> {
    pub(super) fn new(body: B, limit: Duration) -> Self {
        PauseLimit { body, limit, waiting: None }
    }
}

impl<B> Body for PauseLimit<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.project();
        if let Poll::Ready(frame) = this.body.poll_frame(cx) {
            *this.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let limit = *this.limit;
        let waiting = this.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        waiting.as_mut().poll(cx).map(|()| Some(Err(Paused.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body paused for longer than the limit")
    }
}

impl std::error::Error for Paused {}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::channel::Channel;
    use http_body_util::{BodyExt, Full};
    use tokio::time::{sleep, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_pause_over_the_limit_ends_the_body() {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let mut body = PauseLimit::new(body, LIMIT);
        sender.send_data("first".into()).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
        assert!(timeout(LIMIT - Duration::from_secs(1), body.frame()).await.is_err(), "too early");
        let frame = timeout(Duration::from_secs(2), body.frame()).await.expect("an end");
        let error = frame.unwrap().unwrap_err();
        assert!(error.is::<Paused>(), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn each_frame_has_the_whole_limit() {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let sending = tokio::spawn(async move {
            for _ in 0..4 {
                sleep(LIMIT * 2 / 3).await;
                sender.send_data("part".into()).await.unwrap();
            }
        });
        let all = PauseLimit::new(body, LIMIT).collect().await.unwrap().to_bytes();
        assert_eq!(all, "partpartpartpart");
        sending.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_pauses_finds_what_has_come() {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let mut body = PauseLimit::new(body, LIMIT);
        // The other side is waited for, and the reader turns to something else.
        assert!(timeout(LIMIT / 2, body.frame()).await.is_err());
        sender.send_data("late read".into()).await.unwrap();
        sleep(LIMIT * 2).await;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "late read");
    }

    #[test]
    fn its_length_is_that_of_the_body() {
        let body = PauseLimit::new(Full::new(Bytes::from_static(b"12345678")), LIMIT);
        assert_eq!(body.size_hint().exact(), Some(8));
        assert!(!body.is_end_stream());
    }
}
