//! P2: a caller that goes away never takes a rotated refresh token along.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_teamup_auth::RequestMode::Provider;
use tower_teamup_auth::store::MemoryStore;
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{AuthLayer, TokenSet};

use crate::support::{
    Crowd, Protocol, api, call, credentials, expired_tokens, get, layered, pass, status,
};

/// Why a refresh is needed, as the client sees it.
#[derive(Clone, Copy, Debug)]
enum Need {
    /// The token has expired by the client's clocks.
    Due,
    /// The API answers 401.
    Rejected,
}

impl Need {
    const BOTH: [Need; 2] = [Need::Due, Need::Rejected];

    fn tokens(self, server: &FakeTeamUp) -> TokenSet {
        match self {
            Need::Due => expired_tokens(server),
            Need::Rejected => {
                let tokens = server.issue_tokens(&[Provider]);
                server.expire_access_tokens();
                tokens
            }
        }
    }
}

#[tokio::test]
async fn p2_callers_dropped_during_the_refresh_request_leave_the_rotated_token_behind() {
    const SIZE: usize = 50;
    for (protocol, need) in Protocol::BOTH.into_iter().flat_map(|p| Need::BOTH.map(|n| (p, n))) {
        let server = FakeTeamUp::start().await;
        let client = protocol.client();
        let store = MemoryStore::with_record(need.tokens(&server));
        let builder = credentials(&server, &client).store(store.clone());
        let api = layered(builder.build().await.unwrap(), client.clone());
        let hold = server.hold_refresh();
        let crowd = Crowd::calling(SIZE, &api, &server);
        match need {
            Need::Due => crowd.called().await,
            Need::Rejected => server.wait_for(|journal| journal.unauthorized() == SIZE).await,
        }
        hold.arrived(1).await;
        crowd.abort().await;
        hold.release();
        // Nobody waits for it, and it is finished all the same.
        server.wait_for(|journal| journal.rotations() == 1 && journal.under_way() == 0).await;
        assert_eq!(status(&api, &server, "next").await, 200, "{protocol:?} {need:?}");
        assert_eq!(
            (server.refresh_requests(), server.rotations()),
            (1, 1),
            "{protocol:?} {need:?}"
        );

        server.expire_access_tokens();
        assert_eq!(status(&api, &server, "later").await, 200, "{protocol:?} {need:?}");
        assert_eq!((server.rotations(), server.double_spends()), (2, 0), "{protocol:?} {need:?}");

        // What the store was given is the newest pair too: another process goes on with it.
        server.expire_access_tokens();
        let again = credentials(&server, &client).store(store).build().await.unwrap();
        assert_eq!(status(&layered(again, client), &server, "elsewhere").await, 200);
        assert_eq!((server.rotations(), server.double_spends()), (3, 0), "{protocol:?} {need:?}");
    }
}

#[tokio::test]
async fn p2_the_first_waiter_may_be_dropped_at_every_await_point() {
    for (protocol, need) in Protocol::BOTH.into_iter().flat_map(|p| Need::BOTH.map(|n| (p, n))) {
        for polls in 0.. {
            let server = FakeTeamUp::start().await;
            let api = api(&server, &protocol.client(), need.tokens(&server)).await;
            let first = dropped_after(polls, status(&api, &server, "first")).await;
            assert_eq!(status(&api, &server, "second").await, 200, "{protocol:?} {need:?} {polls}");
            assert_eq!((server.refresh_requests(), server.rotations()), (1, 1), "{need:?} {polls}");
            server.expire_access_tokens();
            assert_eq!(status(&api, &server, "third").await, 200, "{protocol:?} {need:?} {polls}");
            assert_eq!(
                (server.refresh_requests(), server.double_spends()),
                (2, 0),
                "{need:?} {polls}"
            );
            if let Some(status) = first {
                assert_eq!(status, 200);
                assert!(polls > 2, "there was hardly anything to wait for");
                break;
            }
        }
    }
}

/// Polls a future so many times, each time that it asks for it, and drops it then.
async fn dropped_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn p2_a_caller_that_times_out_leaves_the_refresh_running() {
    for need in Need::BOTH {
        let server = FakeTeamUp::start().await;
        let client = Protocol::Http1.client();
        let credentials =
            credentials(&server, &client).tokens(need.tokens(&server)).build().await.unwrap();
        let impatient = ServiceBuilder::new()
            .timeout(Duration::from_secs(1))
            .layer(AuthLayer::new(credentials.clone()))
            .service(client.clone());
        let hold = server.hold_refresh();
        let request = get(&server, "/echo", "impatient");
        let waiting = tokio::spawn(async move { impatient.oneshot(request).await.map(drop) });
        hold.arrived(1).await;
        pass(Duration::from_secs(1)).await;
        let error: BoxError = waiting.await.unwrap().unwrap_err();
        assert!(error.is::<tower::timeout::error::Elapsed>());
        hold.release();
        server.wait_for(|journal| journal.rotations() == 1 && journal.under_way() == 0).await;
        assert_eq!(status(&layered(credentials, client), &server, "patient").await, 200);
        assert_eq!((server.refresh_requests(), server.double_spends()), (1, 0), "{need:?}");
    }
}

#[tokio::test]
async fn p2_a_runtime_that_ends_during_the_refresh_request_leaves_nobody_waiting() {
    let server = FakeTeamUp::builder().abort_on_disconnect(true).start().await;
    let client = Protocol::Http1.client();
    let credentials =
        credentials(&server, &client).tokens(expired_tokens(&server)).build().await.unwrap();
    let hold = server.hold_refresh();
    // The first caller lives on another runtime, and so does the refresh that it starts.
    let elsewhere =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let api = layered(credentials.clone(), client.clone());
    let request = get(&server, "/echo", "elsewhere");
    let _lost = elsewhere.spawn({
        let api = api.clone();
        async move { call(&api, request).await }
    });
    hold.arrived(1).await;
    let waiting = Crowd::of(1, |_| {
        let (api, request) = (api.clone(), get(&server, "/echo", "here"));
        async move { call(&api, request).await }
    });
    waiting.called().await;
    elsewhere.shutdown_background();
    // Held before the rotation, and the client that sent it is gone: its outcome is unknown. Who waits
    // starts a worker on its own runtime, and the one further request spends the token.
    server.wait_for(|journal| journal.entries()[0].is_aborted()).await;
    hold.arrived(2).await;
    hold.release();
    assert_eq!(waiting.outputs().await.remove(0).unwrap().status, StatusCode::OK);
    let fresh = layered(credentials, Protocol::Http1.client());
    let answer = call(&fresh, get(&server, "/echo", "next")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!((server.refresh_requests(), server.rotations(), server.double_spends()), (2, 1, 0));
}
