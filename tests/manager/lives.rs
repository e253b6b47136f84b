//! Which credentials live: one of each user, and no dirty or busy one leaves.

use std::panic::AssertUnwindSafe;

use tokio::task::JoinSet;
use tower_teamup_auth::Credentials;
use tower_teamup_auth::manager::CredentialsManager;
use tower_teamup_auth::store::{FileStore, RecordContent};
use tower_teamup_auth::testing::FakeTeamUp;

use crate::support::*;

/// Are both handles of one credential?
async fn is_same(one: &Credentials, other: &Credentials, server: &FakeTeamUp) -> bool {
    one.log_in(tokens(server, "somebody")).await.unwrap();
    let before = server.refresh_requests();
    one.refresh(MODE).await.unwrap();
    other.status() == one.status() && server.refresh_requests() == before + 1
}

#[tokio::test]
async fn p1_hundred_callers_at_once_share_one_build() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 10);
    manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
    manager.shutdown(SOON).await.unwrap();

    let manager = self::manager(&server, &family, 10);
    let before = family.loads();
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let manager = manager.clone();
        callers.spawn(async move { manager.get("ada").await.unwrap() });
    }
    let all = callers.join_all().await;
    assert_eq!(family.loads() - before, 1);
    server.expire_access_tokens();
    for credentials in &all {
        assert_eq!(status(&server, credentials).await, 200);
    }
    assert_eq!(server.rotations(), 1, "all of them are one");
}

#[tokio::test]
async fn build_goes_on_for_the_others_when_the_caller_who_began_it_is_dropped() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 10);
    let first = tokio::spawn({
        let manager = manager.clone();
        async move { manager.get("ada").await.map(drop) }
    });
    tokio::task::yield_now().await;
    first.abort();
    manager.get("ada").await.unwrap();
    assert_eq!(family.loads(), 1);
}

#[tokio::test]
async fn build_that_fails_fails_for_all_who_wait_and_the_next_one_tries_again() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 10);
    family.fail_loads(true);
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let manager = manager.clone();
        callers.spawn(async move { manager.get("ada").await.unwrap_err().is_store() });
    }
    assert!(callers.join_all().await.into_iter().all(|is_store| is_store));
    assert_eq!(family.loads(), 1);
    family.fail_loads(false);
    manager.get("ada").await.unwrap();
}

#[tokio::test]
async fn family_that_panics_is_an_error() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 10);
    let error = AssertUnwindSafe(manager.get("panics")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn least_recently_used_credential_leaves_and_is_built_again() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 2);
    for user in ["ada", "grace"] {
        manager.log_in(user, tokens(&server, user)).await.unwrap();
    }
    manager.get("ada").await.unwrap();
    manager.log_in("joan", tokens(&server, "joan")).await.unwrap();
    manager.get("joan").await.unwrap();
    assert_eq!(in_memory(&manager), ["ada", "joan"]);
    let before = family.loads();
    assert_eq!(status(&server, &manager.get("grace").await.unwrap()).await, 200);
    assert_eq!(family.loads(), before + 1);
    assert_eq!(in_memory(&manager), ["grace", "joan"]);
}

#[tokio::test]
async fn p11_credential_that_somebody_holds_is_never_built_beside() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 1);
    let held = manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
    for user in 0..10 {
        manager.get(&user.to_string()).await.unwrap();
    }
    let before = family.loads();
    let again = manager.get("ada").await.unwrap();
    assert_eq!(family.loads(), before, "it was not built");
    assert!(is_same(&held, &again, &server).await);
}

/// So many that keys of credentials that are gone are looked for and forgotten.
#[tokio::test]
async fn p11_credentials_that_somebody_holds_stay_known_while_the_others_are_forgotten() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 1);
    let mut held = Vec::new();
    for user in 0..80 {
        held.push(manager.get(&user.to_string()).await.unwrap());
    }
    let before = family.loads();
    for user in 0..80 {
        manager.get(&user.to_string()).await.unwrap();
    }
    assert_eq!(family.loads(), before, "none was built");
}

