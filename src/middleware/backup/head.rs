//! The head of one request, recorded as bytes.
//!
//! The memory is reused: each thread keeps the wiped recordings of its earlier requests in a pool.

use std::cell::RefCell;

use http::{Extensions, HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::super::decision::{Overrides, provider_id_of};
use super::buffer::{ByteBuffer, fields, written_len};
use crate::credentials::{Credentials, RouteKey};
use crate::headers::{PROVIDER_ID, ProviderId, RequestMode};
use crate::origin::{Allowed, Origins};

/// Each thread keeps so many recordings for later requests; more are freed.
const POOLED: usize = 64;

/// The head of one request, as far as a retry needs it.
#[derive(Default)]
pub(super) struct HeadRecording {
    /// `None` where no head is recorded.
    pub(super) method: Option<Method>,
    version: Version,
    origin: Allowed,
    /// Path and query, then each header; nothing where the head is shared.
    text: ByteBuffer,
    path_len: usize,
    pub(super) extras: Option<Extras>,
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
    headers: Vec<(HeaderName, HeaderValue)>,
}

thread_local! {
    #[expect(clippy::vec_box, reason = "a recording moves from here into a request as it is")]
    static POOL: RefCell<Vec<Box<HeadRecording>>> = const { RefCell::new(Vec::new()) };
}

impl HeadRecording {
    /// Of nothing: one of the pool, or a new one.
    #[inline(always)]
    pub(super) fn empty() -> Box<Self> {
        let pooled = POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
        pooled.unwrap_or_default()
    }

    /// Of the head of a request.
    #[inline]
    pub(super) fn of<B>(request: &Request<B>, origin: Allowed) -> Box<Self> {
        let mut head = HeadRecording::empty();
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        let headers = request.headers();
        let is_written = head.text.fill(
            || path.len() + written_len(headers),
            |writer| {
                writer.write(path.as_bytes())?;
                headers.iter().try_for_each(|(name, value)| writer.write_header(name, value))
            },
        );
        head.method = Some(request.method().clone());
        head.version = request.version();
        head.origin = origin;
        head.path_len = if is_written { path.len() } else { 0 };
        if !is_written {
            let all = headers.iter().map(|(name, value)| (name.clone(), value.clone()));
            let (uri, headers) = (Some(request.uri().clone()), all.collect());
            head.extras = Some(Extras { uri, headers, ..Extras::default() });
        }
        head
    }

    /// Which of the API's routes the request goes to, if its head is recorded.
    pub(super) fn route(&self, mode: RequestMode, default: Option<ProviderId>) -> Option<RouteKey> {
        let (path, headers) = self.text.written().split_at(self.path_len);
        let none = Extras::default();
        let extras = self.extras.as_ref().unwrap_or(&none);
        let path = extras.uri.as_ref().map_or(path, |uri| uri.path().as_bytes());
        let named = |(name, ..): &(&[u8], &[u8], bool)| *name == PROVIDER_ID.as_str().as_bytes();
        let own = fields(headers).find(named).map(|(_, own, _)| own);
        let provider_id = match own.or(extras.header(&PROVIDER_ID)) {
            Some(own) => provider_id_of(own),
            None => extras.overrides.provider_id.or(default),
        };
        Some(RouteKey::of(self.method.as_ref()?, self.origin, path, mode, provider_id))
    }

    /// The request again, with another body; `None` if its head is not recorded.
    pub(super) fn rebuild<B>(&self, body: B, origins: &Origins) -> Option<Request<B>> {
        let (path, headers) = self.text.written().split_at(self.path_len);
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone()?;
        *request.version_mut() = self.version;
        let uri = self.extras.as_ref().and_then(|extras| extras.restore(&mut request));
        for (name, value, is_sensitive) in fields(headers) {
            let mut value = HeaderValue::from_bytes(value).ok()?;
            value.set_sensitive(is_sensitive);
            request.headers_mut().try_append(HeaderName::from_bytes(name).ok()?, value).ok()?;
        }
        *request.uri_mut() = uri.or_else(|| origins.uri(self.origin, path))?;
        Some(request)
    }

    /// Leaves nothing of one request for the next: a cookie or another secret of the caller's may have
    /// stood in its headers.
    pub(super) fn return_to_pool(mut self: Box<Self>) {
        self.text.wipe();
        self.method = None;
        self.extras = None;
        // On a thread that is ending there is no pool any more, and the recording is freed.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOLED {
                pool.push(self);
            }
        });
    }
}

impl Extras {
    fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_bytes())
    }

    /// Sets headers and extensions, and returns the URI.
    #[cold]
    fn restore<B>(&self, request: &mut Request<B>) -> Option<Uri> {
        // There is room: they are of one map.
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        let extensions = request.extensions_mut();
        extensions.clone_from(&self.extensions);
        if extensions.is_empty() {
            put(extensions, self.credentials.clone());
            put(extensions, self.overrides.mode);
            put(extensions, self.overrides.provider_id);
        }
        self.uri.clone()
    }
}

fn put<T: Clone + Send + Sync + 'static>(extensions: &mut Extensions, value: Option<T>) {
    if let Some(value) = value {
        extensions.insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::buffer::MOST_BYTES;
    use super::*;

    fn recorded(request: &Request<()>) -> Box<HeadRecording> {
        HeadRecording::of(request, Allowed::BASE)
    }

    fn request() -> Request<()> {
        Request::patch("https://goteamup.com/api/v2/events?page=2")
            .header("cookie", "session=s3cret")
            .body(())
            .unwrap()
    }

    fn rewritten_origin() -> Option<Extras> {
        let uri = Some(Uri::from_static("https://goteamup.com:443/"));
        Some(Extras { uri, ..Extras::default() })
    }

    #[test]
    fn p5_a_reused_recording_holds_nothing_of_the_request_before() {
        let mut head = recorded(&request());
        head.extras = rewritten_origin();
        head.return_to_pool();

        let head = HeadRecording::empty();
        assert!(head.text.is_wiped() && head.extras.is_none() && head.method.is_none());
    }

    #[test]
    fn p9_what_was_not_recorded_is_not_rebuilt() {
        let mut head = HeadRecording::empty();
        head.extras = rewritten_origin();
        assert!(head.rebuild((), &Origins::of(&["https://goteamup.com"])).is_none());
    }

    #[test]
    fn a_recording_is_reused_unless_the_pool_is_full() {
        fn pooled() -> usize {
            POOL.with_borrow(Vec::len)
        }
        let on_a_thread_of_its_own = || {
            for bytes in [0, MOST_BYTES - 1024, MOST_BYTES] {
                let mut large = request();
                let value = HeaderValue::try_from("x".repeat(bytes)).unwrap();
                large.headers_mut().insert("x-large", value);
                let origins = Origins::of(&["https://goteamup.com"]);
                let head = recorded(&large);
                let again = head.rebuild((), &origins).unwrap();
                assert_eq!((again.uri(), again.headers()), (large.uri(), large.headers()));
                head.return_to_pool();
                assert_eq!(pooled(), 1, "after a header of {bytes} bytes");
            }

            let all: Vec<_> = (0..2 * POOLED).map(|_| recorded(&request())).collect();
            all.into_iter().for_each(HeadRecording::return_to_pool);
            assert_eq!(pooled(), POOLED);
            let two = vec![recorded(&request()), recorded(&request())];
            two.into_iter().for_each(HeadRecording::return_to_pool);
            assert_eq!(pooled(), POOLED);
        };
        std::thread::spawn(on_a_thread_of_its_own).join().unwrap();
    }
}
