//! HTTP clients: they trust what the system trusts, and the roots of `--ca-file`. They go through the proxy
//! that the environment names.

use anyhow::Context;
use http_body::Body;
use tower_teamup_auth::CredentialsBuilder;
use tower_teamup_auth::client::{HyperClient, HyperClientBuilder};

use crate::args::Account;

/// A client for the API, and for a login.
pub(crate) fn api<B>(account: &Account) -> anyhow::Result<HyperClient<B>>
where
    B: Body + Send,
    B::Data: Send,
{
    builder(account)?.build().with_context(|| in_file(account))
}

/// Has refresh requests sent by a client that trusts these roots, too.
pub(crate) fn refresh_client(
    builder: CredentialsBuilder,
    account: &Account,
) -> anyhow::Result<CredentialsBuilder> {
    if account.ca_file.is_none() {
        // The library's own is made only when it is needed.
        return Ok(builder);
    }
    let client = self::builder(account)?.build_for_refresh();
    let client: HyperClient = client.with_context(|| in_file(account))?;
    Ok(builder.refresh_client(client))
}

fn builder(account: &Account) -> anyhow::Result<HyperClientBuilder> {
    let builder = HyperClientBuilder::new();
    let Some(path) = &account.ca_file else { return Ok(builder) };
    let roots = std::fs::read(path).with_context(|| in_file(account))?;
    Ok(builder.root_certificates(roots))
}

fn in_file(account: &Account) -> String {
    match &account.ca_file {
        Some(path) => format!("the root certificates in {}", path.display()),
        None => "the HTTP client".to_owned(),
    }
}
