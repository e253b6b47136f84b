//! What the promises cost at least: the work that the layer does for a request with a fresh token,
//! written for one program without the layer.
//!
//! It knows one origin and one mode, and takes nothing from a request's extensions. Its token can be
//! replaced while requests pass; it keeps what a refresh and a retry would need, and its future can
//! turn into them, but it has neither. What the layer takes beyond this is the price of being one.

use std::cell::RefCell;
use std::future::{Future, Pending, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwap;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use pin_project_lite::pin_project;
use rustix::time::{ClockId, clock_gettime};
use tower::{BoxError, Service};
use tower_teamup_auth::REQUEST_MODE;
use tower_teamup_auth::body::RepeatableBody;

use self::buffer::ByteBuffer;
use crate::workloads::{Bare, authorization};

/// The crate's own, since nothing is gained by writing it again.
#[path = "../../src/middleware/backup/buffer.rs"]
#[expect(dead_code, unused_imports, reason = "nothing is read back here, and no test is run")]
mod buffer;

/// Injects without the layer what the layer injects, with the same care.
#[derive(Clone)]
pub(crate) struct Necessary {
    inner: Bare,
    /// What a 401 would ask for a new token.
    credentials: Arc<Credentials>,
}

pub(crate) struct Credentials {
    newest: ArcSwap<Token>,
}

struct Token {
    authorization: HeaderValue,
    /// In seconds, on both clocks.
    deadlines: (i64, i64),
}

thread_local! {
    #[expect(clippy::vec_box, reason = "a buffer moves from here into a request as it is")]
    static SPARE_NOTES: RefCell<Vec<Box<ByteBuffer>>> = const { RefCell::new(Vec::new()) };
}

/// Method, path and headers, written down; wiped and kept for the next request in the end.
pub(crate) struct Notes(Option<Box<ByteBuffer>>);

impl Notes {
    fn of<B>(request: &Request<B>) -> Self {
        let mut notes = SPARE_NOTES.with_borrow_mut(Vec::pop).unwrap_or_default();
        let (method, headers) = (request.method().as_str(), request.headers());
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        notes.fill(
            || method.len() + path.len() + buffer::written_len(headers),
            |writer| {
                writer.write(method.as_bytes())?;
                writer.write(path.as_bytes())?;
                headers.iter().try_for_each(|(name, value)| writer.write_header(name, value))
            },
        );
        Notes(Some(notes))
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        if let Some(mut notes) = self.0.take() {
            notes.wipe();
            SPARE_NOTES.with_borrow_mut(|spare| spare.push(notes));
        }
    }
}

impl Necessary {
    pub(crate) fn new() -> Self {
        let (monotonic, wall) = clocks();
        let token =
            Token { authorization: authorization(), deadlines: (monotonic + 7200, wall + 7200) };
        let newest = ArcSwap::from_pointee(token);
        Necessary { inner: Bare, credentials: Arc::new(Credentials { newest }) }
    }
}

fn clocks() -> (i64, i64) {
    let read = |id| clock_gettime(id).tv_sec;
    (read(ClockId::MonotonicCoarse), read(ClockId::RealtimeCoarse))
}

pin_project! {
    #[project = NecessaryFutureProj]
    pub(crate) enum NecessaryFuture<F, B> {
        Sent { #[pin] inner: F, kept: Option<Kept<B>> },
        /// For a refresh and the retry; here nobody ends the waiting.
        Waits { renewal: Pin<Box<Pending<()>>> },
    }
}

/// What a 401 would need.
pub(crate) struct Kept<B> {
    _credentials: Arc<Credentials>,
    _repeat: Option<(B, Notes)>,
}

impl<B: RepeatableBody> Service<Request<B>> for Necessary {
    type Response = Response<Empty<bytes::Bytes>>;
    type Error = BoxError;
    type Future = NecessaryFuture<<Bare as Service<Request<B>>>::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Request<B>>::poll_ready(&mut self.inner, cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let uri = request.uri();
        let is_allowed = uri.scheme_str() == Some("https")
            && uri.authority().is_some_and(|authority| authority.as_str() == "goteamup.com");
        let token = self.credentials.newest.load();
        let (monotonic, wall) = clocks();
        let is_fresh = monotonic < token.deadlines.0 && wall < token.deadlines.1;
        assert!(is_allowed && is_fresh);

        let repeat = request.body_mut().try_clone().map(|body| (body, Notes::of(&request)));
        let kept = Kept { _credentials: Arc::clone(&self.credentials), _repeat: repeat };

        let headers = request.headers_mut();
        let has_own = headers.append(AUTHORIZATION, token.authorization.clone());
        let has_own_mode = headers.append(REQUEST_MODE, HeaderValue::from_static("provider"));
        assert!(!has_own && !has_own_mode);
        NecessaryFuture::Sent { inner: self.inner.call(request), kept: Some(kept) }
    }
}

impl<F, B, R, E> Future for NecessaryFuture<F, B>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<R>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                NecessaryFutureProj::Sent { inner, kept } => {
                    let answer = ready!(inner.poll(cx)).map_err(Into::into);
                    *kept = None;
                    match answer {
                        Ok(response) if response.status() == StatusCode::UNAUTHORIZED => {
                            self.set(NecessaryFuture::Waits { renewal: Box::pin(pending()) });
                        }
                        answer => return Poll::Ready(answer),
                    }
                }
                NecessaryFutureProj::Waits { renewal } => ready!(renewal.as_mut().poll(cx)),
            }
        }
    }
}
