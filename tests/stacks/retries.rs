//! tower's `Retry`. Above, each attempt takes the newest token and may be repeated once after a
//! 401; below, each of the two sends may be tried again.

use std::future::{Ready, ready};

use http::{Request, Response, StatusCode};
use tower::ServiceBuilder;
use tower::retry::{Policy, RetryLayer};
use tower_teamup_auth::testing::Fault;

use crate::support::{Body, Setup, status};

/// Tries again when the server is at fault, so many times.
#[derive(Clone)]
pub(crate) struct ServerErrors(pub(crate) u32);

impl<R, E> Policy<Request<Body>, Response<R>, E> for ServerErrors {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _request: &mut Request<Body>,
        result: &mut Result<Response<R>, E>,
    ) -> Option<Ready<()>> {
        let failed = result.as_ref().is_ok_and(|response| response.status().is_server_error());
        self.0 = self.0.checked_sub(u32::from(failed))?;
        failed.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

fn unavailable() -> Fault {
    Fault::status(StatusCode::SERVICE_UNAVAILABLE)
}

#[tokio::test]
async fn above_retry_begins_anew_with_the_newest_token() {
    let setup = Setup::new().await;
    let api = ServiceBuilder::new()
        .layer(RetryLayer::new(ServerErrors(2)))
        .layer(setup.auth())
        .service(setup.client.clone());
    setup.server.fail_api(Fault::unauthorized());
    setup.server.fail_api(unavailable());
    setup.server.fail_api(Fault::unauthorized());
    assert_eq!(status(api.clone(), setup.get("tried again")).await, StatusCode::OK);
    assert_eq!(setup.answers(), [401, 503, 401, 200]);
    assert_eq!(setup.server.refresh_requests(), 2);
    setup.survives_an_expiry(api).await;
}

#[tokio::test]
async fn below_retry_tries_each_send_again() {
    let setup = Setup::new().await;
    let api = ServiceBuilder::new()
        .layer(setup.auth())
        .layer(RetryLayer::new(ServerErrors(1)))
        .service(setup.client.clone());
    setup.server.fail_api(unavailable());
    setup.server.fail_api(Fault::unauthorized());
    setup.server.fail_api(unavailable());
    assert_eq!(status(api.clone(), setup.get("tried again")).await, StatusCode::OK);
    assert_eq!(setup.answers(), [503, 401, 503, 200]);
    assert_eq!(setup.server.refresh_requests(), 1);
    setup.survives_an_expiry(api).await;
}

/// Even a policy that tries a 401 again ends: each attempt is two sends at most.
#[tokio::test]
async fn p3_above_retry_of_401s_ends() {
    #[derive(Clone)]
    struct Anything(u32);

    impl<R, E> Policy<Request<Body>, Response<R>, E> for Anything {
        type Future = Ready<()>;

        fn retry(
            &mut self,
            _request: &mut Request<Body>,
            _result: &mut Result<Response<R>, E>,
        ) -> Option<Ready<()>> {
            self.0 = self.0.checked_sub(1)?;
            Some(ready(()))
        }

        fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
            Some(request.clone())
        }
    }

    let setup = Setup::new().await;
    let api = ServiceBuilder::new()
        .layer(RetryLayer::new(Anything(2)))
        .layer(setup.auth())
        .service(setup.client.clone());
    setup.server.fail_every_api(Fault::unauthorized());
    assert_eq!(status(api, setup.get("refused")).await, StatusCode::UNAUTHORIZED);
    // The layer retries the first attempt; after that the route is known to refuse fresh tokens.
    assert_eq!(setup.answers(), [401; 4]);
    assert_eq!(setup.server.refresh_requests(), 1);
}
