//! The body: on its way, or sent again.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::DEFAULT_MAX_BYTES;
use super::recorder::Recorder;
use super::tape::Tape;
use crate::body::RepeatableBody;

pin_project_lite::pin_project! {
    /// Wraps a stream so that it can be sent again, if it is short enough.
    ///
    /// Frames pass through as they come. Once a copy was taken
    /// ([`try_clone`](RepeatableBody::try_clone)), what passes is kept beside, up to a cap (64 KiB
    /// by default), until the last copy is dropped; with no copy nothing is kept. The
    /// [module's docs](crate::body) tell what is repeated and what is not;
    /// [`ReplayBodyLayer`](super::ReplayBodyLayer) wraps the body of every request.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use bytes::Bytes;
    /// use futures_util::stream;
    /// use http_body::Frame;
    /// use http_body_util::{BodyExt, StreamBody};
    /// use tower_teamup_auth::body::{ReplayBody, RepeatableBody};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Infallible> {
    /// let chunks = ["streamed ", "once"].map(|text| Frame::data(Bytes::from(text)));
    /// let chunks = chunks.map(Ok::<_, Infallible>);
    /// let mut body = ReplayBody::new(StreamBody::new(stream::iter(chunks)));
    ///
    /// let copy = body.try_clone().expect("it isn't sent yet");
    /// assert!(!copy.is_complete());
    ///
    /// assert_eq!(body.collect().await?.to_bytes(), "streamed once");
    /// assert!(copy.is_complete());
    /// assert_eq!(copy.collect().await?.to_bytes(), "streamed once");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Polling a copy panics unless [`is_complete`](RepeatableBody::is_complete) said `true` of
    /// it: a request must not go out with half a body.
    pub struct ReplayBody<B>
    where
        B: Body,
    {
        #[pin]
        side: Side<B, B::Error>,
    }
}

pin_project_lite::pin_project! {
    #[project = SideProjected]
    enum Side<B, E> {
        /// The body itself, on its way.
        First {
            #[pin]
            body: B,
            // What the body was found to yield next, when it was asked ahead of its client.
            ahead: Ahead<E>,
            recorder: Recorder,
        },
        /// A copy that nobody has asked for a frame.
        Copy { tape: Arc<Tape> },
        /// A copy on its way: what is left of it.
        Again { data: Bytes, trailers: Option<HeaderMap> },
    }
}

enum Ahead<E> {
    Unknown,
    Next(Result<Frame<Bytes>, E>),
    End,
}

impl<B: Body> ReplayBody<B> {
    /// Wraps `body` and keeps at most 64 KiB of it.
    pub fn new(body: B) -> Self {
        ReplayBody::with_max_bytes(body, DEFAULT_MAX_BYTES)
    }

    /// Wraps `body` and keeps at most `max_bytes` bytes of it, data and trailers together.
    pub fn with_max_bytes(body: B, max_bytes: usize) -> Self {
        ReplayBody::recorded(body, Recorder::new(max_bytes, None))
    }

    pub(super) fn recorded(body: B, recorder: Recorder) -> Self {
        ReplayBody { side: Side::First { body, ahead: Ahead::Unknown, recorder } }
    }
}

impl<B: Body> From<B> for ReplayBody<B> {
    fn from(body: B) -> Self {
        ReplayBody::new(body)
    }
}

impl<B: Body + Default> Default for ReplayBody<B> {
    fn default() -> Self {
        ReplayBody::new(B::default())
    }
}

/// Says which side it is, and nothing of what it holds.
impl<B: Body> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::First { .. } => "first",
            Side::Copy { .. } | Side::Again { .. } => "copy",
        };
        f.debug_struct("ReplayBody").field("side", &side).finish_non_exhaustive()
    }
}

