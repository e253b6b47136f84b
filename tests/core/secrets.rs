//! P5: no secret in `Debug`, `Display`, errors or events; and what the events tell.

use std::fmt::Debug;
use std::time::Duration;

use http::StatusCode;
use tower::{Layer, Service};
use tower_teamup_auth::refresh::{RefreshError, RefreshResponse};
use tower_teamup_auth::store::{MemoryStore, RecordContent, StoreError, StoredRecord};
use tower_teamup_auth::{AuthLayer, Credentials, TokenSet};
use tracing::Instrument;

use crate::support::refresh_answers::RefreshAnswer;
use crate::support::server::{Call, Server};
use crate::support::stores::{Fault, Op, Store};
use crate::support::*;
use crate::witness::{self, Heard};

fn shows_no_secret(what: &str) {
    assert!(!what.contains(SECRET), "{what}");
}

fn debug_shows_no_secret(value: &impl Debug) {
    shows_no_secret(&format!("{value:?} {value:#?}"));
}

/// An error and all that lies behind it, in every way in which it can be shown.
fn error_shows_no_secret(error: &(dyn std::error::Error + 'static)) {
    shows_no_secret(&format!("{error} {error:#} {error:?} {error:#?}"));
    if let Some(source) = error.source() {
        error_shows_no_secret(source);
    }
}

fn answer_shows_no_secret(answer: &Answer) {
    match answer {
        Ok(response) => debug_shows_no_secret(response),
        Err(error) => error_shows_no_secret(&**error),
    }
}

#[tokio::test(start_paused = true)]
async fn p5_debug_of_every_public_type_shows_no_token() {
    let server = Server::new();
    let tokens = server.good_tokens(Some(7200));
    debug_shows_no_secret(&tokens);
    debug_shows_no_secret(tokens.refresh_token());
    debug_shows_no_secret(&tokens.access_token(Provider));
    debug_shows_no_secret(&MemoryStore::with_record(tokens.clone()));
    let builder = builder(&server).tokens(tokens.clone()).store(MemoryStore::new());
    debug_shows_no_secret(&builder);
    let m2m = Credentials::m2m("s3cret-m2m".parse().unwrap());
    debug_shows_no_secret(&m2m);
    debug_shows_no_secret(&m2m.build().await.unwrap());
    let credentials = builder.build().await.unwrap();
    debug_shows_no_secret(&credentials);
    let layer = AuthLayer::new(credentials.clone());
    debug_shows_no_secret(&layer);
    debug_shows_no_secret(&layer.layer(checked(&server)));
    let minted = tokens.access_token(Provider).unwrap().clone();
    debug_shows_no_secret(&RefreshResponse::new(minted, None, tokens.refresh_token().clone()));
    let error = RefreshError::not_the_endpoint("x").with_rotated(tokens.refresh_token().clone());
    error_shows_no_secret(&error);
    error_shows_no_secret(&StoreError::conflict());
}

#[tokio::test(start_paused = true)]
async fn p5_future_of_a_request_shows_no_token_in_any_state() {
    for rejected in [false, true] {
        let server = Server::new();
        let credentials = if rejected { good(&server).await } else { expired(&server).await };
        let mut client = client(&credentials, &server);
        server.expire_everything();
        tower::ServiceExt::<http::Request<Body>>::ready(&mut client).await.unwrap();
        let mut future = tokio_test::task::spawn(client.call(get("/events")));
        let mut states = Vec::new();
        until(|| {
            states.push(format!("{:?} {:?}", *future, client));
            match future.poll() {
                std::task::Poll::Ready(answer) => {
                    answer_shows_no_secret(&answer);
                    true
                }
                std::task::Poll::Pending => false,
            }
        })
        .await;
        states.iter().for_each(|state| shows_no_secret(state));
        states.dedup();
        assert!(states.len() >= 2, "{states:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p5_inner_service_that_logs_its_requests_shows_no_token() {
    let server = Server::new();
    assert_eq!(status(&client(&good(&server).await, &server)).await, StatusCode::OK);
    let seen = server.seen_calls().pop().unwrap();
    assert!(seen.token().unwrap().contains(SECRET));
    debug_shows_no_secret(&seen.headers);
}

/// One credential on its way through everything that can go wrong.
async fn walk(server: &Server) {
    let store = Store::with_tokens(server.expired_tokens());
    let seed = TokenSet::new(format!("{SECRET}-refresh-seed").parse().unwrap());
    let builder = builder(server).provider_id(7).store(store.clone()).tokens(seed);
    let credentials = builder.build().await.unwrap();
    let client = client(&credentials, server);
    let call_of = async |mode, path: &str, pause| {
        let answer = send(&client, get_as(mode, path)).await;
        answer_shows_no_secret(&answer);
        debug_shows_no_secret(&credentials);
        tokio::time::sleep(Duration::from_secs(pause)).await;
        answer.is_ok_and(|response| response.status() == StatusCode::OK)
    };
    // The pause is longer than any backoff that so few failures lead to.
    let call = async |mode| call_of(mode, "/events", 460).await;
    let quoting =
        format!(r#"{{"code":"invalid_grant","message":"{SECRET}-refresh-0 {SECRET}-refresh-1"}}"#);

    // Transient, then granted; refused by the store, then saved.
    server.next_answers([RefreshAnswer::too_many("1"), RefreshAnswer::Quoted]);
    assert!(!call(Provider).await);
    store.faults(Op::Save, [Fault::Fails, Fault::Panics]);
    store.faults(Op::Release, [Fault::None, Fault::None, Fault::Fails]);
    assert!(call(Provider).await);
    // Every class of failure, as long as the refresh request can be granted in the end.
    server.every_answer(RefreshAnswer::json(503, quoting.clone()));
    assert!(!call(Customer).await);
    server.every_answer(RefreshAnswer::LostBefore);
    assert!(!call(Customer).await);
    server.every_answer(RefreshAnswer::Quoted);
    assert!(!call(Customer).await);
    server.every_answer(RefreshAnswer::json(200, format!("{SECRET} is no JSON")));
    assert!(!call(Customer).await);
    server.every_answer(RefreshAnswer::json(302, quoting.clone()));
    assert!(!call(Customer).await);
    store.faults(Op::Acquire, [Fault::Fails]);
    assert!(!call(Customer).await);
    store.faults(Op::Load, [Fault::Panics]);
    assert!(!call(Customer).await);
    server.every_answer(RefreshAnswer::Granted);
    store.held([false]);
    assert!(call(Customer).await);
    // A 401, its retry, and a storm of them.
    server.expire_everything();
    assert!(call(Provider).await);
    server.every_call(Call::Answered(401, &[]));
    for route in ["/a", "/b", "/c", "/d", "/e"] {
        assert!(!call_of(Provider, route, 2).await);
    }
    server.every_call(Call::Judged);
    // Another process saves first.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let kept = store.record().unwrap();
    store.overtake_next_save(StoredRecord::new(kept.login(), 99, kept.content().clone()));
    credentials.refresh(Provider).await.ok();
    let token = format!("{SECRET}-provider-elsewhere").parse().unwrap();
    let elsewhere = server.log_in_again("elsewhere").with_access_token(Provider, token, None);
    store.put_refreshed(elsewhere, 1);
    credentials.refresh(Provider).await.unwrap();
    // An odd lifetime, a refusal, a sign-out by another process, a new login, the end.
    server.next_answers([RefreshAnswer::json(
        200,
        format!(
            r#"{{"access_token":"{SECRET}-odd","expires_in":-1,"refresh_token":"{SECRET}-refresh-odd"}}"#
        ),
    )]);
    credentials.refresh(Provider).await.unwrap();
    server.every_answer(RefreshAnswer::json(400, quoting));
    error_shows_no_secret(&credentials.refresh(Provider).await.unwrap_err());
    let kept = store.record().unwrap();
    let signed_out = StoredRecord::new(kept.login(), kept.revision() + 1, RecordContent::SignedOut);
    store.put(Some(signed_out));
    tokio::time::sleep(Duration::from_secs(6)).await;
    error_shows_no_secret(&credentials.refresh(Provider).await.unwrap_err());
    server.every_answer(RefreshAnswer::Granted);
    credentials.log_in(server.log_in_again("new")).await.unwrap();
    assert!(call(Provider).await);
    credentials.sign_out().await.unwrap();
    assert!(!call(Provider).await);
    credentials.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn p5_no_token_shows_in_any_event_on_the_way_through_all_failures() {
    let trace = Heard::start();
    walk(&Server::new()).await;
    // All that can be told was told, or this would show little.
    for event in [
        "refresh started",
        "refresh request answered",
        "refresh succeeded",
        "refresh request failed, and is sent again",
        "refresh failed",
        "login required",
        "refresh limit reached",
        "the endpoint gave an odd lifetime",
        "the lease was lost; it is asked for again",
        "the lease was not released",
        "newest tokens not saved",
        "newest tokens still not saved",
        "newest tokens saved after all",
        "record adopted: another process has refreshed or logged in",
        "signed out by another process",
        "the given tokens are ignored",
        "logged in",
        "signed out",
        "request retried with a new token",
        "request not retried",
    ] {
        assert!(trace.count(event) > 0, "{event}");
    }
    for line in trace.text().lines() {
        shows_no_secret(line);
    }
    let (lines, metrics) = witness::heard_so_far();
    assert!(lines > 70, "{lines}");
    assert_eq!(metrics > 20, cfg!(feature = "metrics"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn one_refresh_tells_its_beginning_and_its_end_and_is_part_of_no_callers_span() {
    let trace = Heard::start();
    let server = Server::new();
    let client = client(&expired(&server).await, &server);
    let request = tracing::info_span!("the_callers_request");
    let caller = async { status(&client).await };
    assert_eq!(caller.instrument(request).await, StatusCode::OK);
    server.expire_everything();
    assert_eq!(status(&client).await, StatusCode::OK);

    let lines = trace.lines("refresh ");
    let told = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    for reason in ["expired", "unauthorized"] {
        let started = format!("refresh started mode=\"provider\" reason=\"{reason}\"");
        assert_eq!(told(&started), 1, "{lines:?}");
    }
    let answered = "refresh request answered mode=\"provider\" outcome=refreshed took_ms=0";
    assert_eq!(told(answered), 2, "{lines:?}");
    for revision in [2, 3] {
        let succeeded =
            format!("refresh succeeded mode=\"provider\" revision={revision} expires_in_s=7200");
        assert_eq!(told(&succeeded), 1, "{lines:?}");
    }
    // Many requests share it, so it is no child of any.
    assert_eq!(told("the_callers_request"), 0, "{lines:?}");
    assert_eq!(trace.count("request retried with a new token mode=\"provider\""), 1);
}

#[tokio::test(start_paused = true)]
async fn request_that_needs_nothing_says_nothing() {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    let trace = Heard::start();
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(trace.count(""), 0);
}
