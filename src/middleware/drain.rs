//! Reads what is left of a small answer that nobody will read.
//!
//! An HTTP/1.1 connection returns to its pool only when the answer on it was read to its end. That
//! is worth a few kilobytes and a moment, and no more.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::Sleep;

/// An answer longer than this (bytes) is dropped, and its connection with it.
const MOST_BYTES: u64 = 8 * 1024;

/// An answer that takes longer is dropped.
const LONGEST: Duration = Duration::from_millis(500);

pin_project! {
    /// Resolves when the body has ended, or was given up.
    #[derive(Debug)]
    pub(crate) struct Drain<B> {
        #[pin]
        body: B,
        left: u64,
        // Started by the first wait: most answers of this kind are there already.
        #[pin]
        limit: Option<Sleep>,
    }
}

impl<B: Body> Drain<B> {
    pub(crate) fn new(body: B) -> Self {
        let left = if body.size_hint().lower() > MOST_BYTES { 0 } else { MOST_BYTES };
        Drain { body, left, limit: None }
    }
}

impl<B: Body> Future for Drain<B> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        while *this.left > 0 && !this.body.is_end_stream() {
            match this.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let read = frame.data_ref().map_or(0, Buf::remaining) as u64;
                    *this.left = this.left.saturating_sub(read);
                }
                Poll::Ready(None | Some(Err(_))) => break,
                Poll::Pending => {
                    if this.limit.is_none() {
                        // Without a runtime there is no timer, and nothing is waited for.
                        if Handle::try_current().is_err() {
                            break;
                        }
                        this.limit.set(Some(tokio::time::sleep(LONGEST)));
                    }
                    if let Some(limit) = this.limit.as_mut().as_pin_mut() {
                        ready!(limit.poll(cx));
                    }
                    break;
                }
            }
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::Waker;

    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::Full;
    use tokio::sync::mpsc;
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    type Frames = mpsc::UnboundedReceiver<Result<Frame<Bytes>, Infallible>>;

    struct Channel(Frames);

    impl Body for Channel {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(cx)
        }
    }

    #[test]
    fn a_small_answer_is_read_to_its_end_and_a_large_one_left_alone() {
        assert_ready!(task::spawn(Drain::new(Full::new(Bytes::from("small")))).poll());
        let mut large = Box::pin(Drain::new(Full::new(Bytes::from(vec![0; 9 * 1024]))));
        assert!(large.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        assert!(!large.body.is_end_stream());
    }

    #[test]
    fn an_answer_that_trickles_is_not_waited_for_where_there_is_no_timer() {
        let (_frames, body) = mpsc::unbounded_channel();
        assert_ready!(task::spawn(Drain::new(Channel(body))).poll());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_trickles_is_given_up() {
        let (frames, body) = mpsc::unbounded_channel();
        let mut drain = task::spawn(Drain::new(Channel(body)));
        frames.send(Ok(Frame::data(Bytes::from("a")))).unwrap();
        assert_pending!(drain.poll());
        tokio::time::advance(LONGEST).await;
        assert_ready!(drain.poll());
    }
}
