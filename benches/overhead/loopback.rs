//! What the layer adds to a client's process, over real TCP: HTTP/1.1 on loopback, hyper-util.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tower::{Service, ServiceExt};
use tower_layer::Layer;
use tower_teamup_auth::{AuthLayer, BoxError};

use crate::callgrind;
use crate::setup::{credentials_at, in_a_runtime};
use crate::workloads::get;

type HyperClient = Client<HttpConnector, Full<Bytes>>;

/// Instructions of the client's process for one request: bare, and through the layer.
pub(crate) fn instructions() -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let server = runtime.block_on(serve()).expect("a server on loopback").to_string();
    let count = |kind: &str| callgrind::per_call(&["--client", kind, &server]);
    (count("bare"), count("layered"))
}

async fn serve() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(|_| async {
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(r#"{"results":[]}"#)))
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
        }
    });
    Ok(address)
}

/// The client: `calls` requests, one after the other, over one connection.
pub(crate) fn run_client(kind: &str, server: &str, calls: u32) {
    let client: HyperClient = Client::builder(TokioExecutor::new()).build_http();
    in_a_runtime(async {
        match kind {
            "bare" => request(client, server, calls).await,
            "layered" => {
                let credentials = credentials_at(&format!("http://{server}"), "one").await;
                request(AuthLayer::new(credentials).layer(client), server, calls).await;
            }
            other => panic!("no client is called {other}"),
        }
    });
}

async fn request<S, R>(mut client: S, server: &str, calls: u32)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: http_body::Body<Data: Send, Error: std::fmt::Debug>,
{
    let uri: http::Uri = format!("http://{server}/api/v2/events?page=1").parse().expect("a URI");
    for _ in 0..calls {
        let mut request = get();
        *request.uri_mut() = uri.clone();
        let ready = client.ready().await.map_err(Into::into).expect("a client");
        let response = ready.call(request).await.map_err(Into::into).expect("an answer");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("a body");
    }
}
