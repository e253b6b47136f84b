//! The recording of a request: whatever stands in its head, both sends are that request and the
//! layer's own headers, and differ in the token alone.
#![no_main]

use std::sync::{Arc, Mutex};

use arbitrary::Arbitrary;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
use tower_teamup_auth::{AuthLayer, Credentials, PROVIDER_ID, REQUEST_MODE, RequestMode, TokenSet};

#[derive(Arbitrary, Debug)]
struct Sent {
    method: u8,
    own_method: String,
    path: String,
    query: Option<String>,
    port: bool,
    version: u8,
    headers: Vec<(Name, Vec<u8>, bool)>,
    extension: Option<u32>,
    body: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Name {
    Of(String),
    Accept,
    Cookie,
    ContentType,
    Host,
}

#[derive(Clone, Debug, PartialEq)]
struct Extension(u32);

/// A request as the inner service saw it.
struct Seen {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    extension: Option<Extension>,
    body: Bytes,
}

impl Seen {
    fn of(request: &Request<Full<Bytes>>) -> Self {
        let mut body = request.body().clone();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut bytes = Vec::new();
        while let std::task::Poll::Ready(Some(Ok(frame))) =
            http_body::Body::poll_frame(std::pin::Pin::new(&mut body), &mut context)
        {
            bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
        Seen {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: request.headers().clone(),
            extension: request.extensions().get().cloned(),
            body: bytes.into(),
        }
    }
}

/// Mints without a network.
struct Mint;

impl Refresh for Mint {
    async fn refresh(&self, _request: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        let access_token =
            "second".parse().map_err(|_| RefreshError::outcome_unknown("a token"))?;
        let refresh_token = "next".parse().map_err(|_| RefreshError::outcome_unknown("a token"))?;
        Ok(RefreshResponse::new(access_token, None, refresh_token))
    }
}

/// The names of values, and whether each is marked sensitive, in order for each name.
fn sensitivity(headers: &HeaderMap) -> Vec<(String, bool)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.is_sensitive())).collect()
}

fn request(sent: &Sent) -> Option<Request<Full<Bytes>>> {
    let method = match sent.method % 6 {
        0 => Method::GET,
        1 => Method::POST,
        2 => Method::PUT,
        3 => Method::PATCH,
        4 => Method::DELETE,
        _ => Method::from_bytes(sent.own_method.as_bytes()).ok()?,
    };
    let port = if sent.port { ":443" } else { "" };
    let query = sent.query.as_ref().map_or(String::new(), |query| format!("?{query}"));
    let uri: Uri = format!("https://goteamup.com{port}/{}{query}", sent.path).parse().ok()?;
    let version = [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2, Version::HTTP_3];
    let mut request = Request::new(Full::from(sent.body.clone()));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = version[usize::from(sent.version % 4)];
    for (name, value, sensitive) in &sent.headers {
        let name = match name {
            Name::Of(name) => HeaderName::from_bytes(name.as_bytes()).ok()?,
            Name::Accept => http::header::ACCEPT,
            Name::Cookie => http::header::COOKIE,
            Name::ContentType => http::header::CONTENT_TYPE,
            Name::Host => http::header::HOST,
        };
        // Those are decisions of the request's own, and not what is looked at here.
        if [AUTHORIZATION, REQUEST_MODE, PROVIDER_ID].contains(&name) {
            return None;
        }
        // A request whose `Host` names another host carries no token.
        if name == http::header::HOST {
            request.headers_mut().insert(name, HeaderValue::from_static("goteamup.com"));
            continue;
        }
        let mut value = HeaderValue::from_bytes(value).ok()?;
        value.set_sensitive(*sensitive);
        request.headers_mut().append(name, value);
    }
    if let Some(extension) = sent.extension {
        request.extensions_mut().insert(Extension(extension));
    }
    Some(request)
}

thread_local! {
    static RUNTIME: Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
}

async fn both_sends(request: Request<Full<Bytes>>) -> Vec<Seen> {
    let tokens = TokenSet::new("first".parse().expect("a token")).with_access_token(
        RequestMode::Provider,
        "first".parse().expect("a token"),
        None,
    );
    let credentials = Credentials::builder(RequestMode::Provider)
        .provider_id(7)
        .tokens(tokens)
        .refresh_with(Mint)
        .build()
        .await
        .expect("good settings");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let book = Arc::clone(&seen);
    let client = service_fn(move |request: Request<Full<Bytes>>| {
        let mut book = book.lock().expect("no panic");
        book.push(Seen::of(&request));
        let status = if book.len() == 1 { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = status;
        async move { Ok::<_, BoxError>(response) }
    });
    let response = AuthLayer::new(credentials).layer(client).oneshot(request).await;
    assert_eq!(response.expect("an answer").status(), StatusCode::OK);
    Arc::into_inner(seen).map_or_else(Vec::new, |seen| seen.into_inner().expect("no panic"))
}

fuzz_target!(|sent: Sent| {
    let Some(request) = request(&sent) else { return };
    let original = Seen::of(&request);
    let sends = RUNTIME.with(|runtime| runtime.block_on(both_sends(request)));
    assert_eq!(sends.len(), 2);
    for (mut send, token) in sends.into_iter().zip(["Bearer first", "Bearer second"]) {
        for (name, value) in
            [(AUTHORIZATION, token), (REQUEST_MODE, "provider"), (PROVIDER_ID, "7")]
        {
            let carried = send.headers.remove(&name).expect("the layer sets it");
            assert_eq!(carried, value);
            assert!(name != AUTHORIZATION || carried.is_sensitive());
        }
        assert_eq!(send.method, original.method);
        assert_eq!(send.uri, original.uri);
        assert_eq!(send.uri.to_string(), original.uri.to_string());
        assert_eq!(send.version, original.version);
        assert_eq!(send.extension, original.extension);
        assert_eq!(send.body, original.body);
        assert_eq!(send.headers, original.headers);
        let mut flags = [sensitivity(&send.headers), sensitivity(&original.headers)];
        // Removing shuffles names, never the values of one.
        flags.iter_mut().for_each(|flags| flags.sort_by(|one, other| one.0.cmp(&other.0)));
        assert_eq!(flags[0], flags[1]);
    }
});
