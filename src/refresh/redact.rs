//! Redacts the refresh token in texts that others wrote: error bodies, errors of clients.

use std::error::Error as StdError;
use std::fmt;

use super::error::RefreshError;
use crate::error::BoxError;
use crate::token::RefreshToken;

const PLACEHOLDER: &str = "[refresh token]";

/// From how many characters on a prefix of the token is redacted too: others shorten what they
/// quote.
const REDACTED_PREFIX: usize = 8;

/// Finds the refresh token that was sent, however it is spelled: as it is, percent-encoded, or
/// escaped as in JSON, Rust, HTML and XML, in upper or lower case.
pub(crate) struct Redactor<'a> {
    token: &'a [u8],
}

impl<'a> Redactor<'a> {
    pub(crate) fn for_token(token: &'a RefreshToken) -> Self {
        Redactor { token: token.expose().as_bytes() }
    }

    /// `text` without the token.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut redacted = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(next) = text[at..].chars().next() {
            let spelled = self.spelled_at(&text.as_bytes()[at..]);
            if spelled > 0 {
                redacted.push_str(PLACEHOLDER);
                at = at.saturating_add(spelled);
            } else {
                redacted.push(next);
                at = at.saturating_add(next.len_utf8());
            }
        }
        redacted
    }

    /// Adds `source` to `error` as it is, or its redacted words alone if the token stands in them.
    pub(crate) fn attach_source(&self, error: RefreshError, source: BoxError) -> RefreshError {
        let mut link: Option<&(dyn StdError + 'static)> = Some(&*source);
        while let Some(current) = link {
            if self.is_in(&format!("{current} {current:?}")) {
                return error.with_source(Redacted(self.redact(&source.to_string())));
            }
            link = current.source();
        }
        error.with_source(source)
    }

    fn is_in(&self, text: &str) -> bool {
        (0..text.len()).any(|at| self.spelled_at(&text.as_bytes()[at..]) > 0)
    }

    /// How many bytes at the beginning of `text` spell the token or a prefix of it.
    fn spelled_at(&self, text: &[u8]) -> usize {
        let shortest = self.token.len().min(REDACTED_PREFIX);
        // Where the bytes matched so far can end. More than one place at a time only if the token
        // itself holds a `%`, `\`, `&` or the like.
        let mut ends: Vec<usize> = Vec::new();
        let mut spelled = 0;
        for (index, &byte) in self.token.iter().enumerate() {
            let mut next: Vec<usize> = Vec::new();
            let from: &[usize] = if index == 0 { &[0] } else { &ends };
            for &at in from {
                let lengths = spellings(&text[at..], byte).into_iter().flatten();
                next.extend(lengths.map(|length| at.saturating_add(length)));
            }
            next.sort_unstable();
            next.dedup();
            let Some(&furthest) = next.last() else { break };
            if index.saturating_add(1) >= shortest {
                spelled = furthest;
            }
            ends = next;
        }
        spelled
    }
}

/// The lengths of all the ways in which `text` begins with `byte`, which is ASCII.
fn spellings(text: &[u8], byte: u8) -> [Option<usize>; 6] {
    let is = |spelled: u8| spelled.eq_ignore_ascii_case(&byte);
    let hex = |digits: &[u8]| {
        std::str::from_utf8(digits).is_ok_and(|digits| u8::from_str_radix(digits, 16).is_ok_and(is))
    };
    [
        text.first().is_some_and(|&first| is(first)).then_some(1),
        (byte == b' ' && text.starts_with(b"+")).then_some(1),
        matches!(text, [b'%', a, b, ..] if hex(&[*a, *b])).then_some(3),
        matches!(text, [b'\\', escaped, ..] if is(*escaped)).then_some(2),
        match text {
            [b'\\', b'u', b'0', b'0', a, b, ..] if hex(&[*a, *b]) => Some(6),
            [b'\\', b'x', a, b, ..] if hex(&[*a, *b]) => Some(4),
            _ => None,
        },
        entity(text).and_then(|(named, length)| is(named).then_some(length)),
    ]
}

/// The character reference at the beginning of `text`, and its length.
fn entity(text: &[u8]) -> Option<(u8, usize)> {
    let rest = text.strip_prefix(b"&")?;
    let end = rest.iter().take(8).position(|&byte| byte == b';')?;
    let name = std::str::from_utf8(&rest[..end]).ok()?;
    let named = match name {
        "amp" => b'&',
        "lt" => b'<',
        "gt" => b'>',
        "quot" => b'"',
        "apos" => b'\'',
        _ => {
            let number = name.strip_prefix('#')?;
            match number.strip_prefix(['x', 'X']) {
                Some(digits) => u8::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            }
        }
    };
    Some((named, end.saturating_add(2)))
}

