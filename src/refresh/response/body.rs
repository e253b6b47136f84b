//! The text of a body, and which format it is in.

use std::ops::Deref;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use zeroize::Zeroizing;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Xml,
}

/// A body as text. Bytes that are not UTF-8 become U+FFFD, which no token can hold: they do not
/// matter in fields that nobody reads.
pub(super) enum Text<'a> {
    AsItCame(&'a str),
    Replaced(Zeroizing<String>),
}

impl<'a> Text<'a> {
    pub(super) fn of(body: &'a [u8]) -> Self {
        if let Ok(text) = std::str::from_utf8(body) {
            return Text::AsItCame(without_byte_order_mark(text));
        }
        // Room for all of it at once: a buffer that grows leaves copies of the tokens behind.
        let room = body.len().saturating_mul(char::REPLACEMENT_CHARACTER.len_utf8());
        let mut text = Zeroizing::new(String::with_capacity(room));
        for chunk in body.utf8_chunks() {
            let is_first = text.is_empty();
            let valid = chunk.valid();
            text.push_str(if is_first { without_byte_order_mark(valid) } else { valid });
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        Text::Replaced(text)
    }

    /// The format that the text itself shows.
    pub(super) fn format(&self) -> Option<Format> {
        match self.trim_ascii_start().as_bytes().first() {
            Some(b'{') => Some(Format::Json),
            Some(b'<') => Some(Format::Xml),
            _ => None,
        }
    }

    pub(super) fn is_blank(&self) -> bool {
        self.trim_ascii().is_empty()
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::AsItCame(text) => text,
            Text::Replaced(text) => text,
        }
    }
}

fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{FEFF}').unwrap_or(text)
}

/// The format that `Content-Type` names, whatever its parameters are.
pub(super) fn declared_format(headers: &HeaderMap) -> Option<Format> {
    let value = headers.get(CONTENT_TYPE)?.as_bytes();
    let media_type = value.split(|&byte| byte == b';').next()?.trim_ascii().to_ascii_lowercase();
    match &*media_type {
        b"application/json" | b"text/json" => Some(Format::Json),
        b"application/xml" | b"text/xml" => Some(Format::Xml),
        other if other.ends_with(b"+json") => Some(Format::Json),
        other if other.ends_with(b"+xml") && other != b"application/xhtml+xml" => Some(Format::Xml),
        _ => None,
    }
}

/// Does `Content-Encoding` name a coding other than `identity`? Codings are compared without regard
/// to case, and a list may stand on several lines and have empty elements (RFC 9110 sections 5.6.1
/// and 8.4.1).
pub(super) fn is_compressed(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONTENT_ENCODING).into_iter();
    let mut codings = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    codings.any(|coding| {
        let coding = coding.trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn codings_are_compared_as_rfc_9110_says() {
        for (lines, compressed) in [
            (&[][..], false),
            (&["identity"], false),
            (&["IDENTITY"], false),
            (&["identity, ,identity", ""], false),
            (&["gzip"], true),
            (&["GZip"], true),
            (&["identity, br"], true),
            (&["identity", "zstd"], true),
            (&["identity;q=0"], true),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(line));
            }
            assert_eq!(is_compressed(&headers), compressed, "{lines:?}");
        }
    }

    #[test]
    fn media_type_is_read_without_its_parameters() {
        for (value, format) in [
            ("application/json", Some(Format::Json)),
            ("Application/JSON ; charset=\"latin-1\"", Some(Format::Json)),
            ("application/problem+json", Some(Format::Json)),
            ("text/xml;charset=utf-8", Some(Format::Xml)),
            ("application/atom+XML", Some(Format::Xml)),
            ("application/xhtml+xml", None),
            ("text/html", None),
            ("text/html; a=application/json", None),
            ("", None),
        ] {
            let headers = [(CONTENT_TYPE, HeaderValue::from_static(value))].into_iter().collect();
            assert_eq!(declared_format(&headers), format, "{value}");
        }
        let odd = HeaderValue::from_bytes(b"application/json; a=\xFF").unwrap();
        assert_eq!(
            declared_format(&[(CONTENT_TYPE, odd)].into_iter().collect()),
            Some(Format::Json)
        );
    }

    #[test]
    fn byte_order_mark_and_bytes_that_are_not_utf_8_do_not_hide_the_text() {
        for (body, text) in [
            (&b"{}"[..], "{}"),
            (b"\xEF\xBB\xBF {}", " {}"),
            (b"\xEF\xBB\xBF{\"a\xFF\"}", "{\"a\u{FFFD}\"}"),
            (b"{\xC3", "{\u{FFFD}"),
            (b"", ""),
        ] {
            assert_eq!(&*Text::of(body), text);
        }
        let Text::Replaced(text) = Text::of(&[0xFF; 100]) else { panic!("nothing is UTF-8") };
        assert_eq!((text.len(), text.capacity()), (300, 300), "it never grew");
    }
}
