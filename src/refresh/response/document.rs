//! Finds the end of a JSON object or an XML document while its bytes arrive.
//!
//! A response counts as answered once its document is whole. Some servers announce more bytes than
//! they send, or never send the last chunk; waiting for such an end could cost the rotated token.
//! The scanner balances brackets or tags and interprets nothing: whether the document makes sense
//! is for the parsers to say.

/// Where a document ends, told as its bytes arrive.
#[derive(Debug, Default)]
pub(crate) struct DocumentScanner {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing but a byte order mark and white space so far.
    #[default]
    Start,
    Json(Json),
    #[cfg(feature = "xml")]
    Xml(xml::Xml),
}

/// What one more byte means.
enum Step {
    Continue,
    /// This byte is the document's last.
    Complete,
    /// The body is neither a JSON object nor an XML document.
    NoDocument,
}

impl DocumentScanner {
    /// Takes the next bytes of the body. Returns how many of them to keep once nothing that follows
    /// matters: up to the document's last byte, or all of them if the body is no document.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, &byte) in bytes.iter().enumerate() {
            match self.step(byte) {
                Step::Continue => {}
                Step::Complete => return Some(index.saturating_add(1)),
                Step::NoDocument => return Some(bytes.len()),
            }
        }
        None
    }

    fn step(&mut self, byte: u8) -> Step {
        match &mut self.state {
            State::Start => match byte {
                // The byte order mark of UTF-8, in any order: the parser checks it.
                0xEF | 0xBB | 0xBF | b' ' | b'\t' | b'\r' | b'\n' => Step::Continue,
                b'{' => {
                    self.state = State::Json(Json { depth: 1, ..Json::default() });
                    Step::Continue
                }
                #[cfg(feature = "xml")]
                b'<' => {
                    self.state = State::Xml(xml::Xml::after_first_bracket());
                    Step::Continue
                }
                _ => Step::NoDocument,
            },
            State::Json(json) => json.step(byte),
            #[cfg(feature = "xml")]
            State::Xml(xml) => xml.step(byte),
        }
    }
}

#[derive(Debug, Default)]
struct Json {
    /// How many objects and arrays are open.
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Json {
    fn step(&mut self, byte: u8) -> Step {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return Step::Continue;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return Step::Complete;
                }
            }
            _ => {}
        }
        Step::Continue
    }
}

#[cfg(feature = "xml")]
mod xml {
    use super::Step;

    #[derive(Debug)]
    pub(super) struct Xml {
        /// How many elements are open.
        depth: usize,
        markup: Markup,
    }

    /// What the next byte belongs to.
    #[derive(Debug)]
    enum Markup {
        Text,
        /// `<` has come, and nothing after it.
        Opened,
        /// A start or end tag. `slash`: the byte before was a `/` outside quotes.
        Tag {
            is_end: bool,
            quote: Option<u8>,
            slash: bool,
        },
        /// `<!`, and as many bytes of `--` or `[CDATA[` as matched.
        Declaration {
            expected: &'static [u8],
            matched: usize,
        },
        /// Ends with `>` after `needed` bytes of `by` in a row.
        Until {
            by: u8,
            needed: u8,
            run: u8,
        },
    }

    impl Xml {
        pub(super) fn after_first_bracket() -> Self {
            Xml { depth: 0, markup: Markup::Opened }
        }

