//! What a response means that grants nothing. The table stands in the documentation of
//! [`refresh`](crate::refresh).

use http::StatusCode;

use super::body::{Format, Text, is_compressed};
use super::error_body::ErrorBody;
use super::json;
use super::raw::RawResponse;
use super::retry_after::retry_after;
#[cfg(feature = "xml")]
use super::xml;
use crate::refresh::redact::Redactor;
use crate::refresh::{FailureClass, RefreshError};
use crate::token::Moment;

/// The error for a response whose status is not 2xx.
pub(super) fn error(response: &RawResponse, redactor: &Redactor<'_>, now: Moment) -> RefreshError {
    let body = error_body(response);
    let (class, message) = match response.status.as_u16() {
        400 | 401 | 403 => match &body {
            Some(body) if body.is_whole => refusal(response.status, body),
            // Without its body the refusal may be anybody's.
            _ if is_compressed(&response.headers) => (FailureClass::OutcomeUnknown, COMPRESSED),
            _ => (
                FailureClass::NotTheEndpoint,
                "the refresh request was refused, and not in TeamUp's words; check what stands \
                 between this program and the API",
            ),
        },
        // A gateway gave up; the endpoint behind it may have gone on.
        502 | 504 => (
            FailureClass::OutcomeUnknown,
            "a gateway had no usable response from the endpoint, which may have refreshed all the \
             same",
        ),
        408 | 425 | 429 | 500..=599 => (
            FailureClass::Transient,
            "the endpoint could not serve the refresh request for the moment",
        ),
        300..=399 => (
            FailureClass::NotTheEndpoint,
            "the endpoint answered with a redirect, which is not followed: the request holds the \
             refresh token; check the base URL",
        ),
        _ => (
            FailureClass::NotTheEndpoint,
            "the endpoint answered with a status that has no meaning there; check the base URL",
        ),
    };
    let mut error = RefreshError::new(class, message);
    if let Some(body) = body.filter(|_| !response.status.is_redirection()) {
        error = error.with_field(body.field());
        if let Some(api_error) = body.presentable(redactor) {
            error = error.with_api_error(api_error);
        }
    }
    if matches!(response.status.as_u16(), 408 | 425 | 429 | 500..=599) {
        if let Some(wait) = retry_after(&response.headers, now) {
            error = error.with_retry_after(wait);
        }
    }
    error
}

pub(super) const COMPRESSED: &str = "the endpoint's response is compressed, which the request did \
    not ask for, so it can't be read; see what stands between this program and the API";

/// What a 400, 401 or 403 with a readable body means. A login ends with TeamUp's own word about the
/// refresh token, and with nothing else.
fn refusal(status: StatusCode, body: &ErrorBody) -> (FailureClass, &'static str) {
    let forbidden = status == StatusCode::FORBIDDEN;
    match (body.field(), body.code()) {
        (Some("refresh_token"), _) => REJECTED,
        (_, "authentication_failed" | "invalid_grant") if !forbidden => REJECTED,
        (Some("scope"), _) => (
            FailureClass::Configuration,
            "TeamUp refused the scopes that were asked for, not the refresh token",
        ),
        (Some(_), _) => (
            FailureClass::Configuration,
            "TeamUp refused the mode that was asked for, not the refresh token",
        ),
        (None, code)
            if forbidden
                && (matches!(code, "mode_not_allowed" | "permission_denied")
                    || code.starts_with("provider_")) =>
        {
            (
                FailureClass::Configuration,
                "TeamUp does not permit what was asked for, whatever the refresh token",
            )
        }
        (None, _) if body.is_teamups() => (
            FailureClass::ProbablyRejected,
            "TeamUp refused the refresh request, in words that it does not document; the refresh \
             token is probably not valid any more",
        ),
        (None, _) => (
            FailureClass::NotTheEndpoint,
            "the refresh request was refused, and not in TeamUp's words; check what stands between \
             this program and the API",
        ),
    }
}

const REJECTED: (FailureClass, &str) = (FailureClass::Rejected, "TeamUp refused the refresh token");

fn error_body(response: &RawResponse) -> Option<ErrorBody> {
    let text = Text::of(&response.body);
    match text.format()? {
        Format::Json => Some(json::error_body(&text)),
        #[cfg(feature = "xml")]
        Format::Xml => Some(xml::error_body(&text)),
        #[cfg(not(feature = "xml"))]
        Format::Xml => None,
    }
}
