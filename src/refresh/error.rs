//! Why a refresh request failed, classed by what may be done next.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::error::boxed::BoxError;
use crate::token::RefreshToken;

/// What a failed refresh request means for the refresh token that it carried.
///
/// The [module](crate::refresh#what-a-response-means) maps each response of TeamUp's endpoint to one
/// of them. A [`Refresh`](super::Refresh) of the program's own chooses the class itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureClass {
    /// The token was not looked at: no connection, a limit, a fault of the server. The same refresh
    /// token is sent again after a pause.
    Transient,
    /// TeamUp said of this refresh token that it is not valid. It is not sent again, in this process
    /// or another: somebody has to log in.
    Rejected,
    /// TeamUp refused in words that nobody outside TeamUp knows. Somebody is asked to log in, and the
    /// refresh token is tried again all the same, with long pauses.
    ProbablyRejected,
    /// TeamUp refused what was asked for, not the refresh token: a scope, or the mode. Tried again
    /// when asked for explicitly, or after a restart.
    Configuration,
    /// The refresh request was sent and no usable response came: the refresh token may be spent.
    OutcomeUnknown,
    /// Something answered that is not the endpoint: a firewall, a captive portal, a redirect. The
    /// login is intact.
    NotTheEndpoint,
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailureClass::Transient => "transient",
            FailureClass::Rejected => "rejected",
            FailureClass::ProbablyRejected => "probably rejected",
            FailureClass::Configuration => "configuration",
            FailureClass::OutcomeUnknown => "outcome unknown",
            FailureClass::NotTheEndpoint => "not the endpoint",
        })
    }
}

/// Why one refresh request failed.
///
/// `Debug` and `Display` show no secret: of a response's body only TeamUp's own error fields are
/// kept, and the refresh token is redacted in those.
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
    field: Option<&'static str>,
    rotated: Option<RefreshToken>,
    source: Option<BoxError>,
}

impl RefreshError {
    /// The same refresh token may be sent again later; see [`FailureClass::Transient`].
    pub fn transient(message: impl Into<Box<str>>) -> Self {
        RefreshError::new(FailureClass::Transient, message)
    }

    /// The refresh token is not valid, for sure; see [`FailureClass::Rejected`].
    pub fn rejected(message: impl Into<Box<str>>) -> Self {
        RefreshError::new(FailureClass::Rejected, message)
    }

    /// The refresh token is probably not valid; see [`FailureClass::ProbablyRejected`].
    pub fn probably_rejected(message: impl Into<Box<str>>) -> Self {
        RefreshError::new(FailureClass::ProbablyRejected, message)
    }

    /// What was asked for is refused, whatever the refresh token; see
    /// [`FailureClass::Configuration`].
    pub fn configuration(message: impl Into<Box<str>>) -> Self {
        RefreshError::new(FailureClass::Configuration, message)
    }

    /// The response was lost; see [`FailureClass::OutcomeUnknown`].
    pub fn outcome_unknown(message: impl Into<Box<str>>) -> Self {
        RefreshError::new(FailureClass::OutcomeUnknown, message)
    }

    /// What answered is not the endpoint; see [`FailureClass::NotTheEndpoint`].
    pub fn not_the_endpoint(message: impl Into<Box<str>>) -> Self {
        RefreshError::new(FailureClass::NotTheEndpoint, message)
    }

    pub(super) fn new(class: FailureClass, message: impl Into<Box<str>>) -> Self {
        RefreshError {
            class,
            message: message.into(),
            status: None,
            retry_after: None,
            api_error: None,
            field: None,
            rotated: None,
            source: None,
        }
    }

    /// Adds the status of the response.
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

    /// Adds a rotated refresh token that a faulty response nevertheless held, so that it is not lost.
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

    /// The status of the response, if one came.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// How long the endpoint asked to be left alone, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// TeamUp's own words, if the response held any.
    pub fn api_error(&self) -> Option<&ApiError> {
        self.api_error.as_deref()
    }

    /// The field of the refresh request that TeamUp complained about: `refresh_token`, `scope` or
    /// `new_access_token_type`, in this order where it named several.
    ///
    /// ```
    /// use tower_teamup_auth::refresh::RefreshError;
    ///
    /// fn advice(error: &RefreshError) -> &'static str {
    ///     match error.field() {
    ///         Some("scope") => "ask for other scopes, or for none",
    ///         Some("new_access_token_type") => "this login has no such mode",
    ///         _ => "log in again",
    ///     }
    /// }
    /// ```
    pub fn field(&self) -> Option<&'static str> {
        self.field
    }

    pub(super) fn with_field(mut self, field: Option<&'static str>) -> Self {
        self.field = field;
        self
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
