//! Tokens for a client that this crate has no adapter for.

use std::fmt;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Request};

use crate::credentials::{Credentials, Generation, ModeTokens, ReadyToken, Snapshot};
use crate::error::Error;
use crate::headers::{PROVIDER_ID, REQUEST_MODE, RequestMode};
use crate::middleware::decision::{Decision, RequestView, classify};
use crate::middleware::token_choice::{self, RetryToken};
use crate::token::Moment;

/// An access token that is valid now, for one request over any client.
///
/// [`Credentials::access_token`] and [`Credentials::authorize`] hand it out. Ask for each request
/// anew: that costs little, and the token is refreshed in time. After a 401, tell with
/// [`report_refused`](CurrentToken::report_refused) and send the request once more.
///
/// `Debug` does not show the token.
///
/// ```
/// # use tower_teamup_auth::testing::FakeTeamUp;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
/// # let teamup = FakeTeamUp::start().await;
/// # let credentials = tower_teamup_auth::Credentials::builder(tower_teamup_auth::RequestMode::Provider)
/// #     .base_url(teamup.base_url()).tokens(teamup.issue_tokens(&[])).build().await?;
/// # let send = |headers: &http::HeaderMap| {
/// #     let token = headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ");
/// #     if teamup.login_of(token).is_some() { 200 } else { 401 }
/// # };
/// use tower_teamup_auth::RequestMode;
///
/// let mut token = credentials.access_token(RequestMode::Provider).await?;
/// if send(&token.headers()) == 401 {
///     token = token.report_refused().await?;
///     assert_eq!(send(&token.headers()), 200);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CurrentToken {
    credentials: Credentials,
    generation: Generation,
    token: ReadyToken,
    /// The provider id that the credential names.
    provider_id: Option<HeaderValue>,
}

impl CurrentToken {
    fn of(
        credentials: &Credentials,
        snapshot: &Snapshot,
        slot: &ModeTokens,
        token: &ReadyToken,
    ) -> Self {
        CurrentToken {
            credentials: credentials.clone(),
            generation: slot.generation,
            token: token.clone(),
            provider_id: snapshot.provider_id().cloned(),
        }
    }

    /// The access token itself, without a scheme. Keep it out of logs.
    pub fn expose(&self) -> &str {
        let value = self.token.authorization.to_str().expect("an access token is visible ASCII");
        value.split_once(' ').map_or(value, |(_scheme, token)| token)
    }

    /// The mode that the token is for. `TeamUp-Request-Mode` has to name it.
    pub fn mode(&self) -> RequestMode {
        self.generation.mode()
    }

    /// When the token expires by the wall clock; `None` where that is not known.
    pub fn expires_at(&self) -> Option<SystemTime> {
        let expired = self.token.deadlines.expired;
        (expired != Moment::NEVER).then(|| expired.wall_time())
    }

    /// The headers of a request with this token: `Authorization`, `TeamUp-Request-Mode` and, where
    /// the credential has one, `TeamUp-Provider-ID`.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(3);
        self.set_on(&mut headers);
        headers
    }

    /// Sets those headers among others. The token and its mode replace what is there; a
    /// `TeamUp-Provider-ID` stays as it is.
    pub fn set_on(&self, headers: &mut HeaderMap) {
        headers.insert(http::header::AUTHORIZATION, self.token.authorization.clone());
        headers.insert(REQUEST_MODE, self.mode().header_value());
        if let Some(provider_id) = &self.provider_id {
            headers.entry(PROVIDER_ID).or_insert_with(|| provider_id.clone());
        }
    }

    /// The API has answered 401 to this token: waits until it is refreshed, and returns the token to
    /// send the request with once more.
    ///
    /// Any number of callers that report the same token share one refresh. Nothing is sent if the
    /// token has been replaced since. A second 401 is the answer: do not report in a loop. A 401
    /// whose challenge says `insufficient_scope` (RFC 6750 section 3.1) is not about the token; do
    /// not report it.
    ///
    /// # Errors
    ///
    /// When the refresh fails or takes longer than the
    /// [wait time-out](crate::CredentialsBuilder::wait_timeout), and with
    /// [`Error::is_login_changed`] where another login has replaced the one of this token. An M2M
    /// token can't be refreshed.
    ///
    /// # Cancel safety
    ///
    /// The refresh runs in a task of its own; dropping the future leaves it running.
    pub async fn report_refused(self) -> Result<CurrentToken, Error> {
        let CurrentToken { credentials, generation, .. } = self;
        let wait = token_choice::after_401(&credentials, generation, || None);
        let outcome = match wait {
            Some(wait) => wait.await,
            None => Err(Error::route_refused()),
        };
        let snapshot = credentials.snapshot();
        let slot = snapshot.mode(generation.mode());
        let (RetryToken { token, .. }, ()) =
            token_choice::for_retry(&credentials, &snapshot, generation, outcome, Ok(()))?;
        Ok(CurrentToken::of(&credentials, &snapshot, slot, token))
    }
}

