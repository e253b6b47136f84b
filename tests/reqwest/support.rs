//! Both clients behind one face, and a fake server for them.

use http::StatusCode;
use reqwest::{Body, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tower::{BoxError, Layer, ServiceExt};
use tower_teamup_auth::client::{AuthMiddleware, ReqwestService, redirects_within_origin};
use tower_teamup_auth::testing::{CALLER, FakeTeamUp};
use tower_teamup_auth::{
    Auth, AuthLayer, Credentials, CredentialsBuilder, Error, RequestMode, TokenSet,
};

use crate::witness;

pub(crate) type Request = http::Request<Body>;

/// What is asked for in a request without a mode of its own.
pub(crate) const MODE: RequestMode = RequestMode::Provider;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `AuthLayer` over `ReqwestService`.
    Tower,
    /// `AuthMiddleware` in a `ClientWithMiddleware`.
    Middleware,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// A client that authorizes its requests.
#[derive(Clone)]
pub(crate) enum Api {
    Tower(Auth<ReqwestService>),
    Middleware(ClientWithMiddleware),
}

impl Kind {
    pub(crate) const BOTH: [Kind; 2] = [Kind::Tower, Kind::Middleware];

    /// A client with credentials of `tokens`, which carries the refresh request too.
    pub(crate) async fn api(self, server: &FakeTeamUp, tokens: TokenSet) -> Api {
        let client = Protocol::Http1.client();
        let credentials = credentials(server, &client).tokens(tokens).build().await.unwrap();
        self.over(client, credentials)
    }

    /// A client whose requests bring their own credentials.
    pub(crate) fn per_request(self) -> Api {
        let client = Protocol::Http1.client();
        match self {
            Kind::Tower => Api::Tower(AuthLayer::per_request().layer(ReqwestService::new(client))),
            Kind::Middleware => Api::Middleware(
                ClientBuilder::new(client).with(AuthMiddleware::per_request()).build(),
            ),
        }
    }

    pub(crate) fn over(self, client: reqwest::Client, credentials: Credentials) -> Api {
        match self {
            Kind::Tower => Api::Tower(
                AuthLayer::new(credentials).layer(ReqwestService::new(client).records_redirects()),
            ),
            Kind::Middleware => Api::Middleware(
                ClientBuilder::new(client)
                    .with(AuthMiddleware::new(credentials).records_redirects())
                    .build(),
            ),
        }
    }
}

impl Protocol {
    pub(crate) const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

    pub(crate) fn client(self) -> reqwest::Client {
        let builder = reqwest::Client::builder().redirect(redirects_within_origin());
        match self {
            Protocol::Http1 => builder.http1_only(),
            Protocol::Http2 => builder.http2_prior_knowledge(),
        }
        .build()
        .unwrap()
    }
}

impl Api {
    pub(crate) async fn send(&self, request: Request) -> Result<Response, BoxError> {
        let answer = self.send_unseen(request).await;
        match &answer {
            Ok(response) => witness::look_at(response),
            Err(error) => witness::look_at_error(&**error),
        }
        answer
    }

    async fn send_unseen(&self, request: Request) -> Result<Response, BoxError> {
        match self {
            Api::Tower(api) => Ok(api.clone().oneshot(request).await?.into()),
            Api::Middleware(api) => {
                let request = reqwest::Request::try_from(request)?;
                api.execute(request).await.map_err(|error| match error {
                    reqwest_middleware::Error::Middleware(error) => {
                        error.reallocate_into_boxed_dyn_error_without_backtrace()
                    }
                    reqwest_middleware::Error::Reqwest(error) => error.into(),
                })
            }
        }
    }

    /// The status of one request, its answer read to the end.
    pub(crate) async fn status(&self, request: Request) -> StatusCode {
        let response = self.send(request).await.unwrap();
        let status = response.status();
        response.bytes().await.unwrap();
        status
    }
}

/// Credentials in [`MODE`] whose refresh request goes to `server`; the tokens are still to be chosen.
pub(crate) fn credentials(server: &FakeTeamUp, client: &reqwest::Client) -> CredentialsBuilder {
    witness::watch();
    Credentials::builder(MODE).base_url(server.base_url()).refresh_client(client.clone())
}

/// `GET` of `/echo`, marked as the call of `caller`.
pub(crate) fn get(server: &FakeTeamUp, caller: impl ToString) -> Request {
    http::Request::get(server.url("/echo"))
        .header(CALLER, caller.to_string())
        .body(Body::default())
        .unwrap()
}

/// The reason that a 401 carries, if it carries one.
pub(crate) fn reason(response: &Response) -> Option<&Error> {
    response.extensions().get()
}

/// This crate's error within whatever a call ended with.
pub(crate) fn crate_error(error: &BoxError) -> &Error {
    error.downcast_ref().unwrap_or_else(|| panic!("not an error of this crate: {error:?}"))
}
