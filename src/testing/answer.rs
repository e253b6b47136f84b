//! What the server answers: first as data, then, once a fault has had its way with it, as bytes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use serde_json::{Value, json};

use super::format::Format;

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
    /// The connection breaks in the middle of the body.
    pub(super) cut_off: bool,
    /// Whitespace after the body, in bytes.
    pub(super) padding: usize,
}

pub(super) enum Content {
    Empty,
    /// Written in whatever format the request asked for.
    Data(Value),
    /// Sent as it is; its content type stands among the headers.
    Bytes(Bytes),
}

impl Answer {
    pub(super) fn ok(data: Value) -> Self {
        Answer::new(StatusCode::OK, Content::Data(data))
    }

    pub(super) fn new(status: StatusCode, content: Content) -> Self {
        Answer { status, headers: HeaderMap::new(), content, cut_off: false, padding: 0 }
    }

    /// TeamUp's error body: `code`, `message` and `type`.
    pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Self {
        let body = json!({ "code": code, "message": message, "type": "invalid_request_error" });
        Answer::new(status, Content::Data(body))
    }

    /// TeamUp's error body with `field_errors`: field name, or `non_field_errors`, to messages.
    pub(super) fn field_errors(errors: &BTreeMap<&str, Vec<String>>) -> Self {
        let mut answer =
            Answer::error(StatusCode::BAD_REQUEST, "invalid", "The request's body is not valid.");
        if let Content::Data(body) = &mut answer.content {
            body["field_errors"] = json!(errors);
        }
        answer
    }

    pub(super) fn with_header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(super) fn into_response(self, format: Format) -> Response<AnswerBody> {
        let (content_type, mut bytes) = match self.content {
            Content::Empty => (None, Vec::new()),
            Content::Bytes(bytes) => (None, bytes.to_vec()),
            Content::Data(data) => (Some(format.content_type()), format.write(&data)),
        };
        bytes.resize(bytes.len() + self.padding, b' ');
        let body = if self.cut_off {
            Either::Right(CutOff::new(bytes))
        } else {
            Either::Left(Full::from(bytes))
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        if let Some(content_type) = content_type {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        // A fault's own content type stands among these and wins.
        response.headers_mut().extend(self.headers);
        response
    }
}

pub(super) type AnswerBody = Either<Full<Bytes>, CutOff>;

/// Promises a whole body, sends half of it and breaks.
pub(super) struct CutOff {
    half: Option<Bytes>,
    promised: u64,
    flushed: bool,
}

/// Why a [`CutOff`] ends. Told to hyper, which then drops the connection or resets the stream.
#[derive(Debug)]
pub(super) struct CutOffError;

impl fmt::Display for CutOffError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is cut off on purpose")
    }
}

impl std::error::Error for CutOffError {}

impl From<Infallible> for CutOffError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl CutOff {
    fn new(whole: Vec<u8>) -> Self {
        let promised = whole.len() as u64;
        let half = Bytes::from(whole).slice(..(promised / 2) as usize);
        CutOff { half: Some(half), promised, flushed: false }
    }
}

impl Body for CutOff {
    type Data = Bytes;
    type Error = CutOffError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOffError>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        if !self.flushed {
            // hyper flushes before it looks at a body again that had nothing for it, so the half
            // is on its way before the connection breaks.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(CutOffError)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.promised)
    }
}
