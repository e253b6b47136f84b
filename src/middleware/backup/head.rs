//! The head of one request, written down as bytes.
//!
//! In memory that is used again and again: each thread keeps the sheets that its requests have
//! returned, wiped, in a pile.

use std::cell::Cell;

use http::uri::PathAndQuery;
use http::{Extensions, Method, Request, Uri, Version};

use super::pad::{Pad, read_headers};
use crate::credentials::Credentials;
use crate::origin::{Allowed, Origins};

/// So many sheets wait for their next request on each thread; more are freed.
const PILED: usize = 64;

/// A sheet that grew beyond this (bytes) is freed and not kept.
const KEPT_CAPACITY: usize = 4096;

/// The head of one request, as far as it has to be remembered. Goes back to the pile when it is
/// dropped, and what it held is wiped.
pub(super) struct Head(
    /// `None` where there is nothing to remember.
    Option<Box<Sheet>>,
);

struct Sheet {
    /// While it waits in the pile: what lies below, and how many.
    below: Option<Box<Sheet>>,
    depth: usize,
    brought: Option<Box<Brought>>,
    method: Method,
    version: Version,
    origin: Allowed,
    /// Path and query, then each header.
    pad: Pad,
    /// 0 where nothing is written: an absolute URI has a path.
    path_len: usize,
}

/// What only few requests bring along.
#[derive(Default)]
pub(super) struct Brought {
    /// `None`: they are the layer's.
    pub(super) credentials: Option<Credentials>,
    pub(super) extensions: Extensions,
    /// `Some` where the origin was rewritten.
    pub(super) uri: Option<Uri>,
}

thread_local! {
    /// The uppermost of the sheets that wait; each holds the one below.
    static PILE: Cell<Option<Box<Sheet>>> = const { Cell::new(None) };
}

impl Head {
    /// With nothing to remember.
    pub(super) const fn blank() -> Self {
        Head(None)
    }

    /// Of a request that can be repeated: written down.
    #[inline(always)]
    pub(super) fn of<B>(request: &Request<B>, origin: Allowed) -> Self {
        let mut sheet = Sheet::from_pile();
        sheet.write(request, origin);
        Head(Some(sheet))
    }

    /// Remembers what a request brought along, if it is anything.
    pub(super) fn add(&mut self, brought: Brought) {
        let Brought { credentials, extensions, uri } = &brought;
        if credentials.is_some() || !extensions.is_empty() || uri.is_some() {
            self.0.get_or_insert_with(Sheet::from_pile).brought = Some(Box::new(brought));
        }
    }

    /// The credentials that the request brought, if it brought any.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.0.as_ref()?.brought.as_ref()?.credentials.as_ref()
    }

    /// The request again, with another body; `None` if its head was not written down.
    pub(super) fn rebuild<B>(&mut self, body: B, origins: &Origins) -> Option<Request<B>> {
        let sheet = self.0.as_deref_mut().filter(|sheet| sheet.path_len > 0)?;
        let brought = sheet.brought.take().map_or_else(Brought::default, |brought| *brought);
        let (path, headers) = sheet.pad.written().split_at(sheet.path_len);
        let mut request = Request::new(body);
        *request.method_mut() = sheet.method.clone();
        *request.version_mut() = sheet.version;
        *request.uri_mut() = match brought.uri {
            Some(uri) => uri,
            None => origins.uri(sheet.origin, path)?,
        };
        read_headers(headers, request.headers_mut())?;
        *request.extensions_mut() = brought.extensions;
        Some(request)
    }
}

impl Sheet {
    fn blank() -> Self {
        Sheet {
            below: None,
            depth: 0,
            brought: None,
            method: Method::GET,
            version: Version::HTTP_11,
            origin: Allowed::BASE,
            pad: Pad::default(),
            path_len: 0,
        }
    }

