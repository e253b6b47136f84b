//! The web server: one handler sends a person to TeamUp, the other one receives them.

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::login::{LoginError, OAuthLogin, PendingAuthorization};
use tower_teamup_auth::{
    Auth, AuthLayer, BoxError, Credentials, CredentialsBuilder, RequestMode, TokenSet,
};

#[derive(Clone)]
pub(crate) struct App {
    login: OAuthLogin,
    /// One stack for all users: each request brings the credentials of its own.
    api: Auth<HyperClient>,
    credentials: CredentialsBuilder,
    events: String,
}

impl App {
    pub(crate) fn new(login: OAuthLogin, base_url: &str) -> Self {
        let http_client: HyperClient = hyper_client();
        let credentials = Credentials::builder(RequestMode::Customer).base_url(base_url);
        let api = ServiceBuilder::new().layer(AuthLayer::per_request()).service(http_client);
        App { login, api, credentials, events: format!("{base_url}/events?page_size=1") }
    }

    pub(crate) fn routes(self) -> Router {
        let routes = Router::new().route("/login", get(login)).route("/callback", get(callback));
        routes.with_state(self)
    }

    /// The events of the person who has just logged in. Another service begins a session here, and
    /// keeps each user's tokens in a store of their own: see the example `axum_service`.
    async fn welcome(&self, tokens: TokenSet) -> Result<Response, BoxError> {
        let credentials = self.credentials.clone().tokens(tokens).build().await?;
        let request = Request::get(&self.events).extension(credentials).body(Full::default())?;
        Ok(self.api.clone().oneshot(request).await?.map(Body::new))
    }
}

/// Sends the person to TeamUp. What has to be remembered goes into their own browser.
async fn login(State(app): State<App>) -> Response {
    match app.login.begin() {
        Ok((url, pending)) => {
            let cookie = set_cookie(&pending.cookie_name(), &pending.to_cookie_value(), 600);
            ([(SET_COOKIE, cookie)], Redirect::to(&url)).into_response()
        }
        Err(error) => failed(&error),
    }
}

/// The person comes back, to this host or to another one of the service.
async fn callback(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let name = PendingAuthorization::cookie_name_for(&query).unwrap_or_default();
    let value = cookie(&headers, &name).unwrap_or_default();
    let tokens = match PendingAuthorization::from_cookie_value(value) {
        Ok(pending) => app.login.finish(pending, &query).await,
        Err(error) => Err(error),
    };
    let page = match tokens {
        Ok(tokens) => app.welcome(tokens).await.unwrap_or_else(|error| {
            eprintln!("callback: {error}");
            page(StatusCode::BAD_GATEWAY, "You are logged in, and TeamUp is out of reach.")
        }),
        Err(error) => failed(&error),
    };
    ([(SET_COOKIE, set_cookie(&name, "", 0))], page).into_response()
}

fn failed(error: &LoginError) -> Response {
    let (status, text) = match error {
        _ if error.is_denied() => (StatusCode::FORBIDDEN, "You did not approve."),
        _ if error.is_state_mismatch() => (StatusCode::BAD_REQUEST, "This login is not yours."),
        _ if error.is_code_refused() => (StatusCode::BAD_REQUEST, "This login is over."),
        _ if error.is_transient() => (StatusCode::SERVICE_UNAVAILABLE, "Try again in a minute."),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong."),
    };
    eprintln!("login: {error}");
    page(status, text)
}

fn page(status: StatusCode, text: &str) -> Response {
    (status, Html(format!("<h1>{text}</h1><a href=\"/login\">Log in</a>"))).into_response()
}

/// Over https, add `Secure`.
fn set_cookie(name: &str, value: &str, seconds: u32) -> String {
    format!("{name}={value}; Max-Age={seconds}; Path=/callback; HttpOnly; SameSite=Lax")
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split("; ")).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}
