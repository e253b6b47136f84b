//! What an answer of the endpoint means.
//!
//! The table stands in the documentation of [`refresh`](super), for callers see it in the errors.
//! A rotated refresh token that stands in a faulty 2xx answer goes along with the error.

mod api_error;
mod fields;
mod json;
mod lifetime;
#[cfg(test)]
mod tests;
#[cfg(feature = "xml")]
mod xml;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use self::fields::{Field, Malformed, TokenFields};
use super::answer::{Answer, BodyEnd};
use super::error::{FailureClass, RefreshError};
use super::retry_after::retry_after;
use super::strike::Strikeout;
use super::{ApiError, RefreshResponse};
use crate::token::{AccessToken, Moment, RefreshToken};

/// Reads the answer to an exchange that spent `sent`; `now` is when it arrived.
pub(crate) fn decode(
    answer: Answer,
    sent: &RefreshToken,
    now: Moment,
) -> Result<RefreshResponse, RefreshError> {
    let strikeout = Strikeout::of(sent);
    let status = answer.status;
    let with_reasons = |error: RefreshError| match reasons(&answer, &strikeout) {
        Some(api_error) => error.with_api_error(api_error),
        None => error,
    };
    let result = match status.as_u16() {
        200..=299 => return granted(answer, sent, &strikeout).map_err(|e| e.with_status(status)),
        400 | 401 | 403 => {
            with_reasons(RefreshError::rejected("the endpoint refused the refresh token"))
        }
        408 | 425 | 429 | 500..=599 => {
            let error = with_reasons(RefreshError::transient(
                "the endpoint could not serve the exchange for the moment",
            ));
            match retry_after(&answer.headers, now) {
                Some(wait) => error.with_retry_after(wait),
                None => error,
            }
        }
        300..=399 => RefreshError::protocol(
            "the endpoint answered with a redirect, which is not followed: the request holds the \
             refresh token; check the base URL",
        ),
        _ => with_reasons(RefreshError::protocol(
            "the endpoint answered with a status that has no meaning there; check the base URL",
        )),
    };
    Err(result.with_status(status))
}

fn granted(
    answer: Answer,
    sent: &RefreshToken,
    strikeout: &Strikeout<'_>,
) -> Result<RefreshResponse, RefreshError> {
    let mut fields = TokenFields::default();
    let read = read(&answer, &mut fields);
    let rotated = rotated(&fields, sent);
    let result = match (read, answer.end) {
        _ if answer.status != StatusCode::OK => {
            Err(RefreshError::protocol("the endpoint grants an exchange with status 200 alone"))
        }
        // Not the endpoint's words, however they ended.
        (Err(error), _) if error.class() == FailureClass::NotTheEndpoint => Err(error),
        (_, BodyEnd::Broken(source)) => Err(strikeout
            .attach(RefreshError::outcome_unknown("the endpoint's answer broke off"), source)),
        (_, BodyEnd::TooLong) => {
            Err(RefreshError::outcome_unknown("the endpoint's answer is longer than 64 KiB"))
        }
        (Err(error), BodyEnd::Whole) => Err(error),
        (Ok(()), BodyEnd::Whole) => response(fields),
    };
    result.map_err(|error| match rotated {
        Some(rotated) => error.with_rotated(rotated),
        None => error,
    })
}

/// Reads the fields of a 2xx answer; after an error too, `fields` holds those that could be read.
fn read(answer: &Answer, fields: &mut TokenFields) -> Result<(), RefreshError> {
    if answer.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(RefreshError::outcome_unknown(
            "the endpoint's answer is compressed, which the exchange did not ask for; let the \
             client decompress it",
        ));
    }
    match Format::of(&answer.headers) {
        Some(Format::Json) => json::tokens(&answer.body, fields).map_err(|Malformed(at)| {
            RefreshError::outcome_unknown(format!("the endpoint's answer is not a JSON object{at}"))
        }),
        Some(Format::Xml) => read_xml(&answer.body, fields),
        None => {
            // The answer is refused, yet a rotated token in it would be the only copy.
            let _ = json::tokens(&answer.body, fields);
            #[cfg(feature = "xml")]
            let _ = xml::tokens(&answer.body, fields);
            Err(RefreshError::protocol(
                "what answered is neither JSON nor XML by its Content-Type; check the base URL, \
                 and whether something stands between this program and the API",
            ))
        }
    }
}

#[cfg(feature = "xml")]
fn read_xml(body: &[u8], fields: &mut TokenFields) -> Result<(), RefreshError> {
    xml::tokens(body, fields).map_err(|Malformed(at)| {
        RefreshError::outcome_unknown(format!("the endpoint's answer is not an XML document{at}"))
    })
}

#[cfg(not(feature = "xml"))]
fn read_xml(_body: &[u8], _fields: &mut TokenFields) -> Result<(), RefreshError> {
    Err(RefreshError::protocol(
        "the endpoint answered in XML, which this build can't read; switch the feature `xml` of \
         tower-teamup-auth on",
    ))
}

fn response(fields: TokenFields) -> Result<RefreshResponse, RefreshError> {
    let refresh_token = RefreshToken::new(text(fields.refresh_token, "refresh_token")?)
        .map_err(|error| faulty("refresh_token").with_source(error))?;
    let access_token = AccessToken::new(text(fields.access_token, "access_token")?)
        .map_err(|error| faulty("access_token").with_source(error))?;
    let lifetime = match &fields.expires_in {
        Field::Missing => return Err(missing("expires_in")),
        present => lifetime::of(present),
    };
    Ok(RefreshResponse {
        access_token,
        expires_in: lifetime.known,
        refresh_token,
        odd_lifetime: lifetime.odd,
    })
}

fn text(field: Field, name: &str) -> Result<String, RefreshError> {
    match field {
        Field::Text(mut text) => Ok(std::mem::take(&mut *text)),
        Field::Missing => Err(missing(name)),
        Field::Null | Field::Number(_) | Field::Other => Err(faulty(name)),
    }
}

fn missing(name: &str) -> RefreshError {
    RefreshError::outcome_unknown(format!("the endpoint's answer has no `{name}`"))
}

fn faulty(name: &str) -> RefreshError {
    RefreshError::outcome_unknown(format!(
        "the endpoint's answer holds no usable text as its `{name}`"
    ))
}

/// The refresh token of the answer, if it can be one and is not the one that was spent.
fn rotated(fields: &TokenFields, sent: &RefreshToken) -> Option<RefreshToken> {
    match &fields.refresh_token {
        Field::Text(text) => {
            RefreshToken::new(text.as_str()).ok().filter(|rotated| rotated != sent)
        }
        _ => None,
    }
}

/// What TeamUp says of a failure. A body that is none of its own says nothing.
fn reasons(answer: &Answer, strikeout: &Strikeout<'_>) -> Option<ApiError> {
    let said = match Format::of(&answer.headers)? {
        Format::Json => json::api_error(&answer.body),
        #[cfg(feature = "xml")]
        Format::Xml => xml::api_error(&answer.body),
        #[cfg(not(feature = "xml"))]
        Format::Xml => return None,
    };
    api_error::presentable(said, strikeout)
}

enum Format {
    Json,
    Xml,
}

impl Format {
    fn of(headers: &HeaderMap) -> Option<Format> {
        let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let media_type = value.split(';').next()?.trim().to_ascii_lowercase();
        match media_type.as_str() {
            "application/json" => Some(Format::Json),
            "application/xml" | "text/xml" => Some(Format::Xml),
            other if other.ends_with("+json") => Some(Format::Json),
            _ => None,
        }
    }
}
