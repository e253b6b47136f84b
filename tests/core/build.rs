//! Bad input, refused when the credential is built: each error says what is wrong, and quotes no
//! secret.

use std::time::Duration;

use http::StatusCode;
use tower_teamup_auth::store::{MemoryStore, TokenStore};
use tower_teamup_auth::token::{AccessToken, Clock, RefreshToken};
use tower_teamup_auth::{Credentials, CredentialsBuilder, Error, TokenSet};

use crate::support::server::Server;
use crate::support::stores::{Fault, Op, Store};
use crate::support::*;

async fn refused(builder: CredentialsBuilder, says: &str) -> Error {
    let error = builder.build().await.expect_err(says);
    assert!(error.to_string().contains(says), "expected `{says}`: {error}");
    assert!(!format!("{error} {error:?} {error:#?}").contains(SECRET), "{error}");
    error
}

async fn invalid(builder: CredentialsBuilder, says: &str) {
    let error = refused(builder, says).await;
    assert!(error.is_invalid_input(), "{error}");
    assert!(!error.is_transient() && !error.is_store(), "{error}");
}

fn complete(server: &Server) -> CredentialsBuilder {
    builder(server).tokens(server.bare_tokens())
}

#[test]
fn tokens_that_no_token_can_be_are_refused_where_they_are_made() {
    for (text, says) in [
        ("", "is empty"),
        ("s3cret\n", "a line break at byte 6"),
        ("s3cret\r\n", "a line break at byte 6"),
        ("s3cret\u{0}", "a control character at byte 6"),
        ("s3cret\u{7f}", "a control character at byte 6"),
        ("s3cret\t", "a control character at byte 6"),
        ("s3crét", "a character outside ASCII at byte 4"),
        ("s3cret\u{200b}", "a character outside ASCII at byte 6"),
    ] {
        let errors = [AccessToken::new(text).unwrap_err(), RefreshToken::new(text).unwrap_err()];
        for (error, name) in errors.iter().zip(["access token", "refresh token"]) {
            assert!(error.is_invalid_input());
            let words = error.to_string();
            assert!(words.contains(says) && words.contains(name), "{words}");
            assert!(!format!("{words} {error:?}").contains("s3cr"), "{words}");
        }
    }
    assert!(AccessToken::new("with space").is_err());
    assert!(RefreshToken::new("with space").is_ok());
    assert!(RefreshToken::new("s3cret ").unwrap_err().to_string().contains("a space"));
}

#[tokio::test(start_paused = true)]
async fn base_url_that_credentials_must_not_go_to_is_refused() {
    let server = Server::new();
    for (url, says) in [
        ("", "is no URL"),
        ("/api/v2", "is relative"),
        ("goteamup.com", "is relative"),
        ("https://", "is no URL"),
        ("https:///api/v2", "is no URL"),
        ("https://:443/api", "has no host"),
        ("http://goteamup.com/api/v2", "is plain http"),
        ("http://192.168.0.1/api", "is plain http"),
        ("http://localhost.evil.test/", "is plain http"),
        ("http://127.0.0.1.evil.test/", "is plain http"),
        ("ftp://goteamup.com/api", "is neither https nor http"),
        ("https://me:s3cret@goteamup.com/api", "names a user"),
        ("https://s3cret@goteamup.com/api", "names a user"),
        ("https://goteamup.com/api?format=json", "has a query or a fragment"),
        ("https://goteamup.com/api#top", "has a query or a fragment"),
        ("https://goteamup.com:port/api", "has no port that can be used"),
        ("https://goteamup.com:99999/api", "has no port that can be used"),
        ("https://go team up/", "is no URL"),
    ] {
        invalid(complete(&server).base_url(url), says).await;
        if !says.contains("query") {
            let with_origin = complete(&server).allow_origin(url);
            let error = refused(with_origin, says).await;
            assert!(error.is_invalid_input());
            assert!(error.to_string().contains("allowed origin"), "{error}");
        }
    }
    for url in [
        "https://goteamup.com/api/v2",
        "https://goteamup.com/api/v2/",
        "https://goteamup.com",
        "http://127.0.0.1:8080/api",
        "http://localhost/api",
        "http://[::1]:9/",
        "HTTPS://GOTEAMUP.COM:443/api",
    ] {
        complete(&server).base_url(url).build().await.expect(url);
    }
}

