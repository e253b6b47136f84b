//! The transaction and its store: adoption, conflicts, a lost lease, a slow store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use tokio::task::JoinSet;
use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
use tower_teamup_auth::store::{MemoryStore, TokenStore};
use tower_teamup_auth::{Credentials, Error, RequestMode, TokenSet};

use crate::support::exchanges::Exchange;
use crate::support::server::Server;
use crate::support::stores::{Fault, Op, Store};
use crate::support::*;
use crate::witness::Heard;

/// What another process that shares the store has rotated to.
fn of_another_process(server: &Server, mode: RequestMode, revision: u64) -> TokenSet {
    let token = format!("{SECRET}-{mode}-of-another");
    server.revive(mode, &token);
    let tokens = server.log_in_again("of-another").with_access_token(
        mode,
        token.parse().unwrap(),
        Some(Duration::from_secs(7200)),
    );
    at_revision(&tokens, revision)
}

/// The same tokens under another revision, as a store would read them.
fn at_revision(tokens: &TokenSet, revision: u64) -> TokenSet {
    let mut json: serde_json::Value = serde_json::from_str(&tokens.to_json()).unwrap();
    json["revision"] = revision.into();
    TokenSet::from_json(json.to_string().as_bytes()).unwrap()
}

async fn stored(server: &Server, store: &Store) -> Credentials {
    builder(server).store(store.clone()).build().await.unwrap()
}

#[tokio::test]
async fn memory_store_takes_a_save_once_more_and_no_older_one() {
    let server = Server::new();
    let tokens = [0, 1].map(|revision| of_another_process(&server, Provider, revision));
    let store = MemoryStore::new();
    let lease = store.lock().await.unwrap();
    for over in [None, None] {
        store.save(&lease, over, &tokens[0]).await.unwrap();
    }
    for over in [Some(0), Some(0), None] {
        store.save(&lease, over, &tokens[1]).await.unwrap();
        assert_eq!(store.load().await.unwrap().as_ref(), Some(&tokens[1]));
    }
    for over in [None, Some(0)] {
        assert!(store.save(&lease, over, &tokens[0]).await.unwrap_err().is_conflict());
        assert_eq!(store.load().await.unwrap().as_ref(), Some(&tokens[1]));
    }
}

#[tokio::test(start_paused = true)]
async fn p1_two_processes_that_share_a_store_cause_one_exchange() {
    let trace = Heard::start();
    for rejected in [false, true] {
        let server = Server::new();
        let tokens = if rejected { server.good_tokens(None) } else { server.expired_tokens() };
        let store = MemoryStore::with_tokens(tokens);
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
        assert_eq!((server.seen_exchanges().len(), server.double_spent()), (1, 0));
        let kept = store.load().await.unwrap().unwrap();
        assert_eq!(kept.refresh_token().expose(), server.live_refresh_token());
        assert_eq!(kept.revision(), 1);
    }
    assert_eq!(trace.count("tokens adopted"), 2);
}

#[tokio::test(start_paused = true)]
async fn many_processes_take_turns_and_never_spend_a_token_twice() {
    let server = Server::new();
    server.set_lifetime(Some(30));
    let store = MemoryStore::with_tokens(server.bare_tokens());
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
    assert_eq!((server.double_spent(), server.most_exchanges_at_once()), (0, 1));
    // Two modes, each renewed about every 24 seconds of the four minutes, by one of twenty.
    assert!((16..40).contains(&server.granted()), "{}", server.granted());
}

#[tokio::test(start_paused = true)]
async fn newer_tokens_of_another_process_are_adopted_without_an_exchange() {
    let trace = Heard::start();
    for rejected in [false, true] {
        let server = Server::new();
        let tokens = if rejected { server.good_tokens(None) } else { server.expired_tokens() };
        let store = Store::with_tokens(tokens);
        let client = client(&stored(&server, &store).await, &server);
        server.expire_everything();
        store.put(Some(of_another_process(&server, Provider, 4)));
        assert_eq!(status(&client).await, StatusCode::OK);
        assert_eq!(server.seen_exchanges().len(), 0);
        let token = server.seen_calls().pop().unwrap().token().unwrap().to_owned();
        assert_eq!(token, format!("{SECRET}-provider-of-another"));
        assert_eq!(store.count(Op::Save), 0);
    }
    assert_eq!(trace.count("tokens adopted: another process had refreshed revision=4"), 2);
}

/// Refuses every refresh token, and every time another process has just stored another one.
struct AlwaysLate {
    store: Store,
    exchanges: Arc<AtomicU64>,
}