    /// The uppermost of the pile, or a new one.
    #[inline(always)]
    fn from_pile() -> Box<Self> {
        let uppermost = PILE.try_with(|pile| {
            let mut sheet = pile.take()?;
            pile.set(sheet.below.take());
            Some(sheet)
        });
        uppermost.ok().flatten().unwrap_or_else(|| Box::new(Sheet::blank()))
    }

    /// Writes the head of a request down.
    #[inline]
    fn write<B>(&mut self, request: &Request<B>, origin: Allowed) {
        let path = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
        self.pad.fill(|room| {
            room.write(path.as_bytes())?;
            request.headers().iter().try_for_each(|(name, value)| room.write_header(name, value))
        });
        self.method = request.method().clone();
        self.version = request.version();
        self.origin = origin;
        self.path_len = path.len();
    }

    /// Nothing of one request is left for the next: a cookie or another secret of the caller's may
    /// have stood in its headers.
    #[inline]
    fn wipe(&mut self) {
        self.pad.wipe();
        self.path_len = 0;
        self.brought = None;
    }
}

impl Drop for Head {
    #[inline]
    fn drop(&mut self) {
        if let Some(sheet) = self.0.take() {
            return_to_pile(sheet);
        }
    }
}

fn return_to_pile(mut sheet: Box<Sheet>) {
    sheet.wipe();
    if sheet.pad.capacity() > KEPT_CAPACITY {
        return;
    }
    // On a thread that is ending there is no pile any more, and the sheet is freed.
    let _ = PILE.try_with(|pile| {
        sheet.below = pile.take();
        sheet.depth = sheet.below.as_ref().map_or(0, |below| below.depth + 1);
        if sheet.depth < PILED {
            pile.set(Some(sheet));
        } else {
            pile.set(sheet.below.take());
        }
    });
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn head_of(request: &Request<()>) -> Head {
        Head::of(request, Allowed::BASE)
    }

    fn request() -> Request<()> {
        Request::patch("https://goteamup.com/api/v2/events?page=2")
            .header("cookie", "session=s3cret")
            .body(())
            .unwrap()
    }

    fn a_rewritten_origin() -> Brought {
        let uri = Some(Uri::from_static("https://goteamup.com:443/"));
        Brought { uri, ..Brought::default() }
    }

    #[test]
    fn p5_a_sheet_that_is_used_again_knows_nothing_of_the_request_before() {
        let mut head = head_of(&request());
        head.add(a_rewritten_origin());
        drop(head);

        let sheet = Sheet::from_pile();
        assert!(sheet.pad.is_wiped());
        assert!(sheet.brought.is_none() && sheet.path_len == 0);
    }

    #[test]
    fn p9_nothing_is_rebuilt_that_was_not_written_down() {
        let mut head = Head::blank();
        head.add(a_rewritten_origin());
        assert!(head.rebuild((), &Origins::of(&["https://goteamup.com"])).is_none());
    }

    #[test]
    fn a_sheet_waits_for_the_next_request_unless_it_grew_large_or_enough_are_there() {
        fn waiting() -> usize {
            let uppermost = PILE.take();
            let count = uppermost.as_ref().map_or(0, |sheet| sheet.depth + 1);
            PILE.set(uppermost);
            count
        }
        let on_a_thread_of_its_own = || {
            for (bytes, kept) in [(0, 1), (KEPT_CAPACITY - 1024, 1), (KEPT_CAPACITY, 0)] {
                let mut large = request();
                let value = HeaderValue::try_from("x".repeat(bytes)).unwrap();
                large.headers_mut().insert("x-large", value);
                drop(head_of(&large));
                assert_eq!(waiting(), kept, "after a header of {bytes} bytes");
            }

            drop((0..2 * PILED).map(|_| head_of(&request())).collect::<Vec<_>>());
            assert_eq!(waiting(), PILED);
            drop([head_of(&request()), head_of(&request())]);
            assert_eq!(waiting(), PILED);
        };
        std::thread::spawn(on_a_thread_of_its_own).join().unwrap();
    }
}
