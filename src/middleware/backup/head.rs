//! The head of one request, recorded as bytes.
//!
//! The memory is reused: each thread keeps the wiped buffers of its earlier requests in a pool.

use std::cell::RefCell;

use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Extensions, Method, Request, Uri, Version};

use super::super::decision::{Overrides, provider_id_of};
use super::buffer::{ByteBuffer, fields, written_len};
use crate::credentials::{Credentials, RouteKey};
use crate::headers::{PROVIDER_ID, ProviderId, RequestMode};
use crate::origin::{Allowed, Origins};

/// Each thread keeps so many buffers for later requests; more are freed.
const POOLED: usize = 64;

/// The head of one request, as far as a retry needs it. Its buffer is wiped and goes back to the pool
/// when it is dropped.
pub(super) struct HeadRecording(
    /// `None` where nothing is recorded.
    Option<Box<HeadBuffer>>,
);

struct HeadBuffer {
    /// `None` where no head is recorded.
    method: Option<Method>,
    version: Version,
    origin: Allowed,
    /// Path and query, then each header; nothing where the head is shared.
    text: ByteBuffer,
    path_len: usize,
    extras: Option<Extras>,
}

/// What only few requests have.
#[derive(Default)]
pub(super) struct Extras {
    /// `None`: they are the layer's.
    pub(super) credentials: Option<Credentials>,
    /// What the extensions say of mode and provider id.
    pub(super) overrides: Overrides,
    /// All extensions, where there are others than those of this crate; empty otherwise.
    pub(super) extensions: Extensions,
    /// `Some` where the origin was rewritten, or the head is shared.
    pub(super) uri: Option<Uri>,
    /// The headers of a head that is too large to record: they share their text with the request's.
    shared: Vec<(HeaderName, HeaderValue)>,
}

thread_local! {
    #[expect(clippy::vec_box, reason = "a buffer moves from here into a request as it is")]
    static POOL: RefCell<Vec<Box<HeadBuffer>>> = const { RefCell::new(Vec::new()) };
}

impl HeadRecording {
    /// Of nothing.
    pub(super) const fn empty() -> Self {
        HeadRecording(None)
    }

    /// Of a request that can be retried.
    #[inline(always)]
    pub(super) fn of<B>(request: &Request<B>, origin: Allowed) -> Self {
        let mut buffer = HeadBuffer::from_pool();
        buffer.write(request, origin);
        HeadRecording(Some(buffer))
    }

    /// Records what a request brought beside its head.
    pub(super) fn add(&mut self, add: impl FnOnce(&mut Extras)) {
        let buffer = self.0.get_or_insert_with(HeadBuffer::from_pool);
        add(buffer.extras.get_or_insert_default());
    }

    /// The credentials that the request brought, if it brought any.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.0.as_ref()?.extras.as_ref()?.credentials.as_ref()
    }

    /// The method, if the head is recorded.
    pub(super) fn method(&self) -> Option<&Method> {
        self.0.as_ref()?.method.as_ref()
    }

    /// Which of the API's routes the request goes to, if the head is recorded.
    pub(super) fn route(&self, mode: RequestMode, default: Option<ProviderId>) -> Option<RouteKey> {
        let buffer = self.0.as_deref()?;
        let (path, headers) = buffer.text.written().split_at(buffer.path_len);
        let none = Extras::default();
        let extras = buffer.extras.as_ref().unwrap_or(&none);
        let path = extras.uri.as_ref().map_or(path, |uri| uri.path().as_bytes());
        let shared = extras.shared.iter();
        let shared = shared.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let mut all = fields(headers).map(|(name, value, _)| (name, value)).chain(shared);
        let provider_id = match all.find(|(name, _)| *name == PROVIDER_ID.as_str().as_bytes()) {
            Some((_, own)) => provider_id_of(own),
            None => extras.overrides.provider_id.or(default),
        };
        Some(RouteKey::of(buffer.method.as_ref()?, buffer.origin, path, mode, provider_id))
    }

    /// The request again, with another body; `None` if its head is not recorded.
    pub(super) fn rebuild<B>(&self, body: B, origins: &Origins) -> Option<Request<B>> {
        let buffer = self.0.as_deref()?;
        let (path, headers) = buffer.text.written().split_at(buffer.path_len);
        let mut request = Request::new(body);
        *request.method_mut() = buffer.method.clone()?;
        *request.version_mut() = buffer.version;
        for (name, value, is_sensitive) in fields(headers) {
            let mut value = HeaderValue::from_bytes(value).ok()?;
            value.set_sensitive(is_sensitive);
            request.headers_mut().try_append(HeaderName::from_bytes(name).ok()?, value).ok()?;
        }
        let uri = match &buffer.extras {
            Some(extras) => extras.put_on(&mut request)?,
            None => None,
        };
        *request.uri_mut() = uri.map_or_else(|| origins.uri(buffer.origin, path), Some)?;
        Some(request)
    }
}

