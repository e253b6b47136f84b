//! What TeamUp answers to a step of a login: the error body, made fit to be shown.

use std::error::Error as StdError;
use std::fmt;

use serde_json::Value;

use crate::error::BoxError;

/// Limits in characters. TeamUp's own words are far shorter.
const CODE_LIMIT: usize = 64;
const MESSAGE_LIMIT: usize = 300;
const FIELDS_LIMIT: usize = 8;

/// From how many characters on the beginning of a secret counts as the secret: others shorten what
/// they quote.
const TELLING_PREFIX: usize = 8;

/// TeamUp's error body, or the one of RFC 6749 section 5.2.
///
/// Reads both: `code` or `error`, `message` or `error_description`, and the names in `field_errors`.
/// A body without any of them is not TeamUp's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ErrorBody {
    pub(super) code: Option<String>,
    message: Option<String>,
    /// The names of the fields that were refused.
    fields: Vec<String>,
}

impl ErrorBody {
    /// The error that a callback names in its query.
    pub(super) fn of_callback(code: &str, message: Option<&str>) -> Self {
        ErrorBody {
            code: Some(code.to_owned()),
            message: message.map(str::to_owned),
            fields: Vec::new(),
        }
    }

    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |names: [&str; 2]| {
            names.into_iter().find_map(|name| body.get(name)?.as_str()).map(str::to_owned)
        };
        let fields = body.get("field_errors").and_then(Value::as_object);
        let read = ErrorBody {
            // OAuth's word first: its values are fixed (RFC 6749 section 5.2).
            code: text(["error", "code"]),
            message: text(["error_description", "message"]),
            fields: fields.into_iter().flat_map(|fields| fields.keys().cloned()).collect(),
        };
        (read != ErrorBody::default()).then_some(read)
    }

    pub(super) fn has_code(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    pub(super) fn refuses_field(&self, names: &[&str]) -> bool {
        self.fields.iter().any(|field| names.contains(&field.as_str()))
    }

    /// The same without what could show one of `secrets`: a text that may do so is left out.
    pub(super) fn without(self, secrets: &[&str]) -> Option<Self> {
        let clean =
            |text: Option<String>, limit| text.and_then(|text| clean(&text, limit, secrets));
        let fields = self.fields.into_iter().take(FIELDS_LIMIT);
        let body = ErrorBody {
            code: clean(self.code, CODE_LIMIT),
            message: clean(self.message, MESSAGE_LIMIT),
            fields: fields.filter_map(|field| clean(Some(field), CODE_LIMIT)).collect(),
        };
        (body != ErrorBody::default()).then_some(body)
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.as_deref().unwrap_or("error");
        match &self.message {
            Some(message) => write!(f, "{code}: {message}")?,
            None => f.write_str(code)?,
        }
        if !self.fields.is_empty() {
            write!(f, " ({})", self.fields.join(", "))?;
        }
        Ok(())
    }
}

/// The text, shortened, if it can't show a secret. A character that an escape begins with
/// (`%41`, `\u0041`, `&#65;`) could spell one, so such a text is left out as well.
fn clean(text: &str, limit: usize, secrets: &[&str]) -> Option<String> {
    let is_plain = |char: char| char.is_alphanumeric() || " .,:;!?'()_-/".contains(char);
    if text.is_empty() || !text.chars().all(is_plain) || repeats(text, secrets) {
        return None;
    }
    Some(match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    })
}

/// The source of an error, if neither it nor its own sources show a secret.
pub(super) fn silent(source: BoxError, secrets: &[&str]) -> Option<BoxError> {
    let mut link: Option<&(dyn StdError + 'static)> = Some(&*source);
    while let Some(current) = link {
        if repeats(&format!("{current} {current:?}"), secrets) {
            return None;
        }
        link = current.source();
    }
    Some(source)
}

fn repeats(text: &str, secrets: &[&str]) -> bool {
    let text = text.to_lowercase();
    secrets.iter().filter(|secret| !secret.is_empty()).any(|secret| {
        let prefix: String = secret.to_lowercase().chars().take(TELLING_PREFIX).collect();
        text.contains(&prefix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_error_body_are_read_and_others_are_not() {
        let teamups =
            br#"{"code":"parameter_invalid","message":"No.","type":"invalid_request_error",
            "field_errors":{"username":["Required."]}}"#;
        let body = ErrorBody::read(teamups).unwrap();
        assert_eq!(body.to_string(), "parameter_invalid: No. (username)");
        assert!(body.refuses_field(&["username"]));
        let oauths = br#"{"error":"invalid_grant","error_description":"Spent.","code":"x"}"#;
        assert_eq!(ErrorBody::read(oauths).unwrap().to_string(), "invalid_grant: Spent.");
        for other in ["", "[]", "{}", "<html>", r#"{"code":7}"#, r#"{"field_errors":[]}"#] {
            assert_eq!(ErrorBody::read(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn p5_text_that_could_repeat_a_secret_is_left_out() {
        let secrets = ["correct horse battery", "", "ab"];
        for (message, shown) in [
            ("The password is wrong.", true),
            ("The password is Correct Horse battery.", false),
            ("The password is correct horse…", false),
            ("The password is correct%20horse%20battery.", false),
            ("The password is c&#111;rrect horse.", false),
            ("A cab.", false),
            ("two\nlines", false),
        ] {
            let body = ErrorBody::of_callback("no", Some(message)).without(&secrets).unwrap();
            assert_eq!(body.message.is_some(), shown, "{message}");
        }
        assert_eq!(ErrorBody::of_callback("ab", None).without(&secrets), None);
        let long = "x".repeat(1000);
        let body = ErrorBody::of_callback("no", Some(&long)).without(&secrets).unwrap();
        assert_eq!(body.message.unwrap().chars().count(), MESSAGE_LIMIT + 1);
    }

    #[test]
    fn p5_source_that_repeats_a_secret_is_left_out() {
        assert!(silent("no connection".into(), &["s3cret-password"]).is_some());
        assert!(silent("POST of s3cret-pass failed".into(), &["s3cret-password"]).is_none());
        let below = std::io::Error::other("s3cret-password");
        assert!(silent(below.into(), &["s3cret-password"]).is_none());
    }
}
