//! A boxed error is no `std::error::Error`, so `?` can't make an `anyhow::Error` of it:
//! `.map_err(anyhow::Error::from_boxed)?` does.

use bytes::Bytes;
use http_body_util::Full;
use tower::ServiceExt;
use tower_teamup_auth::Auth;
use tower_teamup_auth::client::HyperClient;

async fn send(api: Auth<HyperClient>, request: http::Request<Full<Bytes>>) -> anyhow::Result<()> {
    api.oneshot(request).await?;
    Ok(())
}

fn main() {}
