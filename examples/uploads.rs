//! Streams that are sent through an expiry: a short one is retried, a long one is not.
//!
//! ```text
//! cargo run -p examples --example uploads
//! ```
//!
//! Teaches: `ReplayBodyLayer` in front of `AuthLayer`, what its cap means, and what to do with the
//! 401 of a stream that was too long to be kept. Exits 0 only if the server got what was sent.

use std::convert::Infallible;
use std::process::ExitCode;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_teamup_auth::body::{ReplayBody, ReplayBodyLayer};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{AuthLayer, Credentials, RequestMode};

const CHUNK: usize = 4 * 1024;
const SHORT: usize = 20 * 1024;
const LONG: usize = 10 * 1024 * 1024;

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let server = FakeTeamUp::start().await;
    let credentials = Credentials::builder(RequestMode::Provider)
        .base_url(server.base_url())
        .tokens(server.issue_tokens(&[RequestMode::Provider]))
        .refresh_client(hyper_client::<http_body_util::Full<Bytes>>())
        .build()
        .await?;

    // The replay layer stands outside: it wraps the body before the auth layer asks for a copy.
    let http_client: HyperClient<ReplayBody<StreamBody<Chunks>>> = hyper_client();
    let mut api = ServiceBuilder::new()
        .layer(ReplayBodyLayer::new()) // keeps up to 64 KiB of a stream
        .layer(AuthLayer::new(credentials))
        .service(http_client);

    let mut statuses = Vec::new();
    for (what, length) in [
        ("a stream of 20 KB: kept while it is sent, and sent again after the 401", SHORT),
        (
            "a stream of 10 MB: longer than the cap, so it is sent once and the 401 is the answer",
            LONG,
        ),
    ] {
        println!("The token expires at the server; then {what}.");
        server.expire_access_tokens();
        statuses.push(send(&mut api, &server, length).await?.status());
    }
    println!("The caller opens the 10 MB again and sends it: the new token is there already.");
    statuses.push(send(&mut api, &server, LONG).await?.status());

    println!("\nThe server's journal:");
    let journal = server.journal();
    let mut whole = true;
    for entry in journal.entries() {
        println!("    {entry}");
        if let Some(body) = entry.body().filter(|_| entry.route().is_api()) {
            println!("        {} bytes, SHA-256 {}", body.size(), body.sha256());
            whole &= [SHORT as u64, LONG as u64].contains(&body.size());
        }
    }
    println!(
        "uploads={} answered_200={} answered_401={} refresh_requests={}",
        statuses.len(),
        statuses.iter().filter(|status| **status == StatusCode::OK).count(),
        statuses.iter().filter(|status| **status == StatusCode::UNAUTHORIZED).count(),
        journal.refresh_requests(),
    );
    let expected = [StatusCode::OK, StatusCode::UNAUTHORIZED, StatusCode::OK];
    let good = statuses == expected && whole && journal.refresh_requests() == 2;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn send<S, R>(
    api: &mut S,
    server: &FakeTeamUp,
    length: usize,
) -> Result<Response<R>, BoxError>
where
    S: Service<Request<StreamBody<Chunks>>, Response = Response<R>, Error = BoxError>,
{
    let request = Request::post(server.url("/uploads"))
        .header("content-type", "application/octet-stream")
        .body(StreamBody::new(chunks(length)))?;
    api.ready().await?.call(request).await
}

type Chunks = stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>;

/// A stream whose length nobody knows beforehand. Its chunks share one buffer.
fn chunks(length: usize) -> Chunks {
    let chunk = Bytes::from_static(&[b'x'; CHUNK]);
    let frames: Vec<_> = (0..length / CHUNK).map(|_| Ok(Frame::data(chunk.clone()))).collect();
    stream::iter(frames)
}
