//! Credentials whose token stays fresh, and services with them.

use std::future::Future;
use std::time::Duration;

use tower_layer::Layer;
use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
use tower_teamup_auth::{
    Auth, AuthLayer, BoxError, Credentials, CredentialsBuilder, RequestMode, TokenSet,
};

use crate::workloads::ACCESS_TOKEN;

/// The refresh request of a credential whose token stays fresh.
struct NeverRefreshed;

impl Refresh for NeverRefreshed {
    async fn refresh(&self, _: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        Err(RefreshError::not_the_endpoint("nothing is refreshed here"))
    }
}

/// The credentials of a user.
pub(crate) async fn credentials_of(user: &str) -> Credentials {
    credentials_with(user, NeverRefreshed).await
}

/// The credentials of a user, refreshed by `refresh`.
pub(crate) async fn credentials_with(user: &str, refresh: impl Refresh) -> Credentials {
    let builder = builder_of(user).expect("good tokens");
    builder.refresh_with(refresh).build().await.expect("good credentials")
}

/// The credentials of a user at another base URL than TeamUp's.
pub(crate) async fn credentials_at(base_url: &str, user: &str) -> Credentials {
    let builder = builder_of(user).expect("good tokens").base_url(base_url);
    builder.refresh_with(NeverRefreshed).build().await.expect("good credentials")
}

fn builder_of(user: &str) -> Result<CredentialsBuilder, BoxError> {
    let (refresh_token, access_token) = tokens_of(user);
    let tokens = TokenSet::new(refresh_token.parse()?).with_access_token(
        RequestMode::Provider,
        access_token.parse()?,
        Some(Duration::from_secs(7200)),
    );
    Ok(Credentials::builder(RequestMode::Provider).tokens(tokens))
}

fn tokens_of(user: &str) -> (String, String) {
    (format!("refresh-{user}"), format!("{ACCESS_TOKEN}-{user}"))
}

/// How long the tokens of a user are, in bytes.
pub(crate) fn token_bytes(user: &str) -> usize {
    let (refresh_token, access_token) = tokens_of(user);
    refresh_token.len() + access_token.len()
}

/// Runs a future to its end on this thread.
pub(crate) fn in_a_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// A service with the layer around it, and a token that is fresh, as it is on the way of almost
/// every request.
pub(crate) fn layered<S: Clone>(inner: S) -> Auth<S> {
    AuthLayer::new(in_a_runtime(credentials_of("one"))).layer(inner)
}

/// The same with a provider id on each request, as the quick start has it.
pub(crate) fn layered_for_provider<S: Clone>(inner: S) -> Auth<S> {
    let credentials = in_a_runtime(async {
        let builder = builder_of("one").expect("good tokens").provider_id(54664);
        builder.refresh_with(NeverRefreshed).build().await.expect("good credentials")
    });
    AuthLayer::new(credentials).layer(inner)
}
