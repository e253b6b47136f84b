//! What the promises cost at least: the work that the layer does for a request with a fresh token,
//! written out by hand for one program.
//!
//! It knows one token, one origin and one mode, takes nothing from a request's extensions, and shares
//! nothing with clones or other threads. It keeps what a renewal and a repeat would need, and has
//! neither. What the layer takes beyond this is the price of being one.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::header::AUTHORIZATION;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use pin_project_lite::pin_project;
use rustix::time::{ClockId, clock_gettime};
use tower::Service;
use tower_teamup_auth::REQUEST_MODE;
use tower_teamup_auth::body::RepeatableBody;

use crate::workloads::{Bare, authorization};

/// Injects by hand what the layer injects, with the same care.
#[derive(Clone)]
pub(crate) struct Necessary {
    inner: Bare,
    authorization: HeaderValue,
    /// In seconds, on both clocks.
    deadlines: (i64, i64),
    /// What a 401 would ask for a new token.
    credentials: Rc<()>,
}

thread_local! {
    static SPARE_NOTES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Method, URI and headers, written down; wiped and kept for the next request in the end.
struct Notes(Vec<u8>);

impl Notes {
    fn of<B>(request: &Request<B>) -> Self {
        let mut notes = SPARE_NOTES.with_borrow_mut(Vec::pop).unwrap_or_default();
        let uri = request.uri();
        write(&mut notes, request.method().as_str().as_bytes());
        write(&mut notes, uri.authority().map_or("", |authority| authority.as_str()).as_bytes());
        write(&mut notes, uri.path_and_query().map_or("", |path| path.as_str()).as_bytes());
        for (name, value) in request.headers() {
            write(&mut notes, name.as_str().as_bytes());
            write(&mut notes, value.as_bytes());
        }
        Notes(notes)
    }
}

/// A text and its length before it, without which it could not be read back.
fn write(notes: &mut Vec<u8>, text: &[u8]) {
    notes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    notes.extend_from_slice(text);
}

impl Drop for Notes {
    fn drop(&mut self) {
        let mut notes = std::mem::take(&mut self.0);
        notes.fill(0);
        notes.clear();
        SPARE_NOTES.with_borrow_mut(|spare| spare.push(notes));
    }
}

impl Necessary {
    pub(crate) fn new() -> Self {
        let (monotonic, wall) = clocks();
        Necessary {
            inner: Bare,
            authorization: authorization(),
            deadlines: (monotonic + 7200, wall + 7200),
            credentials: Rc::new(()),
        }
    }
}

fn clocks() -> (i64, i64) {
    let read = |id| clock_gettime(id).tv_sec;
    (read(ClockId::MonotonicCoarse), read(ClockId::RealtimeCoarse))
}

pin_project! {
    pub(crate) struct NecessaryFuture<F, B> {
        #[pin]
        inner: F,
        kept: Option<Kept<B>>,
    }
}

/// What a 401 would need.
struct Kept<B> {
    _credentials: Rc<()>,
    _repeat: Option<(B, Notes)>,
}

impl<B: RepeatableBody> Service<Request<B>> for Necessary {
    type Response = Response<Empty<bytes::Bytes>>;
    type Error = std::convert::Infallible;
    type Future = NecessaryFuture<<Bare as Service<Request<B>>>::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Request<B>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let uri = request.uri();
        let is_allowed = uri.scheme() == Some(&Scheme::HTTPS)
            && uri.authority().is_some_and(|authority| authority.as_str() == "goteamup.com");
        let (monotonic, wall) = clocks();
        let is_fresh = monotonic < self.deadlines.0 && wall < self.deadlines.1;
        assert!(is_allowed && is_fresh);

        let repeat = request.body().try_clone().map(|body| (body, Notes::of(&request)));
        let kept = Kept { _credentials: Rc::clone(&self.credentials), _repeat: repeat };

        let headers = request.headers_mut();
        let own = headers.insert(AUTHORIZATION, self.authorization.clone());
        let own_mode = headers.insert(REQUEST_MODE, HeaderValue::from_static("provider"));
        assert!(own.is_none() && own_mode.is_none());
        NecessaryFuture { inner: self.inner.call(request), kept: Some(kept) }
    }
}

impl<F, B, R, E> Future for NecessaryFuture<F, B>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        if let Ok(response) = &answer {
            assert_ne!(response.status(), StatusCode::UNAUTHORIZED);
        }
        *this.kept = None;
        Poll::Ready(answer)
    }
}
