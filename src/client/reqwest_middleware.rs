//! reqwest-middleware: the work of the layer, as a middleware.

use async_trait::async_trait;
use http::{Extensions, HeaderMap};
use reqwest::{Body, Request, Response};
use reqwest_middleware::{Error, Middleware, Next};

use super::reqwest::note_redirect;
use crate::admit::{Admission, Asked, Choices, Judgement, admit, judge};
use crate::credentials::{Credentials, Generation};
use crate::drain::Drain;
use crate::turn;

/// Puts a token on every request that goes to the API, and repeats it once on 401: what
/// [`AuthLayer`](crate::AuthLayer) does, for clients of `reqwest-middleware`.
///
/// ```
/// use reqwest_middleware::ClientBuilder;
/// use tower_teamup_auth::client::{AuthMiddleware, redirects_within_origin};
/// use tower_teamup_auth::testing::FakeTeamUp;
/// use tower_teamup_auth::{Credentials, RequestMode};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let teamup = FakeTeamUp::start().await;
/// # let (base_url, tokens) = (teamup.base_url(), teamup.issue_tokens(&[]));
/// let client = reqwest::Client::builder().redirect(redirects_within_origin()).build()?;
///
/// let credentials = Credentials::builder(RequestMode::Provider)
///     .base_url(&base_url)
///     .tokens(tokens)
///     .refresh_client(client.clone())
///     .build()
///     .await?;
/// let api = ClientBuilder::new(client).with(AuthMiddleware::new(credentials)).build();
///
/// let response = api
///     .get(format!("{base_url}/events"))
///     .with_extension(RequestMode::Customer) // for this request alone
///     .send()
///     .await?;
/// assert_eq!(response.json::<serde_json::Value>().await?["count"], 25);
/// # Ok::<(), tower::BoxError>(())
/// # })?;
/// # Ok::<(), tower::BoxError>(())
/// ```
///
/// A request's own choices ([`RequestMode`](crate::RequestMode),
/// [`ProviderId`](crate::ProviderId), [`Credentials`]) are read from the extensions that
/// `with_extension` fills, and from those that a request brings when it was made of an
/// `http::Request`.
///
/// Like the layer, it keeps a 401 whose token could not be renewed, with the reason, an
/// [`Error`](crate::Error), in the response's extensions.
///
/// # Redirects
///
/// reqwest follows them by itself, below every middleware. Build the client with
/// [`redirects_within_origin`](super::redirects_within_origin), which tells why.
///
/// # Beside other middleware
///
/// It works in any order. Above reqwest-retry (`.with(auth).with(retry)`) the attempts of one call
/// share a token; below it (`.with(retry).with(auth)`) each attempt takes the newest, and each may
/// be repeated once after a 401. Below reqwest-tracing, one span covers both sends of a repeated
/// request; above it, each has its own.
///
/// A body in memory can be sent again and a stream can't, as reqwest's `Request::try_clone` has it.
/// reqwest-retry, for its part, refuses to send a stream at all, and wraps every error that passes
/// it in a `RetryError` of its own.
///
/// # Errors
///
/// Where nothing could be sent, [`reqwest_middleware::Error::Middleware`] holds an
/// [`Error`](crate::Error) of this crate:
///
/// ```
/// fn must_log_in_again(error: &reqwest_middleware::Error) -> bool {
///     let reqwest_middleware::Error::Middleware(error) = error else { return false };
///     error
///         .downcast_ref::<tower_teamup_auth::Error>()
///         .is_some_and(tower_teamup_auth::Error::is_login_required)
/// }
/// ```
///
/// Errors from below come through as they are.
///
/// # Cancel safety
///
/// The future of a request may be dropped at any time. A refresh that it waited for goes on, and
/// the rotated refresh token is kept.
#[derive(Clone, Debug)]
pub struct AuthMiddleware {
    /// `None`: each request brings its own.
    credentials: Option<Credentials>,
}

impl AuthMiddleware {
    /// A middleware that authorizes requests with `credentials`, save those that bring their own
    /// in their extensions.
    pub fn new(credentials: Credentials) -> Self {
        AuthMiddleware { credentials: Some(credentials) }
    }

