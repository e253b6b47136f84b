//! The users of the service, and the TeamUp-like server that it calls.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::ensure;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::task::JoinSet;
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{RequestMode, TokenSet};

use crate::scratch::Scratch;

const USERS: usize = 200;
const ROUNDS: usize = 5;
/// This one's login was revoked while nobody looked.
const REVOKED: usize = 7;

pub(crate) struct Visitors {
    server: FakeTeamUp,
    folder: Scratch,
}

impl Visitors {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let server = FakeTeamUp::builder().login_mode(RequestMode::Customer).start().await;
        Ok(Visitors { server, folder: Scratch::new("axum-service")? })
    }

    pub(crate) fn base_url(&self) -> String {
        self.server.base_url()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn first_logins(&self) -> impl Iterator<Item = (String, TokenSet)> {
        (0..USERS).map(|user| match user {
            REVOKED => (name(user), TokenSet::new("revoked-long-ago".parse().expect("a token"))),
            _ => (name(user), self.server.issue_tokens(&[RequestMode::Customer])),
        })
    }

    /// Everybody visits at once, in several rounds. Before every other one, all access tokens are dead.
    ///
    /// # Errors
    ///
    /// When somebody did not get what they should.
    pub(crate) async fn come(&self, origin: &str) -> anyhow::Result<()> {
        let client: HyperClient = hyper_client();
        let mut answers: BTreeMap<StatusCode, usize> = BTreeMap::new();
        for round in 0..ROUNDS {
            if round % 2 == 1 {
                self.server.expire_access_tokens();
            }
            let visits: JoinSet<_> = (0..USERS)
                .map(|user| visit(client.clone(), format!("{origin}/events"), user))
                .collect();
            for answer in visits.join_all().await {
                *answers.entry(answer?.0).or_default() += 1;
            }
        }
        let (health, text) = visit(client, format!("{origin}/healthz"), 0).await?;
        let (refreshes, double_spends) = (self.server.rotations(), self.server.double_spends());
        println!("{} requests, answered {answers:?}", USERS * ROUNDS);
        println!("/healthz: {health}: {text}");
        println!("refreshes: {refreshes}; spent twice: {double_spends}");
        let ok = (USERS - 1) * ROUNDS;
        let expected = BTreeMap::from([(StatusCode::OK, ok), (StatusCode::UNAUTHORIZED, ROUNDS)]);
        ensure!(answers == expected && health == StatusCode::OK, "not everybody was served");
        // Two of the rounds found dead tokens. Nobody refreshed for nothing.
        ensure!((refreshes, double_spends) == ((USERS - 1) * 2, 0), "a refresh too many");
        Ok(())
    }
}

fn name(user: usize) -> String {
    format!("user-{user:03}")
}

async fn visit(
    client: HyperClient,
    url: String,
    user: usize,
) -> anyhow::Result<(StatusCode, String)> {
    let request = Request::get(url).header("x-user", name(user)).body(Full::default())?;
    let response = client.request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
