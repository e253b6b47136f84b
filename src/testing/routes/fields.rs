//! The fields of a request, in each of the three forms that TeamUp takes.

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyDataStream, Full};
use multer::Multipart;
use serde_json::{Map, Value, json};

use super::super::answer::Answer;

const URLENCODED: &str = "application/x-www-form-urlencoded";

/// Why a body has no fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum NoFields {
    /// A content type that is none of the three, or none at all.
    Unsupported,
    /// Not what the content type says.
    Malformed,
}

impl NoFields {
    pub(in super::super) fn answer(self) -> Answer {
        match self {
            NoFields::Unsupported => Answer::error(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The request's content type is not supported.",
            ),
            NoFields::Malformed => Answer::error(
                StatusCode::BAD_REQUEST,
                "parse_error",
                "The request's body is not what its content type says.",
            ),
        }
    }
}

/// The body's fields as JSON has them: `scope` as a list, and of another field that is repeated
/// the last.
pub(in super::super) async fn read(head: &Parts, body: &Bytes) -> Result<Value, NoFields> {
    let (content_type, media_type) = content_type(head)?;
    match media_type.as_str() {
        "application/json" => serde_json::from_slice(body).map_err(|_| NoFields::Malformed),
        URLENCODED => Ok(gather(urlencoded(body))),
        "multipart/form-data" => multipart(content_type, body).await.map(gather),
        _ => Err(NoFields::Unsupported),
    }
}

/// The fields of a form, in their order, where no other form is taken.
pub(in super::super) fn form(
    head: &Parts,
    body: &Bytes,
) -> Result<Vec<(String, String)>, NoFields> {
    match content_type(head)?.1.as_str() {
        URLENCODED => Ok(urlencoded(body)),
        _ => Err(NoFields::Unsupported),
    }
}

/// The content type as it stands, and its media type in lower case.
fn content_type(head: &Parts) -> Result<(&str, String), NoFields> {
    let content_type = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .ok_or(NoFields::Unsupported)?;
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    Ok((content_type, media_type.to_ascii_lowercase()))
}

fn urlencoded(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body).into_owned().collect()
}

async fn multipart(content_type: &str, body: &Bytes) -> Result<Vec<(String, String)>, NoFields> {
    let boundary = multer::parse_boundary(content_type).map_err(|_| NoFields::Malformed)?;
    let stream = BodyDataStream::new(Full::new(body.clone()));
    let mut parts = Multipart::new(stream, boundary);
    let mut fields = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(|_| NoFields::Malformed)? {
        let name = part.name().ok_or(NoFields::Malformed)?.to_owned();
        let value = part.bytes().await.map_err(|_| NoFields::Malformed)?;
        let value = String::from_utf8(value.into()).map_err(|_| NoFields::Malformed)?;
        fields.push((name, value));
    }
    Ok(fields)
}

fn gather(fields: Vec<(String, String)>) -> Value {
    let mut gathered = Map::new();
    for (name, value) in fields {
        if name == "scope" {
            let scopes = gathered.entry(name).or_insert_with(|| json!([]));
            scopes.as_array_mut().expect("just made").push(value.into());
        } else {
            gathered.insert(name, value.into());
        }
    }
    gathered.into()
}