impl Refresh for AlwaysLate {
    async fn refresh(&self, _: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        let number = self.exchanges.fetch_add(1, Ordering::Relaxed);
        assert!(number < 10, "it would go on for ever");
        let token = format!("{SECRET}-refresh-of-another-{number}").parse().unwrap();
        self.store.put(Some(at_revision(&TokenSet::new(token), 10 + number)));
        Err(RefreshError::rejected("it was spent"))
    }
}

#[tokio::test(start_paused = true)]
async fn p3_refresh_token_of_another_process_is_tried_once_in_one_refresh() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let exchanges = Arc::<AtomicU64>::default();
    let late = AlwaysLate { store: store.clone(), exchanges: exchanges.clone() };
    let credentials = builder(&server).store(store).refresh_with(late).build().await.unwrap();
    let error = credentials.refresh(Provider).await.unwrap_err();
    assert!(error.is_login_required(), "{error}");
    assert_eq!(exchanges.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn newer_tokens_that_do_not_serve_are_not_adopted_but_their_refresh_token_is_spent() {
    let server = Server::new();
    let good = of_another_process(&server, Provider, 4);
    let token = good.access_token(Provider).unwrap().clone();
    let expired =
        good.clone().with_access_token_until(Provider, token, Some(SystemTime::UNIX_EPOCH));
    let bare = at_revision(&TokenSet::new(good.refresh_token().clone()), 4);
    for newer in [expired, bare] {
        let server = Server::new();
        let store = Store::with_tokens(server.good_tokens(None));
        let client = client(&stored(&server, &store).await, &server);
        server.expire_everything();
        server.log_in_again("of-another");
        store.put(Some(newer));
        assert_eq!(status(&client).await, StatusCode::OK);
        let exchanges = server.seen_exchanges();
        assert_eq!(exchanges.len(), 1);
        assert_eq!(exchanges[0].field("refresh_token"), format!("{SECRET}-refresh-of-another"));
        assert_eq!(store.kept().unwrap().revision(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_token_is_not_adopted_even_if_another_process_stored_it_anew() {
    let server = Server::new();
    let tokens = server.good_tokens(None);
    let store = Store::with_tokens(tokens.clone());
    let client = client(&stored(&server, &store).await, &server);
    server.expire_everything();
    store.put(Some(at_revision(&tokens, 3)));
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(server.seen_exchanges().len(), 1);
    assert_eq!(store.kept().unwrap().revision(), 4);
}

#[tokio::test(start_paused = true)]
async fn older_tokens_in_the_store_are_not_taken_back() {
    let server = Server::new();
    let store = Store::with_tokens(at_revision(&server.expired_tokens(), 7));
    let credentials = stored(&server, &store).await;
    credentials.refresh(Provider).await.unwrap();
    // A backup was put back.
    store.put(Some(at_revision(&TokenSet::new("s3cret-refresh-0".parse().unwrap()), 2)));
    credentials.refresh(Provider).await.unwrap();
    assert_eq!((server.granted(), server.double_spent()), (2, 0));
    assert_eq!(store.kept().unwrap().revision(), 9);
    assert_eq!(store.refresh_token(), server.live_refresh_token());
}

#[tokio::test(start_paused = true)]
async fn refusal_is_looked_into_once_and_another_processs_tokens_are_adopted_or_spent() {
    for serves in [true, false] {
        let server = Server::new();
        let store = Store::with_tokens(server.expired_tokens());
        let client = client(&stored(&server, &store).await, &server);
        server.exchanges().hold();
        let caller = tokio::spawn(async move { status(&client).await });
        server.exchanges().arrived(1).await;
        // A process that does not keep to the lock rotates while this exchange is on its way.
        let other = of_another_process(&server, if serves { Provider } else { Customer }, 1);
        store.put(Some(other));
        server.exchanges().open();
        assert_eq!(caller.await.unwrap(), StatusCode::OK);
        assert_eq!(server.seen_exchanges().len(), if serves { 1 } else { 2 });
        assert_eq!(server.granted(), usize::from(!serves));
        assert_eq!(store.refresh_token(), server.live_refresh_token());
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_outcome_is_looked_into_and_another_processs_tokens_are_adopted() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let client = client(&stored(&server, &store).await, &server);
    server.next_exchanges([Exchange::LostBefore]);
    server.exchanges().hold();
    let caller = tokio::spawn(async move { status(&client).await });
    server.exchanges().arrived(1).await;
    store.put(Some(of_another_process(&server, Provider, 1)));
    server.exchanges().open();
    assert_eq!(caller.await.unwrap(), StatusCode::OK);
    assert_eq!((server.seen_exchanges().len(), server.granted()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn conflict_on_saving_adopts_what_is_newer_and_overwrites_what_is_not() {
    // Emptied by somebody, or put back to an older state: what was minted is the newest there is.
    for (theirs, adopted) in [(Some(1), true), (Some(9), true), (Some(0), false), (None, false)] {
        let trace = Heard::start();
        let server = Server::new();
        let store = Store::with_tokens(at_revision(&server.expired_tokens(), 0));
        let client = client(&stored(&server, &store).await, &server);
        server.exchanges().hold();
        let caller = tokio::spawn(async move { status(&client).await });
        server.exchanges().arrived(1).await;
        let ours = server.live_refresh_token();
        let theirs = theirs.map(|revision| of_another_process(&server, Provider, revision));
        server.revive_refresh_token(&ours);
        store.overtake_next_save(theirs);
        server.exchanges().open();
        assert_eq!(caller.await.unwrap(), StatusCode::OK);
        assert_eq!(server.granted(), 1);
        let token = server.seen_calls().pop().unwrap().token().unwrap().to_owned();
        if adopted {
            assert_eq!(store.refresh_token(), format!("{SECRET}-refresh-of-another"));
            assert_eq!(token, format!("{SECRET}-provider-of-another"));
            assert_eq!(trace.count("another process has saved in the meantime"), 1);
        } else {
            assert_eq!(store.refresh_token(), server.live_refresh_token());
            assert_eq!(token, format!("{SECRET}-provider-1"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lease_that_is_lost_before_the_exchange_starts_the_refresh_over() {
    let trace = Heard::start();
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let client = client(&stored(&server, &store).await, &server);
    store.held([false, false]);
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!((store.count(Op::Lock), store.count(Op::Load) - 1), (3, 3));
    assert_eq!((server.seen_exchanges().len(), server.double_spent()), (1, 0));
    assert_eq!(trace.count("the lease was lost before the exchange; starting over"), 2);
}

#[tokio::test(start_paused = true)]
async fn lease_that_was_lost_to_another_process_leads_to_its_tokens() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let client = client(&stored(&server, &store).await, &server);
    // The first exchange fails; in the pause that follows, the lease is lost and another refreshes.
    server.next_exchanges([Exchange::Refused]);
    store.held([true, false]);
    let caller = tokio::spawn(async move { status(&client).await });
    server.exchanges().arrived(1).await;
    store.put(Some(of_another_process(&server, Provider, 1)));
    assert_eq!(caller.await.unwrap(), StatusCode::OK);
    assert_eq!((server.seen_exchanges().len(), server.granted()), (1, 0));
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
    assert!(store.count(Op::Lock) < 100, "{}", store.count(Op::Lock));
    assert_eq!(server.seen_exchanges().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn store_that_does_not_answer_before_the_exchange_is_given_up_and_spends_nothing() {
    for (op, limit) in [(Op::Load, 5), (Op::Lock, 30)] {
        let server = Server::new();
        let store = Store::with_tokens(server.expired_tokens());
        let client = client(&stored(&server, &store).await, &server);
        store.faults(op, [Fault::Hangs]);
        let stopwatch = Stopwatch::start();
        let error = failure(send(&client, get("/events")).await);
        assert!(error.is_store() && error.is_transient(), "{error}");
        let late = stopwatch.elapsed() - Duration::from_secs(limit);
        assert!(late <= Duration::from_millis(2), "{late:?}");
        assert_eq!(server.seen_exchanges().len(), 0);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(status(&client).await, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn store_that_fails_before_the_exchange_spends_nothing_and_leaves_a_good_token_in_use() {
    for op in [Op::Load, Op::Lock] {
        let server = Server::new();
        let store = Store::with_tokens(server.good_tokens(Some(1000)));
        let credentials = stored(&server, &store).await;
        let client = client(&credentials, &server);
        store.faults(op, [Fault::Fails]);
        let error: Error = credentials.refresh(Provider).await.unwrap_err();
        assert!(error.is_store() && error.is_transient(), "{error}");
        assert_eq!(status(&client).await, StatusCode::OK);
        assert_eq!(server.seen_exchanges().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn refresh_whose_time_is_up_before_the_exchange_sends_none() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let client = client(&stored(&server, &store).await, &server);
    // The right to refresh comes late, and reading takes the rest of the time.
    store.faults(Op::Lock, [Fault::Slow(Duration::from_millis(29_500))]);
    store.faults(Op::Load, [Fault::Slow(Duration::from_secs(1))]);
    let error = failure(send(&client, get("/events")).await);
    assert!(error.is_transient(), "{error}");
    assert_eq!(server.seen_exchanges().len(), 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(status(&client).await, StatusCode::OK);
}