    /// A middleware for many users over one client: each request brings its [`Credentials`], and
    /// one that brings none is refused before anything is sent.
    ///
    /// ```
    /// # use reqwest_middleware::ClientBuilder;
    /// # use tower_teamup_auth::{Credentials, client::AuthMiddleware};
    /// # async fn events(client: reqwest::Client, user: Credentials) -> reqwest_middleware::Result<()> {
    /// let api = ClientBuilder::new(client).with(AuthMiddleware::per_request()).build();
    ///
    /// let events = api.get("https://goteamup.com/api/v2/events").with_extension(user).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn per_request() -> Self {
        AuthMiddleware { credentials: None }
    }
}

#[async_trait]
impl Middleware for AuthMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response, Error> {
        // A request of reqwest's own kind shows its extensions to nobody. What an `http::Request`
        // brought along stands there: its choices, and the mark of a refresh exchange.
        let request = http::Request::<Body>::try_from(request)?;
        let (uri, own) = (request.uri().clone(), request.extensions().clone());
        let mut request = Request::try_from(request)?;

        let merged;
        let asked = Asked {
            uri: &uri,
            headers: request.headers(),
            extensions: if own.is_empty() {
                extensions
            } else {
                merged = merge(own, extensions);
                &merged
            },
        };
        let (credentials, choices) = match admit(self.credentials.as_ref(), &asked) {
            Ok(Admission::Authorize(grant)) => match grant.wishes.heed(asked.headers) {
                Ok(Some(choices)) => (grant.credentials.clone(), choices),
                Ok(None) => return next.run(request, extensions).await,
                Err(error) => return Err(Error::middleware(error)),
            },
            Ok(Admission::PassThrough) => return next.run(request, extensions).await,
            Err(error) => return Err(Error::middleware(error)),
        };

        let copy = request.try_clone();
        let url = request.url().clone();
        let generation = authorize(&credentials, choices, request.headers_mut())
            .await
            .map_err(Error::middleware)?;
        let mut response = next.clone().run(request, extensions).await?;
        note_redirect(&url, &mut response);
        match judge(response.status(), response.headers(), response.extensions()) {
            Judgement::Deliver => return Ok(response),
            Judgement::Renew => {}
        }

        let outcome = turn::after_401(&credentials, generation).await;
        match prepare_repeat(&credentials, choices, outcome, copy) {
            Ok(repeat) => {
                Drain::new(Body::from(response)).await;
                next.run(repeat, extensions).await
            }
            Err(reason) => {
                if let Some(reason) = reason {
                    response.extensions_mut().insert(reason);
                }
                Ok(response)
            }
        }
    }
}

/// All that a request says: `with_extension` has the first word, the request's own extensions the
/// second.
fn merge(mut own: Extensions, extensions: &Extensions) -> Extensions {
    own.extend(extensions.clone());
    own
}

/// Puts a token on, at once or after waiting for it, and tells its generation.
async fn authorize(
    credentials: &Credentials,
    choices: Choices,
    headers: &mut HeaderMap,
) -> Result<Generation, crate::Error> {
    let renewal = {
        let snapshot = credentials.snapshot();
        let slot = snapshot.slot(choices.mode);
        match turn::at_first(credentials, slot) {
            Ok(held) => {
                choices.apply(held, headers);
                return Ok(slot.generation);
            }
            Err(renewal) => renewal,
        }
    };
    let outcome = renewal.await;
    let snapshot = credentials.snapshot();
    let slot = snapshot.slot(choices.mode);
    choices.apply(turn::after_waiting(credentials, slot, outcome)?, headers);
    Ok(slot.generation)
}

/// The copy with the new token on it, or why there is no repeat.
fn prepare_repeat(
    credentials: &Credentials,
    choices: Choices,
    outcome: Result<(), crate::Error>,
    copy: Option<Request>,
) -> Result<Request, Option<crate::Error>> {
    let snapshot = credentials.snapshot();
    let slot = snapshot.slot(choices.mode);
    let (held, mut repeat) = turn::for_repeat(credentials, slot, outcome, copy)?;
    choices.apply(held, repeat.headers_mut());
    Ok(repeat)
}
