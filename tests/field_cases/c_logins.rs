//! C1 to C5: logins that change while others of the fleet run.

use std::time::Duration;

use http::{Method, Request};
use tower_teamup_auth::store::{Expected, RedisStore, TokenStore};
use tower_teamup_auth::testing::{FakeTeamUp, RefreshOutcome};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Auth, Credentials, Error, TokenSet};

use crate::redis_server::RedisServer;
use crate::scene::{MODE, Place, StandingClock, api_of, process_on};
use crate::support::{Body, Crowd, Http, Protocol, call, credentials, get, status, why};

/// How the first person's token comes to its end.
#[derive(Clone, Copy, Debug)]
enum End {
    ByTheClock,
    ByA401,
}

impl End {
    const BOTH: [End; 2] = [End::ByTheClock, End::ByA401];

    fn comes(self, server: &FakeTeamUp, clock: &Clock) {
        match self {
            End::ByTheClock => clock.shift_wall(Duration::from_secs(24 * 3600)),
            End::ByA401 => server.expire_access_tokens(),
        }
    }
}

/// A process that brings `tokens` to the file, and the clock that it goes by.
async fn logged_in(
    server: &FakeTeamUp,
    place: &Place,
    tokens: TokenSet,
) -> (Credentials, Auth<Http>, Clock) {
    let clock = Clock::tokio();
    let builder = credentials(server, &Protocol::Http1.client()).store(place.store());
    let builder = builder.clock(clock.clone()).tokens(tokens);
    let credentials = builder.build().await.unwrap();
    let api = api_of(&credentials);
    (credentials, api, clock)
}

/// Whose token the last request that the API carried out came with.
fn last_person(server: &FakeTeamUp) -> Option<String> {
    let journal = server.journal();
    let carried_out = journal.entries().iter().rev().find(|entry| entry.is_authorized());
    carried_out.and_then(|entry| entry.account()).map(str::to_owned)
}

#[tokio::test]
async fn c1_token_that_expires_after_another_person_logged_in_elsewhere_is_not_refreshed() {
    for end in End::BOTH {
        let server = FakeTeamUp::start().await;
        let place = Place::new();
        let first = server.issue_tokens_to("first", &[MODE]);
        let (_a, api, clock) = logged_in(&server, &place, first.clone()).await;
        let b = process_on(&server, &place).await;
        assert_eq!(status(&api, &server, "before").await, 200);
        b.sign_out().await.unwrap();
        b.log_in(server.issue_tokens_to("second", &[MODE])).await.unwrap();
        end.comes(&server, &clock);
        let before = server.journal().entries().len();

        // The first request may fail; it is not sent again as another person.
        let answer = call(&api, get(&server, "/echo", "after")).await;
        if answer.as_ref().is_ok_and(|answer| answer.status != 200) || answer.is_err() {
            assert!(why(answer).is_login_changed(), "{end:?}");
        }
        assert_eq!(status(&api, &server, "as the second").await, 200, "{end:?}");
        assert_eq!(last_person(&server).as_deref(), Some("second"), "{end:?}");
        let journal = server.journal();
        for entry in &journal.entries()[before..] {
            assert!(!entry.carried_refresh_token(first.refresh_token()), "{end:?}: {journal}");
            assert!(!entry.is_authorized() || entry.account() == Some("second"), "{journal}");
        }
        assert_eq!((server.mixed_logins(), server.double_spends()), (0, 0), "{end:?}");
    }
}

#[tokio::test]
async fn c1_refresh_under_way_when_another_person_logs_in_elsewhere_does_not_overwrite_the_login() {
    let server = FakeTeamUp::start().await;
    let place = Place::new();
    let (a, api, clock) =
        logged_in(&server, &place, server.issue_tokens_to("first", &[MODE])).await;
    let b = process_on(&server, &place).await;
    End::ByTheClock.comes(&server, &clock);
    let hold = server.hold_refresh_answer();
    let waiting = Crowd::of(1, |_| {
        let (api, request) = (api.clone(), get(&server, "/echo", "first"));
        async move { call(&api, request).await }
    });
    hold.arrived(1).await;
    let second = server.issue_tokens_to("second", &[MODE]);
    let login = tokio::spawn({
        let (b, tokens) = (b.clone(), second.clone());
        async move { b.log_in(tokens).await }
    });
    hold.release();
    login.await.unwrap().unwrap();
    let answer = waiting.outputs().await.remove(0);
    // Sent before the login, or not sent: never as the second person.
    if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
        assert_eq!(last_person(&server).as_deref(), Some("first"));
    }
    assert_eq!(place.refresh_token().await, second.refresh_token().expose());
    server.expire_access_tokens();
    let _ = call(&api, get(&server, "/echo", "finds out")).await;
    assert_eq!(status(&api, &server, "as the second").await, 200);
    assert_eq!(last_person(&server).as_deref(), Some("second"));
    assert_eq!((server.mixed_logins(), server.double_spends()), (0, 0), "{}", server.journal());
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}

