//! The server behind the receiver: one path, one login.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, REFERRER_POLICY};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::super::callback::Parameters;
use super::page;

/// A person who has come back.
pub(super) struct Visit {
    pub(super) query: String,
    pub(super) page: oneshot::Sender<String>,
    pub(super) sent: oneshot::Receiver<()>,
}

pub(super) struct Site {
    /// How a browser writes the host of the redirect URI.
    host: String,
    path: String,
    state: String,
    visits: mpsc::Sender<Visit>,
    /// The callback has come; a second one finds the login over.
    is_over: AtomicBool,
}

/// Ends when the connection does. The visit that comes over it takes the receiver.
type ConnectionEnd = Arc<Mutex<Option<oneshot::Receiver<()>>>>;

impl Site {
    pub(super) fn new(
        port: u16,
        path: String,
        state: String,
        visits: mpsc::Sender<Visit>,
    ) -> Arc<Self> {
        let host = match port {
            80 => "127.0.0.1".to_owned(),
            port => format!("127.0.0.1:{port}"),
        };
        Arc::new(Site { host, path, state, visits, is_over: AtomicBool::new(false) })
    }

    async fn answer(
        &self,
        request: Request<hyper::body::Incoming>,
        end: &ConnectionEnd,
    ) -> Response<Full<Bytes>> {
        // A name that somebody has pointed to 127.0.0.1 would let their page read the answers.
        let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
        if host != Some(self.host.as_bytes()) || request.uri().path() != self.path {
            return response(StatusCode::NOT_FOUND, String::new());
        }
        if request.method() != Method::GET {
            return response(StatusCode::METHOD_NOT_ALLOWED, String::new());
        }
        let query = request.uri().query().unwrap_or_default();
        let parameters = Parameters::read(query);
        if parameters.code(&self.state).is_err_and(|error| error.is_state_mismatch()) {
            tracing::debug!(
                target: "tower_teamup_auth",
                "a callback of another login has arrived; still waiting for this one"
            );
            return response(StatusCode::BAD_REQUEST, page::another_login());
        }
        let (page, shown) = oneshot::channel();
        let sent = end.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sent) = sent.filter(|_| !self.is_over.swap(true, Ordering::AcqRel)) {
            // The receiver lives as long as this server, and takes one.
            let _ = self.visits.send(Visit { query: query.to_owned(), page, sent }).await;
            if let Ok(page) = shown.await {
                return response(StatusCode::OK, page);
            }
        }
        response(StatusCode::GONE, page::over())
    }
}

/// Serves until it is dropped, and every connection with it.
pub(super) async fn serve(listener: TcpListener, site: Arc<Site>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(converse(stream, Arc::clone(&site))); }
                // Out of file descriptors, most likely: others will be closed in time.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, site: Arc<Site>) {
    // Dropped when the connection is over: the page has been handed to the browser by then.
    let (_open, end) = oneshot::channel();
    let end: ConnectionEnd = Arc::new(Mutex::new(Some(end)));
    let service = service_fn(|request| {
        let (site, end) = (Arc::clone(&site), Arc::clone(&end));
        async move { Ok::<_, Infallible>(site.answer(request, &end).await) }
    });
    // A browser opens connections in advance and sends nothing over them; they cost nobody else
    // anything. What went wrong with one connection is no concern of the login.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn response(status: StatusCode, html: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The address holds the code.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
