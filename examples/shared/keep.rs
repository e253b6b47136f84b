//! Where first tokens go: into a file, for the programs to come.

use std::path::Path;

use anyhow::Context;
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::status::Status;
use tower_teamup_auth::store::FileStore;
use tower_teamup_auth::{Credentials, RequestMode, TokenSet};

/// Keeps the tokens of a login in `file`, whatever it held before, and mints the first access token
/// with them: if that works, everything does.
pub(crate) async fn tokens(
    base_url: &str,
    mode: RequestMode,
    tokens: TokenSet,
    file: &Path,
) -> anyhow::Result<Status> {
    let http_client: HyperClient = hyper_client();
    let credentials = Credentials::builder(mode)
        .base_url(base_url)
        .store(FileStore::new(file))
        .tokens(tokens.clone()) // for a file that does not exist yet
        .refresh_client(http_client)
        .build()
        .await
        .context("the token file can't be used")?;
    credentials.log_in(tokens).await?; // over those of an earlier login
    credentials.refresh(mode).await.context("the new tokens do not work")?;
    let state = credentials.status();
    credentials.shutdown().await?;
    Ok(state)
}
