//! Responses in JSON.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error_body::ErrorBody;
use super::fields::{Field, Malformed, TokenFields};
use crate::token::unquote;

/// Reads the token fields; those before a fault are kept.
pub(super) fn tokens(text: &str, fields: &mut TokenFields) -> Result<(), Malformed> {
    members(text, &mut |name, value| {
        if let Some(field) = fields.named(name) {
            *field = read(value);
        }
    })
}

/// Reads TeamUp's error body, as far as it can be read.
pub(super) fn error_body(text: &str) -> ErrorBody {
    let mut body = ErrorBody::default();
    // A fault ends the reading, and what was read before it stands.
    let read = members(text, &mut |name, value| match name {
        "field_errors" => field_errors(value, &mut body),
        _ => {
            if let Some(text) = as_text(value) {
                body.word(name, text);
            }
        }
    });
    body.is_whole = read.is_ok();
    body
}

fn field_errors(value: &RawValue, body: &mut ErrorBody) {
    let mut errors = Vec::new();
    if members(value.get(), &mut |field, value| errors.push((field.to_owned(), value))).is_ok() {
        body.has_field_errors();
    }
    for (field, value) in errors {
        if !matches!(value.get(), "null" | "[]" | "{}" | "false" | "\"\"") {
            body.faulty_field(&field);
        }
        for message in messages(value) {
            body.field_error(&field, message);
        }
    }
}

fn read(value: &RawValue) -> Field {
    match value.get().as_bytes() {
        b"null" => Field::Null,
        // serde_json would read escapes in a buffer of its own, which nobody wipes.
        [b'"', ..] => unquote(value.get()).map_or(Field::Other, Field::Text),
        [b'-' | b'0'..=b'9', ..] => Field::Number(value.get().into()),
        _ => Field::Other,
    }
}

fn as_text(value: &RawValue) -> Option<String> {
    // It goes into an `ErrorBody`, which wipes it.
    unquote(value.get()).map(|mut text| std::mem::take(&mut *text))
}

/// One text, an array of them, or an object of either: Django REST Framework names the faulty items
/// of a list by their index.
fn messages(value: &RawValue) -> Vec<String> {
    let mut by_item = Vec::new();
    if members(value.get(), &mut |_, value| by_item.extend(texts(value))).is_ok() {
        return by_item;
    }
    texts(value)
}

fn texts(value: &RawValue) -> Vec<String> {
    match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
        Ok(values) => values.into_iter().filter_map(as_text).collect(),
        Err(_) => as_text(value).into_iter().collect(),
    }
}

/// Hands each member of an object to `each`, unread, until the object ends or makes no sense. What
/// follows the object is not looked at.
///
/// A value that nobody asks for is skipped without recursion, however deep it is.
fn members<'a>(text: &'a str, each: &mut dyn FnMut(&str, &'a RawValue)) -> Result<(), Malformed> {
    let mut json = serde_json::Deserializer::from_str(text);
    // The parser's own message could quote a piece of the text; its position can't.
    json.deserialize_map(Members(each))
        .map_err(|error| Malformed(format!(" (line {}, column {})", error.line(), error.column())))
}

struct Members<'f, 'a>(&'f mut dyn FnMut(&str, &'a RawValue));

impl<'de> Visitor<'de> for Members<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            (self.0)(&name, map.next_value::<&'de RawValue>()?);
        }
        Ok(())
    }
}