impl<B: Body> RepeatableBody for ReplayBody<B> {
    /// A copy that will hold what this body sends. Several copies share one memory, and a copy of
    /// a copy is one more of them.
    ///
    /// `None` if the copy could not be whole: the body says that it is longer than the cap, or it
    /// is already being sent.
    fn try_clone(&mut self) -> Option<Self> {
        let tape = match &self.side {
            Side::First { body, recorder, .. } => recorder.tape(body)?,
            Side::Copy { tape } => Arc::clone(tape),
            Side::Again { .. } => return None,
        };
        Some(ReplayBody { side: Side::Copy { tape } })
    }

    /// Of a copy: whether the first body has come to its end, unharmed and within the cap. Once
    /// `true`, it stays so until the copy is sent.
    fn is_complete(&self) -> bool {
        match &self.side {
            Side::First { recorder, .. } => !recorder.started(),
            Side::Copy { tape } => tape.is_whole(),
            Side::Again { .. } => false,
        }
    }
}

impl<B: Body> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut side = self.project().side;
        if let Side::Copy { tape } = &*side {
            let (data, trailers) = tape.whole().expect("a copy is sent only if it is complete");
            side.set(Side::Again { data, trailers });
        }
        match side.project() {
            SideProjected::First { body, ahead, recorder } => poll_first(body, ahead, recorder, cx),
            SideProjected::Again { data, trailers } => {
                let frame = if data.is_empty() {
                    trailers.take().map(Frame::trailers)
                } else {
                    Some(Frame::data(mem::take(data)))
                };
                Poll::Ready(frame.map(Ok))
            }
            SideProjected::Copy { .. } => unreachable!("a copy on its way is `Again`"),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.side {
            Side::First { body, ahead, .. } => match ahead {
                Ahead::Unknown => body.is_end_stream(),
                Ahead::Next(_) => false,
                Ahead::End => true,
            },
            Side::Copy { tape } => tape.is_end_stream(),
            Side::Again { data, trailers } => data.is_empty() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.side {
            Side::First { body, ahead, .. } => match ahead {
                Ahead::Next(Ok(frame)) => longer_by(frame, body.size_hint()),
                Ahead::Next(Err(_)) | Ahead::Unknown | Ahead::End => body.size_hint(),
            },
            Side::Copy { tape } => tape.size_hint(),
            Side::Again { data, .. } => SizeHint::with_exact(data.len() as u64),
        }
    }
}

fn poll_first<B: Body>(
    mut body: Pin<&mut B>,
    ahead: &mut Ahead<B::Error>,
    recorder: &mut Recorder,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
    recorder.begin();
    let item = match mem::replace(ahead, Ahead::Unknown) {
        Ahead::Unknown => ready!(poll_bytes(body.as_mut(), cx)),
        Ahead::Next(item) => Some(item),
        Ahead::End => {
            *ahead = Ahead::End;
            return Poll::Ready(None);
        }
    };
    if recorder.note(item.as_ref(), || body.is_end_stream()) {
        // Whoever sends a `Content-Length` may ask for nothing after it, and the end would never
        // be seen. So the body is asked now whether this was all, or trailers are to come.
        match poll_bytes(body.as_mut(), cx) {
            Poll::Ready(Some(next)) => *ahead = Ahead::Next(next),
            Poll::Pending if !body.is_end_stream() => recorder.length_reached(),
            Poll::Ready(None) | Poll::Pending => {
                recorder.note::<B::Error>(None, || true);
                *ahead = Ahead::End;
            }
        }
    }
    Poll::Ready(item)
}

/// `Bytes` are handed on as they are, other buffers are copied into them.
fn poll_bytes<B: Body>(
    body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
    body.poll_frame(cx)
        .map_ok(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
}

fn longer_by(frame: &Frame<Bytes>, rest: SizeHint) -> SizeHint {
    let more = frame.data_ref().map_or(0, |data| data.len() as u64);
    let mut hint = SizeHint::new();
    hint.set_lower(rest.lower().saturating_add(more));
    if let Some(upper) = rest.upper() {
        hint.set_upper(upper.saturating_add(more));
    }
    hint
}
