//! JSON or XML: which of the two a request gets, and how data is written in it.
//!
//! TeamUp documents `format` and both content types. What happens where they disagree is what
//! Django REST framework does, whose XML renderer TeamUp's answers are known to come from.

use std::fmt;
use std::io;

use http::header::{ACCEPT, HeaderValue};
use http::request::Parts;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Xml,
}

/// Why no format suits a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoFormat {
    /// The query asks for a format that does not exist.
    Unknown,
    /// `Accept` rules out what there is.
    NotAcceptable,
}

impl Format {
    /// In the order of preference where a request leaves the choice.
    const ALL: [Format; 2] = [Format::Json, Format::Xml];

    /// What the request asks for: by `format` in its query, then by `Accept`, which may still rule
    /// it out. Of several media types that suit, the most specific decides.
    pub(super) fn negotiate(head: &Parts) -> Result<Self, NoFormat> {
        let query = head.uri.query().unwrap_or_default();
        let asked =
            form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "format").last();
        let offered: Vec<Format> = Format::ALL
            .into_iter()
            .filter(|format| asked.as_ref().is_none_or(|(_, name)| *name == format.name()))
            .collect();
        if offered.is_empty() {
            return Err(NoFormat::Unknown);
        }
        let accepted: Vec<&str> = head
            .headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|range| range.split(';').next().unwrap_or_default().trim())
            .collect();
        if accepted.is_empty() {
            return Ok(offered[0]);
        }
        let by_specificity: [fn(Format) -> &'static str; 3] =
            [Format::media_type, |_| "application/*", |_| "*/*"];
        by_specificity
            .into_iter()
            .flat_map(|range| offered.iter().map(move |format| (*format, range(*format))))
            .find(|(_, range)| accepted.iter().any(|taken| taken.eq_ignore_ascii_case(range)))
            .map(|(format, _)| format)
            .ok_or(NoFormat::NotAcceptable)
    }

    fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Xml => "xml",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Xml => "application/xml",
        }
    }

    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Format::Json => "application/json",
            Format::Xml => "application/xml; charset=utf-8",
        })
    }

    pub(super) fn write(self, data: &Value) -> Vec<u8> {
        match self {
            Format::Json => data.to_string().into_bytes(),
            Format::Xml => xml(data).expect("writing to memory does not fail"),
        }
    }
}

/// `<root>` with an element for each key; a null is an empty element, and the items of a list are
/// called `list-item`.
fn xml(data: &Value) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::new());
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
    writer.get_mut().push(b'\n');
    element(&mut writer, "root", data)?;
    Ok(writer.into_inner())
}

fn element(writer: &mut Writer<Vec<u8>>, name: &str, value: &Value) -> io::Result<()> {
    writer.write_event(Event::Start(BytesStart::new(name)))?;
    match value {
        Value::Null => {}
        Value::Bool(value) => text(writer, if *value { "True" } else { "False" })?,
        Value::Number(number) => text(writer, number)?,
        Value::String(value) => text(writer, value)?,
        Value::Array(items) => {
            items.iter().try_for_each(|item| element(writer, "list-item", item))?;
        }
        Value::Object(fields) => {
            fields.iter().try_for_each(|(name, value)| element(writer, name, value))?;
        }
    }
    writer.write_event(Event::End(BytesEnd::new(name)))
}

fn text(writer: &mut Writer<Vec<u8>>, text: impl fmt::Display) -> io::Result<()> {
    writer.write_event(Event::Text(BytesText::new(&text.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn negotiate(query: &str, accept: Option<&str>) -> Result<Format, NoFormat> {
        let mut request = http::Request::post(format!("http://127.0.0.1/a{query}"));
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        Format::negotiate(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_query_chooses_and_accept_decides() {
        for (query, accept, format) in [
            ("", None, Ok(Format::Json)),
            ("", Some("*/*"), Ok(Format::Json)),
            ("", Some("application/xml"), Ok(Format::Xml)),
            ("", Some("Application/XML; q=0.5, */*"), Ok(Format::Xml)),
            ("", Some("application/xml, application/json"), Ok(Format::Json)),
            ("", Some("application/*"), Ok(Format::Json)),
            ("", Some("text/html"), Err(NoFormat::NotAcceptable)),
            ("?format=json", None, Ok(Format::Json)),
            ("?format=xml", None, Ok(Format::Xml)),
            ("?format=xml", Some("text/html, */*"), Ok(Format::Xml)),
            ("?format=xml", Some("application/json"), Err(NoFormat::NotAcceptable)),
            ("?format=yaml", None, Err(NoFormat::Unknown)),
            ("?format=", None, Err(NoFormat::Unknown)),
        ] {
            assert_eq!(negotiate(query, accept), format, "{query} {accept:?}");
        }
    }

    #[test]
    fn xml_is_written_as_the_framework_writes_it() {
        let data = json!({
            "a": null, "b": 7.5, "c": "1 < 2 & \"3\"", "d": ["x", { "e": true }], "f": {}
        });
        assert_eq!(
            String::from_utf8(Format::Xml.write(&data)).unwrap(),
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<root><a></a><b>7.5</b>\
             <c>1 &lt; 2 &amp; &quot;3&quot;</c>\
             <d><list-item>x</list-item><list-item><e>True</e></list-item></d><f></f></root>"
        );
    }
}
