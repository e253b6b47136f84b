//! Every kind of error that a user can meet, provoked; and what its text says: what happened, why,
//! and what to do.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::future::Future;

use tower::{Layer, ServiceExt};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_teamup_auth::body::SendOnce;
use tower_teamup_auth::store::{RecordContent, StoredRecord};
use tower_teamup_auth::{AuthLayer, Credentials, Error};

use crate::readiness::Checked;
use crate::support::refresh_answers::RefreshAnswer;
use crate::support::server::{Call, Server};
use crate::support::stores::{Fault, Op, Store};
use crate::support::*;

/// One kind of error.
struct Row {
    /// Its name in `src/error.rs`.
    kind: &'static str,
    error: Error,
    /// The question of which it is true.
    is: fn(&Error) -> bool,
    what: &'static str,
    why: &'static str,
    to_do: &'static str,
}

/// What a person reads: the error and what lies behind it, as `anyhow`'s `{:#}` writes it.
fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text += &format!(": {source}");
        next = source.source();
    }
    text
}

/// The error of a refresh that is asked for while refresh requests are answered like this.
async fn refresh(refresh_request: RefreshAnswer) -> Error {
    let server = Server::new();
    server.every_answer(refresh_request);
    expired(&server).await.refresh(Provider).await.unwrap_err()
}

async fn lost_and_then_rejected() -> Error {
    let server = Server::new();
    server.next_answers([RefreshAnswer::LostAfter]);
    expired(&server).await.refresh(Provider).await.unwrap_err()
}

async fn with_store(server: &Server, op: Op) -> (Credentials, Store) {
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = builder(server).store(store.clone()).build().await.unwrap();
    store.faults(op, [Fault::Fails; 1000]);
    (credentials, store)
}

async fn invalid_input() -> Error {
    builder(&Server::new()).base_url("http://goteamup.com").build().await.unwrap_err()
}

async fn invalid_request() -> Error {
    let client = AuthLayer::per_request().layer(Checked::new(Server::new()));
    failure(client.oneshot(get("/events")).await)
}

async fn refresh_limit() -> Error {
    let server = Server::new();
    server.every_call(Call::Answered(401, &[]));
    let client = client(&good(&server).await, &server);
    for route in ["/a", "/b", "/c", "/d"] {
        send(&client, get(route)).await.unwrap();
    }
    reason(&send(&client, get("/e")).await)
}

async fn route_refused() -> Error {
    let server = Server::new();
    server.every_call(Call::Answered(401, &[]));
    reason(&send(&client(&good(&server).await, &server), get("/events")).await)
}

async fn retryable_by_caller() -> Error {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    server.expire_everything();
    let request = get("/events").map(SendOnce::new);
    let response = client.oneshot(request).await.unwrap();
    Error::find(&response).expect("a reason").clone()
}

/// A redirect was followed after an unsafe request.
async fn carried_out() -> Error {
    let server = Server::new();
    let client = AuthLayer::new(good(&server).await)
        .layer(FollowRedirectLayer::new().layer(checked(&server)));
    server.next_calls([
        Call::Answered(303, &[("location", "/api/v2/events")]),
        Call::Answered(401, &[]),
    ]);
    let mut request = get("/events");
    *request.method_mut() = http::Method::POST;
    Error::find(&client.oneshot(request).await.unwrap()).expect("a reason").clone()
}

async fn not_refreshable() -> Error {
    let credentials =
        Credentials::m2m("s3cret".parse().unwrap()).base_url(BASE).build().await.unwrap();
    let client = client(&credentials, &Server::new());
    failure(send(&client, get_as(Customer, "/events")).await)
}

async fn m2m_refused() -> Error {
    let credentials =
        Credentials::m2m("s3cret".parse().unwrap()).base_url(BASE).build().await.unwrap();
    reason(&send(&client(&credentials, &Server::new()), get("/events")).await)
}

async fn m2m_source() -> Error {
    let source = || async { Err("the secret manager is down".into()) };
    let credentials = Credentials::m2m_from(source).base_url(BASE).build().await.unwrap();
    failure(send(&client(&credentials, &Server::new()), get("/events")).await)
}

async fn not_m2m() -> Error {
    let credentials = good(&Server::new()).await;
    credentials.set_m2m_token("s3cret".parse().unwrap()).unwrap_err()
}

