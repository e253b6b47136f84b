//! TeamUp's refresh endpoint, over any client.

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};

use super::redact::Redactor;
use super::request::{RefreshEncoding, encode};
use super::response::decode;
use super::transport::Transport;
use super::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
use crate::token::Clock;

/// `POST {base}/auth/refresh_access_token`. TeamUp's page writes the path with a double slash and
/// its code sample with a single one; the single one is sent.
const PATH: &str = "/auth/refresh_access_token";

/// In which format the refresh endpoint is asked to answer.
///
/// Whatever is asked for, the response is read as what it turns out to be.
///
/// ```
/// use tower_teamup_auth::refresh::ResponseFormat;
/// use tower_teamup_auth::{Credentials, RequestMode};
///
/// let builder = Credentials::builder(RequestMode::Customer).response_format(ResponseFormat::Json);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseFormat {
    /// `application/json`.
    #[default]
    Json,
    /// `application/xml`.
    #[cfg(feature = "xml")]
    #[cfg_attr(docsrs, doc(cfg(feature = "xml")))]
    Xml,
}

impl ResponseFormat {
    fn query(self) -> &'static str {
        match self {
            ResponseFormat::Json => "format=json",
            #[cfg(feature = "xml")]
            ResponseFormat::Xml => "format=xml",
        }
    }

    fn media_type(self) -> HeaderValue {
        match self {
            ResponseFormat::Json => HeaderValue::from_static("application/json"),
            #[cfg(feature = "xml")]
            ResponseFormat::Xml => HeaderValue::from_static("application/xml"),
        }
    }
}

/// The refresh endpoint as TeamUp documents it.
pub(crate) struct Endpoint {
    transport: Transport,
    /// A URL, as text: it is read once in a token's life, and each of a service's many credentials
    /// holds one.
    base: Box<str>,
    scope: Box<[String]>,
    encoding: RefreshEncoding,
    format: Option<ResponseFormat>,
    clock: Clock,
}

impl Endpoint {
    /// The endpoint under `base`, with or without a slash at its end.
    ///
    /// `format` goes into the query and the `Accept` header. `None` sends no query and accepts
    /// JSON, as TeamUp's code sample does.
    pub(crate) fn new(
        transport: Transport,
        base: &Uri,
        scope: Vec<String>,
        encoding: RefreshEncoding,
        format: Option<ResponseFormat>,
        clock: Clock,
    ) -> Self {
        let (base, scope) = (base.to_string().into(), scope.into());
        Endpoint { transport, base, scope, encoding, format, clock }
    }

    fn request(&self, request: &RefreshRequest) -> Result<Request<Bytes>, RefreshError> {
        let encoded = encode(self.encoding, request, &self.scope)?;
        Request::builder()
            .method(Method::POST)
            .uri(self.uri().map_err(unusable_base)?)
            .header(CONTENT_TYPE, encoded.content_type)
            .header(ACCEPT, self.format.unwrap_or_default().media_type())
            // Without this header a server may compress (RFC 9110 section 12.5.3).
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .body(encoded.body)
            .map_err(unusable_base)
    }

    fn uri(&self) -> Result<Uri, http::Error> {
        let base: Uri = self.base.parse()?;
        let mut path = format!("{}{PATH}", base.path().trim_end_matches('/'));
        if let Some(format) = self.format {
            path.push('?');
            path.push_str(format.query());
        }
        let mut parts = base.into_parts();
        parts.path_and_query = Some(path.try_into()?);
        Ok(Uri::from_parts(parts)?)
    }
}

/// Nothing was sent.
fn unusable_base(error: http::Error) -> RefreshError {
    RefreshError::configuration("no refresh URL can be made of the base URL").with_source(error)
}

impl Refresh for Endpoint {
    async fn refresh(&self, request: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        let sent = self.transport.send(self.request(&request)?).await;
        let response = sent.map_err(|failure| {
            let error = if failure.may_have_been_sent {
                RefreshError::outcome_unknown("the refresh request was sent and no response came")
            } else {
                RefreshError::transient("the refresh request could not be sent")
            };
            Redactor::for_token(request.refresh_token()).attach_source(error, failure.source)
        })?;
        decode(response, request.refresh_token(), self.clock.now())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("base", &self.base)
            .field("encoding", &self.encoding)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}
