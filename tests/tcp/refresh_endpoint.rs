//! The refresh endpoint as it is met in the field, over raw sockets: the cases by their numbers.

use std::sync::{Arc, Mutex};

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower_teamup_auth::RequestMode::{Customer, Provider};
use tower_teamup_auth::refresh::FailureClass::{
    self, Configuration, NotTheEndpoint, OutcomeUnknown, Transient,
};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::{Credentials, CredentialsBuilder, Error, TokenSet};

use crate::support::{
    Protocol, assert_no_token, credentials, expired_tokens, layered, status, words,
};
use crate::witness;

/// A server that writes what it is told to, byte for byte, and then keeps the connection open.
struct RawEndpoint {
    base_url: String,
    /// The requests that came, heads and bodies.
    requests: Arc<Mutex<Vec<String>>>,
}

impl RawEndpoint {
    /// Answers each request with the next of `responses`, and all further ones with the last.
    async fn start(responses: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/api/v2", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut open = Vec::new();
            let mut responses = responses.into_iter();
            let mut last = Vec::new();
            while let Ok((mut connection, _)) = listener.accept().await {
                let request = read_request(&mut connection).await;
                seen.lock().unwrap().push(request);
                last = responses.next().unwrap_or(last);
                connection.write_all(&last).await.unwrap();
                open.push(connection);
            }
        });
        RawEndpoint { base_url, requests }
    }

    fn builder(&self) -> CredentialsBuilder {
        witness::watch();
        // A connection for each request: the server never ends a response.
        Credentials::builder(Provider)
            .base_url(&*self.base_url)
            .tokens(TokenSet::new("fake-refresh-1".parse().unwrap()))
            .refresh_client(Protocol::Http1.client::<crate::support::Body>())
    }

    async fn credentials(&self) -> Credentials {
        self.builder().build().await.unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read_request(connection: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    // The body is JSON, and its last field is the mode.
    while !(seen.ends_with(b"provider\"}") || seen.ends_with(b"customer\"}")) {
        assert_ne!(connection.read_buf(&mut seen).await.unwrap(), 0);
    }
    String::from_utf8(seen).unwrap()
}

fn tokens(number: usize) -> String {
    format!(
        r#"{{"access_token":"fake-provider-{number}","expires_in":7200,"refresh_token":"fake-refresh-{number}"}}"#
    )
}

/// The error of a refresh, checked for tokens, and its class.
async fn failure(credentials: &Credentials) -> (FailureClass, Error) {
    let error = credentials.refresh(Provider).await.unwrap_err();
    assert_no_token(&words(&error));
    (error.refresh_error().expect("a refresh request failed").class(), error)
}

#[tokio::test]
async fn a4_tokens_are_used_though_the_end_of_their_response_never_comes() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    for end in ["length", "last chunk", "close"] {
        let response = |number| {
            let body = tokens(number);
            let length = body.len();
            let response = match end {
                "length" => format!("{HEAD}Content-Length: {}\r\n\r\n{body}", length + 1),
                "close" => format!("{HEAD}Connection: close\r\n\r\n{body}"),
                _ => format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n"),
            };
            response.into_bytes()
        };
        let endpoint = RawEndpoint::start(vec![response(2), response(3)]).await;
        let credentials = endpoint.credentials().await;
        credentials.refresh(Provider).await.expect(end);
        credentials.refresh(Customer).await.expect(end);
        let requests = endpoint.requests();
        assert_eq!(requests.len(), 2, "{end}");
        assert!(requests[0].contains("fake-refresh-1"), "{end}: {requests:?}");
        assert!(requests[1].contains("fake-refresh-2"), "{end}: the rotated token is used");
    }
}

#[tokio::test]
async fn a5_compressed_response_is_reported_as_such_and_not_as_rejected() {
    for status in ["200 OK", "400 Bad Request", "403 Forbidden"] {
        let mut response = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Encoding: GZip\r\nContent-Length: 10\r\n\r\n"
        )
        .into_bytes();
        response.extend_from_slice(b"\x1f\x8b\x08\0\0\0\0\0\0\x03");
        let endpoint = RawEndpoint::start(vec![response]).await;
        let (class, error) = failure(&endpoint.credentials().await).await;
        assert_eq!(class, OutcomeUnknown, "{status}");
        assert!(error.is_outcome_unknown() && !error.is_login_required(), "{error:?}");
        assert!(words(&error).contains("compressed"), "{error:?}");
        for request in endpoint.requests() {
            let request = request.to_ascii_lowercase();
            assert!(request.contains("\r\naccept-encoding: identity\r\n"), "{request}");
        }
    }
}

