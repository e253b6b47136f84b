//! How the server treats its connections: hang-ups, workers, idle connections, windows.

use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::json;
use tower_teamup_auth::RequestMode::Customer;
use tower_teamup_auth::testing::{FakeTeamUp, FakeTeamUpBuilder, Fault, RefreshOutcome};

use crate::client::{Body, Client, get, refresh_request};

/// Lets everything happen that can, where the clock is paused. One sleep is not enough: the clock
/// advances beside a socket that has become ready.
async fn run_pending_tasks() {
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Keeps a paused clock from advancing to the next timer while a socket is waited for.
async fn while_the_clock_stands<T>(work: impl Future<Output = T>) -> T {
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let holds_the_clock = tokio::task::spawn_blocking(move || ended.recv());
    let result = work.await;
    drop(end);
    holds_the_clock.await.unwrap().unwrap_err();
    result
}

#[tokio::test]
async fn p2_the_server_goes_on_when_the_client_hangs_up() {
    for client in Client::both() {
        let server = FakeTeamUp::start().await;
        let mut entries = server.subscribe();
        let hold = server.hold_refresh();
        hang_up_while_held(&server, &client).await;
        assert_eq!((server.rotations(), server.journal().in_work()), (0, 1));
        assert!(entries.try_next().is_none(), "the request is not over");

        hold.release();
        let entry = entries.next().await.unwrap().unwrap();
        assert!(entry.is_aborted());
        assert_eq!(entry.refresh_outcome(), Some(RefreshOutcome::Rotated(Customer)));
        assert_eq!((server.rotations(), server.journal().in_work()), (1, 0));
    }
}

#[tokio::test]
async fn a_server_gives_up_with_its_client_where_it_is_told_to() {
    for client in Client::both() {
        let server = FakeTeamUp::builder().abort_on_disconnect(true).start().await;
        let hold = server.hold_refresh();
        hang_up_while_held(&server, &client).await;
        server.wait_for(|journal| journal.in_work() == 0).await;
        hold.release();
        assert_eq!(server.rotations(), 0);
        assert_eq!(server.journal().entries()[0].refresh_outcome(), Some(RefreshOutcome::Faulted));
    }
}

/// Sends a refresh request that the server holds, and hangs up.
async fn hang_up_while_held(server: &FakeTeamUp, client: &Client) {
    let body = json!({ "refresh_token": server.issue_tokens(&[]).refresh_token().expose() });
    let (client, request) = (client.clone(), refresh_request(server, body));
    let leaving = tokio::spawn(async move { client.send(request).await.map(drop) });
    // The server has read the request whole before the client hangs up.
    server.wait_for(|journal| journal.entries().last().is_some_and(|e| e.body().is_some())).await;
    leaving.abort();
    server.wait_for(|journal| journal.under_way() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_occupies_a_worker_until_it_is_closed() {
    let server = FakeTeamUp::builder().workers(1).start().await;
    let (first, second) = (Client::http1(), Client::http1());
    assert_eq!(first.get(&server, "/echo", "t", Customer).await.status, 401);
    let waiting = {
        let server = server.clone();
        tokio::spawn(async move { second.get(&server, "/echo", "t", Customer).await.status })
    };
    run_pending_tasks().await;
    assert_eq!((server.connections(), server.api_requests()), (2, 1), "no worker is free");
    drop(first);
    assert_eq!(waiting.await.unwrap(), 401);
}

#[tokio::test(start_paused = true)]
async fn a_request_occupies_a_worker_although_its_client_has_hung_up() {
    let server = FakeTeamUp::builder().request_workers(1).start().await;
    let client = Client::http1();
    let hold = server.hold_refresh();
    hang_up_while_held(&server, &client).await;
    let waiting = {
        let (server, client) = (server.clone(), client.clone());
        tokio::spawn(async move { client.get(&server, "/echo", "t", Customer).await.status })
    };
    run_pending_tasks().await;
    assert_eq!(server.journal().in_work(), 2);
    assert!(!waiting.is_finished(), "the only worker is busy");
    hold.release();
    assert_eq!(waiting.await.unwrap(), 401);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_the_time_that_was_set() {
    for client in Client::both() {
        let server = FakeTeamUp::builder().idle_timeout(Duration::from_secs(5)).start().await;
        for (pause, connections) in [(0, 1), (4, 1), (4, 1), (6, 2)] {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            run_pending_tasks().await;
            while_the_clock_stands(client.get(&server, "/echo", "t", Customer)).await;
            assert_eq!(server.connections(), connections, "after {pause} s");
        }
        // A request that is worked on keeps its connection.
        server.fail_api(Fault::delay(Duration::from_secs(60)));
        assert_eq!(client.get(&server, "/echo", "t", Customer).await.status, 401);
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_after_an_answer_without_an_announcement() {
    let always = FakeTeamUp::builder().close_after_answer(true).start().await;
    let once = FakeTeamUp::start().await;
    for client in Client::both() {
        for server in [&always, &once] {
            once.fail_api(Fault::unauthorized().then_close());
            let before = server.connections();
            for _ in 0..2 {
                let answer = client.get(server, "/echo", "t", Customer).await;
                assert_eq!((answer.status.as_u16(), answer.header("connection")), (401, None));
                run_pending_tasks().await;
            }
            assert_eq!(server.connections() - before, 2);
            server.clear_faults();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_sent_no_further_than_the_http2_windows_let_it() {
    const CHUNK: usize = 1024;
    const CHUNKS: usize = 200;
    let sent_while_held = async |builder: FakeTeamUpBuilder| {
        let server = builder.start().await;
        let client = Client::http2();
        // Before its first answer a client does not know the server's windows.
        client.get(&server, "/echo", "t", Customer).await;
        let hold = server.hold_api();
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let chunks = (0..CHUNKS).map(move |_| {
            count.fetch_add(CHUNK, Ordering::Relaxed);
            Ok(Frame::data(Bytes::from_static(&[0; CHUNK])))
        });
        let body: Body = StreamBody::new(futures_util::stream::iter(chunks)).boxed();
        let mut request = get(&server, "/uploads", "t", Customer).map(|_| body);
        *request.method_mut() = Method::POST;
        let call = tokio::spawn(async move { client.answer(request).await.status });
        hold.arrived(1).await;
        run_pending_tasks().await;
        let sent = sent.load(Ordering::Relaxed);
        hold.release();
        assert_eq!(call.await.unwrap(), 401);
        let journal = server.journal();
        assert_eq!(journal.entries()[1].body().unwrap().size(), (CHUNK * CHUNKS) as u64);
        sent
    };
    // hyper takes a chunk from the body before it knows whether the window has room for it.
    let up_to = |window: usize| window..=window + 2 * CHUNK;
    let sent = sent_while_held(FakeTeamUp::builder()).await;
    assert_eq!(sent, CHUNK * CHUNKS);
    let sent = sent_while_held(FakeTeamUp::builder().http2_stream_window(8 * 1024)).await;
    assert!(up_to(8 * 1024).contains(&sent), "{sent}");
    let sent = sent_while_held(FakeTeamUp::builder().http2_connection_window(65_535)).await;
    assert!(up_to(65_535).contains(&sent), "{sent}");
    let sent = sent_while_held(FakeTeamUp::builder().http2_adaptive_window(true)).await;
    assert!(up_to(65_535).contains(&sent), "{sent}");
}

#[test]
fn a_server_on_a_thread_of_its_own_serves_a_test_without_a_runtime() {
    let server = FakeTeamUp::start_blocking();
    let tokens = server.issue_tokens(&[Customer]);
    let token = tokens.access_token(Customer).unwrap().expose().to_owned();
    assert!(call(&server, &token).starts_with("HTTP/1.1 200 OK"));
    server.wait_for_blocking(|journal| journal.authorized() == 1);

    let hold = server.hold_api_answer();
    let held = std::thread::spawn({
        let server = server.clone();
        move || call(&server, &token)
    });
    hold.arrived_blocking(1);
    server.expire_access_tokens();
    hold.release();
    assert!(held.join().unwrap().starts_with("HTTP/1.1 200 OK"));

    let address = server.address();
    server.shutdown_blocking();
    server.shutdown_blocking();
    TcpStream::connect(address).unwrap_err();
    assert_eq!(server.authorized(), 2, "the journal can still be read");
}

/// One `GET` over a plain socket.
fn call(server: &FakeTeamUp, token: &str) -> String {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    let request = format!(
        "GET /api/v2/echo HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\
         teamup-request-mode: customer\r\nconnection: close\r\n\r\n",
        server.address()
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}
