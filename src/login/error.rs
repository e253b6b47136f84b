//! Why a login brought no tokens.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

use super::answer::ErrorBody;
use crate::error::BoxError;

/// Why a login, or one step of it, brought no tokens.
///
/// Whatever the reason, no token was stored and no credential changed: the login can be started
/// again. `Debug` and `Display` show no secret.
///
/// | question | what to do |
/// | --- | --- |
/// | [`is_denied`](LoginError::is_denied) | tell the person; ask again if they want it |
/// | [`is_state_mismatch`](LoginError::is_state_mismatch) | start a new login |
/// | [`is_code_refused`](LoginError::is_code_refused) | start a new login |
/// | [`is_wrong_password`](LoginError::is_wrong_password) | ask for user name and password again |
/// | [`is_verification_refused`](LoginError::is_verification_refused) | ask for the code again, or send a new one |
/// | [`is_configuration`](LoginError::is_configuration), [`is_invalid_input`](LoginError::is_invalid_input) | mend the program or its registration at TeamUp |
/// | [`is_transient`](LoginError::is_transient), [`is_timeout`](LoginError::is_timeout) | start again later |
/// | [`is_protocol`](LoginError::is_protocol) | check the base URL |
///
/// ```
/// use tower_teamup_auth::login::LoginError;
///
/// fn page(error: &LoginError) -> &'static str {
///     if error.is_denied() {
///         "You did not approve. Log in again if that was a mistake."
///     } else if error.is_transient() {
///         "TeamUp is out of reach. Try again in a minute."
///     } else {
///         "That did not work. Log in again."
///     }
/// }
/// ```
#[derive(Debug)]
pub struct LoginError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: Box<str>,
    status: Option<StatusCode>,
    /// What TeamUp says, without anything that the request held.
    body: Option<ErrorBody>,
    retry_after: Option<Duration>,
    source: Option<BoxError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    InvalidInput,
    Denied,
    StateMismatch,
    CodeRefused,
    WrongPassword,
    VerificationRefused,
    Configuration,
    Transient,
    Protocol,
    TimedOut,
}

impl LoginError {
    pub(super) fn new(kind: Kind, message: impl Into<Box<str>>) -> Self {
        LoginError(Box::new(Inner {
            kind,
            message: message.into(),
            status: None,
            body: None,
            retry_after: None,
            source: None,
        }))
    }

    pub(super) fn invalid_input(message: impl Into<Box<str>>) -> Self {
        LoginError::new(Kind::InvalidInput, message)
    }

    /// What the browser brought back names no login that it has begun.
    pub(super) fn no_pending() -> Self {
        let message = "this browser has begun no login, or its cookie can't be read; log in again";
        LoginError::new(Kind::StateMismatch, message)
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = Some(status);
        self
    }

    pub(super) fn with_body(mut self, body: Option<ErrorBody>) -> Self {
        self.0.body = body;
        self
    }

    pub(super) fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    pub(super) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The person did not approve (`error=access_denied`, RFC 6749 section 4.1.2.1).
    pub fn is_denied(&self) -> bool {
        self.0.kind == Kind::Denied
    }

    /// The callback's `state` is missing, repeated, or another than the one that was sent (RFC
    /// 6749 section 10.12). Its code was not used.
    pub fn is_state_mismatch(&self) -> bool {
        self.0.kind == Kind::StateMismatch
    }

    /// TeamUp refused the authorization code: it was used before, has expired, or was issued for
    /// another application or redirect URI (`invalid_grant`, RFC 6749 section 5.2).
    pub fn is_code_refused(&self) -> bool {
        self.0.kind == Kind::CodeRefused
    }

    /// The user name or the password is wrong.
    pub fn is_wrong_password(&self) -> bool {
        self.0.kind == Kind::WrongPassword
    }

    /// A step of the two-factor flow was refused: the code or the key is wrong or too old.
    pub fn is_verification_refused(&self) -> bool {
        self.0.kind == Kind::VerificationRefused
    }

    /// TeamUp does not let this application do this: the client id, its secret, the
    /// `direct_auth_key`, the scope or the redirect URI is wrong.
    pub fn is_configuration(&self) -> bool {
        self.0.kind == Kind::Configuration
    }

    /// Something that the program handed over can't be used; the text says what. Nothing was sent.
    pub fn is_invalid_input(&self) -> bool {
        self.0.kind == Kind::InvalidInput
    }

    /// The same may work a little later: no connection, a limit reached (429), a fault of TeamUp's
    /// (5xx).
    pub fn is_transient(&self) -> bool {
        self.0.kind == Kind::Transient
    }

    /// Nobody answered in time: TeamUp, or the person in front of the browser.
    pub fn is_timeout(&self) -> bool {
        self.0.kind == Kind::TimedOut
    }

    /// What answered is not TeamUp's API as it is documented. Check the base URL.
    pub fn is_protocol(&self) -> bool {
        self.0.kind == Kind::Protocol
    }

    /// The status of TeamUp's answer, where there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// TeamUp's code for the error, such as `authentication_failed` or `invalid_grant`.
    pub fn code(&self) -> Option<&str> {
        self.0.body.as_ref().and_then(|body| body.code.as_deref())
    }

    /// How long TeamUp asks to be left alone (`Retry-After`), where it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(status) = self.0.status {
            write!(f, " (status {})", status.as_u16())?;
        }
        match &self.0.body {
            Some(body) => write!(f, "; TeamUp says: {body}"),
            None => Ok(()),
        }
    }
}

impl StdError for LoginError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
