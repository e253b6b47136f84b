//! One request of a login over the program's HTTP client.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use serde_json::Value;

use super::answer::{ErrorBody, silent};
use super::error::{Kind, LoginError};
use crate::origin::Origin;
use crate::refresh::{RefreshClient, Transport, retry_after};
use crate::token::Clock;

/// The API's base as TeamUp documents it.
const DEFAULT_BASE_URL: &str = "https://goteamup.com/api/v2";

/// A person waits in front of the answer. After this time they are told to log in again, which
/// costs nothing: an answer that comes later held tokens that nobody uses.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a request is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// An authorization code for tokens.
    Code,
    /// A user name and a password for tokens or a pending login.
    Password,
    /// A step of the two-factor flow.
    Verification,
}

/// The API's `auth` endpoints, over the program's client.
#[derive(Clone)]
pub(super) struct Endpoints {
    base_url: String,
    client: Transport,
}

impl Endpoints {
    pub(super) fn over<Kind>(client: impl RefreshClient<Kind>) -> Self {
        let client = Transport::over(client.into_service());
        Endpoints { base_url: DEFAULT_BASE_URL.to_owned(), client }
    }

    pub(super) fn set_base_url(&mut self, base_url: String) {
        self.base_url = base_url;
    }

    /// The URL of `path` under the base, if credentials may go there: https, or loopback.
    pub(super) fn url(&self, path: &str) -> Result<Uri, LoginError> {
        let base_url: Uri = self
            .base_url
            .parse()
            .map_err(|_| LoginError::invalid_input("the base URL is not a URL"))?;
        Origin::for_credentials("base URL", &base_url)
            .map_err(|error| LoginError::invalid_input(error.to_string()))?;
        if base_url.query().is_some() {
            return Err(LoginError::invalid_input("the base URL has a query; leave it out"));
        }
        format!("{}{path}", self.base_url.trim_end_matches('/'))
            .parse()
            .map_err(|_| LoginError::invalid_input("the base URL can't be followed by a path"))
    }

    /// Sends JSON to `path` and reads the JSON of a 200. None of `secrets`, which the request
    /// holds, is repeated in the error.
    pub(super) async fn post(
        &self,
        step: Step,
        path: &str,
        body: &Value,
        secrets: &[&str],
    ) -> Result<Value, LoginError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url(path)?)
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()))
            .expect("a URL that was parsed");
        let answer = self.send(step, request, secrets).await?;
        serde_json::from_slice(answer.body()).map_err(|_| not_json(answer.status()))
    }

    /// Sends a request, and turns every answer but a success into an error.
    pub(super) async fn send(
        &self,
        step: Step,
        mut request: Request<Bytes>,
        secrets: &[&str],
    ) -> Result<Response<Vec<u8>>, LoginError> {
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let sending = tokio::time::timeout(TIMEOUT, self.client.send(request));
        let answer = match sending.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => {
                let error = LoginError::new(Kind::Transient, "TeamUp could not be reached");
                return Err(match silent(failure.source, secrets) {
                    Some(source) => error.with_source(source),
                    None => error,
                });
            }
            Err(_) => {
                let message = format!("TeamUp did not answer within {} s", TIMEOUT.as_secs());
                return Err(LoginError::new(Kind::TimedOut, message));
            }
        };
        if answer.status.is_success() {
            let body = answer.body.to_vec();
            let mut response = Response::new(body);
            // A token in a JSON body is a token, whatever the headers call it.
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            return Ok(response);
        }
        let body = ErrorBody::read(&answer.body);
        let wait = retry_after(&answer.headers, Clock::system().now());
        Err(refused(step, answer.status, body, secrets).with_retry_after(wait))
    }
}

/// What a status and a body mean.
fn refused(
    step: Step,
    status: StatusCode,
    body: Option<ErrorBody>,
    secrets: &[&str],
) -> LoginError {
    let (kind, message) = match status.as_u16() {
        408 | 425 | 429 | 500..=599 => (Kind::Transient, "TeamUp can't serve the login now"),
        300..=399 => (
            Kind::Protocol,
            "TeamUp answered with a redirect, which is not followed: the request holds a secret; \
             check the base URL",
        ),
        400..=499 => match &body {
            None => (
                Kind::Protocol,
                "what refused the login is not TeamUp's API; check the base URL, and what stands \
                 between this program and the API",
            ),
            Some(body) => kind_of(step, status, body),
        },
        _ => (Kind::Protocol, "TeamUp answered with a status that has no meaning here"),
    };
    let body = body.and_then(|body| body.without(secrets));
    LoginError::new(kind, message).with_status(status).with_body(body)
}

/// What a refusal in TeamUp's own words means at this step. TeamUp documents no codes for it, so
/// the status decides where the code is unknown.
fn kind_of(step: Step, status: StatusCode, body: &ErrorBody) -> (Kind, &'static str) {
    const CONFIGURATION: (Kind, &str) =
        (Kind::Configuration, "TeamUp does not let this application do this");
    match step {
        Step::Code if body.has_code(&["invalid_grant"]) => (
            Kind::CodeRefused,
            "TeamUp refused the authorization code: it was used before, has expired, or was \
             issued for another application or redirect URI; start a new login",
        ),
        Step::Code => CONFIGURATION,
        Step::Password if body.refuses_field(&["verification_key"]) => {
            (Kind::VerificationRefused, "TeamUp refused the verification key")
        }
        Step::Password
            if status == StatusCode::UNAUTHORIZED
                || body.has_code(&["authentication_failed"])
                || body.refuses_field(&["username", "password", "non_field_errors"]) =>
        {
            (Kind::WrongPassword, "TeamUp refused the user name or the password")
        }
        Step::Verification if status == StatusCode::BAD_REQUEST => {
            (Kind::VerificationRefused, "TeamUp refused the verification")
        }
        Step::Password | Step::Verification => CONFIGURATION,
    }
}

pub(super) fn not_json(status: StatusCode) -> LoginError {
    let message = "what answered the login is not TeamUp's API: its body can't be read";
    LoginError::new(Kind::Protocol, message).with_status(status)
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}
