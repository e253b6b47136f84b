use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Response;
use http::header::RETRY_AFTER;
use http_body_util::{BodyExt, Full};
use tower::service_fn;

use super::*;
use crate::headers::RequestMode;
use crate::refresh::{FailureClass, is_refresh_request};
use crate::token::RefreshToken;

const SENT: &str = "s3cret-refresh-token";
const GRANTED: &str = r#"{"access_token":"a-2","expires_in":7200,"refresh_token":"r-2"}"#;

fn request() -> RefreshRequest {
    RefreshRequest::new(RefreshToken::new(SENT).unwrap(), RequestMode::Provider)
}

fn endpoint(transport: Transport, base: &str) -> Endpoint {
    let base = base.parse().unwrap();
    Endpoint::new(transport, &base, vec![], RefreshEncoding::Json, None, Clock::system())
}

fn json(status: u16, body: &'static str) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(Full::from(body)).unwrap()
}

type Seen = Arc<Mutex<Vec<Request<Full<Bytes>>>>>;

/// A client that grants every refresh, and the requests that it saw.
fn granting() -> (Transport, Seen) {
    let seen = Seen::default();
    let journal = seen.clone();
    let client = service_fn(move |request: Request<Full<Bytes>>| {
        journal.lock().unwrap().push(request);
        ready(Ok::<_, Infallible>(json(200, GRANTED)))
    });
    (Transport::over(client), seen)
}

#[tokio::test]
async fn the_path_follows_the_base_with_a_single_slash() {
    let (transport, seen) = granting();
    for (base, uri) in [
        ("https://goteamup.com/api/v2", "https://goteamup.com/api/v2/auth/refresh_access_token"),
        ("https://goteamup.com/api/v2/", "https://goteamup.com/api/v2/auth/refresh_access_token"),
        ("https://goteamup.com/api/v2//", "https://goteamup.com/api/v2/auth/refresh_access_token"),
        ("https://goteamup.com", "https://goteamup.com/auth/refresh_access_token"),
        ("http://127.0.0.1:8080/?a=b", "http://127.0.0.1:8080/auth/refresh_access_token"),
        ("http://[::1]:80/x", "http://[::1]:80/x/auth/refresh_access_token"),
    ] {
        endpoint(transport.clone(), base).refresh(request()).await.unwrap();
        assert_eq!(seen.lock().unwrap().pop().unwrap().uri(), uri);
    }
}

#[tokio::test]
async fn the_request_says_what_teamup_documents_and_is_marked_as_a_refresh_request() {
    let (transport, seen) = granting();
    let granted = endpoint(transport, "https://goteamup.com/api/v2").refresh(request()).await;
    assert_eq!(granted.unwrap().refresh_token.unwrap().expose(), "r-2");
    let sent = seen.lock().unwrap().pop().unwrap();
    assert_eq!(sent.method(), Method::POST);
    assert_eq!(sent.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(sent.headers()[ACCEPT], "application/json");
    assert_eq!(sent.headers()[ACCEPT_ENCODING], "identity");
    assert_eq!(sent.headers().len(), 3);
    assert!(is_refresh_request(sent.extensions()));
    let body = sent.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        body,
        r#"{"refresh_token":"s3cret-refresh-token","new_access_token_type":"provider"}"#
    );
}

#[tokio::test]
async fn a_format_that_was_chosen_stands_in_the_query_and_in_accept() {
    for (format, query, accept) in [
        (None, None, "application/json"),
        (Some(ResponseFormat::Json), Some("format=json"), "application/json"),
        #[cfg(feature = "xml")]
        (Some(ResponseFormat::Xml), Some("format=xml"), "application/xml"),
    ] {
        let (transport, seen) = granting();
        let base = Uri::from_static("https://goteamup.com/api/v2/");
        let (scope, form) = (vec!["read_write".to_owned()], RefreshEncoding::Form);
        let endpoint = Endpoint::new(transport, &base, scope, form, format, Clock::system());
        // The response is JSON all the same, and read as such.
        endpoint.refresh(request()).await.unwrap();
        let sent = seen.lock().unwrap().pop().unwrap();
        assert_eq!(sent.uri().query(), query);
        assert_eq!(sent.headers()[ACCEPT], accept);
        assert_eq!(sent.headers()[CONTENT_TYPE], "application/x-www-form-urlencoded");
        let body = sent.into_body().collect().await.unwrap().to_bytes();
        assert!(body.ends_with(b"&scope=read_write&new_access_token_type=provider"));
    }
}

