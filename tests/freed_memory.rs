//! P5: what this crate frees holds no token. An allocator looks into each block that is freed while a
//! case runs. Blocks of other crates that do hold one are named, with the reason.
//!
//! The fake server runs on threads of its own, which are not looked at: it stands for another machine.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::sync::oneshot;
use tower::{Layer, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::refresh::{RefreshEncoding, ResponseFormat};
use tower_teamup_auth::store::{
    EncryptionKey, Expected, FileStore, LoginId, RecordContent, Sealing, StoredRecord, TokenStore,
};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::{AccessToken, RefreshToken};
use tower_teamup_auth::{AuthLayer, Credentials, RequestMode, TokenSet};
use zeroize::Zeroizing;

/// Every token of this test begins like this.
const MARK: &[u8] = b"m4rked-";

struct Scanning;

#[global_allocator]
static ALLOCATOR: Scanning = Scanning;

static LOOKS: AtomicBool = AtomicBool::new(false);

/// Where each block with a token was freed.
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    /// Of a thread of the server, or of one that notes what it has found.
    static IS_EXEMPT: Cell<bool> = const { Cell::new(false) };
}

fn look_into(block: &[u8]) {
    if !LOOKS.load(Ordering::Relaxed) || !block.windows(MARK.len()).any(|window| window == MARK) {
        return;
    }
    // On a thread that is ending nothing is noted any more; none of these tests ends one.
    let is_exempt = IS_EXEMPT.try_with(|exempt| exempt.replace(true)).unwrap_or(true);
    if !is_exempt {
        FOUND.lock().unwrap().push(Backtrace::force_capture().to_string());
        IS_EXEMPT.set(false);
    }
}

// The trait demands `unsafe`. A block is read before it goes back to the system's allocator, while it
// is still the caller's.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Scanning {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that all of it may be read, and nothing of an earlier block is found in it.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        look_into(unsafe { std::slice::from_raw_parts(pointer, layout.size()) });
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // Always to another place, as it may happen to any block.
        unsafe {
            let new = self.alloc(new_layout);
            if !new.is_null() {
                new.copy_from_nonoverlapping(pointer, layout.size().min(new_size));
                self.dealloc(pointer, layout);
            }
            new
        }
    }
}

/// Crates whose buffers hold a token and are not wiped, by the call that frees one. `SECURITY.md` names
/// them.
const NAMED: [(&str, &str); 3] = [
    ("http::header::value::HeaderValue", "the value of `Authorization`, which all requests share"),
    ("bytes::bytes_mut::Shared", "what hyper reads from a connection"),
    ("hyper::proto::h1::io::Cursor<alloc::vec::Vec<u8>>", "what hyper writes to a connection"),
];

/// The tests of a process run one after the other: they share the allocator.
fn one_after_another() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where blocks with a token were freed while `case` ran, by the name that they have in `NAMED`.
#[derive(Default)]
struct Freed {
    named: BTreeSet<&'static str>,
    unnamed: Vec<String>,
}

impl Freed {
    fn in_case(case: impl FnOnce()) -> Self {
        LOOKS.store(true, Ordering::SeqCst);
        case();
        LOOKS.store(false, Ordering::SeqCst);
        let mut freed = Freed::default();
        for backtrace in std::mem::take(&mut *FOUND.lock().unwrap()) {
            match named(&backtrace) {
                Some(name) => drop(freed.named.insert(name)),
                None => freed.unnamed.push(backtrace),
            }
        }
        freed
    }

    #[track_caller]
    fn check(&self, case: &str) {
        let first = self.unnamed.first();
        assert!(first.is_none(), "{case}: a freed block holds a token: {}", first.unwrap());
    }
}

/// The entry of `NAMED` that a block belongs to. What is freed by a call of this crate, before one of
/// those is met, belongs to none.
fn named(backtrace: &str) -> Option<&'static str> {
    let calls = calls(backtrace);
    // Of a field of this crate's types `drop_in_place` names the type, further out than the block's own.
    let inner = calls.iter().take_while(|call| !call.contains("tower_teamup_auth::"));
    let of = |call: &&str| NAMED.iter().find(|(name, _)| call.contains(name));
    inner.filter_map(of).map(|(name, _)| *name).next()
}

