//! P3: a server that answers 401 permanently gets each request twice at most, and few refresh requests.

use std::collections::HashMap;
use std::time::Duration;

use tower_teamup_auth::RequestMode::{Customer, Provider};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{REQUEST_MODE, RequestMode};

use crate::support::{Crowd, Protocol, api, call, credentials, get, layered, pass, status, why};

/// By default, the fifth refresh within 30 seconds is refused.
const GUARDED_REFRESHES: usize = 4;
const GUARD_WINDOW: Duration = Duration::from_secs(30);

/// The most that one caller sent.
fn most_sends(server: &FakeTeamUp) -> usize {
    let journal = server.journal();
    let mut sends: HashMap<&str, usize> = HashMap::new();
    for entry in journal.entries().iter().filter(|entry| entry.route().is_api()) {
        *sends.entry(entry.caller().expect("every call is marked")).or_default() += 1;
    }
    sends.into_values().max().unwrap_or(0)
}

#[tokio::test]
async fn p3_a_server_that_answers_401_permanently_gets_two_sends_and_then_one() {
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::start().await;
        let client = protocol.client();
        let builder = credentials(&server, &client).tokens(server.issue_tokens(&[Provider]));
        let api = layered(builder.clock(Clock::tokio()).build().await.unwrap(), client);
        server.fail_every_api(Fault::unauthorized());
        for number in 0..10 {
            // Another route each time, since one that refuses fresh tokens is remembered.
            let path = format!("/echo/route-{number}");
            let answer = call(&api, get(&server, &path, number)).await.unwrap();
            assert_eq!(answer.status, 401);
            let guarded = answer.reason.is_some_and(|reason| reason.is_refresh_limited());
            assert_eq!(guarded, number >= GUARDED_REFRESHES, "{protocol:?} {number}");
        }
        assert_eq!(server.rotations(), GUARDED_REFRESHES, "{protocol:?}");
        assert_eq!(server.api_requests(), 10 + GUARDED_REFRESHES, "{protocol:?}");
        assert_eq!(most_sends(&server), 2, "{protocol:?}");

        // The window passes, the server comes to its senses, and so does the credential.
        pass(GUARD_WINDOW).await;
        server.clear_faults();
        server.expire_access_tokens();
        assert_eq!(status(&api, &server, "afterwards").await, 200, "{protocol:?}");
        assert_eq!(server.rotations(), GUARDED_REFRESHES + 1, "{protocol:?}");
        assert_eq!(server.double_spends(), 0, "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_crowd_under_401s_permanently_comes_to_rest() {
    const SIZE: usize = 200;
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::start().await;
        let api = api(&server, &protocol.client(), server.issue_tokens(&RequestMode::ALL)).await;
        server.fail_every_api(Fault::unauthorized());
        let crowd = Crowd::of(SIZE, |number| {
            let mode = if number % 2 == 0 { Customer } else { Provider };
            let mut request = get(&server, "/echo", number);
            request.headers_mut().insert(REQUEST_MODE, mode.as_str().parse().unwrap());
            let api = api.clone();
            async move { call(&api, request).await.unwrap().status }
        });
        assert!(crowd.outputs().await.into_iter().all(|status| status == 401));
        assert!(server.rotations() <= GUARDED_REFRESHES, "{protocol:?}: {}", server.rotations());
        assert!(most_sends(&server) <= 2, "{protocol:?}");
        assert_eq!(server.double_spends(), 0, "{protocol:?}");
    }
}

#[tokio::test]
async fn p3_the_endpoint_answering_401_permanently_is_asked_once() {
    let server = FakeTeamUp::start().await;
    let api = api(&server, &Protocol::Http1.client(), server.issue_tokens(&[Provider])).await;
    server.expire_access_tokens();
    server.fail_every_refresh(Fault::unauthorized());
    let answer = call(&api, get(&server, "/echo", "first")).await.unwrap();
    assert!(answer.status == 401 && answer.reason.unwrap().is_login_required());
    for number in 0..10 {
        assert!(why(call(&api, get(&server, "/echo", number)).await).is_login_required());
    }
    // The access token, whose end is not known, goes on being sent, and once for each call.
    assert_eq!((server.refresh_requests(), server.api_requests()), (1, 11));
}
