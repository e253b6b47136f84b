//! The headers of a TeamUp request: their names, their values, and how they are set.
//!
//! | header | value | when |
//! | --- | --- | --- |
//! | `Authorization` | `Bearer <access token>` | always |
//! | `TeamUp-Request-Mode` | `customer` or `provider` | always; it must match the type of the token beside it |
//! | `TeamUp-Provider-ID` | integer id of the business | when the credentials can reach several businesses |
//!
//! The names and values are from TeamUp's developer documentation. The other [schemes](AuthScheme)
//! were seen in public clients and are not documented.

use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;

use http::header::{HeaderName, HeaderValue};

/// `TeamUp-Request-Mode`: in which mode a request acts.
pub const REQUEST_MODE: HeaderName = HeaderName::from_static("teamup-request-mode");

/// `TeamUp-Provider-ID`: which business a request is about.
pub const PROVIDER_ID: HeaderName = HeaderName::from_static("teamup-provider-id");

/// The mode in which a request acts, and the type of the access token that goes with it.
///
/// TeamUp binds every access token to one mode: `new_access_token_type` of the refresh endpoint
/// decides it, and requests made with the token must carry a `TeamUp-Request-Mode` header of the
/// same value.
///
/// Put one into a request's extensions to choose the mode of that request alone:
///
/// ```
/// use tower_teamup_auth::RequestMode;
///
/// let request = http::Request::get("https://goteamup.com/api/v2/events")
///     .extension(RequestMode::Customer)
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestMode {
    /// Acts as a customer of a business.
    Customer,
    /// Acts as the business itself.
    Provider,
}

impl RequestMode {
    /// Both modes, in the order of the documentation.
    pub const ALL: [RequestMode; 2] = [RequestMode::Customer, RequestMode::Provider];

    /// The mode as the API writes it: `customer` or `provider`.
    ///
    /// ```
    /// # use tower_teamup_auth::RequestMode;
    /// assert_eq!(RequestMode::Provider.as_str(), "provider");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            RequestMode::Customer => "customer",
            RequestMode::Provider => "provider",
        }
    }

    /// The value of the `TeamUp-Request-Mode` header. Static: copying it costs no reference count.
    #[inline]
    pub(crate) const fn header_value(self) -> HeaderValue {
        match self {
            RequestMode::Customer => const { HeaderValue::from_static("customer") },
            RequestMode::Provider => const { HeaderValue::from_static("provider") },
        }
    }
}

impl fmt::Display for RequestMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RequestMode {
    type Err = ParseHeaderError;

    /// Reads `customer` or `provider`, in lower case as the API writes them.
    ///
    /// # Errors
    ///
    /// For any other word.
    fn from_str(text: &str) -> Result<Self, ParseHeaderError> {
        match text {
            "customer" => Ok(RequestMode::Customer),
            "provider" => Ok(RequestMode::Provider),
            _ => Err(ParseHeaderError {
                expected: "a request mode is `customer` or `provider`, in lower case",
            }),
        }
    }
}

/// The id of a business, as the `TeamUp-Provider-ID` header carries it.
///
/// Required by the API when the credentials can reach several businesses. Set it for all requests
/// with [`CredentialsBuilder::provider_id`](crate::CredentialsBuilder::provider_id), or for one
/// through that request's extensions:
///
/// ```
/// use tower_teamup_auth::ProviderId;
///
/// let request = http::Request::get("https://goteamup.com/api/v2/events")
///     .extension(ProviderId::new(54664))
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProviderId(u64);

impl ProviderId {
    /// The business with this id.
    pub const fn new(id: u64) -> Self {
        ProviderId(id)
    }

    /// The id as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn header_value(self) -> HeaderValue {
        HeaderValue::from(self.0)
    }
}

impl From<u64> for ProviderId {
    fn from(id: u64) -> Self {
        ProviderId(id)
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The word in front of the token in the `Authorization` header.
///
/// TeamUp's guide calls the OAuth token a bearer token, so [`Bearer`](AuthScheme::Bearer) is the
/// default. The other two were seen in public clients against the real service; the documentation
/// does not confirm them.
///
/// ```
/// use tower_teamup_auth::AuthScheme;
///
/// assert_eq!(AuthScheme::default(), AuthScheme::Bearer);
/// assert_eq!("JWT".parse::<AuthScheme>()?.as_str(), "JWT");
/// # Ok::<(), tower_teamup_auth::ParseHeaderError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthScheme {
    /// `Bearer <token>`, RFC 6750 section 2.1.
    #[default]
    Bearer,
    /// `JWT <token>`, seen in clients for OAuth tokens.
    Jwt,
    /// `Token <token>`, seen in clients for M2M and application tokens.
    Token,
}

impl AuthScheme {
    /// The scheme as it is written in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            AuthScheme::Bearer => "Bearer",
            AuthScheme::Jwt => "JWT",
            AuthScheme::Token => "Token",
        }
    }
}

impl fmt::Display for AuthScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AuthScheme {
    type Err = ParseHeaderError;

    /// Reads `Bearer`, `JWT` or `Token`; a scheme's case does not matter (RFC 9110 section 11.1).
    ///
    /// # Errors
    ///
    /// For any other word.
    fn from_str(text: &str) -> Result<Self, ParseHeaderError> {
        [AuthScheme::Bearer, AuthScheme::Jwt, AuthScheme::Token]
            .into_iter()
            .find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
            .ok_or(ParseHeaderError {
                expected: "an authorization scheme is `Bearer`, `JWT` or `Token`",
            })
    }
}

/// A text is no [`RequestMode`] or [`AuthScheme`]. `Display` says which texts are.
///
/// `?` turns it into the crate's [`Error`](crate::Error);
/// [`Error::is_invalid_input`](crate::Error::is_invalid_input) is true of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseHeaderError {
    expected: &'static str,
}

impl ParseHeaderError {
    /// Which texts are accepted, as a sentence.
    pub(crate) fn expected(&self) -> &'static str {
        self.expected
    }
}

impl fmt::Display for ParseHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }
}

impl StdError for ParseHeaderError {}
