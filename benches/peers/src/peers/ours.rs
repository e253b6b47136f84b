//! The layer of this repository.

use std::time::Duration;

use tower_layer::Layer;
use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
use tower_teamup_auth::{AuthLayer, BoxError, Credentials, RequestMode, TokenSet};

use super::Peer;
use crate::drive::{self, Run, Workload};
use crate::inner::Inner;
use crate::workloads::ACCESS_TOKEN;

pub(crate) const LAYER: Peer = Peer {
    name: "ours",
    title: "**`AuthLayer`**, with its retry",
    package: Some("tower-teamup-auth"),
    over: Some("bare"),
    headers: 2,
    on_401: "refreshes, retries once",
    driven: "`AuthLayer` around the bare service, with an access token that expires in two hours.",
    lacks: "–",
    workloads: &Workload::ALL,
    build,
};

/// The refresh request of a credential whose token stays fresh.
struct NeverRefreshed;

impl Refresh for NeverRefreshed {
    async fn refresh(&self, _: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        Err(RefreshError::not_the_endpoint("nothing is refreshed here"))
    }
}

fn build() -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let credentials = runtime.block_on(credentials()).expect("good credentials");
    drive::service(AuthLayer::new(credentials).layer(Inner))
}

async fn credentials() -> Result<Credentials, BoxError> {
    let tokens = TokenSet::new("a-refresh-token".parse()?).with_access_token(
        RequestMode::Provider,
        ACCESS_TOKEN.parse()?,
        Some(Duration::from_secs(7200)),
    );
    let builder = Credentials::builder(RequestMode::Provider).tokens(tokens);
    Ok(builder.refresh_with(NeverRefreshed).build().await?)
}
