//! A refresh client is cloned for each refresh request.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{BoxError, Service};
use tower_teamup_auth::{Credentials, RequestMode, TokenSet};

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

async fn connect(tokens: TokenSet) -> Result<Credentials, BoxError> {
    let builder = Credentials::builder(RequestMode::Provider).tokens(tokens);
    Ok(builder.refresh_client(Client).build().await?)
}

fn main() {}
