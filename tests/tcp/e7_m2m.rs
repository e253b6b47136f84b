//! M2M tokens that are refused, and replaced while requests run: field case E7 and its neighbours.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tower_teamup_auth::body::SendOnce;
use tower_teamup_auth::m2m::{M2mSource, TokenFile};
use tower_teamup_auth::status::Token;
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::token::{AccessToken, Clock};
use tower_teamup_auth::{Auth, BoxError, Credentials, Error, RequestMode};

use crate::support::*;

const MODE: RequestMode = RequestMode::Provider;

/// A source that tells what the test puts there, and counts how often it is asked.
#[derive(Clone)]
struct Source {
    token: Arc<watch::Sender<Option<AccessToken>>>,
    reads: Arc<AtomicUsize>,
}

impl Source {
    fn with(token: AccessToken) -> Self {
        Source { token: Arc::new(watch::Sender::new(Some(token))), reads: Arc::default() }
    }

    fn put(&self, token: Option<AccessToken>) {
        self.token.send_replace(token);
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

impl M2mSource for Source {
    async fn token(&self) -> Result<AccessToken, BoxError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        // Other tasks run before the answer is there.
        tokio::task::yield_now().await;
        let token = self.token.borrow().clone();
        token.ok_or_else(|| "the secret manager is down".into())
    }
}

async fn credentials(server: &FakeTeamUp, source: impl M2mSource) -> Credentials {
    crate::witness::watch();
    let builder = Credentials::m2m_from(source).base_url(server.base_url()).clock(Clock::tokio());
    builder.build().await.unwrap()
}

async fn api(server: &FakeTeamUp, source: impl M2mSource) -> (Credentials, Auth<Http>) {
    let credentials = credentials(server, source).await;
    (credentials.clone(), layered(credentials, Protocol::Http1.client()))
}

/// The error beside the 401.
async fn reason(api: &Auth<Http>, server: &FakeTeamUp, caller: &str) -> Error {
    let answer = call(api, get(server, "/echo", caller)).await.unwrap();
    assert_eq!(answer.status, 401);
    answer.reason.expect("the reason beside the 401")
}

fn replace(file: &Path, token: &AccessToken) {
    let next = file.with_extension("next");
    fs::write(&next, token.expose()).unwrap();
    fs::rename(next, file).unwrap();
}

#[tokio::test]
async fn e7_file_that_is_replaced_while_requests_run_fails_none_of_them() {
    for protocol in Protocol::BOTH {
        let server = FakeTeamUp::start().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let mut old = server.issue_m2m_of(7, None);
        fs::write(&file, old.expose()).unwrap();
        let credentials = credentials(&server, TokenFile::new(&file)).await;
        let api = layered(credentials, protocol.client());
        for _ in 0..3 {
            let under_way = server.hold_api();
            let crowd = Crowd::calling(20, &api, &server);
            under_way.arrived(20).await;
            let new = server.issue_m2m_of(7, None);
            replace(&file, &new);
            server.revoke(&old);
            under_way.release();
            assert_eq!(crowd.statuses().await, BTreeMap::from([(200, 20)]), "{protocol:?}");
            old = new;
        }
        assert_eq!(server.unauthorized_to_caller(), 0, "{}", server.journal());
        assert_eq!((server.unauthorized(), server.retries()), (60, 60), "{}", server.journal());
        assert_eq!(server.refresh_requests(), 0);
    }
}

#[tokio::test]
async fn e7_token_that_is_unchanged_is_refused_once_and_the_error_names_what_to_do() {
    let server = FakeTeamUp::start().await;
    let token = server.issue_m2m();
    let source = Source::with(token.clone());
    let (credentials, api) = api(&server, source.clone()).await;
    assert_eq!(status(&api, &server, "good").await, 200);
    assert_eq!(source.reads(), 1);
    server.revoke(&token);

    let error = reason(&api, &server, "revoked").await;
    assert!(error.is_m2m_refused() && !error.is_login_required(), "{error}");
    assert!(error.to_string().contains("issue a new M2M token"), "{error}");
    assert!(error.retry_after().is_some());
    assert_eq!((server.api_requests(), source.reads()), (2, 2), "it was not sent again");

    let state = credentials.status();
    assert!(matches!(state.token(MODE), Token::Ready { refused: true, .. }), "{state}");
    assert!(!state.is_ready() && !state.is_healthy() && !state.is_login_required(), "{state}");
    assert!(state.failure().unwrap().error().is_m2m_refused(), "{state}");
    assert!(state.to_string().contains("the API has refused this token"), "{state}");

    // Within the pause nobody reads again.
    for caller in 0..5 {
        assert!(reason(&api, &server, &caller.to_string()).await.is_m2m_refused());
    }
    assert_eq!(source.reads(), 2);
    pass(Duration::from_secs(2)).await;
    source.put(Some(server.issue_m2m()));
    assert_eq!(status(&api, &server, "replaced").await, 200);
    assert!(credentials.status().is_healthy() && credentials.status().failure().is_none());
}

#[tokio::test]
async fn e7_refused_token_without_a_source_is_refused_until_the_program_brings_another() {
    let server = FakeTeamUp::start().await;
    let token = server.issue_m2m();
    let builder = Credentials::m2m(token.clone()).base_url(server.base_url());
    let credentials = builder.build().await.unwrap();
    let api = layered(credentials.clone(), Protocol::Http1.client());
    assert_eq!(status(&api, &server, "good").await, 200);
    server.revoke(&token);
    let error = reason(&api, &server, "revoked").await;
    assert!(error.is_m2m_refused() && error.retry_after().is_none(), "{error:?}");
    assert!(!credentials.status().is_healthy(), "{}", credentials.status());

    credentials.set_m2m_token(server.issue_m2m()).unwrap();
    assert!(credentials.status().is_healthy(), "{}", credentials.status());
    assert_eq!(status(&api, &server, "replaced").await, 200);
}

#[tokio::test]
async fn e7_concurrent_refusals_read_the_source_once() {
    let server = FakeTeamUp::start().await;
    let old = server.issue_m2m();
    let source = Source::with(old.clone());
    let (_credentials, api) = api(&server, source.clone()).await;
    let first = Crowd::calling(50, &api, &server);
    assert_eq!(first.statuses().await, BTreeMap::from([(200, 50)]));
    assert_eq!(source.reads(), 1, "the first use");

    let under_way = server.hold_api();
    let crowd = Crowd::calling(50, &api, &server);
    under_way.arrived(50).await;
    source.put(Some(server.issue_m2m()));
    server.revoke(&old);
    under_way.release();
    assert_eq!(crowd.statuses().await, BTreeMap::from([(200, 50)]));
    assert_eq!((source.reads(), server.unauthorized()), (2, 50));
}

#[tokio::test]
async fn e7_token_that_the_program_sets_while_a_read_hangs_serves_those_who_wait() {
    let server = FakeTeamUp::start().await;
    let source = std::future::pending;
    let (credentials, api) = api(&server, source).await;
    let crowd = Crowd::calling(10, &api, &server);
    crowd.called().await;
    credentials.set_m2m_token(server.issue_m2m()).unwrap();
    assert_eq!(crowd.statuses().await, BTreeMap::from([(200, 10)]));
}

#[tokio::test]
async fn e7_answer_of_a_read_that_began_before_the_program_set_a_token_is_dropped() {
    let server = FakeTeamUp::start().await;
    let (old, new) = (server.issue_m2m(), server.issue_m2m());
    let (go, going) = watch::channel(false);
    let stale = old.clone();
    let source = move || {
        let (mut going, stale) = (going.clone(), stale.clone());
        async move {
            going.wait_for(|go| *go).await?;
            Ok(stale)
        }
    };
    let (credentials, api) = api(&server, source).await;
    let crowd = Crowd::calling(1, &api, &server);
    crowd.called().await;
    credentials.set_m2m_token(new.clone()).unwrap();
    assert_eq!(crowd.statuses().await, BTreeMap::from([(200, 1)]));
    go.send(true).unwrap();
    credentials.flush().await.unwrap(); // the read is over
    assert_eq!(status(&api, &server, "after").await, 200);
    let journal = server.journal();
    assert!(journal.entries().iter().all(|entry| entry.carried_token(&new)), "{journal}");
}

#[tokio::test]
async fn e7_source_that_fails_leaves_the_last_token_in_use() {
    let server = FakeTeamUp::start().await;
    let token = server.issue_m2m();
    let source = Source::with(token.clone());
    let (credentials, api) = api(&server, source.clone()).await;
    assert_eq!(status(&api, &server, "good").await, 200);
    source.put(None);
    let error = credentials.refresh(MODE).await.unwrap_err();
    assert!(error.is_m2m_source() && error.is_transient(), "{error}");
    assert!(words(&error).contains("the secret manager is down"), "{error:?}");
    assert_eq!(status(&api, &server, "still good").await, 200);
    assert!(credentials.status().is_healthy(), "its token works: {}", credentials.status());
}

#[tokio::test]
async fn e7_source_that_panics_is_an_error_and_is_asked_again() {
    let server = FakeTeamUp::start().await;
    let token = server.issue_m2m();
    let reads = Arc::new(AtomicUsize::new(0));
    let source = move || {
        // Before there is a future.
        assert!(reads.fetch_add(1, Ordering::Relaxed) > 0, "s3cret");
        std::future::ready(Ok(token.clone()))
    };
    let (_credentials, api) = api(&server, source).await;
    let error = why(call(&api, get(&server, "/echo", "first")).await);
    assert!(error.is_m2m_source(), "{error}");
    assert!(words(&error).contains("panicked") && !words(&error).contains("s3cret"), "{error:?}");
    pass(Duration::from_secs(2)).await;
    assert_eq!(status(&api, &server, "second").await, 200);
}

#[tokio::test(start_paused = true)]
async fn e7_source_that_hangs_has_a_time_limit_and_is_not_asked_twice_meanwhile() {
    let server = FakeTeamUp::builder().clock(Clock::tokio()).start().await;
    let token = server.issue_m2m();
    let reads = Arc::new(AtomicUsize::new(0));
    let (go, going) = watch::channel(false);
    let counted = reads.clone();
    let source = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let (mut going, token) = (going.clone(), token.clone());
        async move {
            going.wait_for(|go| *go).await?;
            Ok(token)
        }
    };
    let credentials = credentials(&server, source).await;
    for _ in 0..3 {
        let error = credentials.refresh(MODE).await.unwrap_err();
        assert!(error.is_m2m_source(), "{error}");
        assert!(words(&error).contains("did not answer within 5s"), "{error:?}");
    }
    go.send(true).unwrap();
    credentials.refresh(MODE).await.unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 1, "one hanging read at most");
}

