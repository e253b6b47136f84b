//! P5: no secret in anything that is said while everything goes wrong that can.

use std::time::Duration;

use tower_teamup_auth::RequestMode::{Customer, Provider};
use tower_teamup_auth::store::MemoryStore;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Credentials, RequestMode};

use crate::refresh_faults::every_fault;
use crate::support::{Protocol, assert_no_token, call, credentials, get, layered, pass, words};
use crate::witness::{self, Heard};

#[tokio::test]
async fn p5_no_token_is_traced_or_shown_whatever_goes_wrong() {
    let everything = Heard::start();

    let elsewhere = FakeTeamUp::start().await;
    let faults = every_fault(&elsewhere.url("/echo"));
    for (fault, protocol) in faults.into_iter().zip(Protocol::BOTH.into_iter().cycle()) {
        suffer(protocol, fault, &elsewhere).await;
    }

    let text = everything.text();
    for said in [
        "refresh started",
        "refresh succeeded",
        "refresh failed",
        "refresh request failed, and is sent again",
        "login required",
        "refresh limit reached",
        "request retried with a new token",
        "request not retried",
        "logged in",
        "signed out",
        "hyper_util::client",
    ] {
        assert!(text.contains(said), "nothing was said of `{said}`");
    }
    assert_no_token(&text);
    let (lines, metrics) = witness::heard_so_far();
    assert!(lines > 1000, "{lines} lines");
    assert_eq!(metrics > 100, cfg!(feature = "metrics"), "{metrics} metrics");
}

/// One credential from its login to its end, its refresh request broken on the way; all that it says of
/// itself is looked at as well.
async fn suffer(protocol: Protocol, fault: Fault, elsewhere: &FakeTeamUp) {
    let server = FakeTeamUp::start().await;
    let client = protocol.client();
    let tokens = server.issue_tokens(&RequestMode::ALL);
    let token = tokens.access_token(Provider).unwrap().expose().to_owned();
    assert_eq!(token.split_once("provider").unwrap().0, "fake-", "what tokens begin with");
    let store = MemoryStore::with_record(tokens);
    let builder = credentials(&server, &client).clock(Clock::tokio()).store(store.clone());
    let credentials = builder.build().await.unwrap();
    let api = layered(credentials.clone(), client);
    let mut shown = String::new();
    let mut show = |credentials: &Credentials| {
        shown += &format!("{credentials:?} {credentials:#?} {store:?} {server:?} {api:?}\n");
    };
    let ask_of = async |path: &str, caller: &str| match call(&api, get(&server, path, caller)).await
    {
        Ok(answer) => answer.reason.map_or_else(String::new, |reason| words(&reason)),
        Err(error) => words(&*error),
    };

    let ask = async |caller: &str| ask_of("/echo", caller).await;

    show(&credentials);
    let mut said = ask("fresh").await;
    server.expire_access_tokens();
    server.fail_refresh(fault.clone());
    said += &ask("broken").await;
    show(&credentials);
    said += &ask("remembered").await;
    pass(Duration::from_secs(301)).await;
    server.fail_refresh(fault);
    said += &ask("broken again").await;
    said += &credentials.refresh(Customer).await.err().map_or_else(String::new, |e| words(&e));

    // A new login, an API that is never content, a way elsewhere, and the end.
    credentials.log_in(server.issue_tokens(&RequestMode::ALL)).await.unwrap();
    server.clear_faults();
    server.fail_every_api(Fault::unauthorized());
    for route in 0..6 {
        said += &ask_of(&format!("/echo/route-{route}"), "never content").await;
    }
    show(&credentials);
    call(&api, get(elsewhere, "/echo", "elsewhere")).await.unwrap();
    credentials.sign_out().await.unwrap();
    said += &ask("signed out").await;
    show(&credentials);
    assert!(said.contains("signed out"), "{said}");
    assert_no_token(&said);
    assert_no_token(&shown);
    assert_no_token(&format!("{} {:?}", server.journal(), server.journal()));
    // By the word of the server that has minted them, too.
    assert!(!server.finds_its_token_in(&said) && !server.finds_its_token_in(&shown));
}
