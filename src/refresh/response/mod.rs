//! What a response of the endpoint means.
//!
//! The table stands in the documentation of [`refresh`](super), for callers see it in the errors.
//! A rotated refresh token that stands in a faulty 2xx response goes along with the error.

mod body;
mod document;
mod error_body;
mod failure;
mod fields;
mod json;
mod lifetime;
mod raw;
mod retry_after;
#[cfg(test)]
mod tests;
#[cfg(feature = "xml")]
mod xml;

use self::body::{Format, Text, declared_format, is_compressed};
pub(super) use self::document::DocumentScanner;
use self::fields::{Field, Malformed, TokenFields};
pub(crate) use self::raw::{BODY_LIMIT, BodyEnd, RawResponse};
pub(crate) use self::retry_after::retry_after;
use super::RefreshResponse;
use super::error::{FailureClass, RefreshError};
use super::redact::Redactor;
use crate::token::{AccessToken, Moment, RefreshToken};

/// Reads the response to a refresh request that sent the token `sent`; `now` is when it arrived.
pub(crate) fn decode(
    response: RawResponse,
    sent: &RefreshToken,
    now: Moment,
) -> Result<RefreshResponse, RefreshError> {
    let redactor = Redactor::for_token(sent);
    let status = response.status;
    if status.is_success() {
        granted(response, sent, &redactor).map_err(|error| error.with_status(status))
    } else {
        Err(failure::error(&response, &redactor, now).with_status(status))
    }
}

/// Any 2xx will do: what counts is that the tokens are there.
fn granted(
    response: RawResponse,
    sent: &RefreshToken,
    redactor: &Redactor<'_>,
) -> Result<RefreshResponse, RefreshError> {
    let mut fields = TokenFields::default();
    let read = read(&response, &mut fields);
    let rotated = rotated(&fields, sent);
    let result = match (read, response.end) {
        // A whole document, however the body ended.
        (Ok(()), _) => tokens(fields),
        // Not the endpoint's words, however they ended.
        (Err(error), _) if error.class() == FailureClass::NotTheEndpoint => Err(error),
        (Err(_), BodyEnd::Broken(source)) => {
            let error = RefreshError::outcome_unknown("the endpoint's response broke off");
            Err(redactor.attach_source(error, source))
        }
        (Err(_), BodyEnd::TooLong) => {
            Err(RefreshError::outcome_unknown("the endpoint's response is longer than 64 KiB"))
        }
        (Err(error), BodyEnd::Whole) => Err(error),
    };
    result.map_err(|error| match rotated {
        Some(rotated) => error.with_rotated(rotated),
        None => error,
    })
}

/// Reads the fields of a 2xx response; after an error too, `fields` holds those that could be read.
///
/// The format is the one that the body shows; `Content-Type` decides only whether a body that is
/// in neither can be the endpoint's.
fn read(response: &RawResponse, fields: &mut TokenFields) -> Result<(), RefreshError> {
    let text = Text::of(&response.body);
    let declared = declared_format(&response.headers);
    let malformed = |what: &str, Malformed(at)| {
        RefreshError::outcome_unknown(format!("the endpoint's response is not {what}{at}"))
    };
    let read = match text.format().or(declared) {
        Some(Format::Json) => {
            json::tokens(&text, fields).map_err(|at| malformed("a JSON object", at))
        }
        Some(Format::Xml) if declared == Some(Format::Json) => {
            // Said to be JSON: nobody but the endpoint says so of a page.
            let at = Malformed(String::new());
            read_xml(&text, fields).map_err(|_| malformed("a JSON object", at))
        }
        Some(Format::Xml) => read_xml(&text, fields).map_err(|at| malformed("an XML document", at)),
        None => Err(RefreshError::outcome_unknown("the endpoint's response has no body")),
    };
    if read.is_ok() && !fields.is_empty() {
        return Ok(());
    }
    if is_compressed(&response.headers) {
        return Err(RefreshError::outcome_unknown(failure::COMPRESSED));
    }
    // A page: of a captive portal, a proxy, a single-page application.
    if declared.is_none()
        && text.format() != Some(Format::Json)
        && !text.is_blank()
        && fields.is_empty()
    {
        return Err(RefreshError::not_the_endpoint(
            "what answered is neither JSON nor XML; check the base URL, and whether something \
             stands between this program and the API",
        ));
    }
    read
}

#[cfg(feature = "xml")]
fn read_xml(text: &str, fields: &mut TokenFields) -> Result<(), Malformed> {
    xml::tokens(text, fields)
}

#[cfg(not(feature = "xml"))]
fn read_xml(_text: &str, _fields: &mut TokenFields) -> Result<(), Malformed> {
    Err(Malformed(
        " that this build can read; switch the feature `xml` of tower-teamup-auth on".to_owned(),
    ))
}

fn tokens(fields: TokenFields) -> Result<RefreshResponse, RefreshError> {
    let access_token = AccessToken::new(text(fields.access_token, "access_token")?)
        .map_err(|error| faulty("access_token").with_source(error))?;
    let lifetime = lifetime::of(&fields.expires_in);
    // Without one the old refresh token stays in use (RFC 6749 section 6). The same goes for one
    // that can't be used: the access token is good, and asking again might end the login.
    let refresh_token = match fields.refresh_token {
        Field::Text(text) => RefreshToken::new(text.as_str()).ok(),
        _ => None,
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
    RefreshError::outcome_unknown(format!("the endpoint's response has no `{name}`"))
}

fn faulty(name: &str) -> RefreshError {
    RefreshError::outcome_unknown(format!(
        "the endpoint's response holds no usable text as its `{name}`"
    ))
}

/// The refresh token of the response, if it can be one and is not the one that was spent.
fn rotated(fields: &TokenFields, sent: &RefreshToken) -> Option<RefreshToken> {
    match &fields.refresh_token {
        Field::Text(text) => {
            RefreshToken::new(text.as_str()).ok().filter(|rotated| rotated != sent)
        }
        _ => None,
    }
}