#[tokio::test]
async fn b1_page_of_a_firewall_is_not_the_endpoint_and_ends_no_login() {
    let page = "<html><body><h1>403 Forbidden</h1><hr></body></html>";
    let blocked = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    );
    let endpoint = RawEndpoint::start(vec![blocked.into_bytes()]).await;
    let (class, error) = failure(&endpoint.credentials().await).await;
    assert_eq!(class, NotTheEndpoint);
    assert!(error.is_protocol() && !error.is_login_required(), "{error:?}");
    assert!(!words(&error).contains("<h1>"), "{error:?}");
    assert_eq!(endpoint.requests().len(), 1);
}

#[tokio::test]
async fn b1_access_token_goes_on_while_a_firewall_blocks_the_endpoint() {
    let server = FakeTeamUp::start().await;
    let client = Protocol::Http1.client();
    let builder = credentials(&server, &client).tokens(server.issue_tokens(&[Provider]));
    let credentials = builder.build().await.unwrap();
    let api = layered(credentials.clone(), client);
    server.fail_every_refresh(Fault::status(StatusCode::FORBIDDEN).body("text/html", "<html>"));
    assert!(credentials.refresh(Provider).await.unwrap_err().is_protocol());
    assert_eq!(status(&api, &server, "while it is blocked").await, 200);
}

#[tokio::test]
async fn b2_scopes_that_are_refused_are_an_error_of_the_configuration() {
    let server = FakeTeamUp::start().await;
    let client = Protocol::Http1.client();
    let builder = credentials(&server, &client).tokens(expired_tokens(&server));
    let credentials = builder.scope(["read_everything"]).build().await.unwrap();
    let body = r#"{"field_errors":{"scope":["\"read_everything\" is not a valid choice."]}}"#;
    server
        .fail_every_refresh(Fault::status(StatusCode::BAD_REQUEST).body("application/json", body));
    let (class, error) = failure(&credentials).await;
    assert_eq!(class, Configuration);
    assert_eq!(error.refresh_error().unwrap().field(), Some("scope"));
    assert!(error.is_configuration() && !error.is_login_required(), "{error:?}");
    assert!(words(&error).contains("not a valid choice"), "{error:?}");
}

#[tokio::test]
async fn b3_mode_that_a_login_lacks_is_an_error_of_the_configuration() {
    let server = FakeTeamUp::start().await;
    let client = Protocol::Http1.client();
    let builder = credentials(&server, &client).tokens(expired_tokens(&server));
    let credentials = builder.build().await.unwrap();
    let body = r#"{"code":"mode_not_allowed","message":"No.","type":"invalid_request_error"}"#;
    server.fail_refresh(Fault::status(StatusCode::FORBIDDEN).body("application/json", body));
    let (class, error) = failure(&credentials).await;
    assert_eq!(class, Configuration);
    assert!(error.is_configuration() && !error.is_login_required(), "{error:?}");
}

#[tokio::test]
async fn d2_token_of_unknown_lifetime_is_used_after_one_refresh() {
    let server = FakeTeamUp::start().await;
    let client = Protocol::Http1.client();
    let builder = credentials(&server, &client).tokens(expired_tokens(&server));
    let api = layered(builder.build().await.unwrap(), client);
    server.fail_every_refresh(Fault::missing_key("expires_in"));
    for number in 0..100 {
        assert_eq!(status(&api, &server, number).await, 200);
    }
    assert_eq!((server.refresh_requests(), server.rotations()), (1, 1));
}

#[tokio::test]
async fn endpoint_that_was_never_reached_has_spent_nothing() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/api/v2", nobody.local_addr().unwrap());
    drop(nobody);
    let endpoint = RawEndpoint { base_url, requests: Arc::default() };
    let credentials = endpoint.credentials().await;
    let (class, error) = failure(&credentials).await;
    assert_eq!(class, Transient);
    assert!(error.is_transient() && !error.is_outcome_unknown(), "{error:?}");
}

#[cfg(feature = "hyper-plain")]
#[tokio::test]
async fn credentials_bring_a_refresh_client_of_their_own() {
    let server = FakeTeamUp::start().await;
    witness::watch();
    let builder = Credentials::builder(Provider).base_url(server.base_url());
    let credentials = builder.tokens(expired_tokens(&server)).build().await.unwrap();
    let api = layered(credentials, Protocol::Http1.client());
    assert_eq!(status(&api, &server, "with the default client").await, 200);
    assert_eq!((server.refresh_requests(), server.rotations()), (1, 1));
}
