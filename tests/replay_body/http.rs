//! Over real connections: hyper-util's client, a hyper server on loopback, http/1.1 and h2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::body::{RepeatableBody, ReplayBody, ReplayBodyLayer};

use crate::script::{Says, Script, Step, data, trailers};

/// After which a test fails instead of hanging. None comes near it.
const DEADLINE: Duration = Duration::from_secs(60);

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq)]
struct Arrived {
    version: Version,
    content_length: Option<HeaderValue>,
    transfer_encoding: Option<HeaderValue>,
    data: Bytes,
    trailers: Option<HeaderMap>,
}

type Journal = Arc<Mutex<Vec<Arrived>>>;

/// What the server does with a body before it answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reads {
    All,
    Nothing,
}

/// Answers the first request with 401 and all others with 200.
async fn server(reads: Reads) -> (SocketAddr, Journal) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let journal = Journal::default();
    let arrivals = journal.clone();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let journal = arrivals.clone();
            let answer = hyper::service::service_fn(move |request| {
                let journal = journal.clone();
                async move { answer(request, reads, &journal).await }
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                // How a connection ends is seen by the client.
                let _ = server.serve_connection(TokioIo::new(connection), answer).await;
            });
        }
    });
    (address, journal)
}

async fn answer(
    request: Request<Incoming>,
    reads: Reads,
    journal: &Journal,
) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let (mut data, mut trailers) = (Bytes::new(), None);
    if reads == Reads::All {
        let all = body.collect().await?;
        trailers = all.trailers().cloned();
        data = all.to_bytes();
    }
    let mut journal = journal.lock().expect("no test panics with it");
    journal.push(Arrived {
        version: head.version,
        content_length: head.headers.get(CONTENT_LENGTH).cloned(),
        transfer_encoding: head.headers.get(TRANSFER_ENCODING).cloned(),
        data,
        trailers,
    });
    let mut answer = Response::new(Empty::new());
    if journal.len() == 1 {
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
    }
    Ok(answer)
}

fn client<B>(version: Version) -> Client<HttpConnector, B>
where
    B: Body<Data: Send> + Send,
{
    Client::builder(TokioExecutor::new()).http2_only(version == Version::HTTP_2).build_http()
}

/// Sends the request through the layer, and again after a 401 if its body can be.
///
/// Returns what the caller gets in the end.
async fn send<B>(version: Version, request: Request<B>) -> StatusCode
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    let client = client(version);
    let stack = ServiceBuilder::new().layer(ReplayBodyLayer::new()).service_fn(
        async |request: Request<ReplayBody<B>>| {
            let (head, mut body) = request.into_parts();
            let (same_head, copy) = (head.clone(), body.try_clone());
            let answer = client.request(Request::from_parts(head, body)).await?;
            match copy.filter(RepeatableBody::is_complete) {
                Some(copy) if answer.status() == StatusCode::UNAUTHORIZED => {
                    client.request(Request::from_parts(same_head, copy)).await
                }
                _ => Ok(answer),
            }
        },
    );
    let answer = tokio::time::timeout(DEADLINE, stack.oneshot(request)).await.expect("no hang");
    answer.expect("an answer").status()
}

fn upload<B>(address: SocketAddr, body: B) -> Request<B> {
    Request::post(format!("http://{address}/imports")).body(body).expect("a request")
}

/// Sends the body, and expects it to arrive twice and alike. Returns how it arrived.
async fn arrives_twice(
    version: Version,
    header: &[(http::HeaderName, &str)],
    body: Script,
) -> Arrived {
    let (address, journal) = server(Reads::All).await;
    let mut request = upload(address, body);
    for (name, value) in header {
        request.headers_mut().insert(name, value.parse().expect("a header value"));
    }
    assert_eq!(send(version, request).await, StatusCode::OK);
    let journal = journal.lock().expect("the server is done");
    assert_eq!(journal.len(), 2);
    assert_eq!(journal[0], journal[1]);
    assert_eq!(journal[0].version, version);
    journal[0].clone()
}

fn rows() -> Vec<Step> {
    let rows = (0..40).map(|row| data(format!("row {row}\n").repeat(20)));
    rows.flat_map(|row| [row, Step::Wait]).collect()
}

fn all_rows() -> Bytes {
    (0..40).map(|row| format!("row {row}\n").repeat(20)).collect::<String>().into()
}

