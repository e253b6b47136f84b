//! reqwest's own time limits beside those of the crate.

use std::error::Error;
use std::iter::successors;
use std::time::Duration;

use http::StatusCode;
use reqwest_middleware::ClientBuilder;
use tower_teamup_auth::client::{AuthMiddleware, redirects_within_origin};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};

use crate::support::{Kind, MODE, crate_error, credentials, get};

/// Lets `by` pass on Tokio's clock. For a runtime of one thread.
async fn pass(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

fn impatient() -> reqwest::Client {
    let builder = reqwest::Client::builder().redirect(redirects_within_origin());
    builder.timeout(Duration::from_millis(300)).build().unwrap()
}

#[tokio::test]
async fn a8_the_time_limit_of_the_client_does_not_cut_off_a_refresh_request() {
    for kind in Kind::BOTH {
        let server = FakeTeamUp::start().await;
        let client = impatient();
        let tokens = server.issue_tokens(&[]);
        let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
        let api = std::sync::Arc::new(kind.over(client, credentials));
        let hold = server.hold_refresh_answer();
        let request = get(&server, "patient");
        let waiting = tokio::spawn({
            let api = std::sync::Arc::clone(&api);
            async move { api.status(request).await }
        });
        hold.arrived(1).await;
        pass(Duration::from_secs(1)).await;
        // What would have been cut off has had its turn.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        hold.release();
        assert_eq!(waiting.await.unwrap(), StatusCode::OK, "{kind:?}");
        assert_eq!((server.refresh_requests(), server.rotations()), (1, 1), "{kind:?}");

        // The neighbour: an API request keeps the limit.
        let slow = server.hold_api();
        let request = get(&server, "slow");
        let waiting = tokio::spawn(async move { api.send(request).await.map(drop) });
        slow.arrived(1).await;
        pass(Duration::from_secs(1)).await;
        assert!(waiting.await.unwrap().is_err(), "{kind:?}");
        slow.release();
    }
}

/// No request can override it, so the error says what to do about it.
#[tokio::test]
async fn a8_the_read_timeout_of_the_client_is_named_where_it_cuts_off_a_refresh_request() {
    for holds_whole_answer in [true, false] {
        let server = FakeTeamUp::start().await;
        let client = reqwest::Client::builder().read_timeout(Duration::from_millis(1));
        let tokens = server.issue_tokens(&[]);
        let builder = credentials(&server, &client.build().unwrap()).tokens(tokens);
        let credentials = builder.build().await.unwrap();
        let hold = holds_whole_answer.then(|| server.hold_refresh_answer());
        if !holds_whole_answer {
            server.fail_every_refresh(
                Fault::status(StatusCode::OK).body("text/plain", "{").never_ends(),
            );
        }
        let error = credentials.refresh(MODE).await.unwrap_err();
        assert!(error.is_outcome_unknown(), "{error:?}");
        let chain = successors(Some(&error as &dyn Error), |&error| error.source());
        let said: Vec<_> = chain.map(ToString::to_string).collect();
        assert!(said.iter().any(|said| said.contains("without `read_timeout`")), "{said:?}");
        drop(hold);
    }
}

#[tokio::test]
async fn the_time_limit_of_a_request_covers_its_wait_for_a_refresh() {
    let server = FakeTeamUp::start().await;
    let client = reqwest::Client::builder().redirect(redirects_within_origin()).build().unwrap();
    let tokens = server.issue_tokens(&[MODE]);
    let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
    let api = ClientBuilder::new(client).with(AuthMiddleware::new(credentials)).build();
    let call = |limit: Duration| {
        let request = api.get(server.url("/echo")).timeout(limit);
        tokio::spawn(async move { request.send().await })
    };
    server.expire_access_tokens();
    let hold = server.hold_refresh_answer();
    // The wait after a 401 ends with the 401, and says why.
    let (short, long) = (call(Duration::from_secs(2)), call(Duration::from_secs(20)));
    hold.arrived(1).await;
    server.wait_for(|journal| journal.unauthorized() == 2).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    pass(Duration::from_secs(3)).await;
    let response = short.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(tower_teamup_auth::Error::find(&response).is_some_and(|error| error.is_transient()));
    hold.release();
    assert_eq!(long.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!((server.refresh_requests(), server.rotations()), (1, 1));
}

#[tokio::test]
async fn the_time_limit_of_a_request_covers_its_wait_for_a_first_token() {
    let server = FakeTeamUp::start().await;
    let client = reqwest::Client::builder().redirect(redirects_within_origin()).build().unwrap();
    let tokens = server.issue_tokens(&[]);
    let credentials = credentials(&server, &client).tokens(tokens).build().await.unwrap();
    let api = ClientBuilder::new(client).with(AuthMiddleware::new(credentials)).build();
    let hold = server.hold_refresh_answer();
    let request = api.get(server.url("/echo")).timeout(Duration::from_secs(2));
    let waiting = tokio::spawn(async move { request.send().await });
    hold.arrived(1).await;
    pass(Duration::from_secs(3)).await;
    let error = waiting.await.unwrap().unwrap_err();
    let reqwest_middleware::Error::Middleware(error) = error else { panic!("{error:?}") };
    let error = error.reallocate_into_boxed_dyn_error_without_backtrace();
    assert!(crate_error(&error).is_transient(), "{error:?}");
    hold.release();
    // The answer that came later is used.
    assert_eq!(api.get(server.url("/echo")).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!((server.refresh_requests(), server.rotations(), server.api_requests()), (1, 1, 1));
}
