//! G5: the seed of a program is changed, and the program restarted.

use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{Credentials, TokenSet};

use crate::scene::{MODE, Place, api_of};
use crate::support::{Protocol, call, credentials, get, status, why};

async fn start(server: &FakeTeamUp, place: &Place, seed: &TokenSet) -> Credentials {
    let builder = credentials(server, &Protocol::Http1.client()).store(place.store());
    builder.tokens(seed.clone()).build().await.unwrap()
}

/// How the login of the first seed ends.
#[derive(Clone, Copy, Debug)]
enum End {
    SignedOut,
    Dead,
}

async fn ended(server: &FakeTeamUp, place: &Place, seed: &TokenSet, end: End) {
    let runs = start(server, place, seed).await;
    runs.refresh(MODE).await.unwrap();
    match end {
        End::SignedOut => runs.sign_out().await.unwrap(),
        End::Dead => {
            server.revoke_login(server.login_of(seed.refresh_token().expose()).unwrap());
            assert!(runs.refresh(MODE).await.unwrap_err().is_login_required());
        }
    }
    runs.shutdown().await.unwrap();
}

#[tokio::test]
async fn g5_new_seed_after_a_sign_out_or_a_dead_login_is_used_and_the_old_one_never_again() {
    for end in [End::SignedOut, End::Dead] {
        let server = FakeTeamUp::start().await;
        let place = Place::new();
        let old = server.issue_tokens_to("old", &[MODE]);
        ended(&server, &place, &old, end).await;
        let before = server.journal().entries().len();

        let new = server.issue_tokens_to("new", &[MODE]);
        for restart in 0..3 {
            // One process of the fleet has not got the new configuration yet.
            let late = start(&server, &place, &old).await;
            let runs = if restart == 0 { start(&server, &place, &new).await } else { late };
            assert_eq!(status(&api_of(&runs), &server, "runs").await, 200, "{end:?} {restart}");
            runs.refresh(MODE).await.unwrap();
            assert_eq!(status(&api_of(&runs), &server, "goes on").await, 200, "{end:?} {restart}");
            runs.shutdown().await.unwrap();
        }
        let journal = server.journal();
        for entry in &journal.entries()[before..] {
            assert!(!entry.carried_refresh_token(old.refresh_token()), "{end:?}: {journal}");
            assert_ne!(entry.account(), Some("old"), "{end:?}: {journal}");
        }
        assert_eq!(server.double_spends(), 0, "{end:?}: {journal}");
    }
}

#[tokio::test]
async fn g5_old_seed_after_a_sign_out_or_a_dead_login_brings_nobody_back() {
    for end in [End::SignedOut, End::Dead] {
        let server = FakeTeamUp::start().await;
        let place = Place::new();
        let old = server.issue_tokens_to("old", &[MODE]);
        ended(&server, &place, &old, end).await;
        let requests = server.refresh_requests();
        let again = start(&server, &place, &old).await;
        assert!(again.status().is_login_required(), "{end:?}");
        let asked = call(&api_of(&again), get(&server, "/echo", "asks")).await;
        // A dead login's access token goes on being sent while it is valid.
        assert!(why(asked).is_login_required(), "{end:?}");
        assert_eq!(server.refresh_requests(), requests, "{end:?}: {}", server.journal());
    }
}

#[tokio::test]
async fn g5_new_seed_while_the_login_lives_is_noted_and_not_used() {
    let server = FakeTeamUp::start().await;
    let place = Place::new();
    let old = server.issue_tokens_to("old", &[MODE]);
    start(&server, &place, &old).await.shutdown().await.unwrap();
    let new = server.issue_tokens_to("new", &[MODE]);
    let runs = start(&server, &place, &new).await;
    assert_eq!(status(&api_of(&runs), &server, "runs").await, 200);
    assert_eq!(server.journal().entries()[0].account(), Some("old"));
    // It was offered once: after a sign-out it is no news.
    runs.sign_out().await.unwrap();
    let again = start(&server, &place, &new).await;
    assert!(again.status().is_login_required());
}
