//! The authorization code flow: begin and finish.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use oauth2::basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenType};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenIntrospectionResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::callback::Parameters;
use super::error::{Kind, LoginError};
use super::http::{Endpoints, Step, not_json};
use super::pending::PendingAuthorization;
use crate::headers::ProviderId;
use crate::refresh::RefreshClient;
use crate::token::{RefreshToken, TokenSet};

/// Logs people in with OAuth's authorization code flow (RFC 6749 section 4.1), with PKCE (RFC 7636)
/// and `state`.
///
/// It is the application as TeamUp knows it; one value serves any number of logins. The
/// [module's page](super) shows a whole login.
///
/// `Debug` does not show the client secret.
#[derive(Clone)]
pub struct OAuthLogin {
    endpoints: Endpoints,
    client_id: String,
    client_secret: Option<ClientSecret>,
    redirect_uri: Option<String>,
    provider_id: Option<ProviderId>,
    login_hint: Option<String>,
    pkce: bool,
}

type Client = oauth2::Client<
    BasicErrorResponse,
    Tokens,
    StandardTokenIntrospectionResponse<EmptyExtraTokenFields, BasicTokenType>,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

impl OAuthLogin {
    /// A login for the application with this client id, over any tower HTTP client.
    ///
    /// The client carries the request that holds the code: hand in one that follows no redirects.
    pub fn new<Kind>(client_id: impl Into<String>, client: impl RefreshClient<Kind>) -> Self {
        OAuthLogin {
            endpoints: Endpoints::over(client),
            client_id: client_id.into(),
            client_secret: None,
            redirect_uri: None,
            provider_id: None,
            login_hint: None,
            pkce: true,
        }
    }

    /// Where TeamUp sends the person back: one of the URIs that are registered for the application.
    ///
    /// It may have a query, without the names `code`, `state`, `error` and `error_description`.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(uri.into());
        self
    }

    /// The secret of an application that can keep one: a server's. A desktop program or a
    /// command-line tool can't; for those PKCE is the proof.
    #[must_use]
    pub fn client_secret(mut self, secret: impl Into<String>) -> Self {
        self.client_secret = Some(ClientSecret::new(secret.into()));
        self
    }

    /// Asks for access to this business: the scope `provider:<id>`, which TeamUp asks for when the
    /// application can reach several businesses.
    #[must_use]
    pub fn provider_id(mut self, id: impl Into<ProviderId>) -> Self {
        self.provider_id = Some(id.into());
        self
    }

    /// The user name that the authorize page suggests: `login_hint`.
    #[must_use]
    pub fn login_hint(mut self, user: impl Into<String>) -> Self {
        self.login_hint = Some(user.into());
        self
    }

    /// Leaves PKCE out. TeamUp asks for `client_secret` or `code_verifier`, and by default both are
    /// sent where there is a secret (RFC 9700 section 2.1.1); call it if your application may send
    /// only one.
    #[must_use]
    pub fn without_pkce(mut self) -> Self {
        self.pkce = false;
        self
    }

    /// The API's base. The default is `https://goteamup.com/api/v2`.
    #[must_use]
    pub fn base_url(mut self, base_url: impl Into<String>) -> Self {
        self.endpoints.set_base_url(base_url.into());
        self
    }

    /// Begins a login: the URL of the page where the person approves, and what has to be
    /// remembered until they come back.
    ///
    /// Nothing is sent.
    ///
    /// # Errors
    ///
    /// When the base URL or the redirect URI can't be used, or neither a secret nor PKCE is there;
    /// [`LoginError::is_invalid_input`] is true of the error.
    pub fn begin(&self) -> Result<(String, PendingAuthorization), LoginError> {
        let invalid = |message: &str| Err(LoginError::invalid_input(message));
        let Some(redirect_uri) = &self.redirect_uri else {
            return invalid("there is no redirect URI; set it with `OAuthLogin::redirect_uri`");
        };
        if redirect_uri.contains('#') {
            // RFC 6749 section 3.1.2.
            return invalid("the redirect URI has a fragment; leave it out");
        }
        let own_query = redirect_uri.split_once('?').map_or("", |(_, query)| query);
        if !Parameters::read(own_query).is_empty() {
            return invalid("the redirect URI's own query holds a parameter of OAuth; rename it");
        }
        if !self.pkce && self.client_secret.is_none() {
            return invalid("without PKCE a client secret is required");
        }
        let client = self.client(redirect_uri)?;
        let mut request = client
            .authorize_url(CsrfToken::new_random)
            .add_scope(Scope::new("read_write".to_owned()));
        if let Some(id) = self.provider_id {
            request = request.add_scope(Scope::new(format!("provider:{id}")));
        }
        if let Some(user) = &self.login_hint {
            request = request.add_extra_param("login_hint", user.clone());
        }
        let verifier = self.pkce.then(PkceCodeChallenge::new_random_sha256);
        let (challenge, verifier) = verifier.unzip();
        if let Some(challenge) = challenge {
            request = request.set_pkce_challenge(challenge);
        }
        let (url, state) = request.url();
        let pending = PendingAuthorization {
            state: state.into_secret(),
            verifier: verifier.map(PkceCodeVerifier::into_secret),
            redirect_uri: redirect_uri.clone(),
        };
        Ok((url.into(), pending))
    }

    /// Finishes a login with the query that the person came back with: takes the code for tokens.
    ///
    /// The access token that comes with them is not used: TeamUp does not document for which mode
    /// it is. The first request of a credential mints the one that it needs.
    ///
    /// # Errors
    ///
    /// When the `state` is not the one of `pending`, the person did not approve, or TeamUp refuses
    /// the code; see [`LoginError`]. The code is spent then, or may be: start a new login.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll, the code may be spent and the tokens lost: start a new login.
    pub async fn finish(
        &self,
        pending: PendingAuthorization,
        callback_query: &str,
    ) -> Result<TokenSet, LoginError> {
        let parameters = Parameters::read(callback_query);
        let code = parameters.code(&pending.state)?;
        let client = self.client(&pending.redirect_uri)?;
        let mut request = client.exchange_code(AuthorizationCode::new(code.to_owned()));
        if let Some(verifier) = &pending.verifier {
            request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.clone()));
        }
        let secret = self.client_secret.as_ref().map_or("", |secret| secret.secret());
        let verifier = pending.verifier.as_deref().unwrap_or_default();
        let secrets = [code, secret, verifier].map(|text| Zeroizing::new(text.to_owned()));
        let http_client = CodeClient { endpoints: self.endpoints.clone(), secrets };
        let tokens = request.request_async(&http_client).await.map_err(|error| match error {
            RequestTokenError::Request(error) => error,
            // The others are about a body that can't be read. They hold it, so they are dropped.
            _ => not_json(http::StatusCode::OK),
        })?;
        tokens_of(tokens.refresh_token.into_secret())
    }

    fn client(&self, redirect_uri: &str) -> Result<Client, LoginError> {
        let invalid = |what: &str| LoginError::invalid_input(format!("{what} is not a URL"));
        let url = |path| self.endpoints.url(path).map(|url: Uri| url.to_string());
        let authorize = AuthUrl::new(url("/auth/oauth/authorize")?);
        let token = TokenUrl::new(url("/auth/oauth/token")?);
        let redirect = RedirectUrl::new(redirect_uri.to_owned());
        let client = oauth2::Client::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(authorize.map_err(|_| invalid("the base URL"))?)
            .set_token_uri(token.map_err(|_| invalid("the base URL"))?)
            .set_redirect_uri(redirect.map_err(|_| invalid("the redirect URI"))?)
            // TeamUp takes the client's id and secret in the form.
            .set_auth_type(AuthType::RequestBody);
        Ok(match &self.client_secret {
            Some(secret) => client.set_client_secret(secret.clone()),
            None => client,
        })
    }
}

