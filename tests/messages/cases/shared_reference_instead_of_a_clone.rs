//! A tower service is called through `&mut self`. Who has only `&self` clones it: that is cheap.

use bytes::Bytes;
use http_body_util::Full;
use tower::{Service, ServiceExt};
use tower_teamup_auth::client::HyperClient;
use tower_teamup_auth::{Auth, BoxError};

struct Api {
    client: Auth<HyperClient>,
}

impl Api {
    async fn send(&self, request: http::Request<Full<Bytes>>) -> Result<(), BoxError> {
        self.client.ready().await?.call(request).await?;
        Ok(())
    }
}

fn main() {}
