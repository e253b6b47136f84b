//! What a 401's `WWW-Authenticate` says of the token (RFC 9110 section 11, RFC 6750 section 3).
//!
//! ```text
//! WWW-Authenticate = #challenge
//! challenge        = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
//! auth-param       = token BWS "=" BWS ( token / quoted-string )
//! ```
//!
//! The list of challenges and the list of parameters share the comma, so each element is read by itself:
//! one that begins with a name and `=` is a parameter of the scheme before it, any other begins a
//! challenge. Text is read as bytes, since a quoted string may hold any above 127 (`obs-text`).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// Does a challenge say that the token is good and its scope is not? Then another token of the same kind
/// would be answered the same, and a refresh would be spent without effect.
///
/// TeamUp's documentation does not promise a challenge; one that is absent or unreadable says nothing.
pub(crate) fn insufficient_scope(headers: &HeaderMap) -> bool {
    let mut challenges = Challenges::default();
    // Several fields are one list (RFC 9110 section 5.3), so a challenge may go on in the next.
    for field in headers.get_all(WWW_AUTHENTICATE) {
        let mut reader = Reader(field.as_bytes());
        while !reader.0.is_empty() {
            if challenges.read_element(&mut reader).is_none() {
                // Whatever it was, what follows up to the next comma is no part of a challenge.
                challenges = Challenges::default();
                reader.skip_element();
            }
            if challenges.says_insufficient_scope {
                return true;
            }
        }
    }
    false
}

/// What is known of the challenge that is being read.
#[derive(Default)]
struct Challenges {
    /// `Bearer` began it.
    is_bearer: bool,
    /// It had an `error`. A second one contradicts it, and says nothing.
    has_error: bool,
    says_insufficient_scope: bool,
}

impl Challenges {
    /// Reads one element of the list, and the comma after it. `None` where it is a token68 or malformed.
    fn read_element(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        reader.skip_spaces();
        if reader.ends_element() {
            return Some(());
        }
        let start = *reader;
        let name = reader.token()?;
        let after_name = *reader;
        if reader.parameter_value().is_some() {
            *reader = start;
            return self.read_parameter(reader);
        }
        *reader = after_name;
        // A scheme; with nothing after it or with its first parameter. Neither a token68 nor what follows
        // it is a parameter: it is skipped, as what is malformed.
        *self =
            Challenges { is_bearer: name.eq_ignore_ascii_case(b"bearer"), ..Default::default() };
        let spaces = reader.skip_spaces();
        if reader.ends_element() {
            return Some(());
        }
        if spaces == 0 {
            return None;
        }
        let after_scheme = *reader;
        let parameter = self.read_parameter(reader);
        if parameter.is_none() {
            *reader = after_scheme;
        }
        parameter
    }

    fn read_parameter(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let name = reader.token()?;
        let value = reader.parameter_value()?;
        if self.is_bearer && name.eq_ignore_ascii_case(b"error") {
            self.says_insufficient_scope = !self.has_error && value.is(b"insufficient_scope");
            self.has_error = true;
        }
        Some(())
    }
}

/// The value of a parameter.
enum Value<'a> {
    Token(&'a [u8]),
    /// Between its quotes, escapes included.
    Quoted(&'a [u8]),
}

impl Value<'_> {
    fn is(&self, text: &[u8]) -> bool {
        match self {
            Value::Token(token) => *token == text,
            Value::Quoted(quoted) => {
                let mut escaped = false;
                let unescaped = quoted.iter().filter(|byte| {
                    escaped = **byte == b'\\' && !escaped;
                    !escaped
                });
                unescaped.eq(text)
            }
        }
    }
}

