//! A fake server, a client without any layer, and credentials.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::{BoxError, Service, ServiceExt};
use tower_teamup_auth::testing::{CALLER, FakeTeamUp};
use tower_teamup_auth::{AuthLayer, Credentials, RequestMode};

use crate::readiness::Checked;
use crate::witness;

pub(crate) type Body = Full<Bytes>;
/// A client, below which every breach of the readiness contract ends the program.
pub(crate) type Http = Checked<Client<HttpConnector, Body>>;

/// What is asked for in a request without a mode of its own.
pub(crate) const MODE: RequestMode = RequestMode::Provider;

pub(crate) struct Setup {
    pub(crate) server: FakeTeamUp,
    pub(crate) client: Http,
    pub(crate) credentials: Credentials,
}

impl Setup {
    /// Tokens of these modes are there from the start.
    pub(crate) async fn with(modes: &[RequestMode]) -> Self {
        witness::watch();
        let server = FakeTeamUp::start().await;
        let client = Checked::new(Client::builder(TokioExecutor::new()).build_http());
        let tokens = server.issue_tokens(modes);
        let credentials = Credentials::builder(MODE)
            .base_url(server.base_url())
            .tokens(tokens)
            .refresh_client(client.clone())
            .build()
            .await
            .unwrap();
        Setup { server, client, credentials }
    }

    pub(crate) async fn new() -> Self {
        Setup::with(&[MODE]).await
    }

    pub(crate) fn auth(&self) -> AuthLayer {
        AuthLayer::new(self.credentials.clone())
    }

    /// `GET` of `/echo`.
    pub(crate) fn get(&self, caller: impl ToString) -> Request<Body> {
        get(&self.server, caller)
    }

    /// The status of each API request, in the order of arrival.
    pub(crate) fn answers(&self) -> Vec<u16> {
        let journal = self.server.journal();
        let api = journal.entries().iter().filter(|entry| entry.route().is_api());
        api.map(|entry| entry.status().map_or(0, |status| status.as_u16())).collect()
    }

    /// An expiry that the client does not know of leads to one refresh request and one retry, and the
    /// caller sees neither.
    pub(crate) async fn survives_an_expiry<S, R>(&self, api: S)
    where
        S: Service<Request<Body>, Response = Response<R>>,
        S::Error: Into<BoxError>,
    {
        self.server.expire_access_tokens();
        let (answers, refresh_requests) = (self.answers().len(), self.server.refresh_requests());
        assert_eq!(status(api, self.get("an expiry")).await, StatusCode::OK);
        assert_eq!(self.answers()[answers..], [401, 200], "{}", self.server.journal());
        assert_eq!(self.server.refresh_requests(), refresh_requests + 1);
        assert_eq!(self.server.unauthorized_to_caller(), 0);
    }
}

pub(crate) fn get(server: &FakeTeamUp, caller: impl ToString) -> Request<Body> {
    Request::get(server.url("/echo"))
        .header(CALLER, caller.to_string())
        .body(Body::default())
        .unwrap()
}

/// Keeps the service until the answer is there, as programs do that hold one in a field: whatever
/// it has reserved and not given back stays reserved that long.
pub(crate) async fn call<S, R>(mut api: S, request: Request<Body>) -> Result<Response<R>, BoxError>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    let answer = match api.ready().await {
        Ok(api) => api.call(request).await,
        Err(error) => Err(error),
    };
    answer.map_err(Into::into).inspect_err(|error| witness::look_at_error(&**error))
}

pub(crate) async fn status<S, R>(api: S, request: Request<Body>) -> StatusCode
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    call(api, request).await.unwrap().status()
}

/// Lets `by` pass on Tokio's clock, and no more than that: time stands still only inside.
///
/// For a runtime of one thread.
pub(crate) async fn pass(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

/// A deadlock ends here, in the place of never.
pub(crate) async fn without_deadlock<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("a deadlock")
}
