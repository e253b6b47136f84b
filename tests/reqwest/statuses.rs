//! What each status of the API's answer leads to, over each client.

use http::StatusCode;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};

use crate::support::{Kind, MODE, get, reason};

/// The answer is the caller's as it came: one request, no refresh request.
async fn delivered(fault: Fault, status: u16) {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        server.fail_api(fault.clone());
        let response = api.send(get(&server, "one")).await.unwrap();
        assert_eq!(response.status(), status, "{kind:?}");
        assert!(reason(&response).is_none(), "{kind:?}");
        assert_eq!((server.api_requests(), server.refresh_requests()), (1, 0), "{kind:?}");
    }
}

/// The token is refreshed and the request retried.
async fn renewed(fault: Fault) {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        server.fail_api(fault.clone());
        assert_eq!(api.status(get(&server, "one")).await, StatusCode::OK, "{kind:?}");
        assert_eq!((server.api_requests(), server.refresh_requests()), (2, 1), "{kind:?}");
        assert_eq!((server.retries(), server.unauthorized_to_caller()), (1, 0), "{kind:?}");
    }
}

fn status(code: u16) -> Fault {
    Fault::status(StatusCode::from_u16(code).unwrap())
}

macro_rules! delivered {
    ($($name:ident: $code:literal;)*) => {$(
        #[tokio::test]
        async fn $name() {
            delivered(status($code), $code).await;
        }
    )*};
}

delivered! {
    status_200_is_delivered: 200;
    status_201_is_delivered: 201;
    status_204_is_delivered: 204;
    status_302_without_a_location_is_delivered: 302;
    status_304_is_delivered: 304;
    status_400_is_delivered: 400;
    status_402_is_delivered: 402;
    status_403_is_delivered: 403;
    status_404_is_delivered: 404;
    status_405_is_delivered: 405;
    status_407_is_delivered: 407;
    status_409_is_delivered: 409;
    status_410_is_delivered: 410;
    status_419_is_delivered: 419;
    status_422_is_delivered: 422;
    status_429_is_delivered: 429;
    status_498_is_delivered: 498;
    status_500_is_delivered: 500;
    status_502_is_delivered: 502;
    status_503_is_delivered: 503;
    status_504_is_delivered: 504;
}

#[tokio::test]
async fn status_401_without_a_challenge_renews_the_token() {
    renewed(status(401)).await;
}

#[tokio::test]
async fn status_401_for_an_invalid_token_renews_it() {
    renewed(Fault::unauthorized()).await;
}

#[tokio::test]
async fn status_401_for_insufficient_scope_is_delivered() {
    delivered(Fault::insufficient_scope(), 401).await;
}

/// A small one is read to its end before the retry, a large one is dropped.
#[tokio::test]
async fn a_401_of_any_size_is_repeated() {
    for size in [0, 100, 1_000_000] {
        renewed(Fault::unauthorized().body("text/plain", vec![b'x'; size])).await;
    }
}
