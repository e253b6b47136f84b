//! tower's `BoxCloneSyncService`: the layer keeps what it asks for, and can stand above it.

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, ServiceBuilder};
use tower_teamup_auth::ResponseBody;

use crate::support::{Body, Setup, status};

type Boxed<R, E> = BoxCloneSyncService<Request<Body>, Response<R>, E>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_the_box_is_clone_send_and_sync() {
    let setup = Setup::new().await;
    let api: Boxed<ResponseBody<Incoming>, BoxError> = ServiceBuilder::new()
        .layer(BoxCloneSyncService::layer())
        .layer(setup.auth())
        .service(setup.client.clone());
    let shared = std::sync::Arc::new(api.clone());
    let request = setup.get("from another task");
    let call = tokio::spawn(async move { status((*shared).clone(), request).await });
    assert_eq!(call.await.unwrap(), StatusCode::OK);
    setup.survives_an_expiry(api).await;
}

#[tokio::test]
async fn below_the_box_is_a_client_like_any_other() {
    let setup = Setup::new().await;
    let client: Boxed<Incoming, _> = BoxCloneSyncService::new(setup.client.clone());
    setup.survives_an_expiry(setup.auth().layer(client)).await;
}
