//! A record as JSON, in a format with a version of its own.
//!
//! No copy of a token is left in memory: what is written fits the room that was made for it, and
//! what is read goes from the text into the token and nowhere else.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::record::{Fingerprint, LoginId, RecordContent, StoredRecord};
use crate::error::Error;
use crate::headers::RequestMode;
use crate::token::{AccessToken, RefreshToken, TokenSet, unquote};

/// The version of the format that this crate writes. It reads version 1 too.
const FORMAT_VERSION: u64 = 2;

/// The members of an object, as they stand in the text.
type Members<'a> = BTreeMap<String, &'a RawValue>;

impl StoredRecord {
    /// Writes the record as JSON, in a format with a version of its own.
    ///
    /// The text holds the secrets, and is wiped when it is dropped.
    pub fn to_json(&self) -> Zeroizing<String> {
        // A text that grows leaves copies behind, so its length is found first.
        let mut length = Length(0);
        let mut text = Zeroizing::new(String::new());
        let written = write_record(self, &mut length).and_then(|()| {
            text.reserve_exact(length.0);
            write_record(self, &mut *text)
        });
        written.expect("nothing that is written here can fail");
        debug_assert_eq!(text.len(), length.0);
        text
    }

    /// Reads what [`to_json`](StoredRecord::to_json) wrote, in this version of the format or an
    /// older one. A record of version 1 becomes the login of its refresh token.
    ///
    /// A byte order mark before the text is skipped.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, is of a version newer than this crate knows, lacks a key, or
    /// holds a token that can't be one. The text is not repeated in the error.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        let root: Members<'_> = serde_json::from_slice(text).map_err(|error| {
            if error.is_data() {
                return damaged("the stored record is not a JSON object");
            }
            // The parser's own message could show a piece of the text; its position can't.
            damaged(format_args!(
                "the stored record is not JSON (line {}, column {})",
                error.line(),
                error.column()
            ))
        })?;
        let version = number(&root, "version").ok_or_else(|| {
            damaged("the stored record has no `version`: this is not a token store of this crate")
        })?;
        if version > FORMAT_VERSION {
            return Err(Error::stored_format_too_new(version, FORMAT_VERSION));
        }
        let revision = number(&root, "revision").unwrap_or(1);
        if version <= 1 {
            let tokens = token_set(&root)?;
            let login = LoginId::of_seed(tokens.refresh_token());
            return Ok(StoredRecord::new(login, revision, RecordContent::Tokens(tokens)));
        }
        let login = text_of(&root, "login")?
            .parse()
            .map_err(|_| damaged("stored record: `login` is not 32 hexadecimal digits"))?;
        let content = match text_of(&root, "state")?.as_str() {
            "tokens" => RecordContent::Tokens(token_set(&root)?),
            "rejected" => RecordContent::Rejected(token_set(&root)?),
            "signed_out" => RecordContent::SignedOut,
            _ => return Err(damaged("stored record: `state` is not a state that is known")),
        };
        let mut record = StoredRecord::new(login, revision, content);
        if let Some(seeds) = present(&root, "seeds") {
            record =
                record.with_seeds(fingerprints(seeds).ok_or_else(|| {
                    damaged("stored record: `seeds` is not a list of fingerprints")
                })?);
        }
        if present(&root, "base_url").is_some() {
            record = record.with_base_url(&text_of(&root, "base_url")?);
        }
        Ok(record)
    }
}