#[tokio::test(start_paused = true)]
async fn scope_that_can_not_be_one_is_refused() {
    let server = Server::new();
    for (scopes, says) in [
        (&["read_write", ""][..], "scope number 1 is empty"),
        (&["read_write provider:1"], "scope number 0 holds a character"),
        (&["read\"write"], "scope number 0 holds a character"),
        (&["read\\write"], "scope number 0 holds a character"),
        (&["rëad"], "scope number 0 holds a character"),
        (&["read", "write\n"], "scope number 1 holds a character"),
    ] {
        invalid(complete(&server).scope(scopes.iter().copied()), says).await;
    }
    complete(&server).scope(Vec::<String>::new()).build().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_credential_can_not_do_without_is_asked_for() {
    let server = Server::new();
    let without_client = Credentials::builder(Provider).tokens(server.bare_tokens());
    if cfg!(feature = "hyper") {
        // The crate brings a client of its own.
        without_client.build().await.unwrap();
    } else if cfg!(feature = "hyper-plain") {
        // Its own has no TLS, and TeamUp's base URL is https.
        invalid(without_client, "switch its feature `hyper` on").await;
    } else {
        invalid(without_client, "nothing sends the refresh requests").await;
    }
}

#[tokio::test(start_paused = true)]
async fn m2m_token_goes_with_neither_tokens_nor_a_store() {
    let server = Server::new();
    let m2m = || Credentials::m2m("s3cret-m2m".parse().unwrap()).base_url(BASE);
    invalid(m2m().tokens(server.bare_tokens()), "an M2M token can't be refreshed").await;
    invalid(m2m().store(Store::empty()), "an M2M token can't be refreshed").await;
    invalid(m2m().base_url("http://goteamup.com"), "is plain http").await;
    m2m().build().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn limits_that_would_refuse_everything_are_refused_themselves() {
    let server = Server::new();
    let zero = Duration::ZERO;
    invalid(complete(&server).wait_timeout(zero), "`wait_timeout` is zero").await;
    invalid(complete(&server).refresh_request_timeout(zero), "`refresh_request_timeout` is zero")
        .await;
    invalid(complete(&server).store_timeout(zero), "`store_timeout` is zero").await;
    invalid(complete(&server).refresh_limit(5, zero), "`refresh_limit` would refuse").await;
    invalid(
        complete(&server).refresh_limit(1, Duration::from_secs(30)),
        "`refresh_limit` would refuse",
    )
    .await;
    invalid(
        complete(&server).refresh_limit(0, Duration::from_secs(30)),
        "`refresh_limit` would refuse",
    )
    .await;
    complete(&server)
        .wait_timeout(Duration::MAX)
        .refresh_request_timeout(Duration::MAX)
        .store_timeout(Duration::MAX)
        .refresh_limit(u32::MAX, Duration::MAX)
        .refresh_leeway(Duration::MAX)
        .build()
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn limits_as_large_as_can_be_work() {
    let server = Server::new();
    server.set_lifetime(Some(1));
    let credentials = complete(&server)
        .wait_timeout(Duration::MAX)
        .refresh_request_timeout(Duration::MAX)
        .store_timeout(Duration::MAX)
        .refresh_limit(u32::MAX, Duration::MAX)
        .refresh_leeway(Duration::MAX)
        .build()
        .await
        .unwrap();
    let client = client(&credentials, &server);
    for _ in 0..5 {
        server.expire_everything();
        assert_eq!(status(&client).await, StatusCode::OK);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    credentials.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn store_is_believed_before_the_seed_and_the_seed_is_saved_where_it_is_empty() {
    let server = Server::new();
    let stored = server.good_tokens(None);
    let seed = TokenSet::new("s3cret-refresh-seed".parse().unwrap());
    let store = Store::with_tokens(stored);
    let credentials =
        builder(&server).store(store.clone()).tokens(seed.clone()).build().await.unwrap();
    assert_eq!(store.refresh_token(), "s3cret-refresh-0");
    assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
    assert_eq!(server.seen_refresh_requests().len(), 0);

    let store = Store::empty();
    builder(&server).store(store.clone()).tokens(seed).build().await.unwrap();
    assert_eq!(store.refresh_token(), "s3cret-refresh-seed");
}

#[tokio::test(start_paused = true)]
async fn b6_clock_that_is_set_while_credentials_are_built_ends_no_wait_for_the_lease() {
    let server = Server::new();
    let (store, clock) = (MemoryStore::new(), Clock::tokio());
    let lease = store.try_acquire().await.unwrap().lease.expect("nobody has it");
    let seeded = builder(&server).store(store.clone()).tokens(server.bare_tokens());
    let built = tokio::spawn(seeded.clock(clock.clone()).build());
    tokio::time::sleep(Duration::from_secs(1)).await;
    clock.shift_wall(Duration::from_secs(3600));
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.release(lease).await.unwrap();
    built.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn credentials_without_tokens_are_signed_out_until_somebody_logs_in() {
    let server = Server::new();
    for builder in [builder(&server), builder(&server).store(Store::empty())] {
        let credentials = builder.build().await.unwrap();
        assert!(credentials.status().is_login_required());
        let client = client(&credentials, &server);
        let error = failure(send(&client, get("/events")).await);
        assert!(error.is_login_required(), "{error}");
        assert!(error.to_string().contains("nobody has logged in yet"), "{error}");
        assert!(credentials.refresh(Provider).await.unwrap_err().is_login_required());
        credentials.log_in(server.good_tokens(None)).await.unwrap();
        assert_eq!(status(&client).await, StatusCode::OK);
    }
    assert_eq!((server.seen_calls().len(), server.seen_refresh_requests().len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn empty_store_is_refused_where_a_record_was_asked_for() {
    let server = Server::new();
    for seeded in [false, true] {
        let store = Store::empty();
        let builder = builder(&server).store(store.clone()).require_stored();
        let builder = if seeded { builder.tokens(server.bare_tokens()) } else { builder };
        assert!(refused(builder, "the token store is empty").await.is_login_required());
        assert!(store.record().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn store_that_can_not_be_used_is_an_error_at_once_and_never_a_hang() {
    let server = Server::new();
    for fault in [Fault::Fails, Fault::Hangs, Fault::Panics, Fault::PanicsAtOnce] {
        for op in [Op::Check, Op::Load] {
            let store = Store::with_tokens(server.bare_tokens());
            store.faults(op, [fault]);
            let error = refused(builder(&server).store(store), "the token store could not be used");
            assert!(error.await.is_store());
        }
        for op in [Op::Acquire, Op::Save] {
            let store = Store::empty();
            store.faults(op, [fault]);
            let seeded = builder(&server).store(store).tokens(server.bare_tokens());
            let error = refused(seeded, "the token store could not be used").await;
            assert!(error.is_store(), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_credentials_are_built() {
    let server = Server::new();
    expired(&server).await;
    good(&server).await;
    run_pending_tasks().await;
    assert_eq!((server.seen_calls().len(), server.seen_refresh_requests().len()), (0, 0));
}