        pub(super) fn step(&mut self, byte: u8) -> Step {
            match &mut self.markup {
                Markup::Text if byte == b'<' => self.markup = Markup::Opened,
                Markup::Text => {}
                Markup::Opened => {
                    self.markup = match byte {
                        b'?' => Markup::Until { by: b'?', needed: 1, run: 0 },
                        b'!' => Markup::Declaration { expected: b"", matched: 0 },
                        b'/' => Markup::Tag { is_end: true, quote: None, slash: false },
                        _ => Markup::Tag { is_end: false, quote: None, slash: false },
                    }
                }
                Markup::Declaration { expected, matched } => {
                    if expected.is_empty() {
                        *expected = match byte {
                            b'-' => b"--",
                            b'[' => b"[CDATA[",
                            // A document type: no response of TeamUp's has one.
                            _ => return Step::NoDocument,
                        };
                    }
                    if expected.get(*matched) != Some(&byte) {
                        return Step::NoDocument;
                    }
                    *matched = matched.saturating_add(1);
                    if *matched == expected.len() {
                        let by = if expected.len() == 2 { b'-' } else { b']' };
                        self.markup = Markup::Until { by, needed: 2, run: 0 };
                    }
                }
                Markup::Until { by, needed, run } => match byte {
                    b'>' if *run >= *needed => self.markup = Markup::Text,
                    _ if byte == *by => *run = run.saturating_add(1),
                    _ => *run = 0,
                },
                Markup::Tag { quote: Some(quote), .. } if byte != *quote => {}
                Markup::Tag { quote: quote @ Some(_), .. } => *quote = None,
                Markup::Tag { quote, slash, .. } if byte != b'>' => {
                    *slash = byte == b'/';
                    if matches!(byte, b'"' | b'\'') {
                        *quote = Some(byte);
                    }
                }
                Markup::Tag { is_end, slash, .. } => {
                    match (*is_end, *slash) {
                        (true, _) => self.depth = self.depth.saturating_sub(1),
                        (false, true) => {}
                        (false, false) => self.depth = self.depth.saturating_add(1),
                    }
                    self.markup = Markup::Text;
                    if self.depth == 0 {
                        return Step::Complete;
                    }
                }
            }
            Step::Continue
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the scanner stops when the bytes come one by one; the same as when they come at once.
    fn end(body: &[u8]) -> Option<usize> {
        let mut scanner = DocumentScanner::default();
        let one_by_one =
            body.iter().enumerate().find_map(|(index, byte)| Some(index + scanner.scan(&[*byte])?));
        if let Some(end) = one_by_one {
            let at_once = DocumentScanner::default().scan(body).unwrap();
            assert!(at_once == end || at_once == body.len(), "{end} {at_once}");
        }
        one_by_one
    }

    /// Asserts that a document is complete with its last byte and not before, whatever follows.
    fn assert_whole(document: &str) {
        assert_eq!(end(document.as_bytes()), Some(document.len()), "{document}");
        let followed = format!("{document} {{}}<a/>\u{0}");
        assert_eq!(DocumentScanner::default().scan(followed.as_bytes()), Some(document.len()));
    }

    #[test]
    fn json_object_is_complete_with_its_last_bracket() {
        for document in [
            "{}",
            " \r\n\t{ }",
            "\u{FEFF}{\"a\":1}",
            r#"{"a":"}","b":["{",{"c":"\"}"}],"d":"\\"}"#,
            r#"{"é":"\u007d"}"#,
        ] {
            assert_whole(document);
        }
    }

    #[test]
    fn body_that_is_no_document_is_not_read_to_its_end() {
        for body in ["[1]", "no", "\"{}\"", "\u{1f}\u{8b}{}"] {
            assert_eq!(DocumentScanner::default().scan(body.as_bytes()), Some(body.len()));
            assert!(end(body.as_bytes()).unwrap() < body.len(), "{body}");
        }
        assert_eq!(end(b""), None);
        assert_eq!(end(b"  \n"), None);
    }

    #[cfg(feature = "xml")]
    #[test]
    fn xml_document_is_complete_with_the_end_of_its_root() {
        for document in [
            "<root/>",
            "<root></root>",
            "<?xml version=\"1.0\"?><!-- <a></a> -- > --->\n<root a='>' b=\"/>'\"><b/><c>/</c></root>",
            "<root><![CDATA[</root>]] >]]]></root>",
            "<root a=\"/\"><a/ ></a></root>",
            "<root><?php ?> ?></root>",
        ] {
            assert_whole(document);
        }
        for body in ["<!DOCTYPE html><html></html>", "<!x", "<![CDAT]"] {
            assert_eq!(DocumentScanner::default().scan(body.as_bytes()), Some(body.len()));
        }
    }

    #[cfg(heavy_tests)]
    proptest::proptest! {
        #[test]
        fn json_object_is_complete_where_a_parser_says_so(
            names in proptest::collection::vec(".{0,8}", 0..6),
            value in "[\\[\\]{}\"\\\\a-c]{0,12}",
        ) {
            let mut object = serde_json::Map::new();
            for name in names {
                let inner = serde_json::json!([value.clone(), {name.clone(): value.clone()}]);
                object.insert(name, inner);
            }
            assert_whole(&serde_json::Value::Object(object).to_string());
        }

        #[test]
        fn no_bytes_make_the_scanner_panic(
            body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
            first in "[<{]?",
        ) {
            let _ = end(&[first.as_bytes(), &body].concat());
        }
    }
}