#[tokio::test]
async fn e7_body_that_can_not_be_sent_again_is_sent_once_and_the_next_request_has_the_new_token() {
    let server = FakeTeamUp::start().await;
    let old = server.issue_m2m();
    let source = Source::with(old.clone());
    let credentials = credentials(&server, source.clone()).await;
    let api: Auth<Http<SendOnce<Body>>> = layered(credentials, Protocol::Http1.client());
    let request = |caller| get(&server, "/echo", caller).map(SendOnce::new);
    assert_eq!(call(&api, request("good")).await.unwrap().status, 200);
    source.put(Some(server.issue_m2m()));
    server.revoke(&old);
    let answer = call(&api, request("once")).await.unwrap();
    assert_eq!(answer.status, 401);
    assert!(answer.reason.unwrap().is_retryable_by_caller());
    assert_eq!(call(&api, request("again")).await.unwrap().status, 200);
}

#[tokio::test]
async fn e7_keep_warm_reads_the_source_before_the_first_request() {
    let server = FakeTeamUp::start().await;
    let source = Source::with(server.issue_m2m());
    let builder = Credentials::m2m_from(source.clone()).base_url(server.base_url()).keep_warm();
    let credentials = builder.build().await.unwrap();
    let mut changes = credentials.subscribe();
    while !changes.next().await.unwrap().is_ready() {}
    assert_eq!(source.reads(), 1);
}

#[tokio::test]
async fn e7_operations_of_a_login_are_refused_and_shutdown_succeeds() {
    let server = FakeTeamUp::start().await;
    let (credentials, api) = api(&server, Source::with(server.issue_m2m())).await;
    let tokens = server.issue_tokens(&[MODE]);
    assert!(credentials.log_in(tokens).await.unwrap_err().is_invalid_request());
    assert!(credentials.sign_out().await.unwrap_err().is_invalid_request());
    assert!(credentials.refresh(RequestMode::Customer).await.unwrap_err().is_invalid_request());
    credentials.refresh(MODE).await.unwrap();
    credentials.shutdown().await.unwrap();
    assert_eq!(status(&api, &server, "after").await, 200);
}
