//! The client takes any body, so its type has to be written: `let client: HyperClient = hyper_client();`

use tower_teamup_auth::client::hyper_client;
use tower_teamup_auth::{BoxError, Credentials, RequestMode, TokenSet};

async fn connect(tokens: TokenSet) -> Result<Credentials, BoxError> {
    let client = hyper_client();
    let builder = Credentials::builder(RequestMode::Provider).tokens(tokens);
    Ok(builder.refresh_client(client).build().await?)
}

fn main() {}
