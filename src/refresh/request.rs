//! The body of a refresh request, in each form that TeamUp documents.
//!
//! | field | value |
//! | --- | --- |
//! | `refresh_token` | the token that is spent |
//! | `scope` | left out when there is none; an array in JSON, a repeated field in the other forms |
//! | `new_access_token_type` | `customer` or `provider`, always sent: TeamUp's default is `customer`, whatever the caller meant |

#[cfg(feature = "multipart")]
mod multipart;
#[cfg(test)]
mod tests;

use std::iter;

use bytes::Bytes;
use http::HeaderValue;
use serde::Serializer as _;
use serde::ser::SerializeMap;
use zeroize::Zeroizing;

use super::{RefreshError, RefreshRequest};

/// How the body of the refresh request is written. TeamUp documents all of them, and they mean
/// the same to it.
///
/// ```
/// use tower_teamup_auth::refresh::RefreshEncoding;
/// use tower_teamup_auth::{Credentials, RequestMode};
///
/// let builder = Credentials::builder(RequestMode::Customer).refresh_encoding(RefreshEncoding::Form);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefreshEncoding {
    /// `application/json`.
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data`.
    #[cfg(feature = "multipart")]
    #[cfg_attr(docsrs, doc(cfg(feature = "multipart")))]
    Multipart,
}

/// A body and what its `Content-Type` has to say. The body holds the refresh token, and is wiped
/// when its last handle is dropped.
pub(super) struct Encoded {
    pub(super) content_type: HeaderValue,
    pub(super) body: Bytes,
}

pub(super) fn encode(
    encoding: RefreshEncoding,
    request: &RefreshRequest,
    scope: &[String],
) -> Result<Encoded, RefreshError> {
    match encoding {
        RefreshEncoding::Json => json(request, scope),
        RefreshEncoding::Form => Ok(form(request, scope)),
        #[cfg(feature = "multipart")]
        RefreshEncoding::Multipart => multipart(request, scope),
    }
}

fn json(request: &RefreshRequest, scope: &[String]) -> Result<Encoded, RefreshError> {
    // An escaped character takes six bytes at most.
    let mut body = buffer(request, scope, 6);
    let written = (|| {
        let mut writer = serde_json::Serializer::new(&mut *body);
        let mut object = writer.serialize_map(None)?;
        object.serialize_entry(REFRESH_TOKEN, request.refresh_token().expose())?;
        if !scope.is_empty() {
            object.serialize_entry(SCOPE, scope)?;
        }
        object.serialize_entry(TOKEN_TYPE, request.mode().as_str())?;
        object.end()
    })();
    written.map_err(|error: serde_json::Error| {
        RefreshError::configuration("the refresh request could not be written as JSON")
            .with_source(error)
    })?;
    Ok(Encoded {
        content_type: HeaderValue::from_static("application/json"),
        body: Bytes::from_owner(body),
    })
}

fn form(request: &RefreshRequest, scope: &[String]) -> Encoded {
    // An encoded character takes three bytes at most.
    let mut body = Zeroizing::new(String::with_capacity(capacity(request, scope, 3)));
    form_urlencoded::Serializer::new(&mut *body).extend_pairs(fields(request, scope));
    Encoded {
        content_type: HeaderValue::from_static("application/x-www-form-urlencoded"),
        body: Bytes::from_owner(body),
    }
}

#[cfg(feature = "multipart")]
fn multipart(request: &RefreshRequest, scope: &[String]) -> Result<Encoded, RefreshError> {
    let fields: Vec<(&str, &str)> = fields(request, scope).collect();
    let (content_type, body) =
        multipart::write(&fields, buffer(request, scope, 1)).map_err(|error| {
            RefreshError::configuration("the refresh request could not be written as multipart")
                .with_source(error)
        })?;
    Ok(Encoded { content_type, body: Bytes::from_owner(body) })
}

/// The fields of the forms, in which a list is a repeated field.
fn fields<'a>(
    request: &'a RefreshRequest,
    scope: &'a [String],
) -> impl Iterator<Item = (&'static str, &'a str)> {
    iter::once((REFRESH_TOKEN, request.refresh_token().expose()))
        .chain(scope.iter().map(|scope| (SCOPE, &**scope)))
        .chain([(TOKEN_TYPE, request.mode().as_str())])
}

const REFRESH_TOKEN: &str = "refresh_token";
const SCOPE: &str = "scope";
const TOKEN_TYPE: &str = "new_access_token_type";

/// Room for the whole body at once: a buffer that grows leaves copies of the token behind, unwiped.
fn buffer(request: &RefreshRequest, scope: &[String], per_byte: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(capacity(request, scope, per_byte)))
}

fn capacity(request: &RefreshRequest, scope: &[String], per_byte: usize) -> usize {
    /// More than a field's name and its punctuation take in any encoding.
    const FRAME: usize = 192;
    let room = |text: &str| text.len().saturating_mul(per_byte).saturating_add(FRAME);
    let scopes = scope.iter().map(|scope| room(scope)).fold(2 * FRAME, usize::saturating_add);
    room(request.refresh_token().expose()).saturating_add(scopes)
}
