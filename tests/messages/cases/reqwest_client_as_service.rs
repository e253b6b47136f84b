//! A `reqwest::Client` is no tower service of `http` requests: `ReqwestService::new(client)` is.

use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::{AuthLayer, BoxError, Credentials};

async fn send(credentials: Credentials, client: reqwest::Client) -> Result<(), BoxError> {
    let api = ServiceBuilder::new().layer(AuthLayer::new(credentials)).service(client);
    let request = http::Request::get("https://goteamup.com/api/v2/events");
    api.oneshot(request.body(reqwest::Body::default())?).await?;
    Ok(())
}

fn main() {}
