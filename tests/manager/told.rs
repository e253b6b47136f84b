//! Events of all users, and health in counts.

use tower_teamup_auth::Error;
use tower_teamup_auth::manager::{UserEvent, UserEventKind, UserEvents};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};

use crate::support::*;

/// The next event, as its user and the name of what happened.
async fn next(events: &mut UserEvents) -> String {
    let event: UserEvent = events.next().await.unwrap();
    let kind = format!("{:?}", event.kind());
    format!("{} {}", event.key(), kind.split('(').next().unwrap())
}

#[tokio::test]
async fn one_stream_tells_which_user_must_log_in_again_and_what_else_happens() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 10);
    let mut events = manager.subscribe();
    let ada = manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
    assert_eq!(next(&mut events).await, "ada LoggedIn");
    manager.log_in("grace", tokens(&server, "grace")).await.unwrap();
    assert_eq!(next(&mut events).await, "grace LoggedIn");

    server.revoke_everything();
    assert!(ada.refresh(MODE).await.unwrap_err().is_login_required());
    let event = events.next().await.unwrap();
    let UserEventKind::LoginRequired(error) = event.kind() else { panic!("{event:?}") };
    assert!(event.key() == "ada" && error.is_login_required());
    ada.log_in(tokens(&server, "ada")).await.unwrap();
    assert_eq!(next(&mut events).await, "ada LoggedIn");

    server.fail_every_refresh(Fault::firewall());
    assert!(ada.refresh(MODE).await.unwrap_err().is_protocol());
    assert_eq!(next(&mut events).await, "ada Failing");
    server.clear_faults();
    ada.refresh(MODE).await.unwrap();
    assert_eq!(next(&mut events).await, "ada Recovered");

    family.fail_saves(true);
    ada.refresh(MODE).await.unwrap();
    assert_eq!(next(&mut events).await, "ada Unsaved");
    family.fail_saves(false);
    ada.flush().await.unwrap();
    assert_eq!(next(&mut events).await, "ada Saved");

    manager.sign_out("ada").await.unwrap();
    assert_eq!(next(&mut events).await, "ada SignedOut");
    manager.remove("grace").await.unwrap();
    assert_eq!(next(&mut events).await, "grace SignedOut");
    assert_eq!(next(&mut events).await, "grace Removed");
    assert_eq!(events.missed(), 0);

    drop((manager, ada));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn user_whose_token_was_refused_before_a_restart_is_told_when_built() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let first = manager(&server, &family, 10);
    let ada = first.log_in("ada", tokens(&server, "ada")).await.unwrap();
    server.revoke_everything();
    assert!(ada.refresh(MODE).await.is_err());
    first.sign_out("grace").await.unwrap();
    first.shutdown(SOON).await.unwrap();

    let second = manager(&server, &family, 10);
    let mut events = second.subscribe();
    second.get("grace").await.unwrap(); // signed out before: no news
    second.get("ada").await.unwrap();
    assert_eq!(next(&mut events).await, "ada LoginRequired");
}

#[tokio::test]
async fn stream_that_falls_behind_says_how_many_it_missed() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 10);
    let mut events = manager.subscribe();
    for _ in 0..600 {
        manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
        manager.sign_out("ada").await.unwrap();
    }
    next(&mut events).await;
    assert_eq!(events.missed(), 1200 - 1024);
}

#[tokio::test]
async fn g3_health_is_not_well_while_the_store_is_down_and_a_token_is_refused() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 10);
    let ada = manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
    assert!(manager.health().is_healthy() && manager.health().ready() == 1);

    family.fail_loads(true);
    family.fail_saves(true);
    server.expire_access_tokens(); // its expiry by our clock is far away
    assert_eq!(status(&server, &ada).await, 401);
    let health = manager.health();
    assert!(!health.is_healthy(), "{health}");
    assert_eq!((health.ready(), health.failing(), health.in_memory()), (0, 1, 1), "{health}");
    assert!(!ada.status().is_ready() && !ada.status().is_healthy(), "{}", ada.status());
    assert!(ada.status().failure().unwrap().error().is_store());
}

#[tokio::test]
async fn g3_health_is_not_well_while_users_can_not_be_built_from_the_store() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 10);
    family.fail_loads(true);
    assert!(manager.get("ada").await.is_err());
    let health = manager.health();
    assert!(!health.is_healthy() && health.store_failure().is_some_and(Error::is_store));
    family.fail_loads(false);
    manager.get("ada").await.unwrap();
    assert!(manager.health().is_healthy());
}

#[tokio::test]
async fn health_counts_each_user_once() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 10);
    for user in ["ready", "revoked", "failing"] {
        manager.log_in(user, tokens(&server, user)).await.unwrap();
    }
    let fresh = tokens(&server, "renewable");
    let bare = tower_teamup_auth::TokenSet::new(fresh.refresh_token().clone());
    manager.log_in("renewable", bare).await.unwrap();
    manager.sign_out("signed-out").await.unwrap();
    manager.get("nobody").await.unwrap();

    let failing = manager.get("failing").await.unwrap();
    let login = server.login_of(tokens_of(&family, "revoked").await.refresh_token().expose());
    server.revoke_login(login.unwrap());
    let revoked = manager.get("revoked").await.unwrap();
    assert_eq!(status(&server, &revoked).await, 401);
    server.fail_every_refresh(Fault::firewall());
    server.revoke(tokens_of(&family, "failing").await.access_token(MODE).unwrap());
    assert_eq!(status(&server, &failing).await, 401);

    let health = manager.health();
    assert_eq!(
        health.to_string(),
        "1 ready, 1 renewable, 1 failing, 2 to log in, 1 signed out; 0 refreshing, 0 unsaved"
    );
    assert_eq!((health.in_memory(), health.login_required(), health.signed_out()), (6, 2, 1));
}

async fn tokens_of(family: &Family, user: &str) -> tower_teamup_auth::TokenSet {
    family.record(user).await.unwrap().tokens().unwrap().clone()
}