/// What is left of an error that quoted the token.
#[derive(Debug)]
struct Redacted(String);

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Redacted {}

#[cfg(test)]
mod tests {
    #[cfg(heavy_tests)]
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "Ab3 \"/\\+%&<>'9f.Z_~-xyz";

    fn redact(token: &str, text: &str) -> String {
        Redactor::for_token(&RefreshToken::new(token).unwrap()).redact(text)
    }

    #[test]
    fn p5_the_token_is_redacted_however_it_is_spelled() {
        let percent: String = TOKEN.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for spelled in [
            TOKEN.to_owned(),
            TOKEN.to_uppercase(),
            format!("{TOKEN:?}"),
            format!("{:?}", bytes::Bytes::from_static(TOKEN.as_bytes())),
            serde_json::to_string(TOKEN).unwrap(),
            TOKEN.replace('/', "\\/"),
            form_urlencoded::byte_serialize(TOKEN.as_bytes()).collect(),
            percent.to_uppercase(),
            percent,
            TOKEN.bytes().map(|byte| format!("\\u{:04X}", u32::from(byte))).collect(),
            TOKEN.bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
            TOKEN.bytes().map(|byte| format!("&#{byte};")).collect(),
            TOKEN.bytes().map(|byte| format!("&#x{byte:X};")).collect(),
            TOKEN
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;"),
            TOKEN.replace('&', "&amp;").replace('\'', "&apos;"),
        ] {
            let redacted = redact(TOKEN, &format!("«{spelled}», twice: {spelled}!"));
            // What stands around the token in the notations of JSON and Rust.
            let left = redacted.replace(['"', 'b'], "");
            assert_eq!(left, "«[refresh token]», twice: [refresh token]!", "{spelled}");
        }
    }

    #[test]
    fn p5_a_shortened_quotation_is_redacted_too() {
        assert_eq!(redact("abcdefghijkl", "no abcdefgh… here"), "no [refresh token]… here");
        assert_eq!(redact("abcdefghijkl", "no abcdefg here"), "no abcdefg here");
        assert_eq!(redact("ab", "a crab in a cab"), "a cr[refresh token] in a c[refresh token]");
        assert_eq!(redact("aab", "aaab"), "a[refresh token]");
    }

    #[test]
    fn what_only_looks_like_the_token_is_left_alone() {
        for (token, text) in [
            ("eight of ten", "eight-of-ten"),
            ("aaaaaaaa", r"\u0062\u0062\u0062\u0062\u0062\u0062\u0062\u0062"),
            ("aaaaaaaa", r"\x62\x62\x62\x62\x62\x62\x62\x62"),
            ("aaaaaaaa", "%62%62%62%62%62%62%62%62"),
            ("aaaaaaaa", "&#98;&#98;&#98;&#98;&#98;&#98;&#98;&#98;"),
        ] {
            assert_eq!(redact(token, text), text);
        }
    }

    /// Quotes nothing itself.
    struct Silent(BoxError);

    impl fmt::Debug for Silent {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Silent")
        }
    }

    impl fmt::Display for Silent {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("silent")
        }
    }

    impl StdError for Silent {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn p5_a_source_that_quotes_the_token_is_replaced_by_its_redacted_words() {
        let token = RefreshToken::new("s3cret-token").unwrap();
        let error = || RefreshError::transient("failed");
        let attach = |source: BoxError| Redactor::for_token(&token).attach_source(error(), source);

        let quoting = attach("POST with s3cret-token failed".into());
        assert!(!format!("{quoting:?}").contains("s3cret"), "{quoting:?}");
        assert_eq!(quoting.source().unwrap().to_string(), "POST with [refresh token] failed");

        let quoting_below = attach(Box::new(Silent("s3cret-token inside".into())));
        assert!(!quoting_below.source().unwrap().is::<Silent>());
        assert_eq!(quoting_below.source().unwrap().to_string(), "silent");

        let silent = attach(Box::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe)));
        assert!(silent.source().unwrap().is::<std::io::Error>());
    }

    #[cfg(heavy_tests)]
    proptest! {
        #[test]
        fn p5_no_text_keeps_the_token_or_panics(
            token in "[!-~][ -~]{0,30}[!-~]",
            before in ".{0,20}",
            after in "\\PC{0,20}",
        ) {
            // Else the token could stand in the words that replace it.
            prop_assume!(!PLACEHOLDER.contains(&*token.to_lowercase()));
            let redacted = redact(&token, &format!("{before}{token}{after}"));
            prop_assert!(!redacted.contains(&token));
        }
    }
}