/// What is left to read.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn skip_spaces(&mut self) -> usize {
        self.take_while(|byte| matches!(byte, b' ' | b'\t')).len()
    }

    fn take_while(&mut self, is_taken: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !is_taken(*byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn skip(&mut self, byte: u8) -> bool {
        let Some((first, rest)) = self.0.split_first() else { return false };
        if *first == byte {
            self.0 = rest;
        }
        *first == byte
    }

    /// Reads the comma after an element, or finds the end.
    fn ends_element(&mut self) -> bool {
        self.0.is_empty() || self.skip(b',')
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        Some(self.take_while(is_tchar)).filter(|token| !token.is_empty())
    }

    /// What stands after the name of a parameter, its comma included: `BWS "=" BWS value`.
    fn parameter_value(&mut self) -> Option<Value<'a>> {
        self.skip_spaces();
        if !self.skip(b'=') {
            return None;
        }
        self.skip_spaces();
        let value = if self.skip(b'"') { self.quoted()? } else { Value::Token(self.token()?) };
        self.skip_spaces();
        self.ends_element().then_some(value)
    }

    fn quoted(&mut self) -> Option<Value<'a>> {
        let mut escaped = false;
        let end = self.0.iter().position(|byte| {
            let closes = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            closes
        })?;
        let (quoted, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Some(Value::Quoted(quoted))
    }

    /// Goes on behind the next comma that stands in no quoted string.
    fn skip_element(&mut self) {
        while let Some((first, rest)) = self.0.split_first() {
            self.0 = rest;
            match first {
                b',' => return,
                // Without an end, all the rest stands in it.
                b'"' if self.quoted().is_none() => self.0 = &[],
                _ => {}
            }
        }
    }
}

