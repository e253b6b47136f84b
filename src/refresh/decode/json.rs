//! Answers in JSON.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::api_error::Said;
use super::fields::{Field, Malformed, TokenFields};

/// Reads the token fields; those before a fault are kept.
pub(super) fn tokens(body: &[u8], fields: &mut TokenFields) -> Result<(), Malformed> {
    members(body, &mut |name, value| {
        if let Some(field) = fields.named(name) {
            *field = read(value);
        }
    })
}

/// Reads TeamUp's error body, as far as it can be read.
pub(super) fn api_error(body: &[u8]) -> Said {
    let mut said = Said::default();
    // A fault ends the reading, and what was read before it stands.
    let _ = members(body, &mut |name, value| match name {
        "field_errors" => {
            let _ = members(value.get().as_bytes(), &mut |field, messages| {
                for message in texts(messages) {
                    said.field_error(field, message);
                }
            });
        }
        _ => {
            if let Some(text) = text(value) {
                said.word(name, text);
            }
        }
    });
    said
}

fn read(value: &RawValue) -> Field {
    match value.get().as_bytes() {
        b"null" => Field::Null,
        [b'"', ..] => text(value).map_or(Field::Other, |text| Field::Text(Zeroizing::new(text))),
        [b'-' | b'0'..=b'9', ..] => Field::Number(value.get().into()),
        _ => Field::Other,
    }
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// One text, or an array of them.
fn texts(value: &RawValue) -> Vec<String> {
    match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
        Ok(values) => values.into_iter().filter_map(text).collect(),
        Err(_) => text(value).into_iter().collect(),
    }
}

/// Hands each member of an object to `each`, unread, until the object ends or makes no sense.
///
/// A value that nobody asks for is skipped without recursion, however deep it is.
fn members(body: &[u8], each: &mut dyn FnMut(&str, &RawValue)) -> Result<(), Malformed> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let mut json = serde_json::Deserializer::from_slice(body);
    // The parser's own message could repeat a piece of the text; its position can't.
    json.deserialize_map(Members(each))
        .and_then(|()| json.end())
        .map_err(|error| Malformed(format!(" (line {}, column {})", error.line(), error.column())))
}

struct Members<'a>(&'a mut dyn FnMut(&str, &RawValue));

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            (self.0)(&name, map.next_value::<&RawValue>()?);
        }
        Ok(())
    }
}
