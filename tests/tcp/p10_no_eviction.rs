//! P10: a refresh that fails never evicts a token that is still valid.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use tower_teamup_auth::RequestMode::Provider;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Auth, Credentials};

use crate::support::{Crowd, Http, Protocol, credentials, layered, pass, status};

const LIFETIME: Duration = Duration::from_secs(10_000);

/// A fifth of the lifetime, the widest that the window gets; the jitter takes up to half of it.
const LEEWAY: Duration = Duration::from_secs(2_000);

/// By then a refresh is advised, whatever the jitter, and the token is good for 500 seconds more.
const ADVISED: Duration = Duration::from_secs(9_500);

/// Longer than any failure is remembered, and less than what is left of the token.
const FAILURE_MEMORY: Duration = Duration::from_secs(301);

/// A server and a credential whose token is in its last part.
async fn in_the_window(protocol: Protocol) -> (FakeTeamUp, Auth<Http>, Credentials) {
    let server = FakeTeamUp::builder().access_token_lifetime(LIFETIME).start().await;
    // On a connection of its own, so that one which is dropped takes no request along.
    let builder = credentials(&server, &protocol.client())
        .clock(Clock::tokio())
        .refresh_leeway(LEEWAY)
        .tokens(server.issue_tokens(&[Provider]));
    let credentials = builder.build().await.unwrap();
    let api = layered(credentials.clone(), protocol.client());
    assert_eq!(status(&api, &server, "fresh").await, 200);
    assert_eq!(server.refresh_requests(), 0);
    pass(ADVISED).await;
    (server, api, credentials)
}

#[tokio::test]
async fn p10_an_advised_refresh_runs_beside_the_requests() {
    for protocol in Protocol::BOTH {
        let (server, api, _credentials) = in_the_window(protocol).await;
        let hold = server.hold_refresh();
        let crowd = Crowd::calling(100, &api, &server);
        assert_eq!(crowd.statuses().await, BTreeMap::from([(200, 100)]), "{protocol:?}");
        hold.arrived(1).await;
        hold.release();
        server.wait_for(|journal| journal.rotations() == 1).await;
        assert_eq!((server.refresh_requests(), server.unauthorized()), (1, 0), "{protocol:?}");
    }
}

#[tokio::test]
async fn p10_an_endpoint_that_is_unavailable_for_a_moment_shows_to_nobody() {
    for protocol in Protocol::BOTH {
        let (server, api, _credentials) = in_the_window(protocol).await;
        server.fail_refreshes(2, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
        let crowd = Crowd::calling(100, &api, &server);
        assert_eq!(crowd.statuses().await, BTreeMap::from([(200, 100)]), "{protocol:?}");
        // After its backoff the next request starts another one.
        pass(Duration::from_secs(8)).await;
        assert_eq!(status(&api, &server, "later").await, 200, "{protocol:?}");
        server.wait_for(|journal| journal.rotations() == 1).await;
        assert_eq!((server.refresh_requests(), server.unauthorized()), (3, 0), "{protocol:?}");
    }
}

#[tokio::test]
async fn p10_while_the_token_is_valid_no_failure_of_the_endpoint_shows() {
    let minutes = Duration::from_secs(120);
    for protocol in Protocol::BOTH {
        for fault in [
            Fault::status(StatusCode::SERVICE_UNAVAILABLE).retry_after(minutes),
            Fault::status(StatusCode::TOO_MANY_REQUESTS).retry_after(minutes),
            Fault::garbage(),
            Fault::drop_connection(),
            Fault::redirect(StatusCode::FOUND, "https://elsewhere.example/"),
            Fault::status(StatusCode::NOT_FOUND),
            Fault::status(StatusCode::BAD_REQUEST),
        ] {
            let (server, api, credentials) = in_the_window(protocol).await;
            server.fail_every_refresh(fault.clone());
            let crowd = Crowd::calling(100, &api, &server);
            assert_eq!(crowd.statuses().await, BTreeMap::from([(200, 100)]), "{fault:?}");
            // The refresh that they have started, or the memory of it.
            let error = credentials.refresh(Provider).await.unwrap_err();
            for number in 0..10 {
                assert_eq!(status(&api, &server, number).await, 200, "{fault:?}");
            }
            assert_eq!((server.unauthorized(), server.rotations()), (0, 0), "{fault:?}");

            if error.is_login_required() {
                continue;
            }
            // The endpoint is well again, and the failure forgotten: the next call renews.
            server.clear_faults();
            pass(FAILURE_MEMORY).await;
            assert_eq!(status(&api, &server, "well again").await, 200, "{fault:?}");
            server.wait_for(|journal| journal.rotations() == 1).await;
            assert_eq!((server.unauthorized(), server.double_spends()), (0, 0), "{fault:?}");
        }
    }
}
