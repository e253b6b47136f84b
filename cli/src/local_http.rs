//! A small HTTP server on loopback, for control and administration: short requests, short answers.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::browsers::Hosts;

const BODY_LIMIT: usize = 1024 * 1024;
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// One request, read whole.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

pub(crate) type Answer = Response<Full<Bytes>>;

/// Answers requests until the future is dropped. Those of web pages and for other hosts are refused.
pub(crate) async fn serve<H, F>(listener: TcpListener, handle: H) -> std::io::Result<()>
where
    H: Fn(Call) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let hosts = Arc::new(Hosts::of(listener.local_addr()?, &[]));
    let handle = Arc::new(handle);
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Out of file descriptors, most likely: one that is closed makes room.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let (hosts, handle) = (Arc::clone(&hosts), Arc::clone(&handle));
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, &hosts, &*handle));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        });
    }
}

async fn answer<H, F>(
    request: Request<Incoming>,
    hosts: &Hosts,
    handle: &H,
) -> Result<Answer, Infallible>
where
    H: Fn(Call) -> F,
    F: Future<Output = Answer>,
{
    if let Err(refusal) = hosts.check(request.headers()) {
        return Ok(text(StatusCode::FORBIDDEN, refusal.as_str()));
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return Ok(text(StatusCode::PAYLOAD_TOO_LARGE, "the body can't be read"));
    };
    let path = parts.uri.path().to_owned();
    Ok(handle(Call { method: parts.method, path, body: body.to_bytes() }).await)
}

pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    typed(status, "text/plain; charset=utf-8", text)
}

pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    typed(status, "application/json", value.to_string())
}

pub(crate) fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