/// The calls on the way to the place where a block was freed, innermost first.
fn calls(backtrace: &str) -> Vec<&str> {
    let calls = backtrace.lines().filter_map(|line| {
        let (number, name) = line.trim().split_once(": ")?;
        number.parse::<u32>().ok().map(|_| name)
    });
    calls.collect()
}

fn tokens() -> TokenSet {
    TokenSet::new(RefreshToken::new("m4rked-refresh-0").unwrap()).with_access_token(
        RequestMode::Customer,
        AccessToken::new("m4rked-access-0").unwrap(),
        None,
    )
}

fn record() -> StoredRecord {
    let login: LoginId = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
    StoredRecord::new(login, 1, RecordContent::Tokens(tokens()))
}

fn block_on(task: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(task);
}

/// A server whose threads are not looked at, and what stops it when it is dropped.
fn start_server() -> (FakeTeamUp, oneshot::Sender<()>) {
    let (started, server) = mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    std::thread::spawn(move || {
        IS_EXEMPT.set(true);
        block_on(async {
            started.send(FakeTeamUp::start().await).unwrap();
            let _ = stopped.await;
        });
    });
    (server.recv().unwrap(), stop)
}

#[test]
fn p5_a_text_that_is_freed_unwiped_is_found_and_a_wiped_one_is_not() {
    let _alone = one_after_another();
    let unwiped = Freed::in_case(|| drop(String::from("a m4rked-text")));
    assert_eq!(unwiped.unnamed.len(), 1);
    let grown = Freed::in_case(|| {
        let mut text = Zeroizing::new(String::from("m4rked-text"));
        text.push_str(" that grows");
    });
    assert_eq!(grown.unnamed.len(), 1, "what a growing text leaves behind");
    Freed::in_case(|| drop(Zeroizing::new(String::from("m4rked-text")))).check("a wiped text");
}

#[test]
fn p5_tokens_and_records_leave_nothing_in_freed_memory() {
    let _alone = one_after_another();
    Freed::in_case(|| drop(tokens().clone())).check("tokens");
    Freed::in_case(|| {
        let mut text = String::with_capacity(100);
        text.push_str("m4rked-token");
        drop(AccessToken::new(text).unwrap());
        drop(RefreshToken::new("m4rked-token that is refused\n").unwrap_err());
    })
    .check("a text with room to spare, and one that is no token");
    Freed::in_case(|| {
        let json = record().to_json();
        assert_eq!(StoredRecord::from_json(json.as_bytes()).unwrap(), record());
    })
    .check("to_json, from_json");
    for json in [
        r#"{"version":1,"refresh_token":"m4rked-refr\u0065sh\/1"}"#,
        r#"{"version":1,"refresh_token":"m4rked-refr\u0065sh\n"}"#,
        r#"{"version":1,"refresh_token":"m4rked-refr\u0065sh\/1""#,
    ] {
        Freed::in_case(|| drop(StoredRecord::from_json(json.as_bytes()))).check(json);
    }
}

#[test]
fn p5_stores_leave_nothing_in_freed_memory() {
    let _alone = one_after_another();
    let folder = tempfile::tempdir().unwrap();
    let key = EncryptionKey::from_bytes([7; 32]);
    for (name, sealing) in [("plain", None), ("sealed", Some(Sealing::new(key)))] {
        Freed::in_case(|| {
            block_on(async {
                let mut store = FileStore::new(folder.path().join(name));
                if let Some(sealing) = sealing {
                    store = store.seal_with(sealing);
                }
                let lease = store.try_acquire().await.unwrap().lease.unwrap();
                store.save(&lease, Expected::Empty, &record()).await.unwrap();
                store.release(lease).await.unwrap();
                assert_eq!(store.load().await.unwrap(), Some(record()));
            });
        })
        .check(name);
    }
}

