//! The head of one request, recorded as bytes.
//!
//! The memory is reused: each thread keeps the wiped buffers of its earlier requests in a pool.

use std::cell::Cell;
use std::mem;

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
    /// While it is in the pool: the rest of the pool, and how many that are.
    below: Option<Box<HeadBuffer>>,
    depth: usize,
    method: Method,
    version: Version,
    origin: Allowed,
    /// Path and query, then each header; nothing where the head is shared.
    text: ByteBuffer,
    path_len: usize,
    is_recorded: bool,
    extras: Extras,
    /// Whether there is anything in `extras`.
    has_extras: bool,
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
    /// The first buffer of this thread's pool; each holds the next.
    static POOL: Cell<Option<Box<HeadBuffer>>> = const { Cell::new(None) };
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
        buffer.has_extras = true;
        add(&mut buffer.extras);
    }

    /// The credentials that the request brought, if it brought any.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.0.as_ref()?.extras.credentials.as_ref()
    }

    fn recorded(&self) -> Option<&HeadBuffer> {
        self.0.as_deref().filter(|buffer| buffer.is_recorded)
    }

    /// The method, if the head is recorded.
    pub(super) fn method(&self) -> Option<&Method> {
        Some(&self.recorded()?.method)
    }

    /// Which of the API's routes the request goes to, if the head is recorded.
    pub(super) fn route(&self, mode: RequestMode, default: Option<ProviderId>) -> Option<RouteKey> {
        let buffer = self.recorded()?;
        let (path, headers) = buffer.text.written().split_at(buffer.path_len);
        let path = match &buffer.extras.uri {
            Some(uri) => uri.path().as_bytes(),
            None => path,
        };
        let shared = buffer.extras.shared.iter();
        let shared = shared.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let mut all = fields(headers).map(|(name, value, _)| (name, value)).chain(shared);
        let provider_id = match all.find(|(name, _)| *name == PROVIDER_ID.as_str().as_bytes()) {
            Some((_, own)) => provider_id_of(own),
            None => buffer.extras.overrides.provider_id.or(default),
        };
        Some(RouteKey::of(&buffer.method, buffer.origin, path, mode, provider_id))
    }

    /// The request again, with another body; `None` if its head is not recorded.
    pub(super) fn rebuild<B>(&mut self, body: B, origins: &Origins) -> Option<Request<B>> {
        let buffer = self.0.as_deref_mut().filter(|buffer| buffer.is_recorded)?;
        let Extras { credentials, overrides, extensions, uri, shared } =
            mem::take(&mut buffer.extras);
        let (path, headers) = buffer.text.written().split_at(buffer.path_len);
        let mut request = Request::new(body);
        *request.method_mut() = buffer.method.clone();
        *request.version_mut() = buffer.version;
        *request.uri_mut() = match uri {
            Some(uri) => uri,
            None => origins.uri(buffer.origin, path)?,
        };
        for (name, value, is_sensitive) in fields(headers) {
            let mut value = HeaderValue::from_bytes(value).ok()?;
            value.set_sensitive(is_sensitive);
            request.headers_mut().try_append(HeaderName::from_bytes(name).ok()?, value).ok()?;
        }
        for (name, value) in shared {
            request.headers_mut().try_append(name, value).ok()?;
        }
        *request.extensions_mut() = extensions;
        if request.extensions().is_empty() {
            put(request.extensions_mut(), credentials);
            put(request.extensions_mut(), overrides.mode);
            put(request.extensions_mut(), overrides.provider_id);
        }
        Some(request)
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
            below: None,
            depth: 0,
            method: Method::GET,
            version: Version::HTTP_11,
            origin: Allowed::BASE,
            text: ByteBuffer::default(),
            path_len: 0,
            is_recorded: false,
            extras: Extras::default(),
            has_extras: false,
        }
    }

    /// One of the pool, or a new one.
    #[inline(always)]
    fn from_pool() -> Box<Self> {
        let first = POOL.try_with(|pool| {
            let mut buffer = pool.take()?;
            pool.set(buffer.below.take());
            Some(buffer)
        });
        first.ok().flatten().unwrap_or_else(|| Box::new(HeadBuffer::empty()))
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
        self.method = request.method().clone();
        self.version = request.version();
        self.origin = origin;
        self.path_len = path.len();
        self.is_recorded = true;
        if !is_written {
            self.share(request);
        }
    }

    /// Keeps what is too large to be copied.
    #[cold]
    fn share<B>(&mut self, request: &Request<B>) {
        self.path_len = 0;
        self.has_extras = true;
        self.extras.uri = Some(request.uri().clone());
        let headers = request.headers();
        self.extras.shared.reserve_exact(headers.len());
        let all = headers.iter().map(|(name, value)| (name.clone(), value.clone()));
        self.extras.shared.extend(all);
    }

    /// Leaves nothing of one request for the next: a cookie or another secret of the caller's may have
    /// stood in its headers.
    #[inline]
    fn wipe(&mut self) {
        self.text.wipe();
        self.is_recorded = false;
        if mem::take(&mut self.has_extras) {
            self.extras = Extras::default();
        }
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
        buffer.below = pool.take();
        buffer.depth = buffer.below.as_ref().map_or(0, |below| below.depth + 1);
        if buffer.depth < POOLED {
            pool.set(Some(buffer));
        } else {
            pool.set(buffer.below.take());
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
        assert!(buffer.extras.uri.is_none() && !buffer.has_extras && !buffer.is_recorded);
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
            let first = POOL.take();
            let count = first.as_ref().map_or(0, |buffer| buffer.depth + 1);
            POOL.set(first);
            count
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
