//! A request's body on its way: no longer than allowed, and no slower.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_teamup_auth::BoxError;

use super::pause::{PauseLimit, Paused};

pin_project! {
    /// The body of a request, passed on frame by frame.
    #[derive(Debug)]
    pub(crate) struct Upload<B> {
        #[pin]
        body: PauseLimit<B>,
        left: u64,
        fault: Fault,
    }
}

/// What was wrong with a body. The error that a client makes of it does not say so reliably.
#[derive(Clone, Debug, Default)]
pub(super) struct Fault(Arc<AtomicU8>);

/// What the client of this proxy did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    TooLong = 1,
    TooSlow = 2,
    /// It hung up, or its framing broke.
    Broken = 3,
}

impl<B> Upload<B> {
    pub(super) fn new(body: B, limit: u64, pause: Duration, fault: Fault) -> Self {
        Upload { body: PauseLimit::new(body, pause), left: limit, fault }
    }
}

impl Fault {
    fn set(&self, cause: Cause) -> BoxError {
        self.0.store(cause as u8, Ordering::Relaxed);
        Box::new(cause)
    }

    pub(super) fn cause(&self) -> Option<Cause> {
        [Cause::TooLong, Cause::TooSlow, Cause::Broken]
            .into_iter()
            .find(|cause| *cause as u8 == self.0.load(Ordering::Relaxed))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::TooLong => "the body is longer than the limit",
            Cause::TooSlow => return Paused.fmt(f),
            Cause::Broken => "the body broke off",
        })
    }
}

impl std::error::Error for Cause {}

impl<B> Body for Upload<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let cause = match ready!(this.body.poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match this.left.checked_sub(length) {
                    Some(left) => {
                        *this.left = left;
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    None => Cause::TooLong,
                }
            }
            Some(Err(error)) if error.is::<Paused>() => Cause::TooSlow,
            Some(Err(_)) => Cause::Broken,
        };
        Poll::Ready(Some(Err(this.fault.set(cause))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    async fn send(limit: u64) -> Result<Bytes, Option<Cause>> {
        let fault = Fault::default();
        let body = Full::new(Bytes::from_static(b"12345678"));
        let upload = Upload::new(body, limit, Duration::from_secs(1), fault.clone());
        assert_eq!(upload.size_hint().exact(), Some(8));
        upload.collect().await.map(|body| body.to_bytes()).map_err(|_| fault.cause())
    }

    #[tokio::test]
    async fn a_body_over_the_limit_ends_with_an_error() {
        assert_eq!(send(8).await.unwrap(), "12345678");
        assert_eq!(send(7).await.unwrap_err(), Some(Cause::TooLong));
    }

    /// Has something to yield one day.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_pauses_for_too_long_ends_with_an_error() {
        let fault = Fault::default();
        let upload = Upload::new(Silent, 8, Duration::from_secs(30), fault.clone());
        assert!(upload.collect().await.is_err());
        assert_eq!(fault.cause(), Some(Cause::TooSlow));
    }
}
