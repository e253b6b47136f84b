//! tower's `Buffer`. A request that waits for a token holds none of its places, above or below.

use http::{Request, StatusCode};
use tokio::task::JoinSet;
use tower::ServiceBuilder;
use tower_teamup_auth::RequestMode;

use crate::support::{Body, MODE, Setup, status, without_deadlock};

fn in_customer_mode(setup: &Setup, caller: usize) -> Request<Body> {
    let mut request = setup.get(caller);
    request.extensions_mut().insert(RequestMode::Customer);
    request
}

/// Three requests wait for a customer token; one with a good token overtakes them.
macro_rules! waiting_requests_block_nobody {
    ($setup:ident, $api:ident) => {
        let hold = $setup.server.hold_refresh();
        let mut waiting = JoinSet::new();
        for caller in 0..3 {
            waiting.spawn(status($api.clone(), in_customer_mode(&$setup, caller)));
        }
        hold.arrived(1).await;
        let overtaking = status($api.clone(), $setup.get("overtaking"));
        assert_eq!(without_deadlock(overtaking).await, StatusCode::OK);
        assert_eq!($setup.server.rotations(), 0);
        hold.release();
        for status in without_deadlock(waiting.join_all()).await {
            assert_eq!(status, StatusCode::OK);
        }
        assert_eq!($setup.server.refresh_requests(), 1);
    };
}

#[tokio::test]
async fn p6_above_a_wait_for_a_token_blocks_nobody() {
    let setup = Setup::with(&[MODE]).await;
    let api = ServiceBuilder::new().buffer(1).layer(setup.auth()).service(setup.client.clone());
    waiting_requests_block_nobody!(setup, api);
    setup.survives_an_expiry(api).await;
}

#[tokio::test]
async fn p6_below_a_wait_for_a_token_holds_no_place() {
    let setup = Setup::with(&[MODE]).await;
    let api = ServiceBuilder::new().layer(setup.auth()).buffer(1).service(setup.client.clone());
    waiting_requests_block_nobody!(setup, api);
    setup.survives_an_expiry(api).await;
}
