//! Why an exchange failed, classed by what may be done next.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::error::BoxError;
use crate::token::RefreshToken;

/// What a failed exchange means for the refresh token that it carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureClass {
    /// The exchange did not take place: no connection, 408, 425, 429, 5xx. The same refresh
    /// token is sent again after a pause.
    Transient,
    /// The endpoint refused the refresh token: 400, 401, 403. It is not sent again.
    Rejected,
    /// The exchange was sent and no whole answer came back: the refresh token may be spent.
    OutcomeUnknown,
    /// Refused with TeamUp's body, for a reason that may be the refresh token.
    ProbablyRejected,
    /// The request itself is at fault: its scope, or the mode it asks for.
    Configuration,
    /// What answered does not speak the endpoint's protocol: a redirect, another status,
    /// another format.
    NotTheEndpoint,
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailureClass::Transient => "transient",
            FailureClass::Rejected => "rejected",
            FailureClass::OutcomeUnknown => "outcome unknown",
            FailureClass::ProbablyRejected => "probably rejected",
            FailureClass::Configuration => "configuration",
            FailureClass::NotTheEndpoint => "not the endpoint",
        })
    }
}

/// Why one exchange failed.
///
/// `Debug` and `Display` show no secret: of an answer's body only TeamUp's own error fields are
/// kept, and the refresh token is struck out of those.
///
/// ```
/// use std::time::Duration;
/// use http::StatusCode;
/// use tower_teamup_auth::refresh::{FailureClass, RefreshError};
///
/// let error = RefreshError::transient("the endpoint is busy")
///     .with_status(StatusCode::TOO_MANY_REQUESTS)
///     .with_retry_after(Duration::from_secs(30));
/// assert_eq!(error.class(), FailureClass::Transient);
/// assert_eq!(error.to_string(), "the endpoint is busy (status 429)");
/// ```
#[derive(Debug)]
pub struct RefreshError {
    class: FailureClass,
    message: Box<str>,
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    api_error: Option<Box<ApiError>>,
    rotated: Option<RefreshToken>,
    source: Option<BoxError>,
}

impl RefreshError {
    /// An exchange that did not take place and may be sent again; see [`FailureClass::Transient`].
    pub fn transient(message: impl Into<Box<str>>) -> Self {
        RefreshError::new(FailureClass::Transient, message)
    }

    /// A refresh token that was refused; see [`FailureClass::Rejected`].
    pub fn rejected(message: impl Into<Box<str>>) -> Self {
        RefreshError::new(FailureClass::Rejected, message)
    }

    /// An exchange whose answer was lost; see [`FailureClass::OutcomeUnknown`].
    pub fn outcome_unknown(message: impl Into<Box<str>>) -> Self {
        RefreshError::new(FailureClass::OutcomeUnknown, message)
    }

    /// An answer that is none of the endpoint's; see [`FailureClass::NotTheEndpoint`].
    pub fn protocol(message: impl Into<Box<str>>) -> Self {
        RefreshError::new(FailureClass::NotTheEndpoint, message)
    }

    fn new(class: FailureClass, message: impl Into<Box<str>>) -> Self {
        RefreshError {
            class,
            message: message.into(),
            status: None,
            retry_after: None,
            api_error: None,
            rotated: None,
            source: None,
        }
    }

    /// Adds the status that was answered.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds how long the endpoint asked to be left alone (`Retry-After`).
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    /// Adds what TeamUp said of the failure.
    #[must_use]
    pub fn with_api_error(mut self, api_error: ApiError) -> Self {
        self.api_error = Some(Box::new(api_error));
        self
    }

    /// Adds a rotated refresh token that a faulty answer nevertheless held, so that it is not lost.
    #[must_use]
    pub fn with_rotated(mut self, refresh_token: RefreshToken) -> Self {
        self.rotated = Some(refresh_token);
        self
    }

    /// Adds the underlying error. It is shown, so it must name no secret.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the failure means for the refresh token.
    pub fn class(&self) -> FailureClass {
        self.class
    }

    /// The status that was answered, if an answer came.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// How long the endpoint asked to be left alone, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// TeamUp's own words, if the answer held any.
    pub fn api_error(&self) -> Option<&ApiError> {
        self.api_error.as_deref()
    }

    pub(crate) fn take_rotated(&mut self) -> Option<RefreshToken> {
        self.rotated.take()
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(status) = self.status {
            write!(f, " (status {})", status.as_u16())?;
        }
        if let Some(api_error) = &self.api_error {
            write!(f, ": {api_error}")?;
        }
        Ok(())
    }
}

impl StdError for RefreshError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// TeamUp's error body: `code`, `message`, `type`, and `field_errors` where there are any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiError {
    /// A short string that names the error.
    pub code: String,
    /// The error in words, for a person.
    pub message: String,
    /// `invalid_request_error`, `conflict` or `event_check_failure`.
    pub error_type: String,
    /// For each field (or `non_field_errors`), what is wrong with it.
    pub field_errors: BTreeMap<String, Vec<String>>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for part in [&self.code, &self.error_type, &self.message] {
            if !part.is_empty() {
                write!(f, "{separator}{part}")?;
                separator = ", ";
            }
        }
        for (field, messages) in &self.field_errors {
            write!(f, "{separator}{field}: {}", messages.join(" "))?;
            separator = "; ";
        }
        Ok(())
    }
}
