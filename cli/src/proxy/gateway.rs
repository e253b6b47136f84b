//! One request: checked, forwarded, answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap,
    HeaderValue, LOCATION,
};
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use metrics::{Counter, Histogram, counter, histogram};
use subtle::ConstantTimeEq;
use tower::{Service, ServiceExt};
use tower_teamup_auth::{BoxError, Error, PROVIDER_ID, REQUEST_MODE, RequestMode};
use zeroize::Zeroizing;

use super::admin::REQUEST_DURATION;
use super::headers::{self, ERROR, SECRET};
use super::links::Rewriting;
use super::problem::{self, Problem};
use super::target;
use super::upload::{Fault, Upload};
use super::{Answer, Forwarded};
use crate::args::{Account, ClientAuthorization, Proxy};
use crate::browsers::{Hosts, Refusal};
use crate::stopwatch::Stopwatch;

/// A longer page is passed on as it came, with its URLs.
const PAGE_LIMIT: u64 = 8 * 1024 * 1024;

/// What is in every answer.
pub(super) type AnswerBody = Either<Answer, Full<Bytes>>;

/// What is the same for every request.
#[derive(Debug)]
pub(super) struct Gateway {
    hosts: Hosts,
    scheme: Scheme,
    authority: Authority,
    /// Scheme, host and port of the API.
    api_origin: String,
    base_path: String,
    secret: Option<Zeroizing<String>>,
    authorization: ClientAuthorization,
    /// `Some`: a request that names another mode or provider id is refused.
    fixed: Option<Fixed>,
    rewrites: bool,
    max_body: u64,
    body_pause: Duration,
    metrics: Metrics,
}

#[derive(Debug)]
struct Fixed {
    mode: RequestMode,
    provider_id: Option<String>,
}

/// Handles, so that no request looks a metric up by its name.
struct Metrics {
    forwarded: Counter,
    refused: Counter,
    failed: Counter,
    duration: Histogram,
}

impl Gateway {
    pub(super) fn new(
        account: &Account,
        args: &Proxy,
        hosts: Hosts,
        secret: Option<Zeroizing<String>>,
    ) -> anyhow::Result<Arc<Self>> {
        // The library has checked more of it: the credential stands.
        let base: Uri = account.base_url.parse().context("the base URL")?;
        let parts = base.into_parts();
        let scheme = parts.scheme.context("the base URL has no scheme")?;
        let authority = parts.authority.context("the base URL has no host")?;
        let path = parts.path_and_query.map_or_else(String::new, |target| target.path().to_owned());
        let fixed = args.fixed.then(|| Fixed {
            mode: account.mode.into(),
            provider_id: account.provider_id.map(|id| id.to_string()),
        });
        Ok(Arc::new(Gateway {
            hosts,
            api_origin: format!("{scheme}://{authority}"),
            scheme,
            authority,
            base_path: path.trim_end_matches('/').to_owned(),
            secret,
            authorization: args.client_authorization,
            fixed,
            rewrites: args.rewrite_urls,
            max_body: args.max_body,
            body_pause: args.body_timeout,
            metrics: Metrics::new(),
        }))
    }

    /// Forwards the request over `stack`, or answers it.
    pub(super) async fn answer<S>(
        &self,
        request: Request<Incoming>,
        stack: S,
    ) -> Result<Response<AnswerBody>, Infallible>
    where
        S: Service<Forwarded, Response = Response<Answer>, Error = BoxError>,
    {
        let watch = Stopwatch::start();
        let response = match self.forward(request, stack).await {
            Ok(response) => {
                self.metrics.forwarded.increment(1);
                self.metrics.duration.record(watch.elapsed());
                response
            }
            Err(problem) => problem.into_response().map(Either::Right),
        };
        Ok(response)
    }

    async fn forward<S>(
        &self,
        request: Request<Incoming>,
        stack: S,
    ) -> Result<Response<AnswerBody>, Problem>
    where
        S: Service<Forwarded, Response = Response<Answer>, Error = BoxError>,
    {
        let fault = Fault::default();
        let own_host = self.own_host(request.headers());
        // The path without its query, which may hold what no log should.
        let method = request.method().clone();
        let logged = tracing::enabled!(tracing::Level::WARN).then(|| request.uri().clone());
        let path = logged.as_ref().map(http::Uri::path);
        let request = self.checked(request, &fault).inspect_err(|problem| {
            self.metrics.refused.increment(1);
            tracing::debug!(%method, path, code = problem.code(), "refused");
        })?;
        match stack.oneshot(request).await {
            Ok(response) => {
                tracing::debug!(%method, path, status = response.status().as_u16(), "forwarded");
                Ok(self.answered(response, own_host).await)
            }
            Err(error) => {
                let problem = match fault.cause() {
                    Some(cause) => Problem::of_upload(cause),
                    None => Problem::of_error(&error),
                };
                self.metrics.failed.increment(1);
                tracing::warn!(%method, path, code = problem.code(), "not answered by the API");
                Err(problem)
            }
        }
    }

