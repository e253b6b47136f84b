//! `WWW-Authenticate`: no panic on anything, and of a list that is well formed the right verdict. The
//! generator writes the whole grammar of RFC 9110 section 11.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use tower_teamup_auth::fuzzing::challenges;

#[derive(Arbitrary, Debug)]
struct Challenge {
    scheme: Scheme,
    content: Content,
    separator: Separator,
}

#[derive(Arbitrary, Debug)]
enum Scheme {
    Bearer,
    BearerInCapitals,
    Basic,
    Token,
}

#[derive(Arbitrary, Debug)]
enum Content {
    Nothing,
    /// The bytes choose from its alphabet; how many `=` end it.
    Token68(Vec<u8>, u8),
    Parameters(Vec<Parameter>),
}

#[derive(Arbitrary, Debug)]
struct Parameter {
    name: Name,
    value: Value,
    /// Blanks around the equals sign.
    is_wide: bool,
    separator: Separator,
}

#[derive(Arbitrary, Debug)]
enum Name {
    Error,
    ErrorInCapitals,
    ErrorDescription,
    Realm,
    Scope,
}

#[derive(Arbitrary, Debug)]
enum Value {
    /// The very value that counts: quoted, with every character escaped, or as a token.
    InsufficientScope(Spelling),
    Token(Vec<u8>),
    /// Any bytes that a field may hold, `obs-text` included.
    Quoted(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Spelling {
    Token,
    Quoted,
    Escaped,
}

/// What stands between two elements of the list.
#[derive(Arbitrary, Debug)]
enum Separator {
    Comma,
    Blanks,
    EmptyElements,
    /// The list goes on in the next field.
    Field,
}

const COUNTS: &[u8] = b"insufficient_scope";

impl Separator {
    fn text(&self) -> &'static [u8] {
        match self {
            Separator::Comma => b",",
            Separator::Blanks => b" \t, ",
            Separator::EmptyElements => b", ,,",
            Separator::Field => b"\n",
        }
    }
}

impl Value {
    /// As it is written, and whether it is the one that counts.
    fn written(&self) -> (Vec<u8>, bool) {
        match self {
            Value::InsufficientScope(Spelling::Token) => (COUNTS.to_vec(), true),
            Value::InsufficientScope(Spelling::Quoted) => ([b"\"", COUNTS, b"\""].concat(), true),
            Value::InsufficientScope(Spelling::Escaped) => {
                let escaped: Vec<u8> = COUNTS.iter().flat_map(|byte| [b'\\', *byte]).collect();
                ([b"\"", &escaped[..], b"\""].concat(), true)
            }
            Value::Token(bytes) => {
                let token = chosen(bytes, b"aZ09!#$%&'*+-.^_`|~");
                let counts = token == COUNTS;
                (token, counts)
            }
            Value::Quoted(bytes) => {
                let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
                let text: Vec<u8> = bytes.iter().copied().filter(is_text).collect();
                let escape = |byte: &u8| match byte {
                    b'"' | b'\\' => vec![b'\\', *byte],
                    byte => vec![*byte],
                };
                let escaped: Vec<u8> = text.iter().flat_map(escape).collect();
                ([b"\"", &escaped[..], b"\""].concat(), text == COUNTS)
            }
        }
    }
}

/// A text of `alphabet` that is not empty.
fn chosen(bytes: &[u8], alphabet: &[u8]) -> Vec<u8> {
    let mut text: Vec<u8> =
        bytes.iter().map(|byte| alphabet[usize::from(*byte) % alphabet.len()]).collect();
    if text.is_empty() {
        text.push(alphabet[0]);
    }
    text
}

/// What is written, and whether it says that the scope is too small.
fn written(challenges: &[Challenge]) -> (Vec<u8>, bool) {
    let (mut text, mut says_so) = (Vec::new(), false);
    for Challenge { scheme, content, separator } in challenges {
        let (scheme, is_bearer): (&[u8], _) = match scheme {
            Scheme::Bearer => (b"Bearer", true),
            Scheme::BearerInCapitals => (b"BEARER", true),
            Scheme::Basic => (b"Basic", false),
            Scheme::Token => (b"Token", false),
        };
        text.extend(scheme);
        match content {
            Content::Nothing => {}
            Content::Token68(bytes, equals) => {
                text.push(b' ');
                text.extend(chosen(bytes, b"aZ09-._~+/"));
                text.extend(vec![b'='; usize::from(*equals % 3)]);
            }
            Content::Parameters(parameters) => {
                let mut is_first_error = true;
                for (index, parameter) in parameters.iter().enumerate() {
                    let (name, is_error): (&[u8], _) = match parameter.name {
                        Name::Error => (b"error", true),
                        Name::ErrorInCapitals => (b"ERROR", true),
                        Name::ErrorDescription => (b"error_description", false),
                        Name::Realm => (b"realm", false),
                        Name::Scope => (b"scope", false),
                    };
                    let (value, counts) = parameter.value.written();
                    says_so |= is_bearer && is_error && is_first_error && counts;
                    is_first_error &= !is_error;
                    text.extend(if index == 0 { b" " } else { parameter.separator.text() });
                    text.extend(name);
                    text.extend(if parameter.is_wide { &b" \t= "[..] } else { b"=" });
                    text.extend(value);
                }
            }
        }
        text.extend(separator.text());
    }
    (text, says_so)
}

fuzz_target!(|data: &[u8]| {
    challenges(data);
    if let Ok(list) = Vec::<Challenge>::arbitrary(&mut Unstructured::new(data)) {
        let (text, says_so) = written(&list);
        assert_eq!(challenges(&text), says_so, "{}", String::from_utf8_lossy(&text));
    }
});