/// A process whose login TeamUp has ended: it waits for a person.
async fn waiting_for_a_login(
    server: &FakeTeamUp,
    place: &Place,
) -> (Credentials, Auth<Http>, StandingClock) {
    let standing = StandingClock::start();
    let tokens = server.issue_tokens_to("first", &[MODE]);
    let login = server.login_of(tokens.refresh_token().expose()).unwrap();
    let (a, api, _) = standing.running(logged_in(server, place, tokens)).await;
    server.revoke_login(login);
    assert!(standing.running(error_of(&api, server)).await.is_login_required());
    (a, api, standing)
}

async fn error_of(api: &Auth<Http>, server: &FakeTeamUp) -> Error {
    why(call(api, get(server, "/echo", "fails")).await)
}

/// Asks each second, until the login is found; how many seconds that took. The request that finds it
/// waited for the login before, so it may end with that.
async fn found_within(api: &Auth<Http>, server: &FakeTeamUp, clock: &StandingClock) -> u64 {
    for seconds in 0..=60 {
        match clock.running(call(api, get(server, "/echo", seconds))).await {
            Ok(answer) if answer.status == 200 => return seconds,
            outcome => {
                if why(outcome).is_login_changed() {
                    let found = clock.running(status(api, server, "with the login")).await;
                    assert_eq!(found, 200);
                    return seconds;
                }
            }
        }
        clock.pass(1).await;
    }
    panic!("it does not find the login: {}", server.journal());
}

#[tokio::test]
async fn c2_login_after_the_file_was_removed_is_found_by_a_process_that_waits_for_one() {
    // A program that logs somebody in, and one that is started with the tokens of a login.
    for seeded in [false, true] {
        let server = FakeTeamUp::start().await;
        let place = Place::new();
        let (a, api, clock) = waiting_for_a_login(&server, &place).await;
        std::fs::remove_file(place.path()).unwrap();
        clock.pass(10).await;
        assert!(clock.running(error_of(&api, &server)).await.is_login_required());

        let tokens = server.issue_tokens_to("second", &[MODE]);
        let builder = credentials(&server, &Protocol::Http1.client()).store(place.store());
        let login = async {
            if seeded {
                builder.tokens(tokens).build().await.unwrap();
            } else {
                builder.build().await.unwrap().log_in(tokens).await.unwrap();
            }
        };
        clock.running(login).await;
        let seconds = found_within(&api, &server, &clock).await;
        assert!(seconds <= 5, "{seconds}");
        assert_eq!(last_person(&server).as_deref(), Some("second"));
        assert!(!a.status().is_login_required());
        assert_eq!((server.mixed_logins(), server.double_spends()), (0, 0));
        tokio::time::resume();
    }
}

#[tokio::test]
async fn c2_login_is_found_without_a_request_too_when_the_program_asks_for_a_token() {
    let server = FakeTeamUp::start().await;
    let place = Place::new();
    let (a, _api, clock) = waiting_for_a_login(&server, &place).await;
    std::fs::remove_file(place.path()).unwrap();
    let other = process_on(&server, &place).await;
    let second = server.issue_tokens_to("second", &[MODE]);
    clock.running(other.log_in(second)).await.unwrap();
    clock.pass(5).await;
    // It was asked for a token of the login before.
    assert!(clock.running(a.refresh(MODE)).await.unwrap_err().is_login_changed());
    clock.running(a.refresh(MODE)).await.unwrap();
    assert!(!a.status().is_login_required());
    assert_eq!(server.double_spends(), 0, "{}", server.journal());
}

#[tokio::test]
async fn c3_signed_out_in_each_process_and_logged_in_at_one_the_others_find_it_within_5_s() {
    let clock = StandingClock::start();
    let server = FakeTeamUp::start().await;
    let place = Place::new();
    let (a, api, _) = logged_in(&server, &place, server.issue_tokens_to("first", &[MODE])).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        let builder = credentials(&server, &Protocol::Http1.client()).store(place.store());
        others.push(builder.clock(Clock::tokio()).build().await.unwrap());
    }
    for process in others.iter().chain([&a]) {
        clock.running(process.sign_out()).await.unwrap();
    }
    for process in others.iter().chain([&a]) {
        let error = clock.running(error_of(&api_of(process), &server)).await;
        assert!(error.is_login_required());
    }
    let second = server.issue_tokens_to("second", &[MODE]);
    clock.running(others[1].log_in(second)).await.unwrap();
    for api in others.iter().map(api_of).chain([api]) {
        let seconds = found_within(&api, &server, &clock).await;
        assert!(seconds <= 5, "{seconds}");
        assert_eq!(last_person(&server).as_deref(), Some("second"));
    }
    assert_eq!((server.refresh_requests(), server.mixed_logins()), (0, 0), "{}", server.journal());
}

#[tokio::test]
async fn c3_signed_out_at_one_process_the_others_are_signed_out_with_their_next_refresh() {
    let server = FakeTeamUp::start().await;
    let place = Place::new();
    let (a, api, clock) =
        logged_in(&server, &place, server.issue_tokens_to("first", &[MODE])).await;
    let b = process_on(&server, &place).await;
    b.sign_out().await.unwrap();
    End::ByTheClock.comes(&server, &clock);
    let error = error_of(&api, &server).await;
    assert!(error.is_login_required() || error.is_login_changed(), "{error:?}");
    assert!(a.status().is_signed_out());
    assert!(place.record().await.is_signed_out(), "its tokens are not written back");
    assert_eq!(server.refresh_requests(), 0, "{}", server.journal());
}

