use std::error::Error as StdError;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

use super::*;
use crate::client::was_never_sent;

/// A name that no resolver knows: only a proxy can reach it.
const HOST: &str = "teamup.test";
const TOKEN: &str = "s3cret-access-token";
const PASSWORD: &str = "p@ss/word";

/// A TLS server with a certificate of its own, which answers one request with 204.
struct TlsServer {
    port: u16,
    /// Its certificate, which is its own root.
    root: String,
    /// What it was sent, in the clear.
    seen: JoinHandle<io::Result<String>>,
}

impl TlsServer {
    fn start() -> Self {
        let names = [HOST.to_owned(), "localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = thread::spawn(move || {
            let connection = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
            let (socket, _) = listener.accept()?;
            let mut stream = rustls::StreamOwned::new(connection, socket);
            let head = read_head(&mut stream)?;
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
            Ok(head)
        });
        TlsServer { port, root: cert.pem(), seen }
    }
}

/// Reads up to the blank line that ends a head.
fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

/// An HTTP proxy that opens one tunnel, to `target` whatever it is asked for, and keeps every byte
/// that the client sends.
struct Proxy {
    url: String,
    seen: JoinHandle<io::Result<Vec<u8>>>,
}

impl Proxy {
    fn start(reply: &'static str, target: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = thread::spawn(move || {
            let (mut client, _) = listener.accept()?;
            let mut seen = read_head(&mut client)?.into_bytes();
            client.write_all(reply.as_bytes())?;
            let Some(target) = target else { return Ok(seen) };
            let mut server = TcpStream::connect(("127.0.0.1", target))?;
            let (mut to_client, mut from_server) = (client.try_clone()?, server.try_clone()?);
            thread::spawn(move || {
                let _ = io::copy(&mut from_server, &mut to_client);
                let _ = to_client.shutdown(std::net::Shutdown::Both);
            });
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = client.read(&mut buffer) {
                seen.extend_from_slice(&buffer[..length]);
                if server.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            Ok(seen)
        });
        let password = "p%40ss%2Fword";
        Proxy { url: format!("http://user:{password}@{address}"), seen }
    }
}

const TUNNEL: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

async fn get(
    client: &HyperClient,
    url: &str,
) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
    let request = Request::get(url)
        .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
        .body(Full::<Bytes>::default())
        .unwrap();
    client.request(request).await
}

