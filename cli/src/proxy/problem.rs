//! The answers that the proxy gives by itself. Each names its reason in `TeamUp-Auth-Error`, so that a client
//! can tell them from the API's.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tower_teamup_auth::{BoxError, Error};

use super::api_limit::Unanswered;
use super::headers::ERROR;
use super::pause::Paused;
use super::upload::Cause;

/// A reason, as a word for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Problem { status, code, message: message.into(), retry_after: None }
    }

    /// What the client did to its own request.
    pub(super) fn of_upload(cause: Cause) -> Self {
        let (status, code) = match cause {
            Cause::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_long"),
            Cause::TooSlow => (StatusCode::REQUEST_TIMEOUT, "body_too_slow"),
            Cause::Broken => (StatusCode::BAD_REQUEST, "body_broken"),
        };
        Problem::new(status, code, cause.to_string())
    }

    /// Nothing came back. The library's error says why, or else the connection failed.
    pub(super) fn of_error(error: &BoxError) -> Self {
        if let Some(error) = Error::find(&**error) {
            return Problem {
                status: status(error),
                code: code(error),
                message: error.to_string(),
                retry_after: error.retry_after().map(|pause| pause.as_secs().max(1)),
            };
        }
        if error.is::<Unanswered>() {
            return Problem::of_silence("the API did not answer within --api-timeout");
        }
        let message = "the API could not be reached, or broke the connection off";
        Problem::new(StatusCode::BAD_GATEWAY, "bad_gateway", message)
    }

    /// An answer began, and did not come to its end.
    pub(super) fn of_answer(error: &BoxError) -> Self {
        if error.is::<Paused>() {
            return Problem::of_silence("the API paused within its answer for --api-timeout");
        }
        Problem::new(StatusCode::BAD_GATEWAY, "bad_gateway", "the API broke the answer off")
    }

    fn of_silence(message: &str) -> Self {
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "api_timeout", message)
    }

    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ERROR, HeaderValue::from_static(self.code));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.status.is_client_error() && self.status != StatusCode::UNAUTHORIZED {
            // Whatever is left of the request is not read.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A word for what the error asks of a program.
pub(super) fn code(error: &Error) -> &'static str {
    if error.is_login_required() {
        "login_required"
    } else if error.is_login_changed() {
        "login_changed"
    } else if error.is_m2m_refused() {
        "m2m_refused"
    } else if error.is_route_refused() {
        "route_refused"
    } else if error.is_retryable_by_caller() {
        "send_again"
    } else if error.is_invalid_request() || error.is_invalid_input() {
        "invalid_request"
    } else if error.is_configuration() {
        "configuration"
    } else if error.is_timeout() {
        "timeout"
    } else {
        "refresh_failed"
    }
}

fn status(error: &Error) -> StatusCode {
    if error.is_login_required() || error.is_m2m_refused() {
        StatusCode::UNAUTHORIZED
    } else if error.is_login_changed() {
        StatusCode::CONFLICT
    } else if error.is_invalid_request() || error.is_invalid_input() {
        StatusCode::BAD_REQUEST
    } else if error.is_configuration() {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_that_is_silent_is_told_from_one_that_is_out_of_reach() {
        let broken = || BoxError::from("connection reset");
        for (problem, status, code) in [
            (Problem::of_error(&Unanswered.into()), 504, "api_timeout"),
            (Problem::of_error(&broken()), 502, "bad_gateway"),
            (Problem::of_answer(&Paused.into()), 504, "api_timeout"),
            (Problem::of_answer(&broken()), 502, "bad_gateway"),
        ] {
            assert_eq!((problem.status.as_u16(), problem.code()), (status, code), "{problem:?}");
        }
    }
}
