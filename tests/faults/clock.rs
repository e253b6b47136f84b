//! The wall clock jumps by an hour, ahead or back, while the refresh endpoint is up or down.

use std::time::Duration;

use http::StatusCode;
use tower_teamup_auth::store::FileStore;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::Clock;

use crate::scene::{Scene, stored_record};

const HOUR: Duration = Duration::from_secs(3600);
const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

struct Shifted {
    scene: Scene,
    clock: Clock,
    store: FileStore,
    _folder: tempfile::TempDir,
}

/// A program whose token lives for half an hour.
async fn set_up() -> Shifted {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::new(folder.path().join("tokens.json"));
    let clock = Clock::tokio();
    let server = FakeTeamUp::builder().access_token_lifetime(HALF_AN_HOUR).start().await;
    let scene =
        Scene::set_up(server, |builder| builder.store(store.clone()).clock(clock.clone())).await;
    Shifted { scene, clock, store, _folder: folder }
}

#[tokio::test]
async fn ahead_with_the_endpoint_up_it_costs_one_refresh() {
    let Shifted { scene, clock, store, _folder } = set_up().await;
    clock.shift_wall(HOUR);
    for _ in 0..3 {
        scene.goes_on().await;
    }
    assert!(scene.log.says("refresh succeeded"), "{}", scene.log.text());
    assert_eq!((scene.server.refresh_requests(), scene.server.unauthorized()), (1, 0));
    assert_eq!(stored_record(&store).await.revision(), 2);

    // And the clock is set right again.
    clock.shift_wall_back(HOUR);
    scene.goes_on().await;
    assert_eq!((scene.server.refresh_requests(), scene.server.unauthorized()), (1, 0));
}

#[tokio::test]
async fn p10_ahead_with_the_endpoint_down_the_token_is_used_that_one_clock_believes_in() {
    let Shifted { scene, clock, store, _folder } = set_up().await;
    scene.server.fail_every_refresh(Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    clock.shift_wall(HOUR);
    scene.goes_on().await;
    assert!(scene.log.says("refresh failed"), "{}", scene.log.text());
    scene.goes_on().await;
    assert_eq!((scene.server.rotations(), scene.server.unauthorized()), (0, 0));

    scene.server.clear_faults();
    scene.can_refresh_again().await;
    scene.goes_on().await;
    assert_eq!(scene.server.rotations(), 1, "{}", scene.server.journal());
    assert_eq!(stored_record(&store).await.revision(), 2);
}

#[tokio::test]
async fn back_with_the_endpoint_up_the_token_is_renewed_by_the_other_clock() {
    let Shifted { scene, clock, store, _folder } = set_up().await;
    clock.shift_wall_back(HOUR);
    scene.goes_on().await;
    assert_eq!(scene.server.refresh_requests(), 0, "{}", scene.server.journal());

    // Half an hour passes on the clock that nobody can set.
    scene.server.advance(HALF_AN_HOUR);
    tokio::time::pause();
    tokio::time::advance(HALF_AN_HOUR).await;
    tokio::time::resume();
    scene.goes_on().await;
    assert_eq!((scene.server.refresh_requests(), scene.server.unauthorized()), (1, 0));
    assert!(scene.log.says("refresh succeeded"), "{}", scene.log.text());
    assert_eq!(stored_record(&store).await.revision(), 2);
    scene.goes_on().await;
    assert_eq!(scene.server.refresh_requests(), 1, "{}", scene.server.journal());
}

#[tokio::test]
async fn back_with_the_endpoint_down_nothing_is_missed_while_the_token_is_good() {
    let Shifted { scene, clock, store, _folder } = set_up().await;
    scene.server.fail_every_refresh(Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    clock.shift_wall_back(HOUR);
    scene.goes_on().await;
    assert_eq!(scene.server.refresh_requests(), 0, "{}", scene.server.journal());

    scene.server.expire_access_tokens();
    assert_eq!(scene.request().await.unwrap(), StatusCode::UNAUTHORIZED);
    assert!(scene.log.says("refresh failed"), "{}", scene.log.text());

    scene.server.clear_faults();
    scene.can_refresh_again().await;
    scene.goes_on().await;
    assert_eq!(stored_record(&store).await.revision(), 2);
}
