//! Responses in XML, as Django REST Framework's renderer writes them: a `<root>` with an element for
//! each field, null as an empty one, and a list as `<list-item>` elements.
//!
//! What the reader refuses, wherever it stands: a document type declaration (and with it every
//! entity of the document's own), an unknown entity, and elements more than [`DEPTH_LIMIT`] deep.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use zeroize::Zeroizing;

use super::error_body::ErrorBody;
use super::fields::{Field, Malformed, TokenFields};
use crate::token::append;

/// The deepest documented element is the fourth: a message in the list of a field's errors.
const DEPTH_LIMIT: usize = 16;

/// Reads the token fields; those before a fault are kept. The root's name does not matter.
pub(super) fn tokens(text: &str, fields: &mut TokenFields) -> Result<(), Malformed> {
    elements(text, &mut |path, content| {
        if let [_root, name] = path {
            if let Some(field) = fields.named(name) {
                *field = content;
            }
        }
    })
}

/// Reads TeamUp's error body, as far as it can be read.
pub(super) fn error_body(text: &str) -> ErrorBody {
    let mut body = ErrorBody::default();
    // A fault ends the reading, and what was read before it stands.
    let read = elements(text, &mut |path, content| match path {
        [_root, name] if name == "field_errors" => body.has_field_errors(),
        [_root, name] => {
            if let Field::Text(text) = content {
                body.word(name, text.to_string());
            }
        }
        [_root, name, field, deeper @ ..] if name == "field_errors" && deeper.len() <= 2 => {
            if let Field::Text(text) = content {
                body.field_error(field, text.to_string());
            }
        }
        _ => {}
    });
    body.is_whole = read.is_ok();
    body
}

/// Hands each element that ends to `each`: the names from the root to it, and what it holds. What
/// follows the root is not looked at.
fn elements(text: &str, each: &mut dyn FnMut(&[String], Field)) -> Result<(), Malformed> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut document = Document::default();
    while !document.is_over() {
        // The parser's own message could quote a piece of the text; its position can't.
        let event = reader.read_event().map_err(|_| malformed(reader.error_position()))?;
        let taken = match event {
            Event::Start(start) => document.open(&start),
            Event::End(_) => document.close(each),
            Event::Text(text) => document.text(&wiped(text.xml10_content())),
            Event::CData(text) => document.cdata(&wiped(text.xml10_content())),
            Event::GeneralRef(reference) => {
                resolve(&reference).and_then(|text| document.cdata(text.encode_utf8(&mut [0; 4])))
            }
            Event::DocType(_) | Event::Eof => None,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => Some(()),
        };
        taken.ok_or_else(|| malformed(reader.buffer_position()))?;
    }
    Ok(())
}

/// A text whose ends of lines were made those of XML is a copy.
fn wiped(text: Cow<'_, str>) -> Zeroizing<String> {
    Zeroizing::new(text.into_owned())
}

fn malformed(position: u64) -> Malformed {
    Malformed(format!(" (at byte {position})"))
}

/// The elements that are open, and whether there has been a root. Its methods answer `None` to what
/// a document can't hold there.
#[derive(Default)]
struct Document {
    path: Vec<String>,
    contents: Vec<Content>,
    rooted: bool,
}

/// What an open element holds so far.
#[derive(Default)]
struct Content {
    text: Zeroizing<String>,
    has_elements: bool,
}

impl Document {
    fn open(&mut self, start: &BytesStart<'_>) -> Option<()> {
        for attribute in start.attributes() {
            // Never used, and refused like the rest if an unknown entity stands in it.
            attribute.ok()?.normalized_value(XmlVersion::Implicit1_0).ok()?;
        }
        match self.contents.last_mut() {
            Some(parent) => parent.has_elements = true,
            None => self.rooted = true,
        }
        self.path.push(start.name().0.to_owned());
        self.contents.push(Content::default());
        (self.path.len() <= DEPTH_LIMIT).then_some(())
    }

    fn close(&mut self, each: &mut dyn FnMut(&[String], Field)) -> Option<()> {
        let Content { text, has_elements } = self.contents.pop()?;
        let trimmed = text.trim_matches(is_white_space);
        let content = if has_elements {
            Field::Other
        } else if trimmed.is_empty() {
            Field::Null
        } else {
            Field::Text(Zeroizing::new(trimmed.to_owned()))
        };
        each(&self.path, content);
        self.path.pop();
        Some(())
    }

    fn text(&mut self, text: &str) -> Option<()> {
        match self.contents.last_mut() {
            Some(content) => append(&mut content.text, text),
            None if text.chars().all(is_white_space) => {}
            None => return None,
        }
        Some(())
    }

    /// Text that can't stand outside the root, not even as white space.
    fn cdata(&mut self, text: &str) -> Option<()> {
        append(&mut self.contents.last_mut()?.text, text);
        Some(())
    }

    fn is_over(&self) -> bool {
        self.rooted && self.path.is_empty()
    }
}

/// One of XML's five predefined entities, or a character reference.
fn resolve(reference: &BytesRef<'_>) -> Option<char> {
    match reference.resolve_char_ref() {
        Ok(Some(char)) => Some(char),
        Ok(None) => resolve_xml_entity(reference)?.chars().next(),
        Err(_) => None,
    }
}

fn is_white_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}
