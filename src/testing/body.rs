//! The body of an answer, whole or broken on purpose.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::connection::ActiveRequest;

/// How the body of an answer ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ending {
    #[default]
    Whole,
    /// Half of it is sent, then the connection breaks.
    CutOff,
    /// `Content-Length` promises more than there is, and the connection stays open.
    LengthTooLong,
    /// All of it is sent without a length. The end never comes, and the connection stays open.
    NeverEnds,
}

/// How many bytes more than there are `Content-Length` promises.
const MISSING: u64 = 16;

pub(super) struct AnswerBody {
    /// `None`: it was sent.
    bytes: Option<Bytes>,
    promised: u64,
    ending: Ending,
    flushed: bool,
    /// The request is over when the body is.
    _request: ActiveRequest,
}

/// Why a body is cut off. Told to hyper, which then closes the connection or resets the stream.
#[derive(Debug)]
pub(super) struct CutOffError;

impl fmt::Display for CutOffError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is cut off on purpose")
    }
}

impl std::error::Error for CutOffError {}

impl AnswerBody {
    pub(super) fn new(mut bytes: Bytes, ending: Ending, request: ActiveRequest) -> Self {
        let mut promised = bytes.len() as u64;
        match ending {
            Ending::CutOff => bytes.truncate(bytes.len() / 2),
            Ending::LengthTooLong => promised += MISSING,
            Ending::Whole | Ending::NeverEnds => {}
        }
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        AnswerBody { bytes, promised, ending, flushed: false, _request: request }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CutOffError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOffError>>> {
        if let Some(bytes) = self.bytes.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match self.ending {
            Ending::Whole => Poll::Ready(None),
            // hyper drops it with the connection, so no waker is needed.
            Ending::LengthTooLong | Ending::NeverEnds => Poll::Pending,
            Ending::CutOff if self.flushed => Poll::Ready(Some(Err(CutOffError))),
            Ending::CutOff => {
                // hyper flushes before it looks at a body again that had nothing for it, so the
                // half is sent before the connection breaks.
                self.flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ending == Ending::Whole && self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.ending {
            Ending::Whole => {
                SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Ending::CutOff | Ending::LengthTooLong => SizeHint::with_exact(self.promised),
            Ending::NeverEnds => SizeHint::default(),
        }
    }
}