/// What the `oauth2` crate sends the code with. A type of its own, and a boxed future: over a
/// closure the compiler can't prove that `finish` is `Send`.
struct CodeClient {
    endpoints: Endpoints,
    /// Not to be repeated in an error.
    secrets: [Zeroizing<String>; 3],
}

impl<'c> AsyncHttpClient<'c> for CodeClient {
    type Error = LoginError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, LoginError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let secrets = self.secrets.each_ref().map(|secret| secret.as_str());
            self.endpoints.send(Step::Code, request.map(Bytes::from), &secrets).await
        })
    }
}

impl fmt::Debug for OAuthLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthLogin")
            .field("client_id", &self.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .field("provider_id", &self.provider_id)
            .finish_non_exhaustive()
    }
}

/// A token set of the refresh token alone.
pub(super) fn tokens_of(refresh_token: String) -> Result<TokenSet, LoginError> {
    let refresh_token = RefreshToken::new(refresh_token).map_err(|error| {
        LoginError::new(Kind::Protocol, "TeamUp's refresh token is not a token").with_source(error)
    })?;
    Ok(TokenSet::new(refresh_token))
}

/// What is needed of TeamUp's answer to a code. There is no `token_type` in it, which RFC 6749
/// section 5.1 asks for.
#[derive(Debug, Deserialize, Serialize)]
struct Tokens {
    access_token: oauth2::AccessToken,
    refresh_token: oauth2::RefreshToken,
}

impl TokenResponse for Tokens {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &oauth2::AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &BasicTokenType {
        &BasicTokenType::Bearer
    }

    fn expires_in(&self) -> Option<Duration> {
        None
    }

    fn refresh_token(&self) -> Option<&oauth2::RefreshToken> {
        Some(&self.refresh_token)
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}
