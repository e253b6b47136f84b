//! What a health check is told in field cases G3 and G4.

use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use tower_teamup_auth::status::Token;

use crate::support::server::Server;
use crate::support::stores::{Fault, Op, Store};
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn g3_store_that_is_down_and_a_token_that_was_refused_are_not_well() {
    let server = Server::new();
    let store = Store::with_tokens(server.good_tokens(Some(7200)));
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    let client = client(&credentials, &server);
    assert!(credentials.status().is_healthy() && credentials.status().is_ready());

    store.faults(Op::Acquire, [Fault::Fails; 1000]);
    server.expire_everything();
    assert_eq!(status(&client).await, StatusCode::UNAUTHORIZED);
    let state = credentials.status();
    assert!(!state.is_healthy() && !state.is_ready(), "{state}");
    assert!(matches!(state.token(Provider), Token::Ready { refused: true, .. }), "{state}");
    assert!(state.failure().unwrap().error().is_store(), "{state}");
    assert!(!state.is_login_required(), "{state}");
    assert!(state.to_string().contains("the API has refused this token"), "{state}");

    store.mend();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(status(&client).await, StatusCode::OK);
    assert!(credentials.status().is_healthy() && credentials.status().is_ready());
}

#[tokio::test(start_paused = true)]
async fn g3_store_that_is_down_alone_is_well_while_the_token_works() {
    let server = Server::new();
    let store = Store::with_tokens(server.good_tokens(Some(7200)));
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    store.faults(Op::Acquire, [Fault::Fails; 1000]);
    assert!(credentials.refresh(Provider).await.unwrap_err().is_store());
    assert!(credentials.status().is_healthy() && credentials.status().is_ready());
}

#[tokio::test(start_paused = true)]
async fn g4_token_that_expires_in_the_year_10000_is_shown() {
    let server = Server::new();
    let year_10000 = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    for end in [year_10000, year_10000 + Duration::from_secs(1 << 40)] {
        let tokens = server.bare_tokens();
        let token = format!("{SECRET}-provider-0").parse().unwrap();
        let tokens = tokens.with_access_token_until(Provider, token, Some(end));
        let credentials = builder(&server).tokens(tokens).build().await.unwrap();
        let shown = credentials.status().to_string();
        assert_eq!(shown, "ready in provider mode until a time after the year 9999");
    }
    let tokens = server.bare_tokens();
    let token = format!("{SECRET}-provider-0").parse().unwrap();
    let second_before = year_10000 - Duration::from_secs(1);
    let tokens = tokens.with_access_token_until(Provider, token, Some(second_before));
    let credentials = builder(&server).tokens(tokens).build().await.unwrap();
    assert!(credentials.status().to_string().ends_with("Fri, 31 Dec 9999 23:59:59 GMT"));
}