/// Answers of the refresh endpoint: with escapes, other ends of lines, and errors that quote the token.
const ANSWERS: [(u16, &str, &str); 8] = [
    (
        200,
        "application/json",
        r#"{"access_token":"m4rked-access-1","expires_in":7200,"refresh_token":"m4rked-refresh-1"}"#,
    ),
    (
        200,
        "application/json",
        r#"{"access_token":"m4rked-acc\u0065ss\/1","expires_in":7200,"refresh_token":"m4rked-\u0065\/1"}"#,
    ),
    (
        200,
        "application/xml",
        "<root><access_token>m4rked-access-1</access_token><expires_in>7200</expires_in>\
         <refresh_token>m4rked-refresh-1</refresh_token></root>",
    ),
    (
        200,
        "application/xml",
        "<root><access_token>\r\nm4rked-access-&#49;\r\n</access_token><expires_in/>\
         <refresh_token>m4rked-refresh-&#49;&amp;<![CDATA[\r\nm4rked-]]></refresh_token></root>",
    ),
    (200, "application/json", r#"{"access_token":"m4rked-access-1","refresh_token":"m4rked-re"#),
    (
        200,
        "application/json",
        "{\"access_token\":\"m4rked-access-1\",\"refresh_token\":\"m4rked-\u{e9}\"}",
    ),
    (
        400,
        "application/json",
        r#"{"code":"c","message":"m4rked-refresh-0 is \"spent\"","type":"invalid_request_error",
            "field_errors":{"refresh_token":["m4rked-refresh-0","m4rked-refresh-0\n","3","4","5","6","7","8","m4rked-refresh-0"]}}"#,
    ),
    (
        401,
        "application/xml",
        "<root><code>c</code><message>m4rked-refresh-0 &amp; m4rked-refresh-0</message><type>t</type>\
         <field_errors><refresh_token><list-item>m4rked-refresh-0</list-item></refresh_token>\
         </field_errors></root>",
    ),
];

async fn refresh_once(server: &FakeTeamUp, encoding: RefreshEncoding, format: ResponseFormat) {
    let credentials = Credentials::builder(RequestMode::Customer)
        .base_url(server.base_url())
        .tokens(tokens())
        .refresh_encoding(encoding)
        .response_format(format)
        .build()
        .await
        .unwrap();
    // Some of the answers are errors.
    drop(credentials.refresh(RequestMode::Customer).await);
    drop(credentials.shutdown().await);
}

#[test]
fn p5_a_refresh_in_every_form_leaves_nothing_but_what_is_named_in_freed_memory() {
    let _alone = one_after_another();
    let (server, _stop) = start_server();
    let mut named = BTreeSet::new();
    for encoding in [RefreshEncoding::Json, RefreshEncoding::Form, RefreshEncoding::Multipart] {
        for (status, content_type, body) in ANSWERS {
            let status = StatusCode::from_u16(status).unwrap();
            let is_json = content_type == "application/json";
            let format = if is_json { ResponseFormat::Json } else { ResponseFormat::Xml };
            let fault = Fault::status(status).body(content_type, body.as_bytes());
            server.fail_every_refresh(fault);
            let freed = Freed::in_case(|| block_on(refresh_once(&server, encoding, format)));
            freed.check(&format!("{encoding:?} {status} {body}"));
            named.extend(freed.named);
        }
    }
    // A request that carries a token, and its retry.
    let (_, content_type, body) = ANSWERS[0];
    server.fail_every_refresh(Fault::status(StatusCode::OK).body(content_type, body.as_bytes()));
    let freed = Freed::in_case(|| {
        block_on(async {
            let client: HyperClient = hyper_client();
            let credentials = Credentials::builder(RequestMode::Customer)
                .base_url(server.base_url())
                .tokens(tokens())
                .build()
                .await
                .unwrap();
            let api = AuthLayer::new(credentials.clone()).layer(client);
            let body = Full::from("a body of the program's own");
            let request = Request::post(server.url("/events")).body(body).unwrap();
            assert_eq!(api.oneshot(request).await.unwrap().status(), StatusCode::UNAUTHORIZED);
            drop(credentials.shutdown().await);
        });
    });
    freed.check("a request and its retry");
    named.extend(freed.named);
    // Whoever is named and does nothing of the kind any more must not be named.
    assert_eq!(named, NAMED.iter().map(|(name, _)| *name).collect());
}
