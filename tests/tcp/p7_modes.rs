//! P7: `TeamUp-Request-Mode` always matches the type of the token beside it.

use std::collections::BTreeMap;

use http::Request;
use tower_teamup_auth::RequestMode::{Customer, Provider};
use tower_teamup_auth::testing::{Entry, FakeTeamUp, Refusal};
use tower_teamup_auth::{Auth, REQUEST_MODE, RequestMode};

use crate::support::{Body, Crowd, Http, Protocol, api, call, credentials, get, layered};

const SIZE: usize = 100;

/// Every other request in the other mode, chosen in each of the three ways in turn.
fn request(server: &FakeTeamUp, number: usize, round: &str) -> (RequestMode, Request<Body>) {
    let mut request = get(server, "/echo", format!("{round} {number}"));
    match number % 4 {
        // The credential's own.
        0 => return (Provider, request),
        1 => drop(request.extensions_mut().insert(Customer)),
        2 => drop(request.extensions_mut().insert(Provider)),
        _ => drop(request.headers_mut().insert(REQUEST_MODE, "customer".parse().unwrap())),
    }
    (if number % 2 == 0 { Provider } else { Customer }, request)
}

/// A hundred calls at once, interleaved in both modes.
fn round(api: &Auth<Http>, server: &FakeTeamUp, name: &'static str) -> Crowd<u16> {
    Crowd::of(SIZE, |number| {
        let (api, (mode, request)) = (api.clone(), request(server, number, name));
        async move {
            let status = call(&api, request).await.unwrap().status.as_u16();
            assert!(status == 200, "{name} {number} in {mode} mode: {status}");
            status
        }
    })
}

/// No request went out with a token of the other type, or with none.
#[track_caller]
fn assert_matched(server: &FakeTeamUp) {
    let journal = server.journal();
    let refused = |entry: &&Entry| {
        entry.refusal().is_some_and(|refusal| {
            refusal != Refusal::ExpiredToken && refusal != Refusal::RevokedToken
        })
    };
    assert_eq!(journal.entries().iter().find(refused).map(ToString::to_string), None);
    for entry in journal.entries().iter().filter(|entry| entry.route().is_api()) {
        let number: usize = entry.caller().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        let asked = if number % 2 == 0 { "provider" } else { "customer" };
        assert_eq!(entry.headers().get_all(REQUEST_MODE).iter().count(), 1, "{entry}");
        assert_eq!(entry.mode(), Some(asked), "{entry}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_a_hundred_requests_in_both_modes_while_tokens_expire() {
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::start().await;
        let api = api(&server, &protocol.client(), server.issue_tokens(&[])).await;
        let all = BTreeMap::from([(200, SIZE)]);

        // No token of either mode: one is minted for each.
        assert_eq!(round(&api, &server, "first").statuses().await, all, "{protocol:?}");
        assert_eq!(rotations(&server), [1, 1], "{protocol:?}");

        // Both expire while a hundred requests are on their way with them.
        let hold = server.hold_api();
        let crowd = round(&api, &server, "both");
        hold.arrived(SIZE).await;
        server.expire_access_tokens();
        hold.release();
        assert_eq!(crowd.statuses().await, all, "{protocol:?}");
        assert_eq!((rotations(&server), server.retries()), ([2, 2], SIZE), "{protocol:?}");

        // One expires: the other mode's requests are not troubled.
        let hold = server.hold_api();
        let crowd = round(&api, &server, "customer");
        hold.arrived(SIZE).await;
        server.expire_access_tokens_of(Customer);
        hold.release();
        assert_eq!(crowd.statuses().await, all, "{protocol:?}");
        assert_eq!((rotations(&server), server.retries()), ([3, 2], SIZE * 3 / 2), "{protocol:?}");

        assert_matched(&server);
        assert_eq!((server.double_spends(), server.unauthorized_to_caller()), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_a_rotation_that_revokes_the_tokens_before_it_troubles_nobody() {
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::builder().rotation_revokes_access_tokens(true).start().await;
        let client = protocol.client();
        let tokens = server.issue_tokens(&RequestMode::ALL);
        let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
        let api = layered(credentials.clone(), client);

        // A hundred requests are on their way when a refresh revokes the token of half of them.
        let hold = server.hold_api();
        let crowd = round(&api, &server, "one");
        hold.arrived(SIZE).await;
        credentials.refresh(Customer).await.unwrap();
        hold.release();
        assert_eq!(crowd.statuses().await, BTreeMap::from([(200, SIZE)]), "{protocol:?}");
        // Their 401s find the new token there and cost no refresh request.
        assert_eq!((rotations(&server), server.retries()), ([1, 0], SIZE / 2), "{protocol:?}");

        // Each mode's refresh spends the refresh token that the other's has brought.
        let hold = server.hold_api();
        let crowd = round(&api, &server, "both");
        hold.arrived(SIZE).await;
        credentials.refresh(Provider).await.unwrap();
        credentials.refresh(Customer).await.unwrap();
        hold.release();
        assert_eq!(crowd.statuses().await, BTreeMap::from([(200, SIZE)]), "{protocol:?}");
        assert_eq!((rotations(&server), server.retries()), ([2, 1], SIZE * 3 / 2), "{protocol:?}");

        assert_matched(&server);
        assert_eq!((server.double_spends(), server.unauthorized_to_caller()), (0, 0));
    }
}

/// Of customer mode and of provider mode.
fn rotations(server: &FakeTeamUp) -> [usize; 2] {
    RequestMode::ALL.map(|mode| server.rotations_of(mode))
}

#[tokio::test]
async fn p7_an_unknown_mode_is_refused_before_anything_is_sent() {
    let server = FakeTeamUp::start().await;
    let api = api(&server, &Protocol::Http1.client(), server.issue_tokens(&[])).await;
    let mut request = get(&server, "/echo", "odd");
    request.headers_mut().insert(REQUEST_MODE, "staff".parse().unwrap());
    let error = call(&api, request).await.unwrap_err();
    assert!(error.downcast::<tower_teamup_auth::Error>().unwrap().is_invalid_request());
    assert_eq!((server.journal().entries().len(), server.connections()), (0, 0));
}