#[tokio::test]
async fn p2_eviction_keeps_tokens_that_could_not_be_saved() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 1);
    let ada = manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
    family.fail_saves(true);
    // The new tokens are used, whether they could be saved or not.
    ada.refresh(MODE).await.unwrap();
    assert!(ada.status().dirty().is_some());
    drop(ada);
    for user in 0..5 {
        manager.get(&user.to_string()).await.unwrap();
    }
    assert!(in_memory(&manager).contains(&"ada".to_owned()));
    assert_eq!(manager.health().unsaved(), 1);
    let error = manager.shutdown(SOON).await.unwrap_err();
    let users: Vec<_> = error.users().map(|(key, error)| (key, error.is_unsaved())).collect();
    assert_eq!(users, [("ada", true)]);

    family.fail_saves(false);
    manager.shutdown(SOON).await.unwrap();
    let record = family.record("ada").await.unwrap();
    let RecordContent::Tokens(saved) = record.content() else { panic!("{record:?}") };
    let next = self::manager(&server, &family, 1);
    server.expire_access_tokens();
    assert_eq!(status(&server, &next.get("ada").await.unwrap()).await, 200, "{saved:?}");
    assert_eq!(server.double_spends(), 0, "{}", server.journal());
}

/// No worker holds the credential then: the manager alone does.
#[test]
fn p2_eviction_keeps_unsaved_tokens_whose_runtime_is_gone() {
    let (server, family) = (FakeTeamUp::start_blocking(), Family::default());
    let manager = manager(&server, &family, 1);
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime().block_on(async {
        let ada = manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
        family.fail_saves(true);
        ada.refresh(MODE).await.unwrap();
    });
    runtime().block_on(async {
        for user in 0..5 {
            manager.get(&user.to_string()).await.unwrap();
        }
        assert_eq!(manager.health().unsaved(), 1);
        family.fail_saves(false);
        manager.shutdown(SOON).await.unwrap();
        let next = self::manager(&server, &family, 1);
        server.expire_access_tokens();
        assert_eq!(status(&server, &next.get("ada").await.unwrap()).await, 200);
        assert_eq!(server.double_spends(), 0, "{}", server.journal());
    });
    server.shutdown_blocking();
}

#[tokio::test]
async fn p2_eviction_during_a_refresh_keeps_the_credential_until_its_answer_is_saved() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 1);
    let ada = manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
    let held = server.hold_refresh();
    let refresh = tokio::spawn(async move { ada.refresh(MODE).await });
    held.arrived(1).await;
    refresh.abort();
    for user in 0..5 {
        manager.get(&user.to_string()).await.unwrap();
    }
    let before = family.loads();
    let ada = manager.get("ada").await.unwrap();
    assert_eq!(family.loads(), before, "the one with the refresh under way");
    assert!(ada.status().is_refreshing());
    held.release();
    ada.flush().await.unwrap();
    assert_eq!(status(&server, &ada).await, 200);
    assert_eq!((server.rotations(), server.double_spends()), (1, 0));
}

#[tokio::test]
async fn p12_shutdown_ends_all_side_by_side_and_builds_none_any_more() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 100);
    let held = server.hold_refresh();
    for user in 0..20 {
        let user = user.to_string();
        let credentials = manager.log_in(&user, tokens(&server, &user)).await.unwrap();
        tokio::spawn(async move { credentials.refresh(MODE).await });
    }
    held.arrived(20).await;
    let ending = tokio::spawn({
        let manager = manager.clone();
        async move { manager.shutdown(SOON).await }
    });
    tokio::task::yield_now().await;
    held.release();
    ending.await.unwrap().unwrap();
    assert_eq!(server.rotations(), 20);
    for user in 0..20 {
        let record = family.record(&user.to_string()).await.unwrap();
        assert_eq!(record.tokens().unwrap().access_token(MODE).map(|_| ()), Some(()));
    }
    for user in ["late", "0"] {
        assert!(manager.get(user).await.unwrap_err().is_shut_down());
    }
    assert!(manager.iter().all(|(_, credentials)| credentials.status().is_shut_down()));
}