#[tokio::test]
async fn c4_delete_of_the_first_person_is_not_sent_for_the_second() {
    for signs_out in [true, false] {
        let server = FakeTeamUp::start().await;
        let place = Place::new();
        let (a, api, _) =
            logged_in(&server, &place, server.issue_tokens_to("first", &[MODE])).await;
        server.expire_access_tokens();
        let hold = server.hold_api_answer();
        let request = Request::builder().method(Method::DELETE).uri(server.url("/echo/1"));
        let request = request.body(Body::default()).unwrap();
        let delete = tokio::spawn(async move { call(&api, request).await });
        hold.arrived(1).await;
        if signs_out {
            a.sign_out().await.unwrap();
        }
        a.log_in(server.issue_tokens_to("second", &[MODE])).await.unwrap();
        hold.release();
        assert!(why(delete.await.unwrap()).is_login_changed(), "{signs_out}");
        let journal = server.journal();
        let deletes = journal.entries().iter().filter(|entry| entry.method() == Method::DELETE);
        assert_eq!(deletes.count(), 1, "{journal}");
        assert_eq!((server.authorized(), server.mixed_logins()), (0, 0), "{journal}");
    }
}

fn store_on(redis: &RedisServer) -> RedisStore {
    RedisStore::builder(redis.url(), "studio").build().unwrap()
}

/// A fleet of two on a Redis that has lost its data, and one that starts with `seed`.
async fn seed_after_the_loss(own_seed: bool) {
    let server = FakeTeamUp::start().await;
    let mut redis = RedisServer::start();
    let seed = server.issue_tokens_to("studio", &[MODE]);
    let start = |seed: TokenSet, redis: &RedisServer| {
        let builder = credentials(&server, &Protocol::Http1.client()).store(store_on(redis));
        async move { builder.tokens(seed).build().await.unwrap() }
    };
    let runs = start(seed.clone(), &redis).await;
    // The running one has gone on: the seed is spent.
    runs.refresh(MODE).await.unwrap();
    runs.refresh(MODE).await.unwrap();
    redis.kill();
    redis.restart();
    let seed = if own_seed { server.issue_tokens_to("another", &[MODE]) } else { seed };
    let starts = start(seed, &redis).await;

    server.expire_access_tokens();
    let (running, starting) = (api_of(&runs), api_of(&starts));
    assert_eq!(status(&running, &server, "runs").await, 200);
    assert_eq!(last_person(&server).as_deref(), Some("studio"));
    let record = store_on(&redis).load().await.unwrap().unwrap();
    assert_eq!(record.revision(), 4, "the running one has written its own over the seed");
    // The new one finds it with its next refresh, and acts as the others do.
    let _ = call(&starting, get(&server, "/echo", "finds out")).await;
    assert_eq!(status(&starting, &server, "starts").await, 200);
    assert_eq!(last_person(&server).as_deref(), Some("studio"));
    assert_eq!(status(&running, &server, "runs").await, 200);
    assert_eq!((server.mixed_logins(), server.double_spends()), (0, 0), "{}", server.journal());
}

#[tokio::test]
async fn c5_seed_on_a_store_that_lost_its_data_does_not_replace_what_the_running_ones_hold() {
    seed_after_the_loss(false).await;
}

#[tokio::test]
async fn c5_another_seed_on_a_store_that_lost_its_data_does_not_replace_the_login_either() {
    seed_after_the_loss(true).await;
}

#[tokio::test]
async fn c5_process_that_requires_a_stored_record_does_not_start_on_a_store_that_lost_its_data() {
    let server = FakeTeamUp::start().await;
    let mut redis = RedisServer::start();
    let store = store_on(&redis);
    let seed = server.issue_tokens(&[MODE]);
    let lease = store.try_acquire().await.unwrap().lease.expect("nobody has the lease");
    store.save(&lease, Expected::Empty, &seed.clone().into()).await.unwrap();
    store.release(lease).await.unwrap();
    let start = |redis: &RedisServer| {
        let builder = credentials(&server, &Protocol::Http1.client()).store(store_on(redis));
        let builder = builder.require_stored().tokens(seed.clone());
        async move { builder.build().await }
    };
    let runs = start(&redis).await.unwrap();
    redis.kill();
    redis.restart();
    assert!(start(&redis).await.unwrap_err().is_login_required());
    // The running one writes its own with its next refresh, and then the new one starts.
    runs.refresh(MODE).await.unwrap();
    let starts = start(&redis).await.unwrap();
    assert_eq!(status(&api_of(&starts), &server, "starts").await, 200);
    assert_eq!(server.double_spends(), 0);
    let journal = server.journal();
    assert_eq!(
        journal.entries()[0].refresh_outcome(),
        Some(RefreshOutcome::Rotated(MODE)),
        "{journal}"
    );
}