impl Extras {
    /// Returns the URI, if that is among them. `None` where there is no room for the headers.
    #[cold]
    fn put_on<B>(&self, request: &mut Request<B>) -> Option<Option<Uri>> {
        for (name, value) in &self.shared {
            request.headers_mut().try_append(name, value.clone()).ok()?;
        }
        let extensions = request.extensions_mut();
        *extensions = self.extensions.clone();
        if extensions.is_empty() {
            put(extensions, self.credentials.clone());
            put(extensions, self.overrides.mode);
            put(extensions, self.overrides.provider_id);
        }
        Some(self.uri.clone())
    }
}

fn put<T: Clone + Send + Sync + 'static>(extensions: &mut Extensions, value: Option<T>) {
    if let Some(value) = value {
        extensions.insert(value);
    }
}

impl HeadBuffer {
    fn empty() -> Self {
        HeadBuffer {
            method: None,
            version: Version::HTTP_11,
            origin: Allowed::BASE,
            text: ByteBuffer::default(),
            path_len: 0,
            extras: None,
        }
    }

    /// One of the pool, or a new one.
    #[inline(always)]
    fn from_pool() -> Box<Self> {
        let pooled = POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
        pooled.unwrap_or_else(|| Box::new(HeadBuffer::empty()))
    }

    /// Records the head of a request.
    #[inline]
    fn write<B>(&mut self, request: &Request<B>, origin: Allowed) {
        let path = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
        let headers = request.headers();
        let is_written = self.text.fill(
            || path.len() + written_len(headers),
            |writer| {
                writer.write(path.as_bytes())?;
                headers.iter().try_for_each(|(name, value)| writer.write_header(name, value))
            },
        );
        self.method = Some(request.method().clone());
        self.version = request.version();
        self.origin = origin;
        self.path_len = path.len();
        if !is_written {
            self.share(request);
        }
    }

    /// Keeps what is too large to be copied.
    #[cold]
    fn share<B>(&mut self, request: &Request<B>) {
        self.path_len = 0;
        let all = request.headers().iter().map(|(name, value)| (name.clone(), value.clone()));
        self.extras = Some(Extras {
            uri: Some(request.uri().clone()),
            shared: all.collect(),
            ..Extras::default()
        });
    }

    /// Leaves nothing of one request for the next: a cookie or another secret of the caller's may have
    /// stood in its headers.
    #[inline]
    fn wipe(&mut self) {
        self.text.wipe();
        self.method = None;
        self.extras = None;
    }
}

impl Drop for HeadRecording {
    #[inline]
    fn drop(&mut self) {
        if let Some(buffer) = self.0.take() {
            return_to_pool(buffer);
        }
    }
}

fn return_to_pool(mut buffer: Box<HeadBuffer>) {
    buffer.wipe();
    // On a thread that is ending there is no pool any more, and the buffer is freed.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < POOLED {
            pool.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::buffer::MOST_BYTES;
    use super::*;

    fn head_of(request: &Request<()>) -> HeadRecording {
        HeadRecording::of(request, Allowed::BASE)
    }

    fn request() -> Request<()> {
        Request::patch("https://goteamup.com/api/v2/events?page=2")
            .header("cookie", "session=s3cret")
            .body(())
            .unwrap()
    }

    fn rewrite_origin(extras: &mut Extras) {
        extras.uri = Some(Uri::from_static("https://goteamup.com:443/"));
    }

    #[test]
    fn p5_a_reused_buffer_holds_nothing_of_the_request_before() {
        let mut head = head_of(&request());
        head.add(rewrite_origin);
        drop(head);

        let buffer = HeadBuffer::from_pool();
        assert!(buffer.text.is_wiped());
        assert!(buffer.extras.is_none() && buffer.method.is_none());
    }

    #[test]
    fn p9_what_was_not_recorded_is_not_rebuilt() {
        let mut head = HeadRecording::empty();
        head.add(rewrite_origin);
        assert!(head.rebuild((), &Origins::of(&["https://goteamup.com"])).is_none());
    }

    #[test]
    fn a_buffer_is_reused_unless_the_pool_is_full() {
        fn pooled_buffers() -> usize {
            POOL.with_borrow(Vec::len)
        }
        let on_a_thread_of_its_own = || {
            for bytes in [0, MOST_BYTES - 1024, MOST_BYTES] {
                let mut large = request();
                let value = HeaderValue::try_from("x".repeat(bytes)).unwrap();
                large.headers_mut().insert("x-large", value);
                let origins = Origins::of(&["https://goteamup.com"]);
                let again = head_of(&large).rebuild((), &origins).unwrap();
                assert_eq!((again.uri(), again.headers()), (large.uri(), large.headers()));
                assert_eq!(pooled_buffers(), 1, "after a header of {bytes} bytes");
            }

            drop((0..2 * POOLED).map(|_| head_of(&request())).collect::<Vec<_>>());
            assert_eq!(pooled_buffers(), POOLED);
            drop([head_of(&request()), head_of(&request())]);
            assert_eq!(pooled_buffers(), POOLED);
        };
        std::thread::spawn(on_a_thread_of_its_own).join().unwrap();
    }
}
