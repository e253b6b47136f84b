//! Where first tokens go: into a file, for the programs to come.

use std::path::Path;

use anyhow::Context;
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::state::State;
use tower_teamup_auth::store::FileStore;
use tower_teamup_auth::{Credentials, RequestMode, TokenSet};

/// Keeps the tokens of a login in `file`, whatever it held before, and mints the first access token
/// with them: if that works, everything does.
pub(crate) async fn tokens(
    base_url: &str,
    mode: RequestMode,
    tokens: TokenSet,
    file: &Path,
) -> anyhow::Result<State> {
    let http_client: HyperClient = hyper_client();
    let credentials = Credentials::builder(mode)
        .base_url(base_url)
        .store(FileStore::new(file))
        .tokens(tokens.clone()) // for a file that does not exist yet
        .refresh_over(http_client)
        .build()
        .await
        .context("the token file can't be used")?;
    credentials.set_tokens(tokens).await?; // over those of an earlier login
    credentials.refresh_now(mode).await.context("the new tokens do not work")?;
    let state = credentials.state();
    credentials.shutdown().await?;
    Ok(state)
}
