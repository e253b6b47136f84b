//! An outage of the refresh endpoint, met by fifty processes together, each with a credential of its own.
//!
//! TeamUp allows 250 requests a minute for an IP address, and fifty processes may well share one. Each
//! process lives through ten minutes on a clock of its own, which is paused. All clocks begin with the
//! outage, so a moment is the same in each of them.

use std::convert::Infallible;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::net::TcpSocket;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::store::{MemoryStore, StoredRecord};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{AuthLayer, Credentials, Error, RequestMode};

use crate::process::{OtherProcess, part, say};
use crate::time::Stopwatch;

const MODE: RequestMode = RequestMode::Provider;
const PROCESSES: usize = 50;
const OUTAGE: Duration = Duration::from_secs(600);
const TWO_HOURS: Duration = Duration::from_secs(2 * 60 * 60);

/// TeamUp's limit of requests in any minute, for one IP address.
const LIMIT: usize = 250;
const MINUTE: u64 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn p3_fifty_processes_stay_below_the_rate_limit_while_the_endpoint_answers_503() {
    const NAME: &str =
        "outage::p3_fifty_processes_stay_below_the_rate_limit_while_the_endpoint_answers_503";
    fails(NAME, Fault::status(StatusCode::SERVICE_UNAVAILABLE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_fifty_processes_stay_below_the_rate_limit_while_the_outcome_is_unknown() {
    const NAME: &str =
        "outage::p3_fifty_processes_stay_below_the_rate_limit_while_the_outcome_is_unknown";
    fails(NAME, Fault::bad_gateway()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_fifty_processes_stay_below_the_rate_limit_while_a_firewall_answers() {
    const NAME: &str =
        "outage::p3_fifty_processes_stay_below_the_rate_limit_while_a_firewall_answers";
    fails(NAME, Fault::firewall()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_fifty_processes_stay_below_the_rate_limit_while_connections_are_refused() {
    const NAME: &str =
        "outage::p3_fifty_processes_stay_below_the_rate_limit_while_connections_are_refused";
    if was_a_process() {
        return;
    }
    // Bound, and never listened to: nobody else gets this port.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let base_url = format!("http://{}", closed.local_addr().unwrap());
    live_through(NAME, &base_url, &teamup().await);
}

async fn teamup() -> FakeTeamUp {
    FakeTeamUp::builder().access_token_lifetime(TWO_HOURS).start().await
}

async fn fails(name: &str, fault: Fault) {
    if was_a_process() {
        return;
    }
    let server = teamup().await;
    server.fail_every_refresh(fault);
    let sent = live_through(name, &server.base_url(), &server);
    assert_eq!(server.refresh_requests(), sent);
    assert_eq!((server.rotations(), server.double_spends()), (0, 0), "{}", server.journal());
}

/// Has all processes live through the outage; how many refresh requests they have sent together.
fn live_through(name: &str, base_url: &str, server: &FakeTeamUp) -> usize {
    let processes = [(); PROCESSES].map(|()| {
        let record = StoredRecord::from(server.issue_tokens(&[MODE])).to_json();
        OtherProcess::start(name, base_url, record.as_str())
    });
    let mut sent = Vec::new();
    for process in processes {
        let said = process.hear();
        let of_one: Vec<u64> = said.split(' ').map(|at| at.parse().expect(&said)).collect();
        // It has tried again, or the limit is kept by giving up.
        assert!((5..=12).contains(&of_one.len()), "{said}");
        assert!(of_one.last().is_some_and(|&last| last > 2 * MINUTE), "{said}");
        sent.extend(of_one);
        process.passes();
    }
    sent.sort_unstable();
    let in_the_minute_from =
        |start: u64| sent.iter().filter(|&&at| (start..start + MINUTE).contains(&at)).count();
    let most = sent.iter().map(|&start| in_the_minute_from(start)).max().unwrap();
    assert!(most < LIMIT, "{most} refresh requests within a minute");
    sent.len()
}

/// Lives through the outage if this process is one of the fifty; true when it has.
fn was_a_process() -> bool {
    let Some((base_url, record)) = part::<OsString>() else { return false };
    let record = StoredRecord::from_json(record.to_str().unwrap().as_bytes()).unwrap();
    // Not the test's own runtime: its clock can't be paused.
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        let sent = runtime.block_on(call_each_second(&base_url, record));
        say(&sent.iter().map(u64::to_string).collect::<Vec<_>>().join(" "));
    })
    .join()
    .unwrap();
    true
}

/// Has a call each second that needs a new token; when refresh requests were sent, in milliseconds.
async fn call_each_second(base_url: &str, record: StoredRecord) -> Vec<u64> {
    let (clock, outage) = (Clock::tokio(), Stopwatch::start());
    // Its access token has expired, by both clocks: the record is read later.
    clock.shift_wall(TWO_HOURS);
    let http_client: HyperClient = hyper_client();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let refresh_client = {
        let sent = Arc::clone(&sent);
        service_fn(move |request| send(http_client.clone(), request, outage, Arc::clone(&sent)))
    };
    let credentials = Credentials::builder(MODE)
        .base_url(base_url)
        .clock(clock.clone())
        .store(MemoryStore::with_record(record))
        .refresh_client(refresh_client)
        .build()
        .await
        .unwrap();
    let api = ServiceBuilder::new().layer(AuthLayer::new(credentials)).service(service_fn(never));
    let mut calls = tokio::task::JoinSet::new();
    while outage.elapsed() < OUTAGE {
        let request = Request::get(format!("{base_url}/events")).body(Full::default()).unwrap();
        calls.spawn(api.clone().oneshot(request));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for answer in calls.join_all().await {
        let error = answer.expect_err("there is no token to send it with");
        let error = error.downcast::<Error>().unwrap();
        assert!(!error.is_login_required(), "{error:?}");
    }
    let sent = sent.lock().unwrap();
    sent.clone()
}

async fn never(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    panic!("a request was sent with a token that has expired")
}

/// Notes when a refresh request is sent, and sends it. The clock stands until the answer is read: a
/// paused clock moves by itself while a socket is waited for, unless a blocking task runs.
async fn send(
    http_client: HyperClient,
    request: Request<Full<Bytes>>,
    outage: Stopwatch,
    sent: Arc<Mutex<Vec<u64>>>,
) -> Result<Response<Full<Bytes>>, BoxError> {
    sent.lock().unwrap().push(outage.elapsed().as_millis() as u64);
    let (_answered, until_answered) = mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || until_answered.recv());
    let (head, body) = http_client.oneshot(request).await?.into_parts();
    Ok(Response::from_parts(head, Full::new(body.collect().await?.to_bytes())))
}
