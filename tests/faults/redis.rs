//! Redis is gone: before, during and after the refresh request, with its data and without.

use std::sync::{Arc, Mutex};

use tower_teamup_auth::store::RedisStore;
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{CredentialsBuilder, RefreshStep};

use crate::redis_server::RedisServer;
use crate::scene::{MODE, SAVED, Scene, UNSAVED, credentials, once_at, stored_record};

/// A server that has its data on disk before it says so, or one that keeps nothing.
fn server(keeps: bool) -> RedisServer {
    RedisServer::start_with(match keeps {
        true => &["--appendonly", "yes", "--appendfsync", "always"],
        false => &[],
    })
}

fn store(server: &RedisServer) -> RedisStore {
    RedisStore::builder(server.url(), "user-1").build().unwrap()
}

#[tokio::test]
async fn gone_before_the_refresh_request_nothing_is_spent() {
    for keeps in [true, false] {
        let mut redis = server(keeps);
        let scene = Scene::with(store(&redis)).await;
        scene.goes_on().await;

        redis.kill();
        assert!(scene.can_not_refresh().await.is_store());
        assert!(scene.log.says("refresh failed"), "{}", scene.log.text());
        assert!(scene.log.says("error=the token store could not be used"), "{}", scene.log.text());
        scene.goes_on().await;
        assert_eq!(scene.server.refresh_requests(), 0, "{}", scene.server.journal());

        redis.restart();
        scene.can_refresh_again().await;
        scene.goes_on().await;
        assert_eq!(scene.server.refresh_requests(), 1, "{}", scene.server.journal());
        scene.an_heir_can_carry_on(store(&redis)).await;
    }
}

#[tokio::test]
async fn p2_gone_during_or_after_the_refresh_request_the_newest_pair_is_used_and_saved_later() {
    // The lease and the record come in one answer: from then on Redis is not needed for the request.
    for (step, keeps) in [
        (RefreshStep::LeaseAcquired, true),
        (RefreshStep::LeaseAcquired, false),
        (RefreshStep::Answered, true),
        (RefreshStep::Answered, false),
    ] {
        let redis = Arc::new(Mutex::new(server(keeps)));
        let shared = store(&redis.lock().unwrap());
        let killer = Arc::clone(&redis);
        let kill = once_at(step, move || killer.lock().unwrap().kill());
        let scene = Scene::set_up(FakeTeamUp::start().await, |builder| {
            builder.store(shared.clone()).at_each_step(kill)
        })
        .await;

        // Only the new token opens the door now.
        scene.server.expire_access_tokens();
        scene.goes_on().await;
        assert!(scene.log.says(UNSAVED), "{}", scene.log.text());
        assert!(scene.log.says("Connection refused"), "{}", scene.log.text());
        let error = scene.can_not_refresh().await.to_string();
        assert!(error.contains("have not reached the token store yet"), "{error}");
        scene.goes_on().await;
        assert_eq!(scene.server.refresh_requests(), 1, "{}", scene.server.journal());
        assert!(!scene.log.says(SAVED));

        redis.lock().unwrap().restart();
        scene.log.until_it_says(SAVED).await;
        assert_eq!(stored_record(&shared).await.revision(), 2, "{step:?}");
        scene.an_heir_can_carry_on(shared).await;
    }
}

#[tokio::test]
async fn restarted_without_its_data_it_is_given_the_newest_pair_with_the_next_refresh() {
    let mut redis = server(false);
    let scene = Scene::with(store(&redis)).await;
    scene.can_refresh_again().await;

    redis.kill();
    redis.restart();
    scene.goes_on().await;
    // Whoever starts meanwhile has nothing to start with, and is told so: at once, or when it asks.
    let strict = |builder: CredentialsBuilder| builder.store(store(&redis)).require_stored();
    let error = credentials(&scene.server, strict).await.unwrap_err();
    assert!(error.is_login_required(), "{error:?}");
    assert!(error.to_string().contains("the token store is empty"), "{error}");
    let newcomer =
        credentials(&scene.server, |builder| builder.store(store(&redis))).await.unwrap();
    let error = newcomer.refresh(MODE).await.unwrap_err();
    assert!(error.is_login_required(), "{error:?}");
    assert!(error.to_string().contains("the token store is empty"), "{error}");

    scene.server.expire_access_tokens();
    scene.goes_on().await;
    assert_eq!(stored_record(&store(&redis)).await.revision(), 3);
    scene.an_heir_can_carry_on(store(&redis)).await;
}

#[tokio::test]
async fn p2_a_login_that_came_while_redis_was_gone_wins_over_what_redis_still_has() {
    let mut redis = server(true);
    let scene = Scene::with(store(&redis)).await;
    // The others have rotated since this process last looked.
    let other = credentials(&scene.server, |builder| builder.store(store(&redis))).await.unwrap();
    for _ in 0..3 {
        other.refresh(MODE).await.unwrap();
    }
    assert_eq!(stored_record(&store(&redis)).await.revision(), 4);

    redis.kill();
    let login = scene.server.issue_tokens(&[MODE]);
    assert!(scene.credentials.log_in(login.clone()).await.unwrap_err().is_unsaved());
    scene.goes_on().await;

    redis.restart();
    scene.log.until_it_says(SAVED).await;
    let kept = stored_record(&store(&redis)).await;
    assert_eq!(kept.tokens().unwrap().refresh_token(), login.refresh_token());
    assert!(kept.revision() > 4, "the others would not take it for newer");
    scene.can_refresh_again().await;
    // What the other one asks for is a token of the login that is gone.
    assert!(other.refresh(MODE).await.unwrap_err().is_login_changed());
    other.refresh(MODE).await.unwrap();
    assert_eq!(scene.server.double_spends(), 0, "{}", scene.server.journal());
    other.shutdown().await.unwrap();
    scene.an_heir_can_carry_on(store(&redis)).await;
}
