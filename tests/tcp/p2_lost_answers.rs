//! P2: what becomes of the refresh token when the answer to a refresh request is lost on its way.
//!
//! If the rotation has not taken place, one more try mends it. If it has, and nothing of the answer
//! arrived, the new refresh token is known to nobody: the one loss that no client can prevent. It
//! must show as such at once, and end with the next login.

use std::collections::BTreeMap;
use std::time::Duration;

use tower_teamup_auth::RequestMode::Provider;
use tower_teamup_auth::testing::{FakeTeamUp, Fault, RefreshOutcome};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Auth, Credentials, Error};

use crate::support::{
    Crowd, Http, Protocol, call, credentials, expired_tokens, get, layered, pass, pass_running,
    status, why,
};

/// The limit of a refresh request, in running time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The limit, the 5 seconds after it, and one to spare.
const SECONDS_TO_GIVE_UP: u64 = 16;

/// Longer than a failed refresh is everybody's answer.
const FAILURE_MEMORY: Duration = Duration::from_secs(8);

/// A credential whose token the API no longer takes, though it looks good to the client.
async fn rejected(server: &FakeTeamUp, protocol: Protocol) -> (Auth<Http>, Credentials) {
    let client = protocol.client();
    let tokens = server.issue_tokens(&[Provider]);
    server.expire_access_tokens();
    let builder = credentials(server, &client).refresh_request_timeout(REQUEST_TIMEOUT);
    let credentials = builder.tokens(tokens).build().await.unwrap();
    (layered(credentials.clone(), client), credentials)
}

/// Why a call is not served.
async fn refused(api: &Auth<Http>, server: &FakeTeamUp, caller: &str) -> Error {
    why(call(api, get(server, "/echo", caller)).await)
}

#[tokio::test]
async fn p2_a_connection_lost_before_the_rotation_costs_one_more_try() {
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::start().await;
        let tokens = server.issue_tokens(&[Provider]);
        server.expire_access_tokens();
        // On a connection of its own: over HTTP/2 it would take other requests down with it.
        let credentials = credentials(&server, &protocol.client());
        let credentials = credentials.tokens(tokens).build().await.unwrap();
        let api = layered(credentials, protocol.client());
        server.fail_refresh(Fault::drop_connection());
        let crowd = Crowd::calling(20, &api, &server);
        assert_eq!(crowd.statuses().await, BTreeMap::from([(200, 20)]), "{protocol:?}");
        assert_eq!((server.refresh_requests(), server.rotations()), (2, 1), "{protocol:?}");
        assert_eq!((server.double_spends(), server.unauthorized_to_caller()), (0, 0));
    }
}

#[tokio::test]
async fn p2_an_answer_lost_after_the_rotation_asks_for_a_new_login_and_no_more() {
    for fault in [Fault::drop_connection().after_rotation(), Fault::cut_off()] {
        for protocol in Protocol::BOTH {
            let server = FakeTeamUp::start().await;
            let (api, credentials) = rejected(&server, protocol).await;
            server.fail_refresh(fault.clone());
            let answer = call(&api, get(&server, "/echo", "first")).await.unwrap();
            assert_eq!(answer.status, 401, "{protocol:?} {fault:?}");
            assert!(answer.reason.unwrap().is_login_required(), "{fault:?}");
            // The second try was made without knowing; from here on it is known.
            assert_eq!((server.refresh_requests(), server.double_spends()), (2, 1), "{fault:?}");

            for caller in ["second", "third"] {
                let error = refused(&api, &server, caller).await;
                assert!(error.is_login_required(), "{fault:?}: {error}");
            }
            assert_eq!(server.refresh_requests(), 2, "{fault:?}");

            credentials.log_in(server.issue_tokens(&[])).await.unwrap();
            assert_eq!(status(&api, &server, "after the login").await, 200, "{fault:?}");
            assert_eq!((server.refresh_requests(), server.double_spends()), (3, 1), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn p2_a_refresh_request_that_is_not_answered_in_time_costs_one_more_try() {
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::builder().abort_on_disconnect(true).start().await;
        let client = protocol.client();
        let tokens = expired_tokens(&server);
        let builder = credentials(&server, &client).refresh_request_timeout(REQUEST_TIMEOUT);
        let credentials = builder.tokens(tokens).build().await.unwrap();
        let api = layered(credentials, client);
        let hold = server.hold_refresh();
        let crowd = Crowd::calling(20, &api, &server);
        crowd.called().await;
        hold.arrived(1).await;
        pass_running(SECONDS_TO_GIVE_UP).await;
        // The client has given up, and the server has noticed before anything rotated.
        server.wait_for(|journal| journal.entries()[0].is_aborted()).await;
        hold.arrived(2).await;
        hold.release();
        assert_eq!(crowd.statuses().await, BTreeMap::from([(200, 20)]), "{protocol:?}");
        assert_eq!(server.journal().entries()[0].refresh_outcome(), Some(RefreshOutcome::Faulted));
        assert_eq!((server.refresh_requests(), server.rotations()), (2, 1), "{protocol:?}");
        assert_eq!((server.double_spends(), server.unauthorized()), (0, 0), "{protocol:?}");
    }
}

#[tokio::test]
async fn p2_a_rotation_whose_answer_comes_too_late_asks_for_a_new_login() {
    let server = FakeTeamUp::start().await;
    let (api, _credentials) = rejected(&server, Protocol::Http1).await;
    let hold = server.hold_refresh_answer();
    let crowd = Crowd::of(20, |number| {
        let (api, request) = (api.clone(), get(&server, "/echo", number));
        async move { call(&api, request).await.unwrap() }
    });
    server.wait_for(|journal| journal.unauthorized() == 20).await;
    hold.arrived(1).await;
    assert_eq!(server.rotations(), 1);
    pass_running(SECONDS_TO_GIVE_UP).await;
    hold.arrived(2).await;
    hold.release();
    for answer in crowd.outputs().await {
        assert_eq!(answer.status, 401);
        assert!(answer.reason.unwrap().is_login_required());
    }
    assert_eq!((server.refresh_requests(), server.double_spends()), (2, 1));
}

#[tokio::test]
async fn p2_two_answers_lost_leave_the_outcome_unknown_until_the_next_refresh_finds_out() {
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::start().await;
        let client = protocol.client();
        let tokens = server.issue_tokens(&[Provider]);
        server.expire_access_tokens();
        let credentials = credentials(&server, &client).clock(Clock::tokio()).tokens(tokens);
        let api = layered(credentials.build().await.unwrap(), client);
        server.fail_refreshes(2, Fault::drop_connection());
        let answer = call(&api, get(&server, "/echo", "first")).await.unwrap();
        let reason = answer.reason.unwrap();
        assert_eq!(answer.status, 401, "{protocol:?}");
        assert!(reason.is_outcome_unknown(), "{protocol:?}: {reason}");
        assert!(!reason.is_login_required() && !reason.is_transient(), "{reason}");
        assert_eq!((server.refresh_requests(), server.rotations()), (2, 0), "{protocol:?}");
        // The refresh token was never spent, and the credential has not forgotten it.
        pass(FAILURE_MEMORY).await;
        assert_eq!(status(&api, &server, "next").await, 200, "{protocol:?}");
        assert_eq!((server.refresh_requests(), server.double_spends()), (3, 0), "{protocol:?}");
    }
}
