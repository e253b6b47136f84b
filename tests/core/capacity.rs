//! P6: the inner service's readiness contract is kept, and its capacity is not held while a
//! refresh is awaited.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::limit::ConcurrencyLimit;
use tower::load_shed::error::Overloaded;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_teamup_auth::refresh::HttpService;
use tower_teamup_auth::{Auth, AuthLayer, Credentials, Error};
use tower_test::mock::{self, Mock};

use crate::readiness::{Checked, Counts};
use crate::support::refresh_answers::RefreshAnswer;
use crate::support::server::{Call, Server};
use crate::support::*;

type Handle = mock::Handle<Request<Body>, Response<Body>>;
type Mocked = mock::Spawn<Auth<Mock<Request<Body>, Response<Body>>>>;

fn mocked(credentials: &Credentials) -> (Mocked, Handle) {
    let layer = AuthLayer::new(credentials.clone());
    mock::spawn_with(move |inner| layer.layer(inner))
}

fn answer(status: u16) -> Response<Body> {
    Response::builder().status(status).body(Body::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn p6_poll_ready_asks_the_inner_service_each_time() {
    let server = Server::new();
    for credentials in [good(&server).await, expired(&server).await] {
        let (mut service, mut handle) = mocked(&credentials);
        handle.allow(0);
        assert_pending!(service.poll_ready());
        handle.allow(1);
        assert!(service.is_woken());
        assert_ready_ok!(service.poll_ready());
        handle.send_error("the inner service is broken");
        let error = assert_ready_err!(service.poll_ready());
        assert_eq!(error.to_string(), "the inner service is broken");
        assert!(!error.is::<Error>());
    }
}

/// A request whose token is there, for its first send or, if it was `rejected`, for its retry. The inner
/// service has no capacity for it.
async fn not_ready(
    server: &Server,
    credentials: &Credentials,
    rejected: bool,
) -> (task::Spawn<impl Future<Output = Answer> + use<>>, Handle) {
    let (mut service, mut handle) = mocked(credentials);
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut future = task::spawn(service.call(get("/events")));
    assert_pending!(future.poll());
    if rejected {
        let (_, respond) = handle.next_request().await.unwrap();
        respond.send_response(answer(401));
    } else {
        // What the caller has readied is given back unused.
        handle.allow(0);
    }
    until(|| {
        assert_pending!(future.poll());
        server.granted() == 1
    })
    .await;
    run_pending_tasks().await;
    assert_pending!(future.poll());
    assert_pending!(handle.poll_request());
    (future, handle)
}

#[tokio::test(start_paused = true)]
async fn p6_retry_waits_for_a_service_that_was_readied_for_it() {
    let server = Server::new();
    let (mut first, mut handle) = not_ready(&server, &good(&server).await, true).await;
    handle.allow(1);
    assert!(first.is_woken());
    assert_pending!(first.poll());
    let (repeat, respond) = handle.next_request().await.unwrap();
    assert_eq!(repeat.headers()["authorization"], format!("Bearer {SECRET}-provider-1"));
    respond.send_response(answer(200));
    assert_eq!(assert_ready_ok!(first.poll()).status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn p6_error_of_readying_for_the_first_send_or_the_retry_reaches_the_caller_as_it_is() {
    for rejected in [false, true] {
        let server = Server::new();
        let credentials = if rejected { good(&server).await } else { expired(&server).await };
        let (mut future, mut handle) = not_ready(&server, &credentials, rejected).await;
        handle.send_error("the inner service is broken");
        let error = assert_ready_err!(future.poll());
        assert_eq!(error.to_string(), "the inner service is broken");
        assert!(!error.is::<Error>());
    }
}

/// The token was there, and the inner service took its time to be ready.
#[tokio::test(start_paused = true)]
async fn p11_request_whose_login_changes_while_its_service_is_readied_is_not_sent() {
    for (rejected, signs_out) in [(false, false), (false, true), (true, false), (true, true)] {
        let server = Server::new();
        let credentials = if rejected { good(&server).await } else { expired(&server).await };
        let (mut future, mut handle) = not_ready(&server, &credentials, rejected).await;
        match signs_out {
            true => credentials.sign_out().await.unwrap(),
            false => credentials.log_in(server.log_in_again("another")).await.unwrap(),
        }
        handle.allow(1);
        let error = match rejected {
            true => {
                let unauthorized = assert_ready_ok!(future.poll());
                assert_eq!(unauthorized.status(), StatusCode::UNAUTHORIZED);
                unauthorized.extensions().get::<Error>().cloned()
            }
            false => assert_ready_err!(future.poll()).downcast_ref::<Error>().cloned(),
        };
        let error = error.expect("the layer's own");
        assert!(error.is_login_changed(), "{error}");
        assert_pending!(handle.poll_request());
    }
}

async fn make_ready(client: &mut Client) {
    ServiceExt::<Request<Body>>::ready(client).await.unwrap();
}

/// A client, and how much readiness is reserved below it.
fn counted(credentials: &Credentials, server: &Server) -> (Client, Arc<Counts>) {
    let inner = checked(server);
    let counts = inner.counts();
    (AuthLayer::new(credentials.clone()).layer(inner), counts)
}

#[tokio::test(start_paused = true)]
async fn p6_readied_service_is_given_back_while_a_token_is_awaited() {
    let server = Server::new();
    let (mut client, counts) = counted(&expired(&server).await, &server);
    server.refresh_requests().hold();
    make_ready(&mut client).await;
    assert_eq!(counts.reserved(), 1);
    let future = tokio::spawn(client.call(get("/events")));
    assert_eq!(counts.reserved(), 0);
    server.refresh_requests().arrived(1).await;
    run_pending_tasks().await;
    assert_eq!(counts.reserved(), 0);
    server.refresh_requests().open();
    assert_eq!(future.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!((counts.reserved(), counts.most_reserved()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn p6_nothing_is_reserved_while_the_refresh_after_a_401_is_awaited() {
    let server = Server::new();
    let (client, counts) = counted(&good(&server).await, &server);
    server.expire_everything();
    server.refresh_requests().hold();
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let client = client.clone();
        callers.spawn(async move { status(&client).await });
    }
    server.refresh_requests().arrived(1).await;
    run_pending_tasks().await;
    assert_eq!((server.seen_calls().len(), counts.reserved()), (50, 0));
    server.refresh_requests().open();
    assert!(callers.join_all().await.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(counts.reserved(), 0);
}

#[tokio::test(start_paused = true)]
async fn p6_refused_request_gives_the_readied_service_back() {
    let server = Server::new();
    let (mut client, counts) = counted(&good(&server).await, &server);
    make_ready(&mut client).await;
    let mut request = get("/events");
    request.headers_mut().insert("teamup-request-mode", "owner".parse().unwrap());
    let refused = client.call(request);
    assert_eq!(counts.reserved(), 0);
    assert!(failure(refused.await).is_invalid_request());

    // The service is as good as new, once it was readied again.
    make_ready(&mut client).await;
    assert_eq!(client.call(get("/events")).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn p6_clone_of_a_readied_service_is_readied_on_its_own() {
    let server = Server::new();
    let (mut client, counts) = counted(&good(&server).await, &server);
    make_ready(&mut client).await;
    let mut clone = client.clone();
    assert_eq!(counts.reserved(), 1);
    make_ready(&mut clone).await;
    assert_eq!(counts.reserved(), 2);
    let (one, other) = tokio::join!(client.call(get("/a")), clone.call(get("/b")));
    assert_eq!((one.unwrap().status(), other.unwrap().status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!(counts.reserved(), 0);
}

/// Lets a hundred callers meet a missing token, then a rejected one, through `stack`: a client
/// that carries the refresh request as well. Everybody must be answered.
async fn all_are_answered<S>(server: &Server, stack: S)
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError> + Debug,
{
    let credentials = builder(server)
        .tokens(server.expired_tokens())
        .refresh_client::<HttpService<Body>>(stack.clone())
        .build()
        .await
        .unwrap();
    let client = AuthLayer::new(credentials).layer(stack);
    for refresh_requests in 1..=3 {
        let mut callers = JoinSet::new();
        for _ in 0..100 {
            let client = client.clone();
            callers.spawn(async move { client.oneshot(get("/events")).await.unwrap().status() });
        }
        let statuses = callers.join_all().await;
        assert!(statuses.iter().all(|status| *status == StatusCode::OK));
        assert_eq!(server.seen_refresh_requests().len(), refresh_requests);
        server.expire_everything();
    }
}

#[tokio::test(start_paused = true)]
async fn p6_concurrency_limit_of_one_shared_with_the_refresh_request_does_not_deadlock() {
    let server = Server::new();
    all_are_answered(&server, ConcurrencyLimit::new(checked(&server), 1)).await;
}

#[tokio::test(start_paused = true)]
async fn p6_limit_behind_a_buffer_does_not_deadlock() {
    for bound in [1, 2, 100] {
        let server = Server::new();
        let stack =
            ServiceBuilder::new().buffer(bound).concurrency_limit(1).service(checked(&server));
        all_are_answered(&server, stack).await;
    }
}

#[tokio::test(start_paused = true)]
async fn p6_buffer_behind_a_limit_does_not_deadlock() {
    let server = Server::new();
    let stack = ServiceBuilder::new().concurrency_limit(1).buffer(1).service(checked(&server));
    all_are_answered(&server, stack).await;
}

#[tokio::test(start_paused = true)]
async fn p6_buffer_around_the_layer_and_a_shared_limit_within_do_not_deadlock() {
    let server = Server::new();
    let limited = ConcurrencyLimit::new(checked(&server), 1);
    let credentials = builder(&server)
        .tokens(server.expired_tokens())
        .refresh_client::<HttpService<Body>>(limited.clone())
        .build()
        .await
        .unwrap();
    let client =
        ServiceBuilder::new().buffer(4).layer(AuthLayer::new(credentials)).service(limited);
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let client = client.clone();
        callers.spawn(async move { client.oneshot(get("/events")).await.unwrap().status() });
    }
    assert!(callers.join_all().await.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(server.seen_refresh_requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn p6_rate_limit_counts_every_send_and_holds_nobody_permanently() {
    let server = Server::new();
    let stack = ServiceBuilder::new()
        .buffer(8)
        .rate_limit(50, Duration::from_secs(1))
        .service(checked(&server));
    let stopwatch = Stopwatch::start();
    all_are_answered(&server, stack).await;
    let sends = server.seen_calls().len() + server.seen_refresh_requests().len();
    assert!(sends >= 503, "{sends}");
    assert!(stopwatch.elapsed() >= Duration::from_secs(9), "{:?}", stopwatch.elapsed());
}

#[tokio::test(start_paused = true)]
async fn p6_load_that_is_shed_is_told_to_the_caller_as_the_inner_service_tells_it() {
    let server = Server::new();
    let credentials = good(&server).await;
    let client = ServiceBuilder::new()
        .layer(AuthLayer::new(credentials))
        .load_shed()
        .concurrency_limit(1)
        .service(checked(&server));
    server.calls().hold();
    let first = tokio::spawn(client.clone().oneshot(get("/first")));
    server.calls().arrived(1).await;
    let error = client.clone().oneshot(get("/second")).await.unwrap_err();
    assert!(error.is::<Overloaded>(), "{error:?}");
    server.calls().open();
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn p6_future_dropped_at_any_await_point_gives_its_place_back() {
    for polls in 1.. {
        let server = Server::new();
        let client =
            AuthLayer::new(good(&server).await).layer(ConcurrencyLimit::new(checked(&server), 1));
        server.next_calls([Call::Answered(401, &[])]);
        let first = polled(client.clone().oneshot(get("/first")), polls).await;
        // Whatever was reserved at that moment is free again.
        let other = tokio::time::timeout(Duration::from_secs(60), client.oneshot(get("/other")));
        assert_eq!(other.await.expect("there is room").unwrap().status(), StatusCode::OK);
        if first.is_some() {
            assert!(polls >= 4);
            break;
        }
    }
}

/// A middleware that reserves its inner service, lets a refresh go by and only then calls it; or that
/// calls a clone which nobody has readied.
async fn breaches_of(careless: bool) -> Vec<&'static str> {
    let server = Server::new();
    let mut inner = Checked::recording(server.clone());
    let credentials = builder(&server)
        .tokens(server.expired_tokens())
        .refresh_client::<HttpService<Body>>(Checked::counted_with(&inner.counts(), server.clone()))
        .build()
        .await
        .unwrap();
    ServiceExt::<Request<Body>>::ready(&mut inner).await.unwrap();
    if careless {
        inner.clone().call(get("/events")).await.unwrap();
    } else {
        credentials.refresh(Provider).await.unwrap();
        inner.call(get("/events")).await.unwrap();
    }
    inner.counts().breaches()
}

#[tokio::test(start_paused = true)]
async fn p6_the_checking_service_notices_both_breaches() {
    assert_eq!(breaches_of(true).await, ["called without its own poll_ready"]);
    assert_eq!(breaches_of(false).await, ["readiness was reserved and held over a refresh"]);
}

#[tokio::test(start_paused = true)]
async fn p6_all_waiting_requests_of_one_credential_together_keep_4_mib() {
    const BODY: usize = 16 * 1024;
    const ROOM: usize = 4 * 1024 * 1024 / BODY;
    let server = Server::new();
    server.refresh_requests().hold();
    server.every_answer(RefreshAnswer::Refused);
    let api = service_fn(|_: Request<Body>| async {
        Ok::<_, BoxError>(answer(401).map(|_| Body::from(vec![b'x'; BODY])))
    });
    let client = AuthLayer::new(good(&server).await).layer(api);
    let mut calls = JoinSet::new();
    for _ in 0..ROOM + 3 {
        calls.spawn(client.clone().oneshot(get("/events")));
    }
    server.refresh_requests().arrived(1).await;
    run_pending_tasks().await;
    server.refresh_requests().open();
    let mut whole = 0;
    for response in calls.join_all().await {
        let body = response.unwrap().into_body().collect().await;
        whole += usize::from(body.is_ok_and(|body| body.to_bytes().len() == BODY));
    }
    assert_eq!(whole, ROOM);
}