/// RFC 9110 section 5.6.2, `tchar`.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn says_so(fields: &[&[u8]]) -> bool {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(field).unwrap());
        }
        insufficient_scope(&headers)
    }

    #[test]
    fn only_the_error_parameter_of_bearer_counts() {
        for fields in [
            &[&br#"Bearer error="insufficient_scope""#[..]][..],
            &[br#"Bearer realm="a, b=\"c\"", error="insufficient_scope", scope="x""#],
            &[b"Bearer error=insufficient_scope"],
            &[b"bEARER\terror\t=\tinsufficient_scope\t"],
            &[br#"Bearer error="insufficient\_scope""#],
            &[br#"Basic realm="x", Bearer ERROR = "insufficient_scope""#],
            &[b"Basic dXNlcg==", br#"Bearer error="insufficient_scope""#],
            &[br#"Basic dXNlcg==, Bearer error="insufficient_scope""#],
            &[br#"Negotiate a-._~+/b==, Bearer error="insufficient_scope""#],
            &[br#"Negotiate, Bearer error="insufficient_scope""#],
            &[br#",, ,Bearer , realm="x",, error="insufficient_scope","#],
            &[br#"Bearer realm="x""#, br#"error="insufficient_scope""#],
            &[br#"Digest "nothing, that" (can be read), Bearer error="insufficient_scope""#],
        ] {
            assert!(says_so(fields), "{fields:?}");
        }
        for fields in [
            &[][..],
            &[&b"Bearer"[..]],
            &[br#"Bearer error="invalid_token""#],
            &[br#"Bearer error="INSUFFICIENT_SCOPE""#],
            &[br#"Bearer realm="error=insufficient_scope""#],
            &[br#"Bearer realm=", Bearer error=insufficient_scope""#],
            &[br#"Bearer error_description="insufficient_scope""#],
            &[br#"Bearer realm="never closed, error=insufficient_scope"#],
            &[br#"Bearer error="invalid_token", error="insufficient_scope""#],
            &[br#"Digest error="insufficient_scope""#],
            &[br#"Bearer realm="x", Digest error="insufficient_scope""#],
            &[b"Bearer", br#"Digest realm="x", error="insufficient_scope""#],
            &[b"error=insufficient_scope"],
            &[b"Bearer error insufficient_scope"],
            &[b"Bearer error=insufficient_scope=="],
            &[b"=,=\"\\"],
            &[b"Bearer dXNlcg==, error=insufficient_scope"],
            &[br#"Digest "in quotes, Bearer error=insufficient_scope, too""#],
        ] {
            assert!(!says_so(fields), "{fields:?}");
        }
    }

    #[test]
    fn e4_a_realm_outside_of_ascii_hides_nothing() {
        for realm in [&b"Z\xfcrich"[..], "Zürich".as_bytes(), b"\\\xfc", b"\xff\xfe"] {
            let field = [&b"Bearer realm=\""[..], realm, b"\", error=\"insufficient_scope\""];
            assert!(says_so(&[&field.concat()]), "{realm:?}");
        }
        assert!(!says_so(&[b"Bearer realm=\"Z\xfcrich\", error=\"invalid_token\""]));
        assert!(!says_so(&[b"Bearer realm=Z\xfcrich, error=\"insufficient_scope\""]), "no token");
    }

    /// Challenges of the whole grammar, made at random.
    #[cfg(heavy_tests)]
    mod grammar {
        use proptest::prelude::*;

        use super::*;

        /// Names and values that `insufficient_scope` turns on, beside any others.
        fn token() -> impl Strategy<Value = Vec<u8>> {
            prop_oneof![
                2 => prop::sample::select(vec![
                    &b"error"[..], b"ERROR", b"Bearer", b"bearer", b"Basic", b"scope", b"insufficient_scope",
                ])
                .prop_map(<[u8]>::to_vec),
                1 => "[!#$%&'*+.^_`|~0-9a-zA-Z-]{1,12}".prop_map(String::into_bytes),
            ]
        }

        fn spaces() -> impl Strategy<Value = Vec<u8>> {
            "[ \t]{0,2}".prop_map(String::into_bytes)
        }

        /// A value and one way to write it.
        fn value() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
            let plain = token().prop_map(|value| (value.clone(), value));
            let text = prop_oneof![
                Just(b"insufficient_scope".to_vec()),
                prop::collection::vec(
                    any::<u8>().prop_filter("quotable", |byte| {
                        *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)
                    }),
                    0..20
                ),
            ];
            let quoted = (text, any::<u64>()).prop_map(|(value, escapes)| {
                let mut written = vec![b'"'];
                for (at, byte) in value.iter().enumerate() {
                    if matches!(byte, b'"' | b'\\') || escapes >> (at % 64) & 1 == 1 {
                        written.push(b'\\');
                    }
                    written.push(*byte);
                }
                written.push(b'"');
                (value, written)
            });
            prop_oneof![plain, quoted]
        }

        /// One parameter: its name, its value, and one way to write it.
        fn parameter() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Vec<u8>)> {
            (token(), spaces(), spaces(), value()).prop_map(
                |(name, before, after, (value, text))| {
                    let written = [&name[..], &before, b"=", &after, &text].concat();
                    (name, value, written)
                },
            )
        }

        /// One challenge: whether it says "insufficient scope", and its elements.
        fn challenge() -> impl Strategy<Value = (bool, Vec<Vec<u8>>)> {
            let token68 = "[0-9a-zA-Z._~+/-]{1,12}={0,3}".prop_map(String::into_bytes);
            let content = prop_oneof![
                1 => token68.prop_map(|text| (Vec::new(), vec![text])),
                4 => prop::collection::vec(parameter(), 0..5).prop_map(|parameters| {
                    let written = parameters.iter().map(|(_, _, written)| written.clone()).collect();
                    (parameters, written)
                }),
            ];
            (token(), content, 1..3_usize).prop_map(
                |(scheme, (parameters, mut elements), spaces)| {
                    let is_error = |name: &[u8]| name.eq_ignore_ascii_case(b"error");
                    let first = parameters.iter().find(|(name, ..)| is_error(name));
                    let says_so = first.is_some_and(|(_, value, _)| value == b"insufficient_scope");
                    let says_so = says_so && scheme.eq_ignore_ascii_case(b"bearer");
                    let mut start = scheme;
                    if !elements.is_empty() {
                        start.extend(vec![b' '; spaces]);
                        start.extend(elements.remove(0));
                    }
                    elements.insert(0, start);
                    (says_so, elements)
                },
            )
        }

        proptest! {
            #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

            #[test]
            fn every_challenge_of_the_grammar_is_read(
                challenges in prop::collection::vec(challenge(), 0..4),
                separators in prop::collection::vec((spaces(), 1..3_usize, spaces(), any::<bool>()), 32),
            ) {
                let expected = challenges.iter().any(|(says_so, _)| *says_so);
                let elements: Vec<_> = challenges.into_iter().flat_map(|(_, elements)| elements).collect();
                let mut fields = vec![Vec::new()];
                for (element, (before, commas, after, is_field)) in elements.iter().zip(&separators) {
                    if *is_field {
                        fields.push(Vec::new());
                    }
                    let field = fields.last_mut().unwrap();
                    field.extend([&before[..], element, after, &vec![b','; *commas]].concat());
                }
                prop_assume!(elements.len() <= separators.len());
                let fields: Vec<&[u8]> = fields.iter().map(|field| &field[..]).collect();
                prop_assert_eq!(says_so(&fields), expected, "{:?}", fields);
            }

            #[test]
            fn nothing_makes_it_panic(field in prop::collection::vec(any::<u8>(), 0..200)) {
                if let Ok(value) = HeaderValue::from_bytes(&field) {
                    let mut headers = HeaderMap::new();
                    headers.append(WWW_AUTHENTICATE, value);
                    let _ = insufficient_scope(&headers);
                }
            }
        }
    }
}
