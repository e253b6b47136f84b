//! The same where a function asks for a service: here the compiler says what to do.

use bytes::Bytes;
use http_body_util::{Full, Limited};
use tower::{Layer, Service};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::{AuthLayer, Credentials};

type Streamed = Limited<Full<Bytes>>;

fn takes(_: impl Service<http::Request<Streamed>>) {}

fn connect(credentials: Credentials) {
    let client: HyperClient<Streamed> = hyper_client();
    takes(AuthLayer::new(credentials).layer(client));
}

fn main() {}
