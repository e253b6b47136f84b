//! What the server answers: first as data, then, with its fault applied, as bytes.

use std::collections::BTreeMap;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::{AnswerBody, Ending};
use super::connection::ActiveRequest;
use super::format::Format;

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
    pub(super) ending: Ending,
    /// The body is filled up with whitespace to at least this size, in bytes.
    pub(super) min_size: usize,
    /// Compressed, whether or not the client accepts it.
    pub(super) gzip: bool,
    /// The connection is closed after the answer.
    pub(super) close_after: bool,
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
        Answer {
            status,
            headers: HeaderMap::new(),
            content,
            ending: Ending::Whole,
            min_size: 0,
            gzip: false,
            close_after: false,
        }
    }

    /// TeamUp's error body: `code`, `message` and `type`.
    pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Self {
        let body = json!({ "code": code, "message": message, "type": "invalid_request_error" });
        Answer::new(status, Content::Data(body))
    }

    /// TeamUp's error body with `field_errors`: field name, or `non_field_errors`, to messages.
    pub(super) fn field_errors(errors: &BTreeMap<&str, Vec<String>>) -> Self {
        Answer::error(
            StatusCode::BAD_REQUEST,
            "parameter_invalid",
            "The request's body is not valid.",
        )
        .with_field("field_errors", json!(errors))
    }

    /// A 401 in TeamUp's words (seen).
    pub(super) fn unauthorized(message: &str) -> Self {
        Answer::error(StatusCode::UNAUTHORIZED, "authentication_failed", message)
            .with_field("field_errors", json!({}))
    }

    /// Sets a field of an answer that is data.
    pub(super) fn with_field(mut self, name: &str, value: Value) -> Self {
        if let Content::Data(body) = &mut self.content {
            body[name] = value;
        }
        self
    }

    pub(super) fn with_header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(super) fn into_response(
        self,
        format: Format,
        mut request: ActiveRequest,
    ) -> Response<AnswerBody> {
        let (content_type, mut bytes) = match self.content {
            Content::Empty => (None, Vec::new()),
            Content::Bytes(bytes) => (None, bytes.to_vec()),
            Content::Data(data) => (Some(format.content_type()), format.write(&data)),
        };
        bytes.resize(bytes.len().max(self.min_size), b' ');
        if self.gzip {
            bytes = gzip(&bytes);
        }
        if self.close_after {
            request.close_after();
        }
        let mut response = Response::new(AnswerBody::new(bytes.into(), self.ending, request));
        *response.status_mut() = self.status;
        if let Some(content_type) = content_type {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        if self.gzip {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        // A fault's own content type stands among these and wins.
        response.headers_mut().extend(self.headers);
        response
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("compressing to memory does not fail")
}
