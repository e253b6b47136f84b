//! The link from a body on its way to the tape that its copies hold.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::tape::{Pushed, Tape};

/// Notes on the tape what the body hands on, for as long as anybody holds the tape.
///
/// Dropped with the body. A body that is dropped before its end is not whole, and what it kept is
/// freed.
pub(super) struct Recorder {
    /// Dangling until a copy is asked for, and again when nothing more is to be noted.
    tape: Mutex<Weak<Tape>>,
    max_bytes: usize,
    /// The request's `Content-Length`, for a body that doesn't know its own length.
    content_length: Option<u64>,
    /// Whether the body was asked for a frame. What went by without a tape is gone.
    started: bool,
    /// Whether the declared length has gone and nothing was asked for since.
    at_length: bool,
}

impl Recorder {
    pub(super) fn new(max_bytes: usize, content_length: Option<u64>) -> Self {
        Recorder {
            tape: Mutex::new(Weak::new()),
            max_bytes,
            content_length,
            started: false,
            at_length: false,
        }
    }

    pub(super) fn started(&self) -> bool {
        self.started
    }

    /// The tape for a copy, or `None` if a copy could never be whole.
    pub(super) fn tape<B: Body>(&self, body: &B) -> Option<Arc<Tape>> {
        let mut link = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tape) = link.upgrade() {
            return (!tape.is_lost()).then_some(tape);
        }
        if self.started {
            return None;
        }
        let size_hint = body.size_hint();
        let length = size_hint.exact().or(self.content_length);
        if length.unwrap_or(size_hint.lower()) > self.max_bytes as u64 {
            return None;
        }
        let tape = Tape::new(size_hint, body.is_end_stream(), length, self.max_bytes);
        let tape = Arc::new(tape);
        *link = Arc::downgrade(&tape);
        Some(tape)
    }

    /// The body is asked for its next frame.
    pub(super) fn begin(&mut self) {
        self.started = true;
        self.at_length = false;
    }

    /// Notes what the body hands on: a frame, an error or its end.
    ///
    /// `true` when as much as the request declares has gone while the body has not said that this
    /// was all.
    pub(super) fn note<E>(
        &mut self,
        item: Option<&Result<Frame<Bytes>, E>>,
        is_end_stream: impl FnOnce() -> bool,
    ) -> bool {
        let link = self.tape.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(tape) = link.upgrade() {
            match item {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        let pushed = tape.push(data);
                        if pushed != Pushed::Full && !is_end_stream() {
                            return pushed == Pushed::Length;
                        }
                        tape.finish(None);
                    } else if let Some(trailers) = frame.trailers_ref() {
                        // Trailers end a message (RFC 9110, section 6.5), and clients ask for
                        // nothing after them.
                        tape.finish(Some(trailers));
                    } else {
                        // A kind of frame that HTTP has yet to learn: what can't be kept can't be
                        // sent again.
                        tape.lose();
                    }
                }
                Some(Err(_)) => tape.lose(),
                None => tape.finish(None),
            }
        }
        *link = Weak::new();
        false
    }

    /// The declared length has gone, and the body doesn't know yet whether this was all.
    ///
    /// A client that sends a `Content-Length` over HTTP/1.1 asks for nothing after it: the length
    /// is the end of the message (RFC 9112, section 6.2). If it drops the body now, it was content
    /// with it.
    pub(super) fn length_reached(&mut self) {
        self.at_length = true;
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let link = self.tape.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(tape) = link.upgrade() {
            if self.at_length { tape.finish(None) } else { tape.lose() }
        }
    }
}
