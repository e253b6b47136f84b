//! Credentials on a store that breaks, the layer over them, and a FakeTeamUp.

use std::sync::Mutex;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::store::{StoredRecord, TokenStore};
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{
    Auth, AuthLayer, Credentials, CredentialsBuilder, Error, RefreshStep, RequestMode,
};

use crate::log::Log;

pub(crate) const MODE: RequestMode = RequestMode::Provider;

/// What the credentials say when the newest tokens did not reach the store, and when they did.
pub(crate) const UNSAVED: &str = "newest tokens not saved; they are used and the save is repeated";
pub(crate) const SAVED: &str = "newest tokens saved after all";

/// One program of a user. It runs on the test's own thread, so that its events are caught.
pub(crate) struct Scene {
    pub(crate) server: FakeTeamUp,
    pub(crate) credentials: Credentials,
    pub(crate) api: Auth<HyperClient>,
    pub(crate) log: Log,
}

impl Scene {
    /// A program that has just brought the tokens of a login into `store`.
    pub(crate) async fn with(store: impl TokenStore) -> Self {
        Scene::set_up(FakeTeamUp::start().await, |builder| builder.store(store)).await
    }

    pub(crate) async fn set_up(
        server: FakeTeamUp,
        further: impl FnOnce(CredentialsBuilder) -> CredentialsBuilder,
    ) -> Self {
        let log = Log::catch();
        let tokens = server.issue_tokens(&[MODE]);
        let credentials =
            credentials(&server, |builder| further(builder.tokens(tokens))).await.unwrap();
        let api = layered(&credentials);
        Scene { server, credentials, api, log }
    }

    /// Sends one request; the status of the answer.
    pub(crate) async fn request(&self) -> Result<StatusCode, BoxError> {
        request(&self.api, &self.server).await
    }

    /// Sends a request, and sees it answered 200.
    pub(crate) async fn goes_on(&self) {
        assert_eq!(self.request().await.unwrap(), StatusCode::OK, "{}", self.log.text());
    }

    /// Refreshes now, and sees the failure.
    pub(crate) async fn can_not_refresh(&self) -> Error {
        let error = self.credentials.refresh(MODE).await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        error
    }

    /// Refreshes once what went wrong is forgotten.
    pub(crate) async fn can_refresh_again(&self) {
        for _ in 0..4000 {
            match self.credentials.refresh(MODE).await {
                Ok(()) => return,
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no refresh succeeds: {}", self.log.text());
    }

    /// The store has the newest tokens: a program that starts with what is there can work and
    /// refresh, and this one adopts what it gets.
    pub(crate) async fn an_heir_can_carry_on(&self, store: impl TokenStore) {
        let heir = credentials(&self.server, |builder| builder.store(store)).await.unwrap();
        let (api, requests) = (layered(&heir), self.server.refresh_requests());
        assert_eq!(request(&api, &self.server).await.unwrap(), StatusCode::OK);
        assert_eq!(self.server.refresh_requests(), requests, "{}", self.server.journal());
        heir.refresh(MODE).await.unwrap();
        self.server.expire_access_tokens();
        heir.refresh(MODE).await.unwrap();
        assert_eq!(request(&api, &self.server).await.unwrap(), StatusCode::OK);
        heir.shutdown().await.unwrap();

        self.goes_on().await;
        assert!(self.log.says("record adopted"), "{}", self.log.text());
        assert_eq!(self.server.refresh_requests(), requests + 2, "{}", self.server.journal());
        assert_eq!(self.server.double_spends(), 0, "{}", self.server.journal());
        self.credentials.shutdown().await.unwrap();
    }
}

pub(crate) async fn credentials(
    server: &FakeTeamUp,
    further: impl FnOnce(CredentialsBuilder) -> CredentialsBuilder,
) -> Result<Credentials, Error> {
    let http_client: HyperClient = hyper_client();
    let builder =
        Credentials::builder(MODE).base_url(server.base_url()).refresh_client(http_client);
    further(builder).build().await
}

fn layered(credentials: &Credentials) -> Auth<HyperClient> {
    ServiceBuilder::new().layer(AuthLayer::new(credentials.clone())).service(hyper_client())
}

async fn request(api: &Auth<HyperClient>, server: &FakeTeamUp) -> Result<StatusCode, BoxError> {
    let request = Request::get(server.url("/events")).body(Full::default())?;
    let response = api.clone().oneshot(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    Ok(status)
}

/// A hook that does something once, when the refresh has come to `step`.
pub(crate) fn once_at(
    step: RefreshStep,
    act: impl FnOnce() + Send + 'static,
) -> impl Fn(RefreshStep) + Send + Sync + 'static {
    let act = Mutex::new(Some(act));
    move |at| {
        if at == step {
            if let Some(act) = act.lock().unwrap().take() {
                act();
            }
        }
    }
}

/// The refresh token that the store holds.
pub(crate) async fn kept_token(store: &impl TokenStore) -> String {
    let record = stored_record(store).await;
    record.tokens().expect("nobody has signed out").refresh_token().expose().to_owned()
}

/// What the store holds.
pub(crate) async fn stored_record(store: &impl TokenStore) -> StoredRecord {
    store.load().await.unwrap().expect("it holds a record")
}