    /// The request as it goes to the API, without a token yet.
    fn checked(&self, request: Request<Incoming>, fault: &Fault) -> Result<Forwarded, Problem> {
        let (mut parts, body) = request.into_parts();
        self.check_client(&parts.headers)?;
        let target = target::check(&parts.method, &parts.uri, &self.base_path);
        let target = target.map_err(|refusal| {
            let (status, code) = match refusal {
                target::Refusal::Elsewhere => (StatusCode::NOT_FOUND, "not_the_api"),
                target::Refusal::RefreshEndpoint => (StatusCode::FORBIDDEN, "refresh_endpoint"),
                target::Refusal::Method => (StatusCode::METHOD_NOT_ALLOWED, "method"),
                _ => (StatusCode::BAD_REQUEST, "target"),
            };
            Problem::new(status, code, refusal.as_str())
        })?;
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(target.clone());
        parts.uri = Uri::from_parts(uri)
            .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "target", "the target is no URI"))?;
        if headers::is_websocket(&parts.headers) {
            let message = "websockets are not forwarded; take a token from `teamup-auth token`";
            return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "websocket", message));
        }
        self.check_head(&mut parts.headers)?;
        headers::of_request(&mut parts.headers);
        if self.rewrites {
            // A page has to be read.
            parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        let body = Upload::new(body, self.max_body, self.body_pause, fault.clone());
        Ok(Request::from_parts(parts, body))
    }

    /// May this client use the proxy at all?
    fn check_client(&self, headers: &HeaderMap) -> Result<(), Problem> {
        self.hosts.check(headers).map_err(|refusal| {
            let (status, code) = match refusal {
                Refusal::Host => (StatusCode::MISDIRECTED_REQUEST, "host"),
                Refusal::CrossSite => (StatusCode::FORBIDDEN, "cross_site"),
            };
            Problem::new(status, code, refusal.as_str())
        })?;
        let Some(secret) = &self.secret else { return Ok(()) };
        let given = headers.get(SECRET).map(HeaderValue::as_bytes).unwrap_or_default();
        if bool::from(given.ct_eq(secret.as_bytes())) {
            return Ok(());
        }
        let message = "TeamUp-Auth-Secret is missing or is not this proxy's";
        Err(Problem::new(StatusCode::FORBIDDEN, "secret", message))
    }

    /// Is the head one that may be forwarded with a token?
    fn check_head(&self, headers: &mut HeaderMap) -> Result<(), Problem> {
        if headers.contains_key(AUTHORIZATION) {
            match self.authorization {
                ClientAuthorization::Refuse => {
                    let message = "the request has an Authorization of its own; leave it out";
                    return Err(Problem::new(StatusCode::BAD_REQUEST, "authorization", message));
                }
                ClientAuthorization::Replace => drop(headers.remove(AUTHORIZATION)),
            }
        }
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if length
            .and_then(|length| length.parse().ok())
            .is_some_and(|length: u64| length > self.max_body)
        {
            return Err(Problem::of_upload(super::upload::Cause::TooLong));
        }
        for name in [REQUEST_MODE, PROVIDER_ID] {
            if headers.get_all(&name).iter().nth(1).is_some() {
                let message = format!("the request has more than one {name}; leave one");
                return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_request", message));
            }
        }
        let Some(fixed) = &self.fixed else { return Ok(()) };
        let is_other = |name, fixed: Option<&str>| {
            headers.get(name).is_some_and(|value: &HeaderValue| {
                fixed.is_none_or(|fixed| value.as_bytes() != fixed.as_bytes())
            })
        };
        let provider_id = fixed.provider_id.as_deref();
        if is_other(REQUEST_MODE, Some(fixed.mode.as_str())) || is_other(PROVIDER_ID, provider_id) {
            let message = "this proxy is for another mode or provider than the request names";
            return Err(Problem::new(StatusCode::FORBIDDEN, "fixed", message));
        }
        Ok(())
    }

    /// The host by which the client knows this proxy, where URLs are made to lead to it.
    fn own_host(&self, headers: &HeaderMap) -> Option<String> {
        if !self.rewrites {
            return None;
        }
        self.hosts.check(headers).ok().map(str::to_owned)
    }

    async fn answered(
        &self,
        response: Response<Answer>,
        own_host: Option<String>,
    ) -> Response<AnswerBody> {
        let (mut parts, body) = response.into_parts();
        headers::of_response(&mut parts.headers);
        if parts.status == StatusCode::UNAUTHORIZED
            && let Some(error) = Error::find(&parts.extensions)
        {
            parts.headers.insert(ERROR, HeaderValue::from_static(problem::code(error)));
        }
        // What the client below noted is not for the server above.
        parts.extensions.clear();
        let Some(host) = own_host else {
            return Response::from_parts(parts, Either::Left(body));
        };
        let rewriting = Rewriting {
            api_origin: &self.api_origin,
            base_path: &self.base_path,
            own_origin: format!("http://{host}"),
        };
        let location = parts.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        if let Some(url) = location.and_then(|location| rewriting.url(location))
            && let Ok(url) = HeaderValue::try_from(url)
        {
            parts.headers.insert(LOCATION, url);
        }
        if !is_page(&parts.headers) {
            return Response::from_parts(parts, Either::Left(body));
        }
        let page = match body.collect().await {
            Ok(page) => page.to_bytes(),
            Err(error) => return Problem::of_answer(&error).into_response().map(Either::Right),
        };
        let page = rewriting.page(&page).unwrap_or(page);
        parts.headers.insert(CONTENT_LENGTH, page.len().into());
        Response::from_parts(parts, Either::Right(Full::new(page)))
    }
}

/// JSON of a known length that is short enough to be kept.
fn is_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let length = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    text(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"))
        && !headers.contains_key(CONTENT_ENCODING)
        && length.is_some_and(|length| length > 0 && length <= PAGE_LIMIT)
}

impl Metrics {
    fn new() -> Self {
        Metrics {
            forwarded: counter!("teamup_auth_proxy_requests_total", "outcome" => "forwarded"),
            refused: counter!("teamup_auth_proxy_requests_total", "outcome" => "refused"),
            failed: counter!("teamup_auth_proxy_requests_total", "outcome" => "failed"),
            duration: histogram!(REQUEST_DURATION),
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
