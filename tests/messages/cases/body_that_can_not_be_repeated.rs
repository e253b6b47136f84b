//! Nothing tells whether a body of one's own, or a stream, can be sent again: `SendOnce` or `ReplayBody` does.

use bytes::Bytes;
use http_body_util::{Full, Limited};
use tower::ServiceExt;
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::{Auth, AuthLayer, BoxError, Credentials};

type Streamed = Limited<Full<Bytes>>;

async fn send(credentials: Credentials, body: Streamed) -> Result<(), BoxError> {
    let client: HyperClient<Streamed> = hyper_client();
    let api: Auth<_> = tower::Layer::layer(&AuthLayer::new(credentials), client);
    api.oneshot(http::Request::post("https://goteamup.com/api/v2/events").body(body)?).await?;
    Ok(())
}

fn main() {}
