//! A body that is not sent again, whatever it could do.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

use super::RepeatableBody;

pin_project_lite::pin_project! {
    /// Wraps any body and declares that it is sent once: for a stream that is gone once it is
    /// read, or for a request that must not reach the API twice.
    ///
    /// ```
    /// use http_body_util::Empty;
    /// use tower_teamup_auth::body::{RepeatableBody, SendOnce};
    ///
    /// let body: SendOnce<Empty<&[u8]>> = SendOnce::new(Empty::new());
    /// assert!(body.try_clone().is_none());
    /// ```
    #[derive(Debug, Clone, Default)]
    pub struct SendOnce<B> {
        #[pin]
        inner: B,
    }
}

impl<B> SendOnce<B> {
    /// Wraps `body`.
    pub const fn new(body: B) -> Self {
        SendOnce { inner: body }
    }

    /// The body within.
    pub fn into_inner(self) -> B {
        self.inner
    }
}

impl<B> From<B> for SendOnce<B> {
    fn from(body: B) -> Self {
        SendOnce::new(body)
    }
}

impl<B> RepeatableBody for SendOnce<B> {
    fn try_clone(&self) -> Option<Self> {
        None
    }
}

impl<B: Body> Body for SendOnce<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
