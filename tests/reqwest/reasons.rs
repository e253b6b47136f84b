//! What a caller is told when there is no new token: the 401 with the reason, or an error of this
//! crate where nothing could be sent; and errors from below as they are.

use http::StatusCode;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::{Credentials, Error};

use crate::support::{Api, Kind, MODE, Protocol, crate_error, get, reason};

fn refused() -> Fault {
    Fault::status(StatusCode::BAD_REQUEST)
}

#[tokio::test]
async fn the_401_is_kept_whole_and_carries_the_reason() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        server.fail_every_refresh(refused());
        server.expire_access_tokens();
        let response = api.send(get(&server, "one")).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{kind:?}");
        assert!(reason(&response).is_some_and(Error::is_login_required), "{kind:?}");
        assert_eq!(response.url().as_str(), server.url("/echo"));
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!(body["code"], "authentication_failed");
        assert_eq!((server.api_requests(), server.refresh_requests()), (1, 1));
    }
}

#[tokio::test]
async fn where_nothing_could_be_sent_the_error_is_this_crates() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[])).await;
        server.fail_every_refresh(refused());
        for call in 0..3 {
            let error = api.send(get(&server, call)).await.unwrap_err();
            assert!(crate_error(&error).is_login_required(), "{kind:?} {error:?}");
        }
        assert_eq!((server.api_requests(), server.refresh_requests()), (0, 1), "{kind:?}");
    }
}

/// The middleware's error is where its documentation says.
#[tokio::test]
async fn the_middlewares_error_holds_this_crates() {
    let server = FakeTeamUp::start().await;
    server.fail_every_refresh(refused());
    let Api::Middleware(api) = Kind::Middleware.api(&server, server.issue_tokens(&[])).await else {
        unreachable!("asked for the middleware")
    };
    let error = api.get(server.url("/echo")).send().await.unwrap_err();
    let reqwest_middleware::Error::Middleware(error) = error else { panic!("{error:?}") };
    assert!(error.downcast_ref::<Error>().is_some_and(Error::is_login_required));
}

#[tokio::test]
async fn an_m2m_token_is_not_renewed() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let credentials =
            Credentials::m2m(server.issue_m2m()).base_url(server.base_url()).build().await.unwrap();
        let api = kind.over(Protocol::Http1.client(), credentials);
        assert_eq!(api.status(get(&server, "good")).await, StatusCode::OK);
        server.revoke_everything();
        let response = api.send(get(&server, "revoked")).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{kind:?}");
        assert!(reason(&response).is_some_and(Error::is_m2m_refused), "{kind:?}");
        assert_eq!((server.api_requests(), server.refresh_requests()), (2, 0));
    }
}

#[tokio::test]
async fn an_error_from_below_comes_through_as_it_is() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        server.fail_api(Fault::drop_connection());
        let error = api.send(get(&server, "dropped")).await.unwrap_err();
        let error = error.downcast_ref::<reqwest::Error>().expect("reqwest's own");
        assert!(error.is_request() && !error.is_connect(), "{kind:?} {error:?}");

        server.shutdown().await;
        let error = api.send(get(&server, "gone")).await.unwrap_err();
        let error = error.downcast_ref::<reqwest::Error>().expect("reqwest's own");
        assert!(error.is_connect(), "{kind:?} {error:?}");
        assert_eq!(error.url().unwrap().as_str(), server.url("/echo"));
    }
}

/// A per-request timeout reaches reqwest, and ends the request as reqwest has it.
#[tokio::test]
async fn a_timeout_of_reqwests_own_still_is_one() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[MODE])).await;
        let hold = server.hold_api();
        let mut request: reqwest::Request = get(&server, "slow").try_into().unwrap();
        *request.timeout_mut() = Some(std::time::Duration::from_secs(60));
        let call = tokio::spawn({
            let api = api.clone();
            async move { api.send(request.try_into().unwrap()).await }
        });
        hold.arrived(1).await;
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(61)).await;
        let error = call.await.unwrap().unwrap_err();
        let error = error.downcast_ref::<reqwest::Error>().expect("reqwest's own");
        assert!(error.is_timeout(), "{kind:?} {error:?}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn p2_a_dropped_caller_loses_no_token() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let api = kind.api(&server, server.issue_tokens(&[])).await;
        let hold = server.hold_refresh_answer();
        let call = tokio::spawn({
            let (api, request) = (api.clone(), get(&server, "dropped"));
            async move { api.status(request).await }
        });
        hold.arrived(1).await;
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        hold.release();
        assert_eq!(api.status(get(&server, "next")).await, StatusCode::OK, "{kind:?}");
        assert_eq!((server.refresh_requests(), server.rotations()), (1, 1), "{kind:?}");
    }
}