fn write_record(record: &StoredRecord, out: &mut impl Write) -> fmt::Result {
    let state = match record.content() {
        RecordContent::Tokens(_) => "tokens",
        RecordContent::Rejected(_) => "rejected",
        RecordContent::SignedOut => "signed_out",
    };
    write!(
        out,
        r#"{{"version":{FORMAT_VERSION},"revision":{},"login":"{}","state":"{state}""#,
        record.revision(),
        record.login(),
    )?;
    if let Some(base_url) = record.base_url() {
        out.write_str(r#","base_url":"#)?;
        write_text(base_url, out)?;
    }
    for (at, seed) in record.seeds().iter().enumerate() {
        write!(out, r#"{}"{seed}""#, if at == 0 { r#","seeds":["# } else { "," })?;
    }
    if !record.seeds().is_empty() {
        out.write_char(']')?;
    }
    if let Some(tokens) = record.tokens() {
        out.write_str(r#","refresh_token":"#)?;
        write_text(tokens.refresh_token().expose(), out)?;
        for mode in RequestMode::ALL {
            let Some(issued) = tokens.issued(mode) else { continue };
            write!(out, r#","{mode}":{{"access_token":"#)?;
            write_text(issued.token.expose(), out)?;
            match issued.expires_at {
                Some(time) => write!(out, r#","expires_at":{}}}"#, unix_millis(time))?,
                None => out.write_str(r#","expires_at":null}"#)?,
            }
        }
    }
    out.write_char('}')
}

/// A text in quotation marks (RFC 8259 section 7).
fn write_text(text: &str, out: &mut impl Write) -> fmt::Result {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\0'..='\x1f' => write!(out, "\\u{:04x}", u32::from(character))?,
            _ => out.write_char(character)?,
        }
    }
    out.write_char('"')
}

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

fn token_set(root: &Members<'_>) -> Result<TokenSet, Error> {
    let unfit = |error: Error| damaged(format_args!("stored record: {error}"));
    let refresh_token = text_of(root, "refresh_token")?;
    let mut tokens = TokenSet::new(RefreshToken::new(refresh_token.as_str()).map_err(unfit)?);
    for mode in RequestMode::ALL {
        let Some(issued) = present(root, mode.as_str()) else { continue };
        let issued: Members<'_> = serde_json::from_str(issued.get())
            .map_err(|_| damaged(format_args!("stored record: `{mode}` is not an object")))?;
        let token = text_of(&issued, "access_token")?;
        let expires_at = match present(&issued, "expires_at") {
            None => None,
            Some(_) => {
                Some(number(&issued, "expires_at").and_then(from_unix_millis).ok_or_else(|| {
                    damaged(
                        "stored record: `expires_at` is not a number of milliseconds since 1970",
                    )
                })?)
            }
        };
        let token = AccessToken::new(token.as_str()).map_err(unfit)?;
        tokens = tokens.with_access_token_until(mode, token, expires_at);
    }
    Ok(tokens)
}

fn present<'a>(members: &Members<'a>, key: &str) -> Option<&'a RawValue> {
    members.get(key).copied().filter(|value| value.get() != "null")
}

fn number(members: &Members<'_>, key: &str) -> Option<u64> {
    serde_json::from_str(members.get(key)?.get()).ok()
}

fn fingerprints(list: &RawValue) -> Option<Vec<Fingerprint>> {
    let texts: Vec<String> = serde_json::from_str(list.get()).ok()?;
    texts.iter().map(|text| Fingerprint::from_hex(text)).collect()
}

fn text_of(members: &Members<'_>, key: &str) -> Result<Zeroizing<String>, Error> {
    members
        .get(key)
        .and_then(|value| unquote(value.get()))
        .ok_or_else(|| damaged(format_args!("the stored record has no text `{key}`")))
}

fn damaged(what: impl fmt::Display) -> Error {
    Error::stored_format(format!(
        "{what}; put back a copy that is whole, or let the user log in again"
    ))
}

fn unix_millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn from_unix_millis(millis: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> TokenSet {
        TokenSet::new(RefreshToken::new("r1").unwrap())
            .with_access_token_until(
                RequestMode::Customer,
                AccessToken::new("a1").unwrap(),
                Some(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)),
            )
            .with_access_token_until(RequestMode::Provider, AccessToken::new("a2").unwrap(), None)
    }

    #[test]
    fn what_was_written_is_read_back() {
        let seed = Fingerprint::of(&RefreshToken::new("seed").unwrap());
        for content in [
            RecordContent::Tokens(tokens()),
            RecordContent::Rejected(tokens()),
            RecordContent::SignedOut,
        ] {
            let record = StoredRecord::new(LoginId::from_bytes([7; 16]), 41, content)
                .with_base_url("https://goteamup.com/api/v2")
                .with_seeds([seed]);
            assert_eq!(StoredRecord::from_json(record.to_json().as_bytes()).unwrap(), record);
        }
    }

    #[test]
    fn record_of_version_1_becomes_the_login_of_its_refresh_token() {
        let text = r#"{"version":1,"revision":5,"refresh_token":"r1",
            "customer":{"access_token":"a1","expires_at":1700000000123}}"#;
        let record = StoredRecord::from_json(text.as_bytes()).unwrap();
        assert_eq!(record.revision(), 5);
        assert_eq!(record.login(), LoginId::of_seed(&RefreshToken::new("r1").unwrap()));
        assert_eq!(record.tokens().unwrap().refresh_token().expose(), "r1");
    }

    #[test]
    fn every_text_that_json_can_write_is_read() {
        let url = "a\"b\\c\u{1}\u{7f}\u{e9}\u{1f980}";
        let record = StoredRecord::new(LoginId::from_bytes([7; 16]), 1, RecordContent::SignedOut)
            .with_base_url(url);
        let text = record.to_json();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["base_url"], url);
        assert_eq!(StoredRecord::from_json(text.as_bytes()).unwrap(), record);
    }

    #[test]
    fn p5_text_is_written_and_read_without_a_copy_that_is_not_wiped() {
        let record = StoredRecord::new(
            LoginId::from_bytes([7; 16]),
            1,
            RecordContent::Tokens(TokenSet::new(RefreshToken::new(r#"s3cret"\token"#).unwrap())),
        );
        let text = record.to_json();
        // A text that had grown would have room to spare, or would have been copied to lose it.
        assert_eq!(text.len(), text.capacity());
        let token = unquote(r#""s3cret\"\\token""#).unwrap();
        assert_eq!(token.capacity(), r#"s3cret\"\\token"#.len());
        assert_eq!(StoredRecord::from_json(text.as_bytes()).unwrap(), record);
    }

    #[test]
    fn byte_order_mark_is_skipped() {
        let record = StoredRecord::new(LoginId::from_bytes([7; 16]), 3, RecordContent::SignedOut);
        let text = [b"\xEF\xBB\xBF", record.to_json().as_bytes()].concat();
        assert_eq!(StoredRecord::from_json(&text).unwrap(), record);
    }

    #[test]
    fn what_is_not_a_record_is_refused_without_being_repeated() {
        for (text, said) in [
            ("s3cret", "not JSON"),
            ("[\"s3cret\"]", "not a JSON object"),
            ("{\"refresh_token\":\"s3cret\"}", "no `version`"),
            ("{\"version\":3,\"refresh_token\":\"s3cret\"}", "format version 3"),
            ("{\"version\":1,\"s3cret\":1}", "no text `refresh_token`"),
            ("{\"version\":1,\"refresh_token\":\"\"}", "is empty"),
            ("{\"version\":2,\"login\":\"s3cret\",\"state\":\"tokens\"}", "`login`"),
            (
                "{\"version\":2,\"login\":\"000102030405060708090a0b0c0d0e0f\",\"state\":\"s3cret\"}",
                "`state`",
            ),
            (
                "{\"version\":1,\"refresh_token\":\"s3cret\",\"customer\":{\"access_token\":\"a\",\"expires_at\":-1}}",
                "`expires_at`",
            ),
        ] {
            let error = StoredRecord::from_json(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }
}
