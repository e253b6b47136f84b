//! The refresh token is refused for good, and the user logs in again, at another process.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::Full;
use tower::ServiceExt;
use tower_teamup_auth::Error;
use tower_teamup_auth::store::FileStore;
use tower_teamup_auth::store::TokenStore as _;
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::token::Clock;

use crate::meddled::Meddled;
use crate::scene::{MODE, Scene, credentials};

const FOUND: &str = "record adopted: another process has refreshed or logged in";
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
    scene.server.revoke_everything();
    assert_eq!(scene.request().await.unwrap(), StatusCode::UNAUTHORIZED);
    assert!(scene.log.says("login required"), "{}", scene.log.text());

    let other = credentials(&scene.server, |builder| builder.store(file)).await.unwrap();

    // A look finds the tokens that were refused, and does not take them for new ones. Whoever asks
    // waits for it.
    for _ in 0..3 {
        clock.shift_wall(FIVE_SECONDS);
        let looks = store.loads().get();
        assert!(error_of(&scene).await.is_login_required());
        assert_eq!(store.loads().get(), looks + 1);
    }
    assert_eq!(scene.server.refresh_requests(), 1, "{}", scene.server.journal());
    assert!(!scene.log.says(FOUND), "{}", scene.log.text());

    other.log_in(scene.server.issue_tokens(&[MODE])).await.unwrap();
    let looks = store.loads().get();
    assert!(error_of(&scene).await.is_login_required());
    assert_eq!(store.loads().get(), looks, "it is too early for another look");

    // The request that finds the new login was made for the old one.
    clock.shift_wall(FIVE_SECONDS);
    assert!(error_of(&scene).await.is_login_changed());
    assert!(scene.log.says(FOUND), "{}", scene.log.text());
    scene.goes_on().await;
    assert_eq!(scene.server.refresh_requests(), 1, "{}", scene.server.journal());
    assert_eq!(scene.server.mixed_logins(), 0, "{}", scene.server.journal());
    scene.credentials.refresh(MODE).await.unwrap();
    scene.goes_on().await;
}

/// Why a request can't be served: it fails, or its 401 says so. An access token is sent for as long
/// as it may be valid, whatever became of the refresh token.
async fn error_of(scene: &Scene) -> Error {
    let request = Request::get(scene.server.url("/events")).body(Full::default()).unwrap();
    match scene.api.clone().oneshot(request).await {
        Ok(response) => {
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            Error::find(&response).cloned().expect("the 401 says why it is not retried")
        }
        Err(error) => Error::find(&error).cloned().expect("an error of this crate"),
    }
}

#[tokio::test]
async fn who_has_signed_out_is_logged_in_again_by_a_login_at_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = FileStore::new(folder.path().join("tokens.json"));
    let (store, clock) = (Meddled::with(file.clone()), Clock::tokio());
    let scene = Scene::set_up(FakeTeamUp::start().await, |builder| {
        builder.store(store.clone()).clock(clock.clone())
    })
    .await;
    let other = credentials(&scene.server, |builder| builder.store(file.clone())).await.unwrap();
    scene.credentials.sign_out().await.unwrap();
    assert!(file.load().await.unwrap().unwrap().is_signed_out());

    // The first look finds its own note. Until the next one is due the store is left alone.
    assert!(error_of(&scene).await.is_login_required());
    other.log_in(scene.server.issue_tokens(&[MODE])).await.unwrap();
    let looks = store.loads().get();
    for _ in 0..3 {
        assert!(error_of(&scene).await.is_login_required());
    }
    assert_eq!(store.loads().get(), looks);
    assert!(!scene.log.says(FOUND), "{}", scene.log.text());

    clock.shift_wall(FIVE_SECONDS);
    assert!(error_of(&scene).await.is_login_changed());
    assert_eq!(store.loads().get(), looks + 1);
    assert!(scene.log.says(FOUND), "{}", scene.log.text());
    scene.goes_on().await;
    assert_eq!(scene.server.refresh_requests(), 0, "{}", scene.server.journal());
    scene.credentials.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_sign_out_at_one_process_reaches_the_others_with_their_next_refresh() {
    let folder = tempfile::tempdir().unwrap();
    let file = FileStore::new(folder.path().join("tokens.json"));
    let scene = Scene::with(file.clone()).await;
    let other = credentials(&scene.server, |builder| builder.store(file)).await.unwrap();
    other.sign_out().await.unwrap();

    assert!(scene.credentials.refresh(MODE).await.unwrap_err().is_login_changed());
    assert!(scene.log.says("signed out by another process"), "{}", scene.log.text());
    assert!(scene.credentials.status().is_signed_out());
    assert!(error_of(&scene).await.is_login_required());
    assert_eq!(scene.server.api_requests(), 0, "{}", scene.server.journal());
    assert_eq!(scene.server.refresh_requests(), 0, "{}", scene.server.journal());
}
