//! Idle logins are refreshed in time, spread out, without a request.

use std::time::Duration;

use tower_teamup_auth::manager::CredentialsManager;
use tower_teamup_auth::store::RecordContent;
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::token::Clock;

use crate::support::*;
use crate::time::Stopwatch;

const DAY: Duration = Duration::from_secs(86_400);
const USERS: usize = 20;

async fn server() -> (FakeTeamUp, Clock) {
    let clock = Clock::tokio();
    (FakeTeamUp::builder().clock(clock.clone()).start().await, clock)
}

async fn log_all_in(server: &FakeTeamUp, family: &Family, clock: &Clock) {
    let template = template(server).clock(clock.clone());
    let manager = CredentialsManager::builder(template, family.clone()).build().unwrap();
    for user in 0..USERS {
        let user = user.to_string();
        manager.log_in(&user, tokens(server, &user)).await.unwrap();
    }
    manager.sign_out("signed-out").await.unwrap();
    manager.shutdown(SOON).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn idle_logins_are_refreshed_each_at_least_so_often_and_spread_out() {
    let (server, clock) = server().await;
    let family = Family::default();
    log_all_in(&server, &family, &clock).await;
    let template = template(&server).clock(clock.clone());
    let manager = CredentialsManager::builder(template, family.clone())
        .max_in_memory(3)
        .keep_alive(8 * DAY)
        .keep_alive_rate(6)
        .build()
        .unwrap();
    let visitor = manager.get("0").await.unwrap();
    drop(visitor);

    // None is refreshed before half of the period is over.
    tokio::time::sleep(3 * DAY).await;
    assert_eq!(server.rotations(), 0);
    tokio::time::sleep(5 * DAY).await;
    let refreshed: Vec<_> = server.journal().entries().iter().filter_map(|e| e.login()).collect();
    for login in 1..=USERS as u64 {
        assert!(refreshed.contains(&login), "{login} of {refreshed:?}");
    }
    assert_eq!(in_memory(&manager), ["0"], "no idle login stays in memory, and none pushed 0 out");
    // Nobody who has just been refreshed is refreshed again at once.
    assert!(server.rotations() < 2 * USERS, "{}", server.rotations());
    assert_eq!(server.double_spends(), 0);

    let before = server.rotations();
    manager.shutdown(SOON).await.unwrap();
    tokio::time::sleep(30 * DAY).await;
    assert_eq!(server.rotations(), before, "it ends with the manager");
}

#[tokio::test(start_paused = true)]
async fn keep_alive_stays_below_its_rate() {
    let (server, clock) = server().await;
    let family = Family::default();
    log_all_in(&server, &family, &clock).await;
    let started = Stopwatch::start();
    tokio::time::sleep(20 * DAY).await; // every login is long due
    let template = template(&server).clock(clock.clone());
    let _manager = CredentialsManager::builder(template, family)
        .keep_alive(DAY)
        .keep_alive_rate(1)
        .build()
        .unwrap();
    let mut last = None;
    for count in 1..=USERS {
        server.wait_for(move |journal| journal.rotations() >= count).await;
        let now = started.elapsed();
        if let Some(last) = last {
            assert!(now - last >= Duration::from_secs(30), "{count}");
        }
        last = Some(now);
    }
}

#[tokio::test(start_paused = true)]
async fn login_that_was_refused_while_idle_is_told_and_not_tried_again() {
    let (server, clock) = server().await;
    let family = Family::default();
    log_all_in(&server, &family, &clock).await;
    server.revoke_everything();
    let template = template(&server).clock(clock.clone());
    let manager = CredentialsManager::builder(template, family.clone())
        .keep_alive_of(8 * DAY, || async { Ok(vec!["7".to_owned()]) })
        .build()
        .unwrap();
    let mut events = manager.subscribe();
    let event = events.next().await.unwrap();
    assert_eq!(event.key(), "7");
    let record = family.record("7").await.unwrap();
    assert!(matches!(record.content(), RecordContent::Rejected(_)), "{record:?}");
    tokio::time::sleep(30 * DAY).await;
    assert_eq!(server.refresh_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn keep_warm_of_a_credential_that_nobody_holds_ends() {
    let (server, clock) = server().await;
    let builder = template(&server).clock(clock.clone()).keep_warm();
    let credentials = builder.tokens(tokens(&server, "ada")).build().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3 * 7_200)).await;
    let refreshed = server.rotations();
    assert!((2..=4).contains(&refreshed), "{refreshed} in three lifetimes");
    let mut changes = credentials.subscribe();
    changes.next().await.unwrap();
    drop(credentials);
    assert!(changes.next().await.is_none());
    tokio::time::sleep(DAY).await;
    assert_eq!(server.rotations(), refreshed, "nobody holds it any more");
}

#[tokio::test(start_paused = true)]
async fn keep_warm_credential_in_a_manager_leaves_the_memory() {
    let (server, clock) = server().await;
    let family = Family::default();
    let template = template(&server).clock(clock.clone()).keep_warm();
    let manager = CredentialsManager::builder(template, family).max_in_memory(1).build().unwrap();
    for user in ["ada", "grace"] {
        manager.log_in(user, tokens(&server, user)).await.unwrap();
    }
    manager.get("grace").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(in_memory(&manager), ["grace"]);
}
