//! What is remembered of a request while its answer is awaited, so that it can be repeated.
//!
//! Only a 401 needs it, so the path of every request pays for remembering, not for cloning: the
//! head is written down as bytes, in memory that is used again and again, before the secret is put
//! in; it becomes a request only when the rare 401 comes. Extensions can't be written down and are
//! cloned, where there are any.

mod pad;

use std::cell::RefCell;
use std::fmt;

use http::uri::{PathAndQuery, Scheme};
use http::{Extensions, Method, Request, Uri, Version};

use self::pad::{Pad, read_headers};
use crate::credentials::Credentials;

/// So many sheets wait for their next request on each thread; more are freed.
const POOLED: usize = 64;

/// A sheet that grew beyond this (bytes) is freed and not kept.
const KEPT_CAPACITY: usize = 4096;

/// What is remembered of one request. Goes back to the pool when it is dropped, and what it held is
/// wiped.
pub(crate) struct Memo(
    /// `None` where nothing is to be remembered.
    Option<Box<Sheet>>,
);

struct Sheet {
    /// `Some` where the request brought them; else they are the layer's.
    credentials: Option<Credentials>,
    method: Method,
    version: Version,
    scheme: Scheme,
    /// Authority, path and query, then each header.
    pad: Pad,
    authority_len: usize,
    path_len: usize,
    header_count: usize,
    extensions: Extensions,
    /// The head stands here whole, so the request can be repeated as far as that goes.
    is_written: bool,
}

thread_local! {
    #[expect(clippy::vec_box, reason = "a sheet travels as the pointer that a request holds")]
    static POOL: RefCell<Vec<Box<Sheet>>> = const { RefCell::new(Vec::new()) };
}

impl Memo {
    /// With nothing to remember.
    pub(crate) const fn blank() -> Self {
        Memo(None)
    }

    /// Of a request that can be repeated: its head is written down.
    #[inline]
    pub(crate) fn of<B>(request: &Request<B>, brought: Option<&Credentials>) -> Self {
        let mut sheet = Self::blank_sheet();
        sheet.credentials = brought.cloned();
        sheet.write(request);
        Memo(Some(sheet))
    }

    /// Of a request that can't be repeated, but brought its credentials.
    pub(crate) fn of_credentials(brought: &Credentials) -> Self {
        let mut sheet = Self::blank_sheet();
        sheet.credentials = Some(brought.clone());
        Memo(Some(sheet))
    }

    fn blank_sheet() -> Box<Sheet> {
        let pooled = POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
        pooled.unwrap_or_else(|| Box::new(Sheet::blank()))
    }

    /// The credentials that the request brought, if it brought any.
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.0.as_ref()?.credentials.as_ref()
    }

    /// The request again, as it was recorded; `None` if it was not.
    pub(crate) fn rebuild<B>(&mut self, body: B) -> Option<Request<B>> {
        let sheet = self.0.as_deref_mut().filter(|sheet| sheet.is_written)?;
        let (authority, rest) = sheet.pad.written().split_at(sheet.authority_len);
        let (path, headers) = rest.split_at(sheet.path_len);
        let mut request = Request::new(body);
        *request.method_mut() = sheet.method.clone();
        *request.version_mut() = sheet.version;
        *request.uri_mut() = Uri::builder()
            .scheme(sheet.scheme.clone())
            .authority(authority)
            .path_and_query(path)
            .build()
            .ok()?;
        // Room for ours as well.
        request.headers_mut().try_reserve(sheet.header_count + 3).ok()?;
        read_headers(headers, request.headers_mut())?;
        *request.extensions_mut() = std::mem::take(&mut sheet.extensions);
        Some(request)
    }
}

impl Sheet {
    fn blank() -> Self {
        Sheet {
            credentials: None,
            method: Method::GET,
            version: Version::HTTP_11,
            scheme: Scheme::HTTPS,
            pad: Pad::default(),
            authority_len: 0,
            path_len: 0,
            header_count: 0,
            extensions: Extensions::new(),
            is_written: false,
        }
    }

