//! `RateLimit` is not `Clone`: a `Buffer` above it is.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::{AuthLayer, BoxError, Credentials};

async fn send(credentials: Credentials, body: Full<Bytes>) -> Result<(), BoxError> {
    let client: HyperClient = hyper_client();
    let api = ServiceBuilder::new()
        .layer(AuthLayer::new(credentials))
        .rate_limit(10, Duration::from_secs(1))
        .service(client);
    api.oneshot(http::Request::post("https://goteamup.com/api/v2/events").body(body)?).await?;
    Ok(())
}

fn main() {}