/// Another process has refreshed, and dropped the token of the request's mode, which has expired, while
/// the request was under way.
async fn no_token() -> Error {
    let server = Server::new();
    let store = Store::with_tokens(server.good_tokens(Some(100)));
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    let client = client(&credentials, &server);
    server.expire_everything();
    server.calls().hold();
    let caller = tokio::spawn(async move { reason(&send(&client, get("/events")).await) });
    server.calls().arrived(1).await;
    tokio::time::sleep(std::time::Duration::from_secs(101)).await;
    store.put_refreshed(server.log_in_again("elsewhere"), 1);
    credentials.refresh(Customer).await.unwrap();
    server.calls().open();
    caller.await.unwrap()
}

/// Somebody logs in while the request is under way.
async fn login_changed() -> Error {
    let server = Server::new();
    let credentials = good(&server).await;
    let client = client(&credentials, &server);
    server.expire_everything();
    server.calls().hold();
    let caller = tokio::spawn(async move { reason(&send(&client, get("/events")).await) });
    server.calls().arrived(1).await;
    credentials.log_in(server.bare_tokens()).await.unwrap();
    server.calls().open();
    caller.await.unwrap()
}

async fn lease_busy() -> Error {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    let _lease = store.acquire_from_outside().unwrap();
    credentials.refresh(Provider).await.unwrap_err();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    credentials.refresh(Provider).await.unwrap_err()
}

async fn not_released() -> Error {
    let server = Server::new();
    let (credentials, _store) = with_store(&server, Op::Release).await;
    credentials.refresh(Provider).await.unwrap();
    credentials.shutdown().await.unwrap_err()
}

async fn no_revision_left() -> Error {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let (login, content) = (store.record().unwrap().login(), RecordContent::SignedOut);
    store.put(Some(StoredRecord::new(login, StoredRecord::MAX_REVISION, content)));
    let credentials = builder(&server).store(store).build().await.unwrap();
    credentials.log_in(server.bare_tokens()).await.unwrap_err()
}

fn no_timer() -> Error {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let built = builder(&Server::new()).clock(tower_teamup_auth::token::Clock::system()).build();
    runtime.block_on(built).unwrap_err()
}

async fn store() -> Error {
    let server = Server::new();
    let (credentials, _store) = with_store(&server, Op::Acquire).await;
    credentials.refresh(Provider).await.unwrap_err()
}

async fn unsaved() -> Error {
    let server = Server::new();
    let (credentials, _store) = with_store(&server, Op::Save).await;
    credentials.refresh(Provider).await.unwrap();
    run_pending_tasks().await;
    credentials.refresh(Provider).await.unwrap_err()
}

async fn timed_out() -> Error {
    refresh(RefreshAnswer::Unanswered).await
}

async fn shut_down() -> Error {
    let credentials = expired(&Server::new()).await;
    credentials.shutdown().await.unwrap();
    credentials.refresh(Provider).await.unwrap_err()
}

async fn signed_out() -> Error {
    let credentials = good(&Server::new()).await;
    credentials.sign_out().await.unwrap();
    credentials.refresh(Provider).await.unwrap_err()
}