    /// Writes the head of a request down, if it can be written.
    #[inline]
    fn write<B>(&mut self, request: &Request<B>) {
        let uri = request.uri();
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return };
        let path = uri.path_and_query().map_or("", PathAndQuery::as_str);
        self.pad.write(authority.as_str());
        self.pad.write(path);
        for (name, value) in request.headers() {
            if !self.pad.write_header(name, value) {
                return;
            }
        }
        self.method = request.method().clone();
        self.version = request.version();
        self.scheme = scheme.clone();
        self.authority_len = authority.as_str().len();
        self.path_len = path.len();
        self.header_count = request.headers().len();
        if !request.extensions().is_empty() {
            self.extensions = request.extensions().clone();
        }
        self.is_written = true;
    }

    /// Nothing of one request is left for the next: a cookie or another secret of the caller's may
    /// have stood in its headers.
    #[inline]
    fn wipe(&mut self) {
        self.pad.wipe();
        self.is_written = false;
        self.credentials = None;
        if !self.extensions.is_empty() {
            self.extensions = Extensions::new();
        }
    }
}

impl Drop for Memo {
    #[inline]
    fn drop(&mut self) {
        if let Some(sheet) = self.0.take() {
            give_back(sheet);
        }
    }
}

fn give_back(mut sheet: Box<Sheet>) {
    sheet.wipe();
    if sheet.pad.capacity() > KEPT_CAPACITY {
        return;
    }
    // On a thread that is ending there is no pool any more, and the sheet is freed.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < POOLED {
            pool.push(sheet);
        }
    });
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Mark(&'static str);

    fn request() -> Request<()> {
        let mut secret = HeaderValue::from_static("session=s3cret");
        secret.set_sensitive(true);
        Request::patch("https://goteamup.com:8443/api/v2/events?page=2")
            .version(Version::HTTP_2)
            .header("accept", "application/json")
            .header("cookie", secret)
            .header("x-empty", "")
            .header("accept", "application/xml")
            .header("x-bytes", HeaderValue::from_bytes(b"caf\xc3\xa9").unwrap())
            .extension(Mark("kept"))
            .body(())
            .unwrap()
    }

    #[test]
    fn what_was_written_down_is_what_was_sent() {
        let sent = request();
        let again = Memo::of(&sent, None).rebuild(()).unwrap();
        assert_eq!(again.method(), sent.method());
        assert_eq!(again.uri(), sent.uri());
        assert_eq!(again.version(), sent.version());
        assert_eq!(again.headers(), sent.headers());
        assert!(again.headers()["cookie"].is_sensitive());
        assert!(!again.headers()["accept"].is_sensitive());
        assert_eq!(again.extensions().get::<Mark>(), Some(&Mark("kept")));
    }

    #[test]
    fn a_sheet_that_is_used_again_knows_nothing_of_the_request_before() {
        drop(Memo::of(&request(), None));
        let sheet = Memo::blank_sheet();
        assert!(sheet.pad.is_wiped());
        assert!(sheet.extensions.is_empty() && !sheet.is_written);
        drop(sheet);

        let plain = Request::get("http://127.0.0.1/").body(()).unwrap();
        let again = Memo::of(&plain, None).rebuild(()).unwrap();
        assert_eq!(again.uri(), plain.uri());
        assert!(again.headers().is_empty() && again.extensions().is_empty());
    }

    #[test]
    fn a_sheet_waits_for_the_next_request_unless_it_grew_large_or_enough_are_there() {
        fn pooled() -> usize {
            POOL.with_borrow(Vec::len)
        }
        let on_a_thread_of_its_own = || {
            for (bytes, kept) in [(0, 1), (KEPT_CAPACITY - 1024, 1), (KEPT_CAPACITY, 0)] {
                let mut large = request();
                let value = HeaderValue::try_from("x".repeat(bytes)).unwrap();
                large.headers_mut().insert("x-large", value);
                drop(Memo::of(&large, None));
                assert_eq!(pooled(), kept, "after a header of {bytes} bytes");
            }

            drop((0..2 * POOLED).map(|_| Memo::of(&request(), None)).collect::<Vec<_>>());
            assert_eq!(pooled(), POOLED);
        };
        std::thread::spawn(on_a_thread_of_its_own).join().unwrap();
    }

    #[test]
    fn p9_nothing_is_rebuilt_that_was_not_written_down() {
        let relative = Request::get("/api/v2/events").body(()).unwrap();
        assert!(Memo::of(&relative, None).rebuild(()).is_none());
        assert!(Memo::blank().rebuild(()).is_none());
    }
}
