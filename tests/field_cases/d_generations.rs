//! D1: the same token text with a new life.

use http::StatusCode;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::Clock;

use crate::scene::{MODE, Place, StandingClock, api_of};
use crate::support::{Crowd, Protocol, credentials, expired_tokens, status};

#[tokio::test]
async fn d1_same_access_token_with_a_new_expiry_is_one_refresh_for_a_hundred_requests() {
    let server = FakeTeamUp::start().await;
    let place = Place::new();
    let builder = credentials(&server, &Protocol::Http1.client()).store(place.store());
    let api = api_of(&builder.tokens(expired_tokens(&server)).build().await.unwrap());
    server.fail_every_refresh(Fault::same_access_token());
    let crowd = Crowd::calling(50, &api, &server);
    assert!(crowd.outputs().await.iter().all(|status| *status == 200));
    for caller in 0..50 {
        assert_eq!(status(&api, &server, caller).await, 200);
    }
    assert_eq!((server.refresh_requests(), server.unauthorized()), (1, 0), "{}", server.journal());
}

#[tokio::test]
async fn d1_same_access_token_is_refreshed_again_when_its_new_life_is_over() {
    let clock = StandingClock::start();
    let server = FakeTeamUp::start().await;
    let builder = credentials(&server, &Protocol::Http1.client()).clock(Clock::tokio());
    let credentials = builder.tokens(server.issue_tokens(&[MODE])).build().await.unwrap();
    let api = api_of(&credentials);
    server.fail_every_refresh(Fault::same_access_token());
    for life in 1..=3 {
        let until = credentials.status().ready_until().expect("a ready token");
        let left = until.duration_since(crate::time::wall_time()).unwrap();
        clock.jump(left).await;
        for caller in 0..20 {
            assert_eq!(status(&api, &server, caller).await, StatusCode::OK);
        }
        assert_eq!(server.refresh_requests(), life, "{}", server.journal());
    }
    assert_eq!(server.double_spends(), 0);
}

#[tokio::test]
async fn d1_same_access_token_after_a_401_is_sent_once_more_and_no_oftener() {
    let server = FakeTeamUp::start().await;
    let builder = credentials(&server, &Protocol::Http1.client());
    let credentials = builder.tokens(server.issue_tokens(&[MODE])).build().await.unwrap();
    let api = api_of(&credentials);
    server.fail_every_refresh(Fault::same_access_token());
    server.fail_every_api(Fault::unauthorized());
    assert_eq!(status(&api, &server, "once").await, 401);
    assert_eq!((server.api_requests(), server.refresh_requests()), (2, 1));
    server.clear_faults();
    assert_eq!(status(&api, &server, "then").await, 200);
}
