//! The layer sends a retry through a clone of the service, so the service has to be `Clone`.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_teamup_auth::{AuthLayer, Credentials};

struct Client;

impl Service<Request<String>> for Client {
    type Response = Response<String>;
    type Error = BoxError;
    type Future = Ready<Result<Response<String>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        ready(Ok(Response::new(String::new())))
    }
}

async fn send(credentials: Credentials, request: Request<String>) -> Result<(), BoxError> {
    let api = ServiceBuilder::new().layer(AuthLayer::new(credentials)).service(Client);
    api.oneshot(request).await?;
    Ok(())
}

fn main() {}
