//! An M2M token in a file that is replaced while requests run: no request fails.
//!
//! ```text
//! cargo run -p examples --example m2m
//! ```

#[path = "shared/scratch.rs"]
mod scratch;

use std::path::Path;

use anyhow::ensure;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::m2m::TokenFile;
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::token::AccessToken;
use tower_teamup_auth::{Auth, AuthLayer, BoxError, Credentials};

const PROVIDER: u64 = 54664;
const CALLERS: usize = 10;
const CALLS: usize = 50;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = FakeTeamUp::start().await;
    let folder = scratch::Scratch::new("m2m")?;
    let file = folder.path().join("teamup-token");
    let mut token = server.issue_m2m_of(PROVIDER, None);
    put(&token, &file)?;

    let http_client: HyperClient = hyper_client();
    let credentials = Credentials::m2m_from(TokenFile::new(&file))
        .provider_id(PROVIDER)
        .base_url(server.base_url())
        .build()
        .await?;
    let api = ServiceBuilder::new().layer(AuthLayer::new(credentials)).service(http_client);

    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(calls(api.clone(), server.url("/events")));
    }
    for replacement in 1..=3 {
        server.wait_for(|journal| journal.authorized() >= replacement * 100).await;
        // An operator makes a second token, replaces the file, and revokes the first one.
        let next = server.issue_m2m_of(PROVIDER, None);
        put(&next, &file)?;
        server.revoke(&token);
        token = next;
        println!("the token was replaced after {} requests", server.authorized());
    }
    let mut ok = 0;
    for answered in callers.join_all().await {
        ok += answered.map_err(anyhow::Error::from_boxed)?;
    }
    let requests = CALLERS * CALLS;
    let refused = server.unauthorized();
    println!("requests: {requests}; answered 200: {ok}; retried after a 401: {refused}");
    ensure!(ok == requests && refused > 0, "a request failed, or none met a dead token");
    Ok(())
}

/// Replaces the file by renaming another over it, so that nobody reads half a token.
fn put(token: &AccessToken, file: &Path) -> std::io::Result<()> {
    let next = file.with_extension("next");
    std::fs::write(&next, token.expose())?;
    std::fs::rename(next, file)
}

/// Sends one request after the other, and counts those that were answered 200.
async fn calls(api: Auth<HyperClient>, url: String) -> Result<usize, BoxError> {
    let mut ok = 0;
    for _ in 0..CALLS {
        let request = Request::get(&url).body(Full::default())?;
        ok += usize::from(api.clone().oneshot(request).await?.status() == StatusCode::OK);
    }
    Ok(ok)
}