async fn nothing_stored() -> Error {
    builder(&Server::new()).build().await.unwrap().refresh(Provider).await.unwrap_err()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

fn no_runtime() -> Error {
    let credentials = runtime().block_on(async { expired(&Server::new()).await });
    let mut asked = tokio_test::task::spawn(credentials.refresh(Provider));
    tokio_test::assert_ready!(asked.poll()).unwrap_err()
}

fn run(provoking: impl Future<Output = Error>) -> Error {
    runtime().block_on(provoking)
}

fn rows() -> Vec<Row> {
    let row = |kind, error, is, what, why, to_do| Row { kind, error, is, what, why, to_do };
    vec![
        row(
            "InvalidInput",
            run(invalid_input()),
            Error::is_invalid_input,
            "the base URL `http://goteamup.com/`",
            "is plain http",
            "a token may travel over https only",
        ),
        row(
            "InvalidRequest",
            run(invalid_request()),
            Error::is_invalid_request,
            "the request brings no credentials",
            "with `per_request` each has to bring its own",
            "put a `Credentials` into its extensions",
        ),
        row(
            "StoredFormat",
            StoredRecord::from_json(b"{").unwrap_err(),
            Error::is_store,
            "the stored record is not JSON",
            "(line 1, column 1)",
            "put back a copy that is whole, or let the user log in again",
        ),
        row(
            "StoredFormatTooNew",
            StoredRecord::from_json(br#"{"version":99}"#).unwrap_err(),
            Error::is_store,
            "the stored record is of format version 99",
            "this version of the crate reads up to",
            "update tower-teamup-auth in this program",
        ),
        row(
            "Refresh(Transient)",
            run(refresh(RefreshAnswer::json(503, "{}"))),
            Error::is_transient,
            "the access token could not be refreshed for the moment",
            "503",
            "a request after a pause tries again",
        ),
        row(
            "Refresh(Transient)",
            run(refresh(RefreshAnswer::Refused)),
            Error::is_transient,
            "the access token could not be refreshed for the moment",
            "connection refused",
            "a request after a pause tries again",
        ),
        row(
            "Refresh(OutcomeUnknown)",
            run(refresh(RefreshAnswer::LostBefore)),
            Error::is_outcome_unknown,
            "the refresh was sent and no whole answer came back",
            "connection reset",
            "the next refresh finds out whether the refresh token is spent",
        ),
        row(
            "Refresh(NotTheEndpoint)",
            run(refresh(RefreshAnswer::json(404, "{}"))),
            Error::is_protocol,
            "what answered the refresh request is not the refresh endpoint",
            "404",
            "check the base URL and what stands between",
        ),
        row(
            "Refresh(Configuration)",
            run(refresh(RefreshAnswer::json(
                400,
                r#"{"field_errors":{"scope":["Not a scope."]}}"#,
            ))),
            Error::is_configuration,
            "TeamUp refuses what the refresh asked for",
            "Not a scope.",
            "change the scopes, the mode or the provider id",
        ),
        row(
            "Refresh(ProbablyRejected)",
            run(refresh(RefreshAnswer::rejected(403))),
            Error::is_login_required,
            "TeamUp refused the refresh request and does not document why",
            "(status 403): invalid_grant",
            "let the user log in again and hand the new tokens to `Credentials::log_in`",
        ),
        row(
            "Rejected",
            run(lost_and_then_rejected()),
            Error::is_login_required,
            "a login is required: the answer to a refresh request was lost",
            "so it was probably spent by the lost one",
            "let the user log in again and hand the new tokens to `Credentials::log_in`",
        ),
        row(
            "Rejected",
            run(refresh(RefreshAnswer::rejected(400))),
            Error::is_login_required,
            "a login is required: TeamUp has refused the refresh token",
            "(status 400): invalid_grant, invalid_request_error, no",
            "let the user log in again and hand the new tokens to `Credentials::log_in`",
        ),
        row(
            "RefreshLimit",
            run(refresh_limit()),
            Error::is_refresh_limited,
            "one more refresh for that reason would be number 5 within 30 s",
            "fresh tokens keep being answered 401",
            "check that the mode, the provider id, the scheme and the account's permissions fit",
        ),
        row(
            "RouteRefused",
            run(route_refused()),
            Error::is_route_refused,
            "this URL answers 401",
            "to fresh tokens too",
            "check whether it wants another mode, another provider id or another permission",
        ),
        row(
            "RetryableByCaller",
            run(retryable_by_caller()),
            Error::is_retryable_by_caller,
            "the token was refreshed",
            "the body of this request is gone, so it was not sent again",
            "send the request once more",
        ),
        row(
            "CarriedOut",
            run(carried_out()),
            |error| !error.is_retryable_by_caller(),
            "the token was refreshed",
            "so it may have been carried out and was not sent again",
            "build the client with a redirect policy of this crate",
        ),
        row(
            "NotRefreshable",
            run(not_refreshable()),
            Error::is_invalid_request,
            "this credential can't mint a token for customer mode",
            "an M2M token acts in provider mode only and can't be refreshed",
            "use OAuth tokens for customer mode",
        ),
        row(
            "M2mRefused",
            run(m2m_refused()),
            Error::is_m2m_refused,
            "the API refuses the M2M token",
            "where it comes from there is no other",
            "issue a new M2M token in TeamUp's dashboard",
        ),
        row(
            "M2mSource",
            run(m2m_source()),
            Error::is_m2m_source,
            "the M2M token could not be read where it comes from",
            "the secret manager is down",
            "mend its source",
        ),
        row(
            "NotM2m",
            run(not_m2m()),
            Error::is_invalid_request,
            "these credentials are refreshed",
            "an M2M token is not",
            "hand the tokens of a login to `Credentials::log_in`",
        ),
        row(
            "NoToken",
            run(no_token()),
            Error::is_transient,
            "the token for provider mode was replaced or withdrawn",
            "while this request waited for it",
            "send the request again",
        ),
        row(
            "Store",
            run(store()),
            Error::is_store,
            "the token store could not be used",
            "the disk: is full",
            "mend the store, and the next call tries again",
        ),
        row(
            "LeaseBusy",
            run(lease_busy()),
            Error::is_timeout,
            "another process held the lease of the token store",
            "for as long as it was waited for, and saved no newer tokens",
            "look for a process that stands still, or try again later",
        ),
        row(
            "NotReleased",
            run(not_released()),
            Error::is_store,
            "the lease of the token store could not be given back",
            "the disk: is full",
            "mend the store and call again",
        ),
        row(
            "NoRevisionLeft",
            run(no_revision_left()),
            |error| !error.is_transient(),
            "no login can be stored",
            "the revisions of the token store are used up",
            "remove the stored record and log in again",
        ),
        row(
            "LoginChanged",
            run(login_changed()),
            Error::is_login_changed,
            "the login changed while this request waited",
            "a request is sent under the login that it was made for",
            "send it again if it is meant for the new login",
        ),
        row(
            "Unsaved",
            run(unsaved()),
            Error::is_unsaved,
            "the newest tokens have not reached the token store yet",
            "the disk: is full",
            "mend the store, and the write is repeated by itself",
        ),
        row(
            "TimedOut",
            run(timed_out()),
            Error::is_timeout,
            "no token came within the time limit of a request",
            "the store, its lease or the endpoint took too long",
            "allow more time with `CredentialsBuilder::wait_timeout`",
        ),
        row(
            "ShutDown",
            run(shut_down()),
            Error::is_shut_down,
            "no refresh is started any more",
            "these credentials were shut down",
            "build new ones to go on",
        ),
        row(
            "SignedOut",
            run(signed_out()),
            Error::is_login_required,
            "these credentials are signed out",
            "signed out",
            "let the user log in again and hand the new tokens to `Credentials::log_in`",
        ),
        row(
            "NothingStored",
            run(nothing_stored()),
            Error::is_login_required,
            "nobody has logged in yet",
            "the token store is empty and no tokens were given",
            "let the user log in, and hand the tokens to `Credentials::log_in`",
        ),
        row(
            "NoTimer",
            no_timer(),
            Error::is_invalid_input,
            "the Tokio runtime has no timers",
            "which a refresh needs",
            "build it with `enable_all`",
        ),
        row(
            "NoRuntime",
            no_runtime(),
            |error| !error.is_transient(),
            "a refresh needs a Tokio runtime",
            "there is none here",
            "call the service from within `tokio::runtime::Runtime::block_on` or a task",
        ),
    ]
}

#[test]
fn every_error_says_what_happened_and_why_and_what_to_do() {
    let mut wrong = Vec::new();
    for row in rows() {
        let text = text(&row.error);
        for (part, says) in [("what", row.what), ("why", row.why), ("to do", row.to_do)] {
            if !text.contains(says) {
                wrong.push(format!("{}: {part}: expected `{says}` in: {text}", row.kind));
            }
        }
        if !(row.is)(&row.error) {
            wrong.push(format!("{}: another answer to its question: {text}", row.kind));
        }
        assert!(!text.contains(SECRET), "{}: {text}", row.kind);
        // It is the kind that it is taken for, and `Debug` names it.
        let shown = format!("{:?}", row.error);
        if !shown.starts_with(&format!("Error {{ kind: {}", row.kind)) {
            wrong.push(format!("{}: {shown}", row.kind));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The variants of an enum, read from its source: a kind that is new has no row yet.
fn variants(source: &str, name: &str) -> Vec<String> {
    let (_, body) = source.split_once(&format!("enum {name} {{\n")).expect(name);
    let (body, _) = body.split_once("\n}").expect("its end");
    let lines = body.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let word = |line: &str| line.split(['(', ' ', ',']).next().unwrap_or_default().to_owned();
    lines.map(word).filter(|word| !word.is_empty()).collect()
}

#[test]
fn no_kind_of_error_is_missing_from_the_table() {
    let classes = variants(include_str!("../../src/refresh/error.rs"), "FailureClass");
    let mut kinds: BTreeSet<String> = variants(include_str!("../../src/error.rs"), "Kind")
        .into_iter()
        .flat_map(|kind| match &*kind {
            "Refresh" => classes.iter().map(|class| format!("Refresh({class})")).collect(),
            _ => vec![kind],
        })
        .collect();
    // A refresh whose token was rejected ends as `Rejected`.
    assert!(kinds.remove("Refresh(Rejected)"));
    // Whoever waits starts another worker, so a refresh that lost its own is not seen from outside.
    assert!(kinds.remove("Interrupted"));
    let provoked: BTreeSet<String> = rows().into_iter().map(|row| row.kind.to_owned()).collect();
    assert_eq!(kinds, provoked);
}
