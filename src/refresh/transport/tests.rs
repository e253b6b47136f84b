use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::task::{Context, Poll};

use http_body::Frame;
use http_body_util::Full;
#[cfg(heavy_tests)]
use tokio_test::{assert_pending, task};
use tower::service_fn;
#[cfg(heavy_tests)]
use tower_test::mock;

use super::*;

fn request() -> Request<Bytes> {
    Request::new(Bytes::from_static(b"request"))
}

/// A body that yields what it is told to, frame by frame.
struct Script(VecDeque<Result<Frame<Bytes>, io::Error>>);

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(self.0.pop_front())
    }
}

fn data(bytes: impl Into<Bytes>) -> Result<Frame<Bytes>, io::Error> {
    Ok(Frame::data(bytes.into()))
}

async fn collected<const N: usize>(
    frames: [Result<Frame<Bytes>, io::Error>; N],
) -> (Zeroizing<Vec<u8>>, BodyEnd) {
    collect(Script(frames.into())).await
}

#[tokio::test]
async fn a_body_is_kept_up_to_the_limit_and_its_trailers_are_skipped() {
    let (body, end) = collected([
        data("{ \"two"),
        data(""),
        data("\": \"frames"),
        Ok(Frame::trailers(http::HeaderMap::new())),
    ])
    .await;
    assert_eq!(**body, *b"{ \"two\": \"frames");
    assert!(matches!(end, BodyEnd::Whole));

    let (body, end) = collected([data(vec![b' '; BODY_LIMIT - 1]), data(" ")]).await;
    assert_eq!(body.len(), 65_536);
    assert!(matches!(end, BodyEnd::Whole));

    let (body, end) =
        collected([data(vec![b' '; BODY_LIMIT - 1]), data("{}"), data("never read")]).await;
    assert_eq!(body.len(), BODY_LIMIT);
    assert_eq!(body.last(), Some(&b'{'));
    assert!(matches!(end, BodyEnd::TooLong));

    let (body, end) = collected([data(vec![b' '; 10 * BODY_LIMIT])]).await;
    assert_eq!(body.len(), BODY_LIMIT);
    assert!(matches!(end, BodyEnd::TooLong));
}

#[tokio::test]
async fn a4_nothing_is_read_after_the_end_of_the_document() {
    for frames in [
        [data("{\"a\":\"}\"}"), Err(io::ErrorKind::ConnectionReset.into())],
        [data("{\"a\":"), data("\"}\"} and more")],
    ] {
        let (body, end) = collected(frames).await;
        assert_eq!(**body, *b"{\"a\":\"}\"}");
        assert!(matches!(end, BodyEnd::Whole));
    }
    let (body, end) = collected([data("no document"), data(" at all")]).await;
    assert_eq!(**body, *b"no document");
    assert!(matches!(end, BodyEnd::Whole));
}

#[tokio::test]
async fn a_body_that_breaks_off_keeps_what_came_and_says_why() {
    let (body, end) =
        collected([data("{\"half"), Err(io::ErrorKind::ConnectionReset.into()), data("\"}")]).await;
    assert_eq!(**body, *b"{\"half");
    let BodyEnd::Broken(error) = end else { panic!("the body is no longer whole") };
    assert!(error.is::<io::Error>());
}

#[cfg(heavy_tests)]
#[tokio::test]
async fn p6_the_client_is_asked_whether_it_is_ready_before_it_is_called() {
    let (client, mut handle) = mock::pair::<Request<Full<Bytes>>, Response<Full<Bytes>>>();
    handle.allow(0);
    let transport = Transport::over(client);
    let mut sending = task::spawn(transport.send(request()));
    assert!(sending.poll().is_pending());
    let mut request = task::spawn(handle.next_request());
    assert_pending!(request.poll());
    drop(request);

    handle.allow(1);
    assert!(sending.is_woken());
    assert!(sending.poll().is_pending());
    let (request, respond) = handle.next_request().await.unwrap();
    assert!(is_refresh_request(request.extensions()));
    respond.send_response(Response::builder().status(201).body(Full::from("{}")).unwrap());
    let Poll::Ready(Ok(response)) = sending.poll() else { panic!("the response is there") };
    assert_eq!(response.status, 201);
    assert_eq!(**response.body, *b"{}");
}

#[cfg(heavy_tests)]
#[tokio::test]
async fn a_client_that_fails_before_it_is_called_has_sent_nothing() {
    let (client, mut handle) = mock::pair::<Request<Full<Bytes>>, Response<Full<Bytes>>>();
    handle.send_error("out of order");
    let failure = Transport::over(client).send(request()).await.err().unwrap();
    assert!(!failure.may_have_been_sent);
}

#[tokio::test]
async fn a_client_that_fails_after_it_was_called_may_have_sent_all_of_it() {
    for (kind, may_have_been_sent) in
        [(io::ErrorKind::ConnectionRefused, false), (io::ErrorKind::ConnectionReset, true)]
    {
        let transport = Transport::over(service_fn(move |_: Request<Full<Bytes>>| {
            ready(Err::<Response<Full<Bytes>>, _>(io::Error::from(kind)))
        }));
        let failure = transport.send(request()).await.err().unwrap();
        assert_eq!(failure.may_have_been_sent, may_have_been_sent, "{kind:?}");
        assert!(failure.source.is::<io::Error>());
    }
}

/// A client that is `Send` and not `Sync`, whose clones count from zero.
struct Unshared(Cell<u32>);

impl Clone for Unshared {
    fn clone(&self) -> Self {
        Unshared(Cell::new(0))
    }
}

impl Service<Request<Bytes>> for Unshared {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.set(self.0.get() + 1);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        assert_eq!(self.0.get(), 1, "a clone of its own for each request, readied once");
        ready(Ok(Response::new(Full::new(request.into_body()))))
    }
}

#[tokio::test]
async fn each_refresh_request_has_a_clone_of_the_client_of_its_own() {
    let transport = Transport::over(Unshared(Cell::new(0)));
    for _ in 0..2 {
        let response = transport.clone().send(request()).await.ok().unwrap();
        assert_eq!(**response.body, *b"request");
    }
    assert_eq!(format!("{transport:?}"), "Transport(..)");
}

#[test]
fn only_what_a_transport_sends_is_an_request() {
    assert!(!is_refresh_request(request().extensions()));
}
