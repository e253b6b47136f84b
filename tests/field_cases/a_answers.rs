//! A1 and A3: the endpoint takes its time, or the process stands still, and the answer is used.

use std::time::Duration;

use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{AuthLayer, TokenSet};

use crate::scene::{MODE, Place, StandingClock, api_of, run_tasks};
use crate::support::{Crowd, Http, Protocol, call, credentials, expired_tokens, get, status};

const CALLERS: usize = 2000;

/// Two thousand callers with a time-out of 1 s, over an endpoint that takes 11 s.
async fn callers_give_up_and_the_answer_is_used(tokens: impl Fn(&FakeTeamUp) -> TokenSet) {
    let clock = StandingClock::start();
    // A pool of workers, as the endpoint has behind its balancer.
    let server = FakeTeamUp::builder().request_workers(200).start().await;
    let place = Place::new();
    let client: Http = Protocol::Http2.client();
    let builder = credentials(&server, &Protocol::Http1.client()).store(place.store());
    let credentials = builder.tokens(tokens(&server)).build().await.unwrap();
    let impatient = ServiceBuilder::new()
        .timeout(Duration::from_secs(1))
        .layer(AuthLayer::new(credentials.clone()))
        .service(client);
    server.fail_refresh(Fault::delay(Duration::from_secs(11)));
    let crowd = Crowd::of(CALLERS, |number| {
        let (impatient, request) = (impatient.clone(), get(&server, "/echo", number));
        async move { impatient.oneshot(request).await.map(drop) }
    });
    crowd.called().await;
    server.wait_for(|journal| journal.refresh_requests() == 1).await;
    let unauthorized = server.unauthorized();
    if unauthorized > 0 {
        server.wait_for(|journal| journal.unauthorized() == CALLERS).await;
    }
    clock.pass(1).await;
    for ended in crowd.outputs().await {
        assert!(ended.unwrap_err().is::<tower::timeout::error::Elapsed>());
    }
    assert_eq!(server.rotations(), 0);
    clock.pass(11).await;
    server.wait_for(|journal| journal.rotations() == 1 && journal.under_way() == 0).await;

    let api = api_of(&credentials);
    assert_eq!(status(&api, &server, "patient").await, 200);
    assert_eq!((server.refresh_requests(), server.double_spends()), (1, 0));
    // The login lives: the rotated token is in the store, and is taken.
    server.expire_access_tokens();
    assert_eq!(status(&api, &server, "later").await, 200);
    assert_eq!((server.refresh_requests(), server.rotations()), (2, 2));
    assert_eq!(server.double_spends(), 0, "{}", server.journal());
    credentials.shutdown().await.unwrap();
    assert!(place.record().await.tokens().is_some());
}

#[tokio::test]
async fn a1_callers_without_a_valid_token_give_up_and_an_answer_after_11_s_is_used() {
    callers_give_up_and_the_answer_is_used(expired_tokens).await;
}

#[tokio::test]
async fn a1_callers_that_were_answered_401_give_up_and_an_answer_after_11_s_is_used() {
    callers_give_up_and_the_answer_is_used(|server| {
        let tokens = server.issue_tokens(&[MODE]);
        server.expire_access_tokens();
        tokens
    })
    .await;
}

#[tokio::test]
async fn a1_an_answer_in_the_seconds_after_the_limit_is_used_too() {
    let clock = StandingClock::start();
    let server = FakeTeamUp::start().await;
    let builder = credentials(&server, &Protocol::Http1.client()).clock(Clock::tokio());
    let builder = builder.wait_timeout(Duration::from_secs(300)).tokens(expired_tokens(&server));
    let api = api_of(&builder.build().await.unwrap());
    // The limit is two minutes, and five more seconds are counted.
    server.fail_refresh(Fault::delay(Duration::from_secs(123)));
    let patient = Crowd::calling(20, &api, &server);
    patient.called().await;
    server.wait_for(|journal| journal.refresh_requests() == 1).await;
    clock.pass(124).await;
    assert!(patient.outputs().await.iter().all(|status| *status == 200));
    assert_eq!((server.refresh_requests(), server.rotations(), server.double_spends()), (1, 1, 0));
}

#[test]
fn a3_a_frozen_function_whose_refresh_is_under_way_reads_the_answer_when_it_is_thawed() {
    // Longer than each limit but those that count running time, and longer than all of them.
    for frozen in [Duration::from_millis(11_500), Duration::from_secs(3600)] {
        for expired in [false, true] {
            frozen_for(frozen, expired);
        }
    }
}

/// A function whose runtime runs only while a call is handled.
fn frozen_for(frozen: Duration, expired: bool) {
    let server = FakeTeamUp::start_blocking();
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (clock, credentials, api) = runtime.block_on(async {
        let clock = Clock::tokio();
        let builder = credentials(&server, &Protocol::Http1.client()).store(place.store());
        let builder = builder.clock(clock.clone()).tokens(server.issue_tokens(&[MODE]));
        // Nobody waits for an early refresh: it is under way when the handler returns.
        let credentials = builder.early_wait(Duration::ZERO).build().await.unwrap();
        let api = api_of(&credentials);
        (clock, credentials, api)
    });
    let until = credentials.status().ready_until().expect("a ready token");
    let left = until.duration_since(crate::time::wall_time()).unwrap();
    let minute = Duration::from_secs(60);
    clock.shift_wall(if expired { left + minute } else { left - minute });
    let hold = server.hold_refresh_answer();
    runtime.block_on(async {
        if expired {
            // The caller gives up, and its handler returns.
            let waiting = call(&api, get(&server, "/echo", "first"));
            tokio::select! {
                biased;
                () = hold.arrived(1) => {}
                _ = waiting => panic!("there is no token"),
            }
        } else {
            assert_eq!(status(&api, &server, "first").await, 200);
            hold.arrived(1).await;
        }
    });
    // The answer waits in the socket, and nothing runs.
    hold.release();
    server.wait_for_blocking(|journal| journal.under_way() == 0);
    runtime.block_on(async {
        tokio::time::pause();
        tokio::time::advance(frozen).await;
        tokio::time::resume();
        run_tasks().await;
        assert_eq!(status(&api, &server, "thawed").await, 200);
        credentials.flush().await.unwrap();
    });
    assert_eq!(server.refresh_requests(), 1, "{frozen:?}: {}", server.journal());
    assert_eq!((server.rotations(), server.double_spends()), (1, 0));
    runtime.block_on(async {
        server.expire_access_tokens();
        assert_eq!(status(&api, &server, "later").await, 200);
    });
    assert_eq!((server.rotations(), server.double_spends()), (2, 0), "{}", server.journal());
}
