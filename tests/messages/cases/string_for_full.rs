//! `HyperClient` sends `Full<Bytes>`, not `String`.

use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::{AuthLayer, BoxError, Credentials};

async fn send(credentials: Credentials) -> Result<(), BoxError> {
    let client: HyperClient = hyper_client();
    let api = ServiceBuilder::new().layer(AuthLayer::new(credentials)).service(client);
    let request = http::Request::get("https://goteamup.com/api/v2/events").body(String::new())?;
    api.oneshot(request).await?;
    Ok(())
}

fn main() {}
