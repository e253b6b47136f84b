//! What a 401's `WWW-Authenticate` says of the token (RFC 9110 section 11.6.1, RFC 6750 section 3).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// Does a challenge say that the token is good and its scope is not? Then another token of the
/// same kind would be answered the same, and a refresh is spent in vain.
///
/// TeamUp's documentation does not promise a challenge; one that is absent or unreadable says
/// nothing.
pub(crate) fn insufficient_scope(headers: &HeaderMap) -> bool {
    headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        Parameters { rest: value }.any(|(name, value)| {
            name.eq_ignore_ascii_case("error") && value == "insufficient_scope"
        })
    })
}

/// The `name=value` pairs of a list of challenges, the schemes passed over. Never panics, and ends
/// at the first thing that it can't read.
struct Parameters<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
            let end = self.rest.find(|c: char| !is_token_char(c)).unwrap_or(self.rest.len());
            if end == 0 {
                return None;
            }
            let (name, after) = self.rest.split_at(end);
            let trimmed = after.trim_start_matches([' ', '\t']);
            let Some(value) = trimmed.strip_prefix('=') else {
                // A scheme, followed by its parameters.
                self.rest = after;
                continue;
            };
            let value = value.trim_start_matches([' ', '\t']);
            if let Some(quoted) = value.strip_prefix('"') {
                let close = closing_quote(quoted)?;
                self.rest = &quoted[close + 1..];
                return Some((name, &quoted[..close]));
            }
            // A token68 (`Basic dXNlcg==`) ends in signs that are not a token's; they are passed
            // over with the rest of its word.
            let end = value.find([',', ' ', '\t']).unwrap_or(value.len());
            self.rest = &value[end..];
            return Some((name, &value[..end]));
        }
    }
}

/// RFC 9110 section 5.6.2, `tchar`.
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// Where a quoted string ends, its escaped characters passed over.
fn closing_quote(quoted: &str) -> Option<usize> {
    let mut escaped = false;
    quoted.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says_so(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        insufficient_scope(&headers)
    }

    #[test]
    fn only_the_error_parameter_counts() {
        for values in [
            &[r#"Bearer error="insufficient_scope""#][..],
            &[r#"Bearer realm="a, b=\"c\"", error="insufficient_scope", scope="x""#],
            &["Bearer error=insufficient_scope"],
            &[r#"Basic realm="x", Bearer ERROR = "insufficient_scope""#],
            &["Basic dXNlcg==", r#"Bearer error="insufficient_scope""#],
            &[r#"Basic dXNlcg==, Bearer error="insufficient_scope""#],
        ] {
            assert!(says_so(values), "{values:?}");
        }
        for values in [
            &[][..],
            &["Bearer"],
            &[r#"Bearer error="invalid_token""#],
            &[r#"Bearer realm="error=insufficient_scope""#],
            &[r#"Bearer error_description="insufficient_scope""#],
            &[r#"Bearer realm="never closed, error=insufficient_scope"#],
            &["=,=\"\\"],
        ] {
            assert!(!says_so(values), "{values:?}");
        }
    }
}
