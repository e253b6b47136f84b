//! A client without any middleware.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as HyperClient, Error};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{REQUEST_MODE, RequestMode};

pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

#[derive(Clone)]
pub(crate) struct Client(HyperClient<HttpConnector, Body>);

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn http1() -> Self {
        Client(HyperClient::builder(TokioExecutor::new()).build_http())
    }

    pub(crate) fn http2() -> Self {
        Client(HyperClient::builder(TokioExecutor::new()).http2_only(true).build_http())
    }

    pub(crate) fn both() -> [Self; 2] {
        [Client::http1(), Client::http2()]
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        self.0.request(request).await
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.send(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// A refresh request in JSON.
    pub(crate) async fn refresh(
        &self,
        server: &FakeTeamUp,
        refresh_token: &str,
        mode: &str,
    ) -> Answer {
        let body = json!({ "refresh_token": refresh_token, "new_access_token_type": mode });
        self.answer(refresh_request(server, body)).await
    }

    /// `GET` of a path under the API's base.
    pub(crate) async fn get(
        &self,
        server: &FakeTeamUp,
        path: &str,
        token: &str,
        mode: RequestMode,
    ) -> Answer {
        self.answer(get(server, path, token, mode)).await
    }
}

pub(crate) use hyper::body::Incoming;

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

pub(crate) fn refresh_request(server: &FakeTeamUp, body: Value) -> Request<Body> {
    Request::post(server.url("/auth/refresh_access_token"))
        .header("content-type", "application/json")
        .body(full(body.to_string()))
        .unwrap()
}

pub(crate) fn get(
    server: &FakeTeamUp,
    path: &str,
    token: &str,
    mode: RequestMode,
) -> Request<Body> {
    Request::get(server.url(path))
        .header("authorization", format!("Bearer {token}"))
        .header(REQUEST_MODE, mode.as_str())
        .body(full(""))
        .unwrap()
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self, key: &str) -> String {
        self.json()[key].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}
