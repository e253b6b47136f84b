//! While a process has tokens that it could not save, no other may start from the old ones.

use tower_teamup_auth::store::{FileStore, RedisStore, TokenStore};

use crate::meddled::Meddled;
use crate::redis_server::RedisServer;
use crate::scene::{MODE, SAVED, Scene, UNSAVED, credentials, kept_token, stored_record};

#[tokio::test]
async fn p2_file_nobody_spends_the_old_refresh_token_while_the_new_one_is_unsaved() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::new(folder.path().join("tokens.json"));
    nobody_spends_the_old_refresh_token(store).await;
}

#[tokio::test]
async fn p2_redis_nobody_spends_the_old_refresh_token_while_the_new_one_is_unsaved() {
    let server = RedisServer::start();
    let store = RedisStore::connect(server.url(), "user-1").await.unwrap();
    nobody_spends_the_old_refresh_token(store).await;
}

async fn nobody_spends_the_old_refresh_token<S: TokenStore + Clone>(shared: S) {
    let store = Meddled::with(shared.clone());
    let scene = Scene::with(store.clone()).await;
    let other = credentials(&scene.server, |builder| builder.store(shared.clone())).await.unwrap();

    store.break_it();
    scene.server.expire_access_tokens();
    scene.goes_on().await;
    assert!(scene.log.says(UNSAVED), "{}", scene.log.text());

    // This one could write, but what it would find in the store is spent.
    let waiting = tokio::spawn({
        let other = other.clone();
        async move { other.refresh(MODE).await }
    });
    store.failures().more(3).await;
    assert!(!waiting.is_finished());
    assert_eq!(scene.server.refresh_requests(), 1, "{}", scene.server.journal());

    store.mend();
    scene.log.until_it_says(SAVED).await;
    waiting.await.unwrap().unwrap();
    scene.goes_on().await;
    assert_eq!(scene.server.refresh_requests(), 1, "{}", scene.server.journal());
    other.shutdown().await.unwrap();
    scene.an_heir_can_carry_on(shared).await;
}

#[tokio::test]
async fn a_login_and_a_sign_out_take_over_the_lease_that_unsaved_tokens_keep() {
    for signs_out in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let file = FileStore::new(folder.path().join("tokens.json"));
        let store = Meddled::with(file.clone());
        let scene = Scene::with(store.clone()).await;
        store.break_it();
        scene.credentials.refresh(MODE).await.unwrap();
        assert!(scene.log.says(UNSAVED), "{}", scene.log.text());
        // The worker has tried once more and pauses.
        scene.log.until_it_says("newest tokens still not saved").await;

        store.mend();
        if signs_out {
            scene.credentials.sign_out().await.unwrap();
            assert!(stored_record(&file).await.is_signed_out());
        } else {
            let tokens = scene.server.issue_tokens(&[MODE]);
            scene.credentials.log_in(tokens.clone()).await.unwrap();
            assert_eq!(kept_token(&file).await, tokens.refresh_token().expose());
            scene.goes_on().await;
        }
        // And the lease is free.
        let lease = file.try_acquire().await.unwrap().lease.expect("nobody has the lease");
        file.release(lease).await.unwrap();
        scene.credentials.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn tokens_that_were_set_and_not_saved_are_saved_before_the_next_refresh() {
    let folder = tempfile::tempdir().unwrap();
    let file = FileStore::new(folder.path().join("tokens.json"));
    let store = Meddled::with(file.clone());
    let scene = Scene::with(store.clone()).await;
    store.break_it();
    let tokens = scene.server.issue_tokens(&[MODE]);
    let error = scene.credentials.log_in(tokens.clone()).await.unwrap_err();
    assert!(error.is_store(), "{error:?}");
    assert!(scene.log.says(UNSAVED), "{}", scene.log.text());
    scene.goes_on().await;
    assert!(scene.can_not_refresh().await.is_store());
    assert_eq!(scene.server.refresh_requests(), 0, "{}", scene.server.journal());

    store.mend();
    scene.can_refresh_again().await;
    assert!(scene.log.says(SAVED), "{}", scene.log.text());
    scene.an_heir_can_carry_on(file).await;
}
