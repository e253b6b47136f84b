//! The two tokens as types of their own, wiped when dropped and silent in `Debug`.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::error::Error;

/// An access token (RFC 6749 section 1.4): what a request carries in its `Authorization` header.
///
/// Its text is wiped from memory when the last copy is dropped, and `Debug` does not show it.
///
/// ```
/// use tower_teamup_auth::token::AccessToken;
///
/// let token = AccessToken::new("s3cret")?;
/// assert_eq!(token.expose(), "s3cret");
/// assert!(!format!("{token:?}").contains("s3cret"));
/// assert!(AccessToken::new("s3cret\n").unwrap_err().is_invalid_input());
/// # Ok::<(), tower_teamup_auth::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Zeroizing<Box<str>>);

/// A refresh token (RFC 6749 section 1.5): what a refresh sends to get a new access token.
///
/// TeamUp answers every refresh with a new one; the old one may be dead from that moment on.
/// Its text is wiped from memory when the last copy is dropped, and `Debug` does not show it.
///
/// ```
/// use tower_teamup_auth::token::RefreshToken;
///
/// let token = RefreshToken::new("s3cret")?;
/// assert_eq!(token.expose(), "s3cret");
/// assert!(!format!("{token:?}").contains("s3cret"));
/// assert!(RefreshToken::new("s3cret\n").unwrap_err().is_invalid_input());
/// # Ok::<(), tower_teamup_auth::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(Zeroizing<Box<str>>);

impl AccessToken {
    /// Takes the token's text.
    ///
    /// # Errors
    ///
    /// When it is empty or holds anything but visible ASCII characters (RFC 6749 appendix A.12;
    /// a space can't stand inside the `Authorization` header's token, RFC 6750 section 2.1).
    /// [`Error::is_invalid_input`] is true of the error, and the text is not repeated in it.
    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        let text = boxed(text.into());
        check("access token", &text, |byte| byte.is_ascii_graphic())?;
        Ok(AccessToken(text))
    }

    /// The token's text. A secret: it belongs in a header or a store, and in no log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl RefreshToken {
    /// Takes the token's text.
    ///
    /// # Errors
    ///
    /// When it is empty, begins or ends with a space, or holds a control or non-ASCII character
    /// (RFC 6749 appendix A.17). [`Error::is_invalid_input`] is true of the error, and the text
    /// is not repeated in it.
    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        let text = boxed(text.into());
        check("refresh token", &text, |byte| byte.is_ascii_graphic() || byte == b' ')?;
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(Error::invalid_input(
                "the refresh token begins or ends with a space; it was probably copied with it, \
                 so trim it",
            ));
        }
        Ok(RefreshToken(text))
    }

    /// The token's text. A secret: it belongs in a refresh request or a store, and in no log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A `String` with room to spare would be copied to lose it, and what it held stay behind.
fn boxed(text: String) -> Zeroizing<Box<str>> {
    let text = Zeroizing::new(text);
    Zeroizing::new(text.as_str().into())
}

fn check(name: &str, text: &str, allowed: impl Fn(u8) -> bool) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::invalid_input(format!(
            "the {name} is empty; was it read from a variable or a file that is not set?"
        )));
    }
    match text.bytes().position(|byte| !allowed(byte)) {
        None => Ok(()),
        Some(at) => {
            let what = match text.as_bytes()[at] {
                b'\r' | b'\n' => "a line break",
                b' ' => "a space",
                byte if byte.is_ascii() => "a control character",
                _ => "a character outside ASCII",
            };
            Err(Error::invalid_input(format!(
                "the {name} holds {what} at byte {at}; a token is visible ASCII, so trim or \
                 re-copy it"
            )))
        }
    }
}

impl FromStr for AccessToken {
    type Err = Error;

    /// The same as [`AccessToken::new`].
    fn from_str(text: &str) -> Result<Self, Error> {
        AccessToken::new(text)
    }
}

impl FromStr for RefreshToken {
    type Err = Error;

    /// The same as [`RefreshToken::new`].
    fn from_str(text: &str) -> Result<Self, Error> {
        RefreshToken::new(text)
    }
}

impl Hash for AccessToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl Hash for RefreshToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_no_token_can_hold_and_says_where() {
        for (text, said) in [
            ("", "is empty"),
            ("abc\n", "a line break at byte 3"),
            ("a\u{7}b", "a control character at byte 1"),
            ("tök", "a character outside ASCII at byte 1"),
            ("a b", "a space at byte 1"),
        ] {
            let error = AccessToken::new(text).unwrap_err();
            assert!(error.is_invalid_input());
            assert!(error.to_string().contains(said), "{error}");
        }
        assert!(RefreshToken::new("with space").is_ok());
        assert!(RefreshToken::new(" leading").unwrap_err().to_string().contains("trim it"));
    }

    #[test]
    fn p5_debug_shows_neither_token() {
        let access = AccessToken::new("s3cret-access").unwrap();
        let refresh = RefreshToken::new("s3cret-refresh").unwrap();
        assert_eq!(format!("{access:?} {refresh:?}"), "AccessToken(..) RefreshToken(..)");
    }
}
