//! The transaction and its store: adoption, conflicts, a lost lease, a slow store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use tokio::task::JoinSet;
use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
use tower_teamup_auth::store::{
    Attempt, Expected, LoginId, MemoryStore, RecordContent, StoreError, StoredRecord, TokenStore,
};
use tower_teamup_auth::{Credentials, Error, RequestMode, TokenSet};

use crate::support::refresh_answers::RefreshAnswer;
use crate::support::server::Server;
use crate::support::stores::{Fault, Lease, Op, Store};
use crate::support::*;
use crate::witness::Heard;

/// What another process that shares the store has refreshed to.
fn of_another_process(server: &Server, mode: RequestMode) -> TokenSet {
    let token = format!("{SECRET}-{mode}-of-another");
    server.revive(mode, &token);
    server.log_in_again("of-another").with_access_token(
        mode,
        token.parse().unwrap(),
        Some(Duration::from_secs(7200)),
    )
}

/// Tokens of the login that `store` holds, at another revision.
fn at_revision(store: &Store, tokens: TokenSet, revision: u64) -> StoredRecord {
    let login = store.record().expect("a record").login();
    StoredRecord::new(login, revision, RecordContent::Tokens(tokens))
}

async fn stored(server: &Server, store: &Store) -> Credentials {
    builder(server).store(store.clone()).build().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn p1_two_processes_that_share_a_store_cause_one_refresh_request() {
    let trace = Heard::start();
    for rejected in [false, true] {
        let server = Server::new();
        let tokens = if rejected { server.good_tokens(None) } else { server.expired_tokens() };
        let store = MemoryStore::with_record(tokens);
        let mut callers = JoinSet::new();
        server.expire_everything();
        for _ in 0..2 {
            let credentials = builder(&server).store(store.clone()).build().await.unwrap();
            let client = client(&credentials, &server);
            for _ in 0..50 {
                let client = client.clone();
                callers.spawn(async move { status(&client).await });
            }
        }
        assert!(callers.join_all().await.iter().all(|status| *status == StatusCode::OK));
        assert_eq!((server.seen_refresh_requests().len(), server.double_spent()), (1, 0));
        let kept = store.load().await.unwrap().unwrap();
        let refresh_token = kept.tokens().unwrap().refresh_token().expose();
        assert_eq!(refresh_token, server.live_refresh_token());
        assert_eq!(kept.revision(), 2);
    }
    assert_eq!(trace.count("record adopted"), 2);
}

#[tokio::test(start_paused = true)]
async fn many_processes_take_turns_and_never_spend_a_token_twice() {
    let server = Server::new();
    server.set_lifetime(Some(30));
    let store = MemoryStore::with_record(server.bare_tokens());
    let mut callers = JoinSet::new();
    for process in 0..20_u64 {
        let credentials = builder(&server).store(store.clone()).build().await.unwrap();
        let client = client(&credentials, &server);
        callers.spawn(async move {
            for turn in 0..20 {
                let mode = RequestMode::ALL[usize::from((process + turn) % 3 == 0)];
                let answer = send(&client, get_as(mode, "/events")).await;
                assert_eq!(answer.unwrap().status(), StatusCode::OK);
                tokio::time::sleep(Duration::from_secs(7 + process % 5)).await;
            }
        });
    }
    while let Some(joined) = callers.join_next().await {
        joined.unwrap();
    }
    assert_eq!((server.double_spent(), server.most_refresh_requests_at_once()), (0, 1));
    // Two modes, each renewed about every 24 seconds of the four minutes, by one of twenty.
    assert!((16..40).contains(&server.granted()), "{}", server.granted());
}

#[tokio::test(start_paused = true)]
async fn newer_tokens_of_another_process_are_adopted_without_a_refresh_request() {
    let trace = Heard::start();
    for rejected in [false, true] {
        let server = Server::new();
        let tokens = if rejected { server.good_tokens(None) } else { server.expired_tokens() };
        let store = Store::with_tokens(tokens);
        let client = client(&stored(&server, &store).await, &server);
        server.expire_everything();
        store.put_refreshed(of_another_process(&server, Provider), 3);
        assert_eq!(status(&client).await, StatusCode::OK);
        assert_eq!(server.seen_refresh_requests().len(), 0);
        let token = server.seen_calls().pop().unwrap().token().unwrap().to_owned();
        assert_eq!(token, format!("{SECRET}-provider-of-another"));
        assert_eq!(store.count(Op::Save), 0);
    }
    assert_eq!(trace.count("another process has refreshed or logged in revision=4"), 2);
}

/// Refuses every refresh token, and every time another process has just stored another one.
struct AlwaysLate {
    store: Store,
    refresh_requests: Arc<AtomicU64>,
}

impl Refresh for AlwaysLate {
    async fn refresh(&self, _: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        let number = self.refresh_requests.fetch_add(1, Ordering::Relaxed);
        assert!(number < 10, "it would go on for ever");
        let token = format!("{SECRET}-refresh-of-another-{number}").parse().unwrap();
        let record = at_revision(&self.store, TokenSet::new(token), 10 + number);
        self.store.put(Some(record));
        Err(RefreshError::rejected("it was spent"))
    }
}

#[tokio::test(start_paused = true)]
async fn p3_refresh_tokens_of_another_process_are_tried_a_few_times_in_one_refresh() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let refresh_requests = Arc::<AtomicU64>::default();
    let late = AlwaysLate { store: store.clone(), refresh_requests: refresh_requests.clone() };
    let credentials = builder(&server).store(store).refresh_with(late).build().await.unwrap();
    let error = credentials.refresh(Provider).await.unwrap_err();
    assert!(error.is_login_required(), "{error}");
    assert_eq!(refresh_requests.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn newer_tokens_that_do_not_serve_are_not_adopted_but_their_refresh_token_is_spent() {
    let server = Server::new();
    let good = of_another_process(&server, Provider);
    let token = good.access_token(Provider).unwrap().clone();
    let expired =
        good.clone().with_access_token_until(Provider, token, Some(SystemTime::UNIX_EPOCH));
    let bare = TokenSet::new(good.refresh_token().clone());
    for newer in [expired, bare] {
        let server = Server::new();
        let store = Store::with_tokens(server.good_tokens(None));
        let client = client(&stored(&server, &store).await, &server);
        server.expire_everything();
        server.log_in_again("of-another");
        store.put_refreshed(newer, 3);
        assert_eq!(status(&client).await, StatusCode::OK);
        let refresh_requests = server.seen_refresh_requests();
        assert_eq!(refresh_requests.len(), 1);
        assert_eq!(
            refresh_requests[0].field("refresh_token"),
            format!("{SECRET}-refresh-of-another")
        );
        assert_eq!(store.revision(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_token_is_not_adopted_even_if_another_process_stored_it_anew() {
    let server = Server::new();
    let tokens = server.good_tokens(None);
    let store = Store::with_tokens(tokens.clone());
    let client = client(&stored(&server, &store).await, &server);
    server.expire_everything();
    store.put_refreshed(tokens, 2);
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(server.seen_refresh_requests().len(), 1);
    assert_eq!(store.revision(), 4);
}

#[tokio::test(start_paused = true)]
async fn older_tokens_in_the_store_are_not_taken_back() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    store.put(Some(at_revision(&store, server.expired_tokens(), 7)));
    let credentials = stored(&server, &store).await;
    credentials.refresh(Provider).await.unwrap();
    // A backup was put back.
    let older = TokenSet::new("s3cret-refresh-0".parse().unwrap());
    store.put(Some(at_revision(&store, older, 2)));
    credentials.refresh(Provider).await.unwrap();
    assert_eq!((server.granted(), server.double_spent()), (2, 0));
    assert_eq!(store.revision(), 9);
    assert_eq!(store.refresh_token(), server.live_refresh_token());
}

#[tokio::test(start_paused = true)]
async fn refusal_is_looked_into_once_and_another_processs_tokens_are_adopted_or_spent() {
    for serves in [true, false] {
        let server = Server::new();
        let store = Store::with_tokens(server.expired_tokens());
        let client = client(&stored(&server, &store).await, &server);
        server.refresh_requests().hold();
        let caller = tokio::spawn(async move { status(&client).await });
        server.refresh_requests().arrived(1).await;
        // A process that does not keep to the lock rotates while this refresh request is on its way.
        let other = of_another_process(&server, if serves { Provider } else { Customer });
        store.put_refreshed(other, 1);
        server.refresh_requests().open();
        assert_eq!(caller.await.unwrap(), StatusCode::OK);
        assert_eq!(server.seen_refresh_requests().len(), if serves { 1 } else { 2 });
        assert_eq!(server.granted(), usize::from(!serves));
        assert_eq!(store.refresh_token(), server.live_refresh_token());
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_outcome_is_looked_into_and_another_processs_tokens_are_adopted() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let client = client(&stored(&server, &store).await, &server);
    server.next_answers([RefreshAnswer::LostBefore]);
    server.refresh_requests().hold();
    let caller = tokio::spawn(async move { status(&client).await });
    server.refresh_requests().arrived(1).await;
    store.put_refreshed(of_another_process(&server, Provider), 1);
    server.refresh_requests().open();
    assert_eq!(caller.await.unwrap(), StatusCode::OK);
    assert_eq!((server.seen_refresh_requests().len(), server.granted()), (1, 0));
}

/// What another process saves while ours has lost the lease, and what becomes of it.
#[derive(Clone, Copy, Debug)]
enum Overtaking {
    /// The same login, so many revisions ahead of what ours had read.
    SameLogin(u64),
    /// Another login, at this revision.
    OtherLogin(u64),
}

#[tokio::test(start_paused = true)]
async fn p11_conflict_on_saving_adopts_what_is_newer_and_overwrites_what_is_not() {
    use Overtaking::{OtherLogin, SameLogin};
    for (overtaking, is_adopted) in [
        (SameLogin(1), true),
        (SameLogin(9), true),
        // Put back to an older state: what was minted is the newest there is.
        (SameLogin(0), false),
        (OtherLogin(StoredRecord::MAX_REVISION - 7), true),
        (OtherLogin(1), false),
    ] {
        let trace = Heard::start();
        let server = Server::new();
        let store = Store::with_tokens(server.expired_tokens());
        let client = client(&stored(&server, &store).await, &server);
        server.refresh_requests().hold();
        let caller = tokio::spawn(async move { send(&client, get("/events")).await });
        server.refresh_requests().arrived(1).await;
        let ours = server.live_refresh_token();
        let theirs = of_another_process(&server, Provider);
        server.revive_refresh_token(&ours);
        store.overtake_next_save(match overtaking {
            SameLogin(ahead) => at_revision(&store, theirs, store.revision() + ahead),
            OtherLogin(revision) => {
                let login: LoginId = "ff".repeat(16).parse().unwrap();
                StoredRecord::new(login, revision, RecordContent::Tokens(theirs))
            }
        });
        server.refresh_requests().open();
        let answer = caller.await.unwrap();
        assert_eq!(server.granted(), 1, "{overtaking:?}");
        if is_adopted {
            assert_eq!(store.refresh_token(), format!("{SECRET}-refresh-of-another"));
            assert_eq!(trace.count("record adopted"), 1, "{overtaking:?}");
        } else {
            assert_eq!(store.refresh_token(), server.live_refresh_token(), "{overtaking:?}");
        }
        if let (OtherLogin(_), true) = (overtaking, is_adopted) {
            assert!(failure(answer).is_login_changed());
            continue;
        }
        assert_eq!(answer.unwrap().status(), StatusCode::OK, "{overtaking:?}");
        let token = server.seen_calls().pop().unwrap().token().unwrap().to_owned();
        let of = if is_adopted { "of-another" } else { "1" };
        assert_eq!(token, format!("{SECRET}-provider-{of}"), "{overtaking:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn lease_that_is_lost_before_the_refresh_request_starts_the_refresh_over() {
    let trace = Heard::start();
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let client = client(&stored(&server, &store).await, &server);
    // The first is lost as it comes, the second after the store was read under it.
    store.held([false, true, false]);
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!((store.count(Op::Acquire), store.count(Op::Load) - 1), (3, 2));
    assert_eq!((server.seen_refresh_requests().len(), server.double_spent()), (1, 0));
    assert_eq!(trace.count("the lease was lost; it is asked for again"), 2);
}

#[tokio::test(start_paused = true)]
async fn lease_that_was_lost_to_another_process_leads_to_its_tokens() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let client = client(&stored(&server, &store).await, &server);
    // The first refresh request fails; meanwhile the lease is lost and another refreshes.
    server.next_answers([RefreshAnswer::Refused]);
    server.refresh_requests().hold();
    // Asked when the lease is there, when the store is read, and for the refresh request.
    store.held([true, true, true, false]);
    let caller = tokio::spawn(async move { status(&client).await });
    server.refresh_requests().arrived(1).await;
    store.put_refreshed(of_another_process(&server, Provider), 1);
    server.refresh_requests().open();
    assert_eq!(caller.await.unwrap(), StatusCode::OK);
    assert_eq!((server.seen_refresh_requests().len(), server.granted()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn lease_that_can_not_be_held_ends_in_an_error_within_the_time_limit() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let client = client(&stored(&server, &store).await, &server);
    store.never_held();
    let stopwatch = Stopwatch::start();
    let error = failure(send(&client, get("/events")).await);
    assert!(error.is_transient(), "{error}");
    assert!(stopwatch.elapsed() <= Duration::from_secs(31), "{:?}", stopwatch.elapsed());
    assert!(store.count(Op::Acquire) < 100, "{}", store.count(Op::Acquire));
    assert_eq!(server.seen_refresh_requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn store_that_does_not_answer_before_the_refresh_request_is_given_up_and_spends_nothing() {
    // One call is under way at a time, so after a `load` that hangs the lease can't be given back.
    for (op, limit) in [(Op::Load, 10), (Op::Acquire, 5)] {
        let server = Server::new();
        let store = Store::with_tokens(server.expired_tokens());
        let client = client(&stored(&server, &store).await, &server);
        store.faults(op, [Fault::Slow(Duration::from_secs(12))]);
        let stopwatch = Stopwatch::start();
        let error = failure(send(&client, get("/events")).await);
        assert!(error.is_store() && error.is_transient(), "{error}");
        let late = stopwatch.elapsed() - Duration::from_secs(limit);
        assert!(late <= Duration::from_millis(2), "{op:?}: {late:?}");
        assert_eq!(server.seen_refresh_requests().len(), 0);
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!(status(&client).await, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn store_that_fails_before_the_refresh_request_spends_nothing_and_leaves_a_good_token_in_use()
{
    for op in [Op::Load, Op::Acquire] {
        let server = Server::new();
        let store = Store::with_tokens(server.good_tokens(Some(1000)));
        let credentials = stored(&server, &store).await;
        let client = client(&credentials, &server);
        store.faults(op, [Fault::Fails]);
        let error: Error = credentials.refresh(Provider).await.unwrap_err();
        assert!(error.is_store() && error.is_transient(), "{error}");
        assert_eq!(status(&client).await, StatusCode::OK);
        assert_eq!(server.seen_refresh_requests().len(), 0);
    }
}

/// A store whose leases last for ten seconds.
#[derive(Clone)]
struct ShortLeases {
    store: Store,
    clock: Stopwatch,
    /// When the latest lease runs out.
    end: Arc<Mutex<Duration>>,
}

impl ShortLeases {
    fn begin(&self, lease: Lease) -> (Lease, Duration) {
        let end = self.clock.elapsed() + Duration::from_secs(10);
        *locked(&self.end) = end;
        (lease, end)
    }
}

impl TokenStore for ShortLeases {
    type Lease = (Lease, Duration);

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        self.store.load().await
    }

    async fn try_acquire(&self) -> Result<Attempt<Self::Lease>, StoreError> {
        let attempt = self.store.try_acquire().await?;
        Ok(attempt.lease.map_or_else(Attempt::busy, |lease| Attempt::granted(self.begin(lease))))
    }

    async fn renew(&self, (lease, _): &Self::Lease) -> Result<Self::Lease, StoreError> {
        Ok(self.begin(lease.clone()))
    }

    async fn release(&self, (lease, _): Self::Lease) -> Result<(), StoreError> {
        self.store.release(lease).await
    }

    fn time_left(&self, (_, end): &Self::Lease) -> Option<Duration> {
        Some(end.saturating_sub(self.clock.elapsed()))
    }

    async fn save(
        &self,
        (lease, _): &Self::Lease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        self.store.save(lease, expected, record).await
    }

    async fn delete(&self, (lease, _): &Self::Lease) -> Result<(), StoreError> {
        self.store.delete(lease).await
    }
}

#[tokio::test(start_paused = true)]
async fn p1_lease_is_renewed_while_a_refresh_request_takes_longer_than_it_lasts() {
    let server = Server::new();
    let kept = Store::with_tokens(server.expired_tokens());
    let end = Arc::default();
    let store = ShortLeases { store: kept.clone(), clock: Stopwatch::start(), end };
    let credentials = builder(&server).store(Arc::new(store.clone())).build().await.unwrap();
    server.refresh_requests().hold();
    let client = client(&credentials, &server);
    let call = tokio::spawn(async move { status(&client).await });
    server.refresh_requests().arrived(1).await;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(store.clock.elapsed() < *locked(&store.end), "nobody holds the lease");
    }
    server.refresh_requests().open();
    assert_eq!(call.await.unwrap(), StatusCode::OK);
    assert_eq!(kept.refresh_token(), server.live_refresh_token());
}

#[tokio::test(start_paused = true)]
async fn p4_the_record_of_another_api_is_refused_and_left_as_it_is() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = stored(&server, &store).await;
    credentials.log_in(server.log_in_again("new")).await.unwrap();
    let (saves, record) = (store.count(Op::Save), store.record());
    let elsewhere = builder(&server).base_url("https://other.test/api/v2").store(store.clone());
    let error = elsewhere.build().await.unwrap_err();
    let cause = std::error::Error::source(&error).expect("the cause").to_string();
    assert!(error.is_store() && cause.contains("belongs to the API at"), "{error}: {cause}");
    assert_eq!((store.count(Op::Save), store.record()), (saves, record));
}
