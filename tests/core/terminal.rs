//! A terminal failure: "a login is required", locally and at once, until new tokens are set.

use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;
use tower_teamup_auth::store::{RecordContent, StoredRecord};

use crate::support::refresh_answers::RefreshAnswer;
use crate::support::server::{Call, Server};
use crate::support::stores::{Fault, Op, Store};
use crate::support::*;
use crate::witness::Heard;

#[tokio::test(start_paused = true)]
async fn refused_refresh_token_is_never_sent_again_until_new_tokens_are_set() {
    for refusal in [400, 401] {
        let trace = Heard::start();
        let server = Server::new();
        server.next_answers([RefreshAnswer::rejected(refusal)]);
        let credentials = expired(&server).await;
        let client = client(&credentials, &server);
        let stopwatch = Stopwatch::start();
        let error = failure(send(&client, get("/events")).await);
        assert!(error.is_login_required(), "{error}");
        assert_eq!(error.api_error().unwrap().code, "invalid_grant");
        assert_eq!(error.refresh_error().unwrap().status().unwrap(), refusal);
        assert_eq!(trace.count("login required"), 1);
        for _ in 0..100 {
            assert!(failure(send(&client, get("/events")).await).is_login_required());
        }
        assert!(credentials.refresh(Customer).await.unwrap_err().is_login_required());
        assert_eq!(stopwatch.elapsed(), Duration::ZERO);
        tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
        assert!(failure(send(&client, get("/events")).await).is_login_required());
        assert_eq!((server.seen_refresh_requests().len(), server.seen_calls().len()), (1, 0));

        credentials.log_in(server.log_in_again("new")).await.unwrap();
        assert_eq!(status(&client).await, StatusCode::OK);
        assert_eq!(
            server.seen_refresh_requests()[1].field("refresh_token"),
            format!("{SECRET}-refresh-new")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn token_that_expires_after_its_refresh_was_refused_is_not_sent_any_more() {
    let server = Server::new();
    server.every_answer(RefreshAnswer::rejected(400));
    let credentials =
        builder(&server).tokens(server.good_tokens(Some(1000))).build().await.unwrap();
    let client = client(&credentials, &server);
    tokio::time::sleep(Duration::from_secs(950)).await;
    assert_eq!(status(&client).await, StatusCode::OK);
    run_pending_tasks().await;
    assert_eq!(server.seen_refresh_requests().len(), 1);
    assert_eq!(status(&client).await, StatusCode::OK);
    tokio::time::sleep(Duration::from_secs(51)).await;
    assert!(failure(send(&client, get("/events")).await).is_login_required());
    assert_eq!((server.seen_refresh_requests().len(), server.seen_calls().len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn p2_refused_refresh_token_is_not_sent_again_when_the_store_could_not_be_asked_for_another()
{
    let server = Server::new();
    server.every_answer(RefreshAnswer::rejected(400));
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    let client = client(&credentials, &server);
    // The store is read before the refresh request, and not after it.
    store.faults(Op::Load, [Fault::None, Fault::Fails]);
    let error = failure(send(&client, get("/events")).await);
    assert!(error.is_login_required(), "{error}");
    tokio::time::sleep(Duration::from_secs(6)).await;
    // It can be read again, and there is nothing newer in it.
    let error = failure(send(&client, get("/events")).await);
    assert!(error.is_login_required(), "{error}");
    assert_eq!(error.api_error().unwrap().code, "invalid_grant");
    assert_eq!(server.seen_refresh_requests().len(), 1);

    server.every_answer(RefreshAnswer::Granted);
    store.put(Some(StoredRecord::new(
        "ee".repeat(16).parse().unwrap(),
        99,
        RecordContent::Tokens(server.log_in_again("elsewhere")),
    )));
    tokio::time::sleep(Duration::from_secs(6)).await;
    failure(send(&client, get("/events")).await);
    run_pending_tasks().await;
    assert_eq!(status(&client).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn refused_after_a_401_the_401s_pass_and_say_so_and_the_token_is_not_taken_away() {
    let server = Server::new();
    let credentials = good(&server).await;
    let client = client(&credentials, &server);
    server.expire_everything();
    server.every_answer(RefreshAnswer::rejected(400));
    let answer = send(&client, get("/events")).await;
    assert!(reason(&answer).is_login_required());
    // Its end is not known, so it goes on being sent: the API may have been wrong.
    assert!(reason(&send(&client, get("/events")).await).is_login_required());
    assert_eq!((server.seen_refresh_requests().len(), server.seen_calls().len()), (1, 2));
    server.revive(Provider, &format!("{SECRET}-provider-0"));
    assert_eq!(status(&client).await, StatusCode::OK);
    server.expire_everything();

    server.every_answer(RefreshAnswer::Granted);
    credentials.log_in(server.log_in_again("new")).await.unwrap();
    assert_eq!(status(&client).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn late_401_after_a_refusal_says_that_re_authorization_is_required() {
    let server = Server::new();
    let client = client(&good(&server).await, &server);
    server.expire_everything();
    server.every_answer(RefreshAnswer::rejected(400));
    server.calls().hold();
    let mut callers = JoinSet::new();
    for _ in 0..2 {
        let client = client.clone();
        callers.spawn(async move { reason(&send(&client, get("/events")).await) });
    }
    server.calls().arrived(2).await;
    server.calls().let_through(1);
    assert!(callers.join_next().await.unwrap().unwrap().is_login_required());
    server.calls().let_through(1);
    let late = callers.join_next().await.unwrap().unwrap();
    assert!(late.is_login_required(), "{late}");
    assert_eq!((server.seen_refresh_requests().len(), server.seen_calls().len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn signed_out_credentials_fail_locally_until_new_tokens_are_set() {
    let trace = Heard::start();
    let server = Server::new();
    let store = Store::with_tokens(server.good_tokens(None));
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    let client = client(&credentials, &server);
    assert_eq!(status(&client).await, StatusCode::OK);
    credentials.sign_out().await.unwrap();
    assert!(store.record().unwrap().is_signed_out());
    for mode in [Provider, Customer] {
        let error = failure(send(&client, get_as(mode, "/events")).await);
        assert!(error.is_login_required(), "{error}");
        assert!(error.to_string().contains("signed out"), "{error}");
    }
    assert!(credentials.refresh(Provider).await.unwrap_err().is_login_required());
    assert_eq!((server.seen_refresh_requests().len(), server.seen_calls().len()), (0, 1));
    assert_eq!(trace.count("signed out"), 1);

    credentials.log_in(server.log_in_again("new")).await.unwrap();
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(store.refresh_token(), server.live_refresh_token());
    assert_eq!(trace.count("logged in"), 1);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_set_win_over_those_that_another_process_has_stored() {
    let server = Server::new();
    for logins in 0..4 {
        let store = Store::with_tokens(server.good_tokens(None));
        let process = || async { builder(&server).store(store.clone()).build().await.unwrap() };
        let (credentials, other) = (process().await, process().await);
        for _ in 0..logins {
            other.log_in(server.log_in_again("others")).await.unwrap();
        }
        // A login is numbered by the time, and the other clock is not ahead of this one.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (stored, saves) = (store.revision(), store.count(Op::Save));
        credentials.log_in(server.log_in_again("new")).await.unwrap();
        let kept = store.record().unwrap();
        assert!(kept.revision() > stored, "{} over {stored}", kept.revision());
        assert_eq!(store.refresh_token(), format!("{SECRET}-refresh-new"));
        assert_eq!(store.count(Op::Save), saves + 1, "it was read first, so no write is refused");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_or_are_under_way_when_the_user_signs_out_are_told_so() {
    // A refresh for the other mode is under way, and another waits for its turn behind it. Neither
    // request is sent under a login that it was not made for.
    let server = Server::new();
    let credentials = expired(&server).await;
    let client = client(&credentials, &server);
    server.refresh_requests().hold();
    let first = tokio::spawn({
        let client = client.clone();
        async move { send(&client, get_as(Customer, "/events")).await }
    });
    server.refresh_requests().arrived(1).await;
    let second = tokio::spawn({
        let client = client.clone();
        async move { failure(send(&client, get("/events")).await) }
    });
    run_pending_tasks().await;
    // It waits for no refresh request.
    credentials.sign_out().await.unwrap();
    for error in [second.await.unwrap(), failure(first.await.unwrap())] {
        assert!(error.is_login_changed(), "{error}");
    }
    assert!(failure(send(&client, get("/events")).await).is_login_required());
    server.refresh_requests().open();
    run_pending_tasks().await;
    // What the refresh request brought is nobody's.
    assert!(credentials.status().is_login_required() && !credentials.status().is_ready());
    assert_eq!((server.seen_refresh_requests().len(), server.seen_calls().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_401_that_comes_after_the_user_has_signed_out_says_so() {
    let server = Server::new();
    let credentials = good(&server).await;
    let client = client(&credentials, &server);
    server.every_call(Call::Answered(401, &[]));
    server.calls().hold();
    let caller = tokio::spawn(async move { reason(&send(&client, get("/events")).await) });
    server.calls().arrived(1).await;
    credentials.sign_out().await.unwrap();
    server.calls().open();
    let error = caller.await.unwrap();
    assert!(error.is_login_changed(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn new_tokens_do_not_wait_for_the_refresh_under_way_and_win_over_it() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    let client = client(&credentials, &server);
    server.refresh_requests().hold();
    let caller = tokio::spawn({
        let client = client.clone();
        async move { failure(send(&client, get("/events")).await) }
    });
    server.refresh_requests().arrived(1).await;
    let stopwatch = Stopwatch::start();
    credentials.log_in(server.log_in_again("new")).await.unwrap();
    assert_eq!(stopwatch.elapsed(), Duration::ZERO);
    // The request was made for the login before.
    assert!(caller.await.unwrap().is_login_changed());
    server.refresh_requests().open();
    run_pending_tasks().await;
    // What became of the old refresh token does not matter to the new one.
    assert_eq!(store.refresh_token(), format!("{SECRET}-refresh-new"));
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(server.live_refresh_token(), store.refresh_token());
}

#[tokio::test(start_paused = true)]
async fn p10_refusal_of_the_old_refresh_token_leaves_tokens_alone_that_were_set_meanwhile() {
    let server = Server::new();
    let credentials = good(&server).await;
    let client = client(&credentials, &server);
    server.expire_everything();
    server.next_answers([RefreshAnswer::rejected(400)]);
    server.refresh_requests().hold();
    let caller = tokio::spawn({
        let client = client.clone();
        async move { send(&client, get("/events")).await }
    });
    server.refresh_requests().arrived(1).await;
    // The user logs in again while the old refresh token is on its way to be refused.
    server.log_in_again("new");
    let new = server.bare_tokens().with_access_token(
        Provider,
        format!("{SECRET}-provider-set").parse().unwrap(),
        None,
    );
    server.revive(Provider, &format!("{SECRET}-provider-set"));
    let setting = tokio::spawn({
        let credentials = credentials.clone();
        async move { credentials.log_in(new).await }
    });
    run_pending_tasks().await;
    server.refresh_requests().open();
    setting.await.unwrap().unwrap();
    caller.await.unwrap().unwrap();
    run_pending_tasks().await;
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(
        server.seen_calls().pop().unwrap().token().unwrap(),
        format!("{SECRET}-provider-set")
    );
    assert_eq!(server.seen_refresh_requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn new_tokens_that_can_not_be_saved_are_used_and_written_in_the_background() {
    let trace = Heard::start();
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    store.faults(Op::Save, [Fault::Fails, Fault::Fails]);
    let error = credentials.log_in(server.log_in_again("new")).await.unwrap_err();
    assert!(error.is_unsaved(), "{error}");
    assert_eq!(trace.count("newest tokens not saved"), 1);
    assert!(credentials.status().is_healthy());
    until(|| credentials.status().dirty().is_none()).await;
    assert_eq!(trace.count("newest tokens saved after all"), 1);
    credentials.shutdown().await.unwrap();
    assert_eq!((store.refresh_token(), store.count(Op::Save)), (server.live_refresh_token(), 3));
}

#[tokio::test(start_paused = true)]
async fn set_tokens_and_sign_out_go_on_when_their_caller_is_gone() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    let new = server.log_in_again("new");
    assert!(polled(credentials.log_in(new), 1).await.is_none());
    until(|| store.refresh_token() == server.live_refresh_token()).await;
    assert!(polled(credentials.sign_out(), 1).await.is_none());
    until(|| store.record().unwrap().is_signed_out()).await;
}

#[tokio::test(start_paused = true)]
async fn f1_a_locked_record_is_replaced_by_a_login_or_a_sign_out_that_says_so_and_by_no_other() {
    let server = Server::new();
    let store = Store::with_tokens(server.expired_tokens());
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    store.faults(Op::Load, [Fault::Locked; 1000]);
    let error = credentials.log_in(server.log_in_again("first")).await.unwrap_err();
    assert!(error.is_unsaved(), "{error}");
    let error = credentials.sign_out().await.unwrap_err();
    assert!(error.is_unsaved(), "{error}");
    assert_eq!(store.count(Op::Save), 0);

    credentials.log_in_overwriting(server.log_in_again("second")).await.unwrap();
    assert_eq!(store.refresh_token(), server.live_refresh_token());
    credentials.sign_out_overwriting().await.unwrap();
    assert!(store.record().unwrap().is_signed_out());

    // A store that is away for a moment may hold anything, and is waited for.
    let saves = store.count(Op::Save);
    store.mend();
    store.faults(Op::Load, [Fault::Fails; 1000]);
    let error = credentials.log_in_overwriting(server.log_in_again("third")).await.unwrap_err();
    assert!(error.is_unsaved(), "{error}");
    assert_eq!(store.count(Op::Save), saves);
}