#[tokio::test]
async fn a_failure_keeps_its_class_its_reasons_and_its_wait() {
    let client = service_fn(|_: Request<Full<Bytes>>| {
        let mut response = json(429, r#"{"code":"throttled"}"#);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("30"));
        ready(Ok::<_, Infallible>(response))
    });
    let endpoint = endpoint(Transport::over(client), "https://goteamup.com/api/v2");
    let error = endpoint.refresh(request()).await.unwrap_err();
    assert_eq!(error.class(), FailureClass::Transient);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(error.api_error().unwrap().code, "throttled");
}

#[tokio::test]
async fn a_base_that_no_url_can_be_made_of_is_an_error_before_anything_is_sent() {
    let (transport, seen) = granting();
    // The builder lets no such base in.
    let error = endpoint(transport, "goteamup.com:443").refresh(request()).await.unwrap_err();
    assert_eq!(error.class(), FailureClass::Configuration);
    assert!(error.to_string().contains("base URL"), "{error}");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn p5_a_client_that_quotes_the_request_in_its_error_does_not_get_it_through() {
    let client = service_fn(|request: Request<Full<Bytes>>| {
        ready(Err::<Response<Full<Bytes>>, _>(format!("could not send {request:?}")))
    });
    let endpoint = endpoint(Transport::over(client), "https://goteamup.com/api/v2");
    let error = endpoint.refresh(request()).await.unwrap_err();
    let shown = format!("{error} {error:?} {} {endpoint:?}", error.source().unwrap());
    assert!(shown.contains("could not send"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

/// hyper-util's client, as a user hands it in.
#[cfg(any(feature = "hyper-plain", feature = "testing"))]
mod over_hyper_util {
    use http_body_util::Full;
    use hyper_util::client::legacy::{Client, Error};
    use hyper_util::rt::TokioExecutor;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn hyper_util() -> Transport {
        Transport::over(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>())
    }

    #[tokio::test]
    async fn p5_hyper_with_nobody_listening_has_sent_nothing_and_shows_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/api/v2", listener.local_addr().unwrap());
        drop(listener);
        let error = endpoint(hyper_util(), &base).refresh(request()).await.unwrap_err();
        assert_eq!(error.class(), FailureClass::Transient, "{error:?}");
        let source = error.source().unwrap().downcast_ref::<Error>();
        assert!(source.unwrap().is_connect());
        assert!(!format!("{error:?}").contains(SENT), "{error:?}");
    }

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

    /// A server that reads one refresh request and writes `reply`. The connection is closed then, or
    /// stays open until the handle is aborted.
    async fn server(reply: String, closes: bool) -> (String, tokio::task::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/api/v2", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"provider\"}") {
                assert_ne!(connection.read_buf(&mut seen).await.unwrap(), 0);
            }
            connection.write_all(reply.as_bytes()).await.unwrap();
            if !closes {
                std::future::pending::<()>().await;
            }
            seen
        });
        (base, server)
    }

    #[tokio::test]
    async fn p5_hyper_cut_off_after_the_request_leaves_the_outcome_unknown_and_shows_nothing() {
        let cut = &GRANTED[..GRANTED.len() - 1];
        for (reply, rotated) in [
            (String::new(), None),
            ("HTTP/1.1 200 O".to_owned(), None),
            ("nonsense\r\n\r\n".to_owned(), None),
            (format!("{HEAD}Content-Length: 999\r\n\r\n{cut}"), Some("r-2")),
            (format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n3d\r\n{cut}\r\n"), Some("r-2")),
            (format!("{HEAD}Content-Length: 999\r\n\r\n"), None),
        ] {
            assert_eq!(cut.len(), 0x3d);
            let (base, server) = server(reply.clone(), true).await;
            let mut error = endpoint(hyper_util(), &base).refresh(request()).await.unwrap_err();
            assert_eq!(error.class(), FailureClass::OutcomeUnknown, "{reply:?} {error:?}");
            assert!(error.source().is_some());
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(SENT) && !shown.contains("r-2"), "{shown}");
            assert_eq!(
                error.take_rotated().as_ref().map(RefreshToken::expose),
                rotated,
                "{reply:?}"
            );
            let seen = String::from_utf8(server.await.unwrap()).unwrap();
            assert!(
                seen.starts_with("POST /api/v2/auth/refresh_access_token HTTP/1.1\r\n"),
                "{seen}"
            );
        }
    }

    #[tokio::test]
    async fn a4_whole_document_is_used_though_the_end_of_its_body_never_comes() {
        for reply in [
            format!("{HEAD}Content-Length: 999\r\n\r\n{GRANTED}"),
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n3e\r\n{GRANTED}\r\n"),
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n3e\r\n{GRANTED}"),
            format!("{HEAD}Connection: close\r\n\r\n{GRANTED}\n"),
        ] {
            for closes in [false, true] {
                let (base, server) = server(reply.clone(), closes).await;
                let granted = endpoint(hyper_util(), &base).refresh(request()).await.unwrap();
                assert_eq!(granted.access_token.expose(), "a-2", "{reply:?}");
                assert_eq!(granted.refresh_token.unwrap().expose(), "r-2", "{reply:?}");
                server.abort();
            }
        }
    }
}

#[test]
fn debug_tells_where_it_asks_and_how() {
    let shown = format!("{:?}", endpoint(granting().0, "https://goteamup.com/api/v2"));
    for part in ["goteamup.com/api/v2", "Json"] {
        assert!(shown.contains(part), "{shown}");
    }
}
