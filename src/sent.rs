//! What is remembered of a request while its answer is awaited, so that it can be repeated.
//!
//! Only a 401 needs it, so the path of every request pays for remembering, not for cloning: the
//! head is written down as bytes, in memory that is used again and again, before the secret is put
//! in; it becomes a request only when the rare 401 comes. Extensions can't be written down and are
//! cloned, where there are any.

use std::cell::RefCell;
use std::fmt;

use http::header::{HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Extensions, HeaderMap, Method, Request, Uri, Version};

use crate::admit::{Choices, Grant};
use crate::credentials::{Credentials, Generation};

/// So many memos wait for their next request on each thread; more are freed.
const POOLED: usize = 64;

/// A memo that grew beyond this (bytes) is freed and not kept.
const KEPT_CAPACITY: usize = 4096;

/// What is remembered of one request. Goes back to the pool when it is dropped, and what it held is
/// wiped.
pub(crate) struct Sent(
    /// `Some` until it is dropped.
    Option<Box<Memo>>,
);

struct Memo {
    generation: Generation,
    choices: Choices,
    /// `Some` where the request brought them; else they are the layer's.
    credentials: Option<Credentials>,
    /// `Some` where the request can be repeated as far as its head goes.
    method: Option<Method>,
    version: Version,
    https: bool,
    /// Authority, path and query, then each header: all of it in one piece.
    bytes: Vec<u8>,
    authority_len: usize,
    path_len: usize,
    extensions: Extensions,
}

thread_local! {
    #[expect(clippy::vec_box, reason = "a memo travels as the pointer that a request holds")]
    static POOL: RefCell<Vec<Box<Memo>>> = const { RefCell::new(Vec::new()) };
}

impl Sent {
    pub(crate) fn new(grant: &Grant<'_>, generation: Generation) -> Self {
        let mut memo = POOL
            .try_with(|pool| pool.borrow_mut().pop())
            .ok()
            .flatten()
            .unwrap_or_else(|| Box::new(Memo::blank(generation, grant.choices)));
        memo.generation = generation;
        memo.choices = grant.choices;
        if grant.brought {
            memo.credentials = Some(grant.credentials.clone());
        }
        Sent(Some(memo))
    }

    pub(crate) fn generation(&self) -> Generation {
        self.memo().generation
    }

    pub(crate) fn choices(&self) -> Choices {
        self.memo().choices
    }

    /// The generation of the token that the request carries after all.
    pub(crate) fn now_sent_with(&mut self, generation: Generation) {
        self.memo_mut().generation = generation;
    }

    /// The credentials that the request brought, if it brought any.
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.memo().credentials.as_ref()
    }

    /// Writes the head of a request down, before any secret of ours is in it.
    pub(crate) fn record<B>(&mut self, request: &Request<B>) {
        let memo = self.memo_mut();
        let uri = request.uri();
        let authority = uri.authority().map_or("", Authority::as_str);
        let path = uri.path_and_query().map_or("", PathAndQuery::as_str);
        memo.method = Some(request.method().clone());
        memo.version = request.version();
        memo.https = uri.scheme() == Some(&Scheme::HTTPS);
        memo.authority_len = authority.len();
        memo.path_len = path.len();
        memo.bytes.extend_from_slice(authority.as_bytes());
        memo.bytes.extend_from_slice(path.as_bytes());
        for (name, value) in request.headers() {
            write_header(&mut memo.bytes, name, value);
        }
        if !request.extensions().is_empty() {
            memo.extensions = request.extensions().clone();
        }
    }

    /// The request again, as it was recorded; `None` if it was not.
    pub(crate) fn rebuild<B>(&mut self, body: B) -> Option<Request<B>> {
        let memo = self.memo_mut();
        let mut request = Request::new(body);
        *request.method_mut() = memo.method.take()?;
        *request.version_mut() = memo.version;
        let (authority, rest) = memo.bytes.split_at(memo.authority_len);
        let (path, headers) = rest.split_at(memo.path_len);
        *request.uri_mut() = Uri::builder()
            .scheme(if memo.https { Scheme::HTTPS } else { Scheme::HTTP })
            .authority(authority)
            .path_and_query(path)
            .build()
            .ok()?;
        read_headers(headers, request.headers_mut())?;
        *request.extensions_mut() = std::mem::take(&mut memo.extensions);
        Some(request)
    }

    fn memo(&self) -> &Memo {
        self.0.as_deref().expect("there until it is dropped")
    }

    fn memo_mut(&mut self) -> &mut Memo {
        self.0.as_deref_mut().expect("there until it is dropped")
    }
}

impl Memo {
    fn blank(generation: Generation, choices: Choices) -> Self {
        Memo {
            generation,
            choices,
            credentials: None,
            method: None,
            version: Version::HTTP_11,
            https: true,
            bytes: Vec::new(),
            authority_len: 0,
            path_len: 0,
            extensions: Extensions::new(),
        }
    }

    /// Nothing of one request is left for the next: a cookie or another secret of the caller's may
    /// have stood in its headers.
    fn wipe(&mut self) {
        self.credentials = None;
        self.method = None;
        self.bytes.fill(0);
        self.bytes.clear();
        if !self.extensions.is_empty() {
            self.extensions = Extensions::new();
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let Some(mut memo) = self.0.take() else { return };
        memo.wipe();
        if memo.bytes.capacity() > KEPT_CAPACITY {
            return;
        }
        // On a thread that is ending there is no pool any more, and the memo is freed.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOLED {
                pool.push(memo);
            }
        });
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent")
            .field("generation", &self.generation())
            .field("choices", &self.choices())
            .finish_non_exhaustive()
    }
}

/// The highest bit of a written value's length says that the value is sensitive.
const SENSITIVE: u32 = 1 << 31;

fn write_header(bytes: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    let name = name.as_str().as_bytes();
    // A header name is at most 64 KiB long, and a value fits its half of 32 bits.
    let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
    let value_len = u32::try_from(value.len()).unwrap_or(SENSITIVE - 1) & !SENSITIVE;
    let flags = if value.is_sensitive() { SENSITIVE } else { 0 };
    bytes.extend_from_slice(&name_len.to_le_bytes());
    bytes.extend_from_slice(&(value_len | flags).to_le_bytes());
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(value.as_bytes());
}

fn read_headers(mut bytes: &[u8], headers: &mut HeaderMap) -> Option<()> {
    while !bytes.is_empty() {
        let (name_len, rest) = bytes.split_first_chunk()?;
        let (value_len, rest) = rest.split_first_chunk()?;
        let value_len = u32::from_le_bytes(*value_len);
        let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*name_len).into())?;
        let (value, rest) = rest.split_at_checked((value_len & !SENSITIVE) as usize)?;
        let mut value = HeaderValue::from_bytes(value).ok()?;
        value.set_sensitive(value_len & SENSITIVE != 0);
        headers.try_append(HeaderName::from_bytes(name).ok()?, value).ok()?;
        bytes = rest;
    }
    Some(())
}
