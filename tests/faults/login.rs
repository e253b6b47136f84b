//! The refresh token is refused for good, and the user logs in again, at another process.

use std::time::Duration;

use http::StatusCode;
use tower_teamup_auth::Error;
use tower_teamup_auth::store::FileStore;
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::token::Clock;

use crate::meddled::Meddled;
use crate::scene::{MODE, Scene, credentials};

const FOUND: &str = "new tokens found in the store: re-authorization is not required any more";
const FIVE_SECONDS: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_login_at_one_process_reaches_the_others_without_a_word_to_the_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let file = FileStore::new(folder.path().join("tokens.json"));
    let (store, clock) = (Meddled::with(file.clone()), Clock::tokio());
    let scene = Scene::set_up(FakeTeamUp::start().await, |builder| {
        builder.store(store.clone()).clock(clock.clone())
    })
    .await;
    let other = credentials(&scene.server, |builder| builder.store(file)).await.unwrap();

    scene.server.revoke_everything();
    assert_eq!(scene.request().await.unwrap(), StatusCode::UNAUTHORIZED);
    assert!(scene.log.says("re-authorization is required"), "{}", scene.log.text());

    // A look finds the tokens that were refused, and does not take them for new ones.
    for _ in 0..3 {
        clock.shift_wall(FIVE_SECONDS);
        let looks = store.loads().clone();
        let looked = tokio::spawn(async move { looks.more(1).await });
        tokio::task::yield_now().await;
        fails_at_once(&scene).await;
        looked.await.unwrap();
    }
    assert_eq!(scene.server.refresh_requests(), 1, "{}", scene.server.journal());

    other.log_in(scene.server.issue_tokens(&[MODE])).await.unwrap();
    let looks = store.loads().get();
    fails_at_once(&scene).await;
    assert_eq!(store.loads().get(), looks, "it is too early for another look");

    clock.shift_wall(FIVE_SECONDS);
    fails_at_once(&scene).await;
    scene.log.until_it_says(FOUND).await;
    scene.goes_on().await;
    assert_eq!(scene.server.refresh_requests(), 1, "{}", scene.server.journal());
    scene.credentials.refresh(MODE).await.unwrap();
    scene.goes_on().await;
}

async fn fails_at_once(scene: &Scene) {
    let error = scene.request().await.unwrap_err();
    let error = error.downcast_ref::<Error>().unwrap();
    assert!(error.is_login_required(), "{error:?}");
}

#[tokio::test]
async fn who_has_signed_out_does_not_look_for_the_login_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let file = FileStore::new(folder.path().join("tokens.json"));
    let (store, clock) = (Meddled::with(file.clone()), Clock::tokio());
    let scene = Scene::set_up(FakeTeamUp::start().await, |builder| {
        builder.store(store.clone()).clock(clock.clone())
    })
    .await;
    let other = credentials(&scene.server, |builder| builder.store(file)).await.unwrap();
    scene.credentials.sign_out().await.unwrap();
    other.log_in(scene.server.issue_tokens(&[MODE])).await.unwrap();

    let looks = store.loads().get();
    for _ in 0..3 {
        clock.shift_wall(Duration::from_secs(3600));
        fails_at_once(&scene).await;
        // A chance for a driver to start.
        tokio::task::yield_now().await;
    }
    scene.credentials.shutdown().await.unwrap();
    assert_eq!(store.loads().get(), looks);
    assert!(!scene.log.says(FOUND));
}
