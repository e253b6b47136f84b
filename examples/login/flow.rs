//! The authorization code flow of RFC 6749 section 4.1, with PKCE (RFC 7636) and a redirect to
//! loopback (RFC 8252 section 7.3).

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::extract::{Query, State};
use axum::response::Html;
use axum::routing::get;
use axum::{Router, serve};
use http_body_util::{BodyExt, Full};
use oauth2::basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenType};
use oauth2::{
    AccessToken, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RefreshToken, Scope, StandardRevocableToken, StandardTokenIntrospectionResponse,
    TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tower_teamup_auth::TokenSet;
use tower_teamup_auth::client::{HyperClient, hyper_client};

use crate::pages;

/// How long a person may take to log in and to approve.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// An application as TeamUp knows it.
pub(crate) struct Application {
    pub(crate) base_url: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<String>,
    pub(crate) provider_id: Option<u64>,
}

/// A login that has begun: the way back is open, and the person is awaited.
pub(crate) struct Login {
    client: Client,
    url: oauth2::url::Url,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
    listener: TcpListener,
}

/// What TeamUp answers to a code: the three fields of its refresh endpoint, and no `token_type`,
/// which RFC 6749 section 5.1 asks for.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct TeamUpTokens {
    access_token: AccessToken,
    expires_in: Option<u64>,
    refresh_token: RefreshToken,
}

type Client = oauth2::Client<
    BasicErrorResponse,
    TeamUpTokens,
    StandardTokenIntrospectionResponse<oauth2::EmptyExtraTokenFields, BasicTokenType>,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// The query with which the person comes back.
#[derive(Debug, Deserialize)]
struct Callback {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// A person who has come back, and waits for a page.
type Visit = (Callback, oneshot::Sender<String>);

impl Login {
    /// Opens the way back, on `port` of loopback or on any free one if that is 0, and makes the
    /// address where the person approves.
    pub(crate) async fn begin(application: Application, port: u16) -> anyhow::Result<Self> {
        let base_url = application.base_url.trim_end_matches('/');
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("port {port} of loopback can't be listened on"))?;
        let redirect_url = format!("http://{}/callback", listener.local_addr()?);

        let mut client = oauth2::Client::new(ClientId::new(application.client_id))
            .set_auth_uri(AuthUrl::new(format!("{base_url}/auth/oauth/authorize"))?)
            .set_token_uri(TokenUrl::new(format!("{base_url}/auth/oauth/token"))?)
            .set_redirect_uri(RedirectUrl::new(redirect_url)?)
            // TeamUp takes the client's id and secret in the form.
            .set_auth_type(AuthType::RequestBody);
        if let Some(secret) = application.client_secret {
            client = client.set_client_secret(ClientSecret::new(secret));
        }
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client
            .authorize_url(CsrfToken::new_random)
            .add_scope(Scope::new("read_write".to_owned()))
            .set_pkce_challenge(challenge);
        if let Some(id) = application.provider_id {
            request = request.add_scope(Scope::new(format!("provider:{id}")));
        }
        let (url, state) = request.url();
        Ok(Login { client, url, state, verifier, listener })
    }

    /// Where the person approves.
    pub(crate) fn url(&self) -> &oauth2::url::Url {
        &self.url
    }

    /// Waits for the person, takes the code for tokens, hands them to `keep`, and shows the person
    /// how it ended, with what `keep` says of what to do next.
    pub(crate) async fn finish(
        self,
        keep: impl AsyncFnOnce(TokenSet) -> anyhow::Result<String>,
    ) -> anyhow::Result<String> {
        let (visits, mut visited) = mpsc::channel::<Visit>(1);
        let (close, closed) = oneshot::channel::<()>();
        let app = Router::new().route("/callback", get(receive)).with_state(visits);
        let server = serve(self.listener, app)
            .with_graceful_shutdown(async { drop(closed.await) })
            .into_future();
        let server = tokio::spawn(server);

        let visit = tokio::time::timeout(PATIENCE, visited.recv()).await;
        let (callback, show) = visit.context("nobody came back within ten minutes")?.unwrap();
        let ended = match code_of(callback, &self.state) {
            Ok(code) => match exchange(&self.client, code, self.verifier).await {
                Ok(tokens) => keep(tokens).await,
                Err(error) => Err(error),
            }
            .map_err(|error| Ended::Failed(format!("{error:#}"))),
            Err(ended) => Err(ended),
        };
        let page = match &ended {
            Ok(next) => pages::worked(next),
            Err(Ended::Denied) => pages::denied(),
            Err(Ended::Stranger) => pages::stranger(),
            Err(Ended::Failed(why)) => pages::failed(why),
        };
        // The person may have closed the window. How it ended does not depend on it.
        let _ = show.send(page);
        drop(close);
        server.await??;
        ended.map_err(|ended| match ended {
            Ended::Denied => anyhow!("the person did not approve; nothing was stored"),
            Ended::Stranger => anyhow!("the answer's `state` is not ours; nothing was stored"),
            Ended::Failed(why) => anyhow!(why),
        })
    }
}

/// How a login ends without tokens.
enum Ended {
    Denied,
    Stranger,
    Failed(String),
}

async fn receive(
    State(visits): State<mpsc::Sender<Visit>>,
    Query(callback): Query<Callback>,
) -> Html<String> {
    let (show, shown) = oneshot::channel();
    // Whoever comes after the first finds nobody who listens.
    let _ = visits.send((callback, show)).await;
    Html(shown.await.unwrap_or_else(|_| pages::failed("This login is over already.")))
}

/// The code, if the answer is one to our question.
fn code_of(callback: Callback, state: &CsrfToken) -> Result<AuthorizationCode, Ended> {
    // First of all: whatever else it says, an answer with another state was not meant for us
    // (RFC 6749 section 10.12).
    if callback.state.as_ref() != Some(state.secret()) {
        return Err(Ended::Stranger);
    }
    match (callback.code, callback.error) {
        (_, Some(error)) if error == "access_denied" => Err(Ended::Denied),
        (_, Some(error)) => {
            let description = callback.error_description.unwrap_or_default();
            Err(Ended::Failed(format!("TeamUp refused the request: {error}. {description}")))
        }
        (Some(code), None) => Ok(AuthorizationCode::new(code)),
        (None, None) => Err(Ended::Failed("TeamUp sent neither a code nor an error.".to_owned())),
    }
}

async fn exchange(
    client: &Client,
    code: AuthorizationCode,
    verifier: PkceCodeVerifier,
) -> anyhow::Result<TokenSet> {
    let http_client: HyperClient = hyper_client();
    let send = |request: HttpRequest| {
        let http_client = http_client.clone();
        async move {
            let answer = http_client.request(request.map(Full::from)).await;
            let (head, body) = answer.map_err(io::Error::other)?.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            Ok::<_, io::Error>(HttpResponse::from_parts(head, body.to_vec()))
        }
    };
    let tokens = client
        .exchange_code(code)
        .set_pkce_verifier(verifier)
        .request_async(&send)
        .await
        .context("the code could not be taken for tokens")?;
    // The access token beside it is left alone: TeamUp does not say for which mode it is, and the
    // first refresh mints one for the mode that is wanted.
    Ok(TokenSet::new(tokens.refresh_token.secret().parse()?))
}

impl TokenResponse for TeamUpTokens {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &BasicTokenType {
        &BasicTokenType::Bearer
    }

    fn expires_in(&self) -> Option<Duration> {
        self.expires_in.map(Duration::from_secs)
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        Some(&self.refresh_token)
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}