#[tokio::test]
async fn a_stream_of_unknown_length_arrives_twice_in_chunks() {
    for version in VERSIONS {
        for knows_its_end in [false, true] {
            let body = Script::new(rows()).knows_its_end(knows_its_end);
            let arrived = arrives_twice(version, &[], body).await;
            assert_eq!(arrived.data, all_rows());
            assert_eq!(arrived.content_length, None);
            assert_eq!(arrived.transfer_encoding.is_some(), version == Version::HTTP_11);
        }
    }
}

#[tokio::test]
async fn a_stream_of_known_length_arrives_twice_with_its_length() {
    for version in VERSIONS {
        for knows_its_end in [false, true] {
            // It waits once more before its end, which over http/1.1 nobody asks for.
            let body = Script::new(rows()).says(Says::Exactly).knows_its_end(knows_its_end);
            let length = body.remaining();
            let arrived = arrives_twice(version, &[], body).await;
            assert_eq!(arrived.data, all_rows());
            assert_eq!(arrived.content_length, Some(length.into()));
            assert_eq!(arrived.transfer_encoding, None);
        }
    }
}

#[tokio::test]
async fn a_stream_whose_request_tells_its_length_arrives_twice_with_it() {
    for version in VERSIONS {
        let length = all_rows().len().to_string();
        let body = Script::new(rows());
        let arrived = arrives_twice(version, &[(CONTENT_LENGTH, &length)], body).await;
        assert_eq!(arrived.data, all_rows());
        assert_eq!(arrived.content_length, length.parse().ok());
        assert_eq!(arrived.transfer_encoding, None);
    }
}

#[tokio::test]
async fn trailers_arrive_twice() {
    for version in VERSIONS {
        let mut steps = rows();
        steps.push(Step::Trailers(trailers("\"sum\"")));
        let arrived = arrives_twice(version, &[(TRAILER, "etag")], Script::new(steps)).await;
        assert_eq!(arrived.data, all_rows());
        assert_eq!(arrived.trailers, Some(trailers("\"sum\"")));
    }
}

#[tokio::test]
async fn an_empty_stream_arrives_twice_alike() {
    for version in VERSIONS {
        for body in [
            Script::new([]),
            Script::new([data(""), Step::Wait]),
            Script::new([]).knows_its_end(true),
            Script::new([]).knows_its_end(true).says(Says::Exactly),
        ] {
            let arrived = arrives_twice(version, &[], body).await;
            assert_eq!(arrived.data, "");
        }
    }
}

#[tokio::test]
async fn p9_a_stream_over_the_cap_arrives_once_and_whole() {
    for version in VERSIONS {
        let (address, journal) = server(Reads::All).await;
        let chunks = stream::iter(0..640_u32).map(|chunk| {
            Ok::<_, Infallible>(Frame::data(Bytes::from(vec![chunk as u8; 16 * 1024])))
        });
        let status = send(version, upload(address, StreamBody::new(chunks))).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        let journal = journal.lock().expect("the server is done");
        assert_eq!(journal.len(), 1);
        let chunks = journal[0].data.chunks(16 * 1024).enumerate();
        assert!(chunks.clone().all(|(at, chunk)| chunk.iter().all(|byte| *byte == at as u8)));
        assert_eq!(chunks.len(), 640);
    }
}

#[tokio::test]
async fn p9_a_stream_still_being_sent_when_the_401_comes_arrives_once() {
    for version in VERSIONS {
        let (address, journal) = server(Reads::Nothing).await;
        let (sender, receiver) = mpsc::channel::<Bytes>(1);
        sender.send(Bytes::from("the first of many")).await.expect("room");
        let chunks = stream::unfold(receiver, async |mut receiver| {
            let chunk = receiver.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(chunk)), receiver))
        });
        let request = upload(address, StreamBody::new(Box::pin(chunks)));
        assert_eq!(send(version, request).await, StatusCode::UNAUTHORIZED);
        drop(sender);
        assert_eq!(journal.lock().expect("the server is done").len(), 1);
    }
}

#[tokio::test]
async fn p9_a_stream_that_fails_never_arrives() {
    for version in VERSIONS {
        let (address, journal) = server(Reads::All).await;
        let mut body = ReplayBody::new(Script::new([data("one"), Step::Fail]));
        let copy = body.try_clone().expect("a copy");
        assert!(client(version).request(upload(address, body)).await.is_err());
        assert!(!copy.is_complete());
        assert!(journal.lock().expect("the server is done").is_empty());
    }
}