#[tokio::test(start_paused = true)]
async fn p12_shutdown_that_takes_too_long_names_the_users() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 100);
    let ada = manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
    manager.log_in("grace", tokens(&server, "grace")).await.unwrap();
    let held = server.hold_refresh();
    tokio::spawn(async move { ada.refresh(MODE).await });
    held.arrived(1).await;
    let error = manager.shutdown(SOON).await.unwrap_err();
    let users: Vec<_> = error.users().map(|(key, error)| (key, error.is_timeout())).collect();
    assert_eq!(users, [("ada", true)]);
    held.release();
    manager.shutdown(SOON).await.unwrap();
    assert_eq!(server.rotations(), 1);
}

#[tokio::test]
async fn sign_out_leaves_a_tombstone_and_remove_erases_it() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 10);
    manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
    manager.sign_out("ada").await.unwrap();
    assert!(family.record("ada").await.unwrap().is_signed_out());
    assert!(manager.get("ada").await.unwrap().status().is_signed_out());

    manager.remove("ada").await.unwrap();
    assert!(family.record("ada").await.is_none());
    assert!(in_memory(&manager).is_empty());
    // Who was never here is removed without effect.
    manager.remove("nobody").await.unwrap();
}

#[tokio::test]
async fn removed_user_is_not_saved_again_by_a_handle_that_somebody_holds() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 10);
    let held = manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
    manager.remove("ada").await.unwrap();
    assert!(held.refresh(MODE).await.unwrap_err().is_shut_down());
    assert!(held.log_in(tokens(&server, "ada")).await.unwrap_err().is_shut_down());
    assert!(family.record("ada").await.is_none());

    let again = manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
    assert_eq!(status(&server, &again).await, 200);
    assert!(family.record("ada").await.is_some());
}

#[tokio::test]
async fn removal_that_fails_is_told_and_can_be_called_again() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let manager = manager(&server, &family, 10);
    manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
    family.fail_saves(true);
    let error = manager.remove("ada").await.unwrap_err();
    assert!(error.is_unsaved(), "{error}");
    family.fail_saves(false);
    manager.remove("ada").await.unwrap();
    assert!(family.record("ada").await.is_none());
    // A removal of somebody who is not in memory.
    family.store("grace");
    family.fail_saves(true);
    assert!(manager.remove("grace").await.unwrap_err().is_store());
    family.fail_saves(false);
    manager.remove("grace").await.unwrap();
}

#[tokio::test]
async fn f1_login_takes_the_place_of_a_record_that_is_torn() {
    let server = FakeTeamUp::start().await;
    let folder = tempfile::tempdir().unwrap();
    let files = FileStore::family(folder.path());
    let manager = CredentialsManager::builder(template(&server), files.clone()).build().unwrap();
    std::fs::write(files.open("ada").path(), "").unwrap();
    assert!(manager.get("ada").await.unwrap().status().is_login_required());
    let ada = manager.log_in("ada", tokens(&server, "ada")).await.unwrap();
    assert_eq!(status(&server, &ada).await, 200);
    manager.shutdown(SOON).await.unwrap();
    let next = CredentialsManager::builder(template(&server), files).build().unwrap();
    assert_eq!(status(&server, &next.get("ada").await.unwrap()).await, 200);
}

#[tokio::test]
async fn template_with_tokens_and_limits_of_zero_are_refused() {
    let (server, family) = (FakeTeamUp::start().await, Family::default());
    let with_tokens = template(&server).tokens(tokens(&server, "ada"));
    let error = CredentialsManager::builder(with_tokens, family.clone()).build().unwrap_err();
    assert!(error.is_invalid_input() && error.to_string().contains("log_in"), "{error}");
    assert!(builder(&server, &family).max_in_memory(0).build().unwrap_err().is_invalid_input());
    let never = builder(&server, &family).keep_alive(std::time::Duration::ZERO);
    assert!(never.build().unwrap_err().is_invalid_input());
}
