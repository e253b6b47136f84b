//! tower-http's `Decompression`. In either order the answer arrives decoded, and a compressed 401
//! is read to its end like any other.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::{BoxError, Service, ServiceBuilder};
use tower_http::decompression::DecompressionLayer;
use tower_teamup_auth::testing::Fault;

use crate::support::{Body, Setup, call};

const TEXT: &str = r#"{"detail":"compressed"}"#;

/// The same, in gzip's format.
const COMPRESSED: [u8; 43] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 74, 73, 45, 73, 204, 204, 81, 178, 82, 74, 206, 207,
    45, 40, 74, 45, 46, 78, 77, 81, 170, 5, 0, 175, 197, 250, 200, 23, 0, 0, 0,
];

fn compressed(status: StatusCode) -> Fault {
    Fault::status(status)
        .header(CONTENT_ENCODING, "gzip")
        .body("application/json", COMPRESSED.to_vec())
}

async fn decodes<S, R>(setup: &Setup, api: S)
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    R: http_body::Body<Error: std::fmt::Debug>,
{
    setup.server.fail_api(compressed(StatusCode::UNAUTHORIZED));
    setup.server.fail_api(compressed(StatusCode::OK));
    let response = call(api.clone(), setup.get("compressed")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), TEXT);
    assert_eq!(setup.answers(), [401, 200]);
    let journal = setup.server.journal();
    for request in journal.entries().iter().filter(|entry| entry.route().is_api()) {
        assert_eq!(request.header(ACCEPT_ENCODING), Some("gzip"));
    }

    // A 401 that can't be helped arrives decoded too.
    setup.server.fail_api(compressed(StatusCode::UNAUTHORIZED));
    setup.server.fail_refresh(Fault::status(StatusCode::BAD_REQUEST));
    let response = call(api, setup.get("refused")).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(response.extensions().get::<tower_teamup_auth::Error>().is_some());
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), TEXT);
}

#[tokio::test]
async fn above_decompression_decodes_the_answer() {
    let setup = Setup::new().await;
    let api = ServiceBuilder::new()
        .layer(DecompressionLayer::new())
        .layer(setup.auth())
        .service(setup.client.clone());
    decodes(&setup, api).await;
}

#[tokio::test]
async fn below_decompression_decodes_the_answer() {
    let setup = Setup::new().await;
    let api = ServiceBuilder::new()
        .layer(setup.auth())
        .layer(DecompressionLayer::new())
        .service(setup.client.clone());
    decodes(&setup, api).await;
}