/// Everything that an error says.
fn words(error: &(dyn StdError + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.map(|error| format!("{error} {error:?}\n")).collect()
}

#[tokio::test]
async fn root_that_the_program_brings_is_trusted_and_no_other() {
    let server = TlsServer::start();
    let url = format!("https://localhost:{}/", server.port);
    let client: HyperClient =
        HyperClientBuilder::new().no_proxy().root_certificates(server.root).build().unwrap();
    assert_eq!(get(&client, &url).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert!(server.seen.join().unwrap().unwrap().contains(TOKEN));

    let (server, other) = (TlsServer::start(), TlsServer::start());
    let url = format!("https://localhost:{}/", server.port);
    let client: HyperClient =
        HyperClientBuilder::new().no_proxy().root_certificates(other.root).build().unwrap();
    let error = get(&client, &url).await.unwrap_err();
    assert!(error.is_connect() && was_never_sent(&error), "{error:?}");
    assert!(words(&error).contains("certificate"), "{}", words(&error));
    assert!(server.seen.join().unwrap().is_err(), "no request came");
}

#[tokio::test]
async fn p5_proxy_sees_the_host_and_its_password_and_no_token() {
    let server = TlsServer::start();
    let proxy = Proxy::start(TUNNEL, Some(server.port));
    let builder = HyperClientBuilder::new().proxy(proxy.url).root_certificates(server.root);
    assert!(!format!("{builder:?}").contains("user"), "{builder:?}");
    let client: HyperClient = builder.build().unwrap();
    let response = get(&client, &format!("https://{HOST}/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert!(server.seen.join().unwrap().unwrap().contains(TOKEN), "the server has it");
    let shown = format!("{client:?} {:?}", https_connector());
    assert!(!shown.contains("user") && !shown.contains("p%40"), "{shown}");
    drop((client, response));

    let seen = proxy.seen.join().unwrap().unwrap();
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.starts_with(&format!("CONNECT {HOST}:443 HTTP/1.1\r\n")), "{seen}");
    // `user:p@ss/word`
    assert!(seen.contains("\r\nProxy-Authorization: Basic dXNlcjpwQHNzL3dvcmQ=\r\n"), "{seen}");
    assert!(!seen.contains(TOKEN), "{seen}");
}

#[tokio::test]
async fn p5_plain_http_goes_through_a_tunnel_too() {
    let proxy = Proxy::start("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", None);
    let client: HyperClient = HyperClientBuilder::new().proxy(proxy.url).build().unwrap();
    let error = get(&client, &format!("http://{HOST}/")).await.unwrap_err();
    assert!(error.is_connect() && was_never_sent(&error), "{error:?}");
    let words = words(&error);
    assert!(words.contains("proxy authorization required"), "{words}");
    for secret in [PASSWORD, "p%40ss", "dXNlcjpw", TOKEN] {
        assert!(!words.contains(secret), "{words}");
    }
    let seen = String::from_utf8(proxy.seen.join().unwrap().unwrap()).unwrap();
    assert!(seen.starts_with(&format!("CONNECT {HOST}:80 HTTP/1.1\r\n")), "{seen}");
    assert!(!seen.contains(TOKEN), "{seen}");
}

#[tokio::test]
async fn loopback_is_reached_without_the_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept()?;
        let head = read_head(&mut socket)?;
        socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        Ok::<_, io::Error>(head)
    });
    // Nobody listens there.
    let client: HyperClient =
        HyperClientBuilder::new().proxy("http://127.0.0.1:1").build().unwrap();
    assert_eq!(get(&client, &url).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert!(server.join().unwrap().unwrap().starts_with("GET / HTTP/1.1\r\n"));
}

#[tokio::test(start_paused = true)]
async fn connection_that_does_not_come_up_in_time_was_never_used() {
    // The kernel accepts the connection, and nobody ever answers the handshake.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/", silent.local_addr().unwrap().port());
    let client: HyperClient = HyperClientBuilder::new().no_proxy().build().unwrap();
    let longer = std::time::Duration::from_secs(11);
    let answered = tokio::time::timeout(longer, get(&client, &url)).await;
    let error = answered.expect("the limit of 10 s is over").unwrap_err();
    assert!(error.is_connect() && was_never_sent(&error), "{error:?}");
    assert!(words(&error).contains("TimedOut"), "{}", words(&error));
}

#[test]
fn builder_refuses_what_could_never_work() {
    for builder in [
        HyperClientBuilder::new().connect_timeout(std::time::Duration::ZERO),
        HyperClientBuilder::new().root_certificates("none"),
        HyperClientBuilder::new().proxy("no url"),
    ] {
        let error = builder.build::<Full<Bytes>>().unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
    }
}

#[tokio::test]
async fn system_without_roots_is_named_as_the_reason() {
    let tls = tls::Tls { unusable: Some("no roots".into()), ..tls::Tls::trusting(Vec::new()) };
    let mut http = hyper_util::client::legacy::connect::HttpConnector::new();
    http.enforce_http(false);
    let inner = proxy::ProxyConnector::new(http, &tls, None);
    let limit = std::time::Duration::from_secs(10);
    let connector = HyperConnector::new(inner, tls, protocols::Protocols::Http1, limit);
    let client: HyperClient =
        Client::builder(hyper_util::rt::TokioExecutor::new()).build(connector);
    let error = get(&client, "https://127.0.0.1:1/").await.unwrap_err();
    assert!(was_never_sent(&error) && words(&error).contains("no roots"), "{}", words(&error));
}

/// Which part this process plays: the test starts itself again with a proxy in its environment.
const CHILD: &str = "TEAMUP_TEST_PROXIED";

#[test]
fn proxy_of_the_environment_is_used_except_for_no_proxy_and_loopback() {
    if std::env::var_os(CHILD).is_some() {
        let shown = format!("{:?}", https_connector());
        assert!(!shown.contains("env.test"), "{shown}");
        let rules = HyperClientBuilder::new().proxy_rules().unwrap().map(Arc::new);
        let http = hyper_util::client::legacy::connect::HttpConnector::new();
        let tls = tls::Tls::trusting(Vec::new());
        let connector = proxy::ProxyConnector::new(http, &tls, rules);
        let proxied = |url: &'static str| {
            let proxy = connector.proxy_for(&http::Uri::from_static(url))?;
            let authorization = proxy.basic_auth().map(|value| value.to_str().unwrap().to_owned());
            Some((proxy.uri().to_string(), authorization))
        };
        let used = proxied("https://teamup.test/").expect("HTTPS_PROXY");
        assert_eq!(used, ("http://env.test:3128/".to_owned(), Some("Basic dTpw".to_owned())));
        assert_eq!(proxied("http://teamup.test/").expect("HTTP_PROXY").0, "http://plain.test/");
        for exempt in [
            "https://exempt.test/",
            "https://api.exempt.test/",
            "https://192.0.2.7/",
            "http://127.0.0.1:8080/",
            "http://localhost/",
            "https://[::1]/",
        ] {
            assert_eq!(proxied(exempt), None, "{exempt}");
        }
        return;
    }
    let name =
        "client::hyper::tests::proxy_of_the_environment_is_used_except_for_no_proxy_and_loopback";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .env("HTTPS_PROXY", "http://u:p@env.test:3128")
        .env("HTTP_PROXY", "http://plain.test")
        .env("NO_PROXY", "exempt.test, 192.0.2.0/24")
        .env_remove("REQUEST_METHOD")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{complaints}");
}
