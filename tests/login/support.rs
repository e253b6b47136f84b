//! What the tests of the browser and of the servers have in common.

use http_body_util::{BodyExt, Full};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::login::OAuthLogin;
use tower_teamup_auth::testing::{Entry, FakeTeamUp, Route, login as fake};
use tower_teamup_auth::{Credentials, RequestMode, TokenSet};

pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:9/callback";

pub(crate) fn application(server: &FakeTeamUp) -> OAuthLogin {
    let http_client: HyperClient = hyper_client();
    OAuthLogin::new(fake::CLIENT_ID, http_client)
        .base_url(server.base_url())
        .redirect_uri(REDIRECT_URI)
}

/// Decides as a person does, without a browser: the URL that the person is sent back to.
pub(crate) async fn decide(url: &str, decision: &str) -> String {
    let http_client: HyperClient = hyper_client();
    let form = format!("decision={decision}");
    let request = http::Request::post(url).body(Full::from(form)).unwrap();
    let response = http_client.request(request).await.unwrap();
    match response.headers().get("location") {
        Some(location) => location.to_str().unwrap().to_owned(),
        None => {
            let body = response.into_body().collect().await.unwrap().to_bytes();
            panic!("nobody is sent back: {}", String::from_utf8_lossy(&body));
        }
    }
}

pub(crate) fn query_of(url: &str) -> &str {
    url.split_once('?').expect("a query").1
}

/// The tokens are good for a refresh.
pub(crate) async fn assert_work(server: &FakeTeamUp, tokens: TokenSet) {
    let http_client: HyperClient = hyper_client();
    let credentials = Credentials::builder(RequestMode::Provider)
        .base_url(server.base_url())
        .tokens(tokens)
        .refresh_client(http_client)
        .build()
        .await
        .unwrap();
    credentials.refresh(RequestMode::Provider).await.unwrap();
}

/// How many codes were sent to the token endpoint.
pub(crate) fn codes_sent(server: &FakeTeamUp) -> usize {
    let is_of_a_code = |entry: &&Entry| entry.route() == Route::OAuthToken;
    server.journal().entries().iter().filter(is_of_a_code).count()
}