/// # Tokens for any client
///
/// For websockets, GraphQL clients, synchronous clients and all that the adapters of
/// [`client`](crate::client) do not serve. They share refreshes with the layers of the same credential,
/// and follow the same rules.
impl Credentials {
    /// An access token of `mode` that is valid now: at once, or after the refresh that it needs.
    ///
    /// Send it with the [headers](CurrentToken::headers) that belong to it, to the API's origin alone.
    ///
    /// # Errors
    ///
    /// When no token can be had: see [`Error`]. A credential that is signed out gives an error of
    /// which [`Error::is_login_required`] is true, at once.
    ///
    /// # Cancel safety
    ///
    /// A refresh runs in a task of its own; dropping the future leaves it running.
    pub async fn access_token(&self, mode: RequestMode) -> Result<CurrentToken, Error> {
        // No snapshot lives across an await: it is borrowed from this thread.
        let (mut next, login) = {
            let snapshot = self.snapshot();
            let slot = snapshot.mode(mode);
            match token_choice::before_first_send(self, slot) {
                Ok(token) => return Ok(CurrentToken::of(self, &snapshot, slot, token)),
                Err(wait) => (wait, slot.generation),
            }
        };
        loop {
            let is_early = next.is_early;
            let outcome = next.begin().await;
            let snapshot = self.snapshot();
            token_choice::check_login(&snapshot, login)?;
            let slot = snapshot.mode(mode);
            let token = if is_early {
                match token_choice::after_early_wait(self, slot) {
                    Ok(token) => token,
                    Err(again) => {
                        next = again;
                        continue;
                    }
                }
            } else {
                token_choice::after_wait(self, slot, outcome)?
            };
            return Ok(CurrentToken::of(self, &snapshot, slot, token));
        }
    }

    /// The [headers](CurrentToken::headers) of such a token, for a caller that reports no 401.
    ///
    /// ```
    /// # use tower_teamup_auth::testing::FakeTeamUp;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
    /// # let teamup = FakeTeamUp::start().await;
    /// # let credentials = tower_teamup_auth::Credentials::builder(tower_teamup_auth::RequestMode::Provider)
    /// #     .base_url(teamup.base_url()).tokens(teamup.issue_tokens(&[])).build().await?;
    /// use tower_teamup_auth::RequestMode;
    ///
    /// let headers = credentials.headers(RequestMode::Customer).await?;
    /// assert_eq!(headers["teamup-request-mode"], "customer");
    /// assert!(headers.contains_key("authorization"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`access_token`](Credentials::access_token).
    ///
    /// # Cancel safety
    ///
    /// As [`access_token`](Credentials::access_token).
    pub async fn headers(&self, mode: RequestMode) -> Result<HeaderMap, Error> {
        Ok(self.access_token(mode).await?.headers())
    }

    /// Sets the headers on a request, as the layer does. Returns the token, so that a 401 can be
    /// [reported](CurrentToken::report_refused).
    ///
    /// `None`: the request stays as it was. It goes to another origin than the API's, its `Host`
    /// names one, or it has an `Authorization` of its own. Its own mode and provider id, in headers
    /// or extensions, take precedence over the credential's.
    ///
    /// ```
    /// # use tower_teamup_auth::testing::FakeTeamUp;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
    /// # let teamup = FakeTeamUp::start().await;
    /// # let credentials = tower_teamup_auth::Credentials::builder(tower_teamup_auth::RequestMode::Provider)
    /// #     .base_url(teamup.base_url()).tokens(teamup.issue_tokens(&[])).build().await?;
    /// let mut request = http::Request::get(teamup.url("/events")).body(())?;
    /// assert!(credentials.authorize(&mut request).await?.is_some());
    ///
    /// let mut elsewhere = http::Request::get("https://example.com/").body(())?;
    /// assert!(credentials.authorize(&mut elsewhere).await?.is_none());
    /// assert!(elsewhere.headers().is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`access_token`](Credentials::access_token); [`Error::is_invalid_request`] for a relative
    /// URI and for a mode header that names no mode.
    ///
    /// # Cancel safety
    ///
    /// As [`access_token`](Credentials::access_token). The request is as it was.
    pub async fn authorize<B>(
        &self,
        request: &mut Request<B>,
    ) -> Result<Option<CurrentToken>, Error> {
        let (credentials, plan) = match classify(Some(self), None, &RequestView::from(&*request))? {
            Decision::Authorize(target) => (target.credentials.clone(), target.plan),
            Decision::PassThrough => return Ok(None),
        };
        let token = credentials.access_token(plan.mode).await?;
        plan.apply(&token.token, request.headers_mut());
        Ok(Some(token))
    }
}

impl fmt::Debug for CurrentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentToken")
            .field("mode", &self.mode())
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}
