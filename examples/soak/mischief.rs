//! What goes wrong, and when.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::watch;
use tower_teamup_auth::RequestMode;
use tower_teamup_auth::testing::{FakeTeamUp, Fault};

use crate::account::Account;
use crate::user::User;

/// Pauses between two pieces of mischief, in milliseconds.
const PAUSES: std::ops::Range<u64> = 5..25;

/// Everything but the loss of a rotated token.
pub(crate) async fn steady(server: FakeTeamUp, mut end: watch::Receiver<bool>) {
    while goes_on(&mut end, PAUSES).await {
        server.fail_api(of_the_api());
        if fastrand::u8(..50) == 0 {
            server.fail_refresh(of_a_refresh_request());
        }
        expire_something(&server);
    }
    server.clear_faults();
}

/// The same, and now and then a rotation whose answer nobody gets.
pub(crate) async fn lossy(server: FakeTeamUp, mut end: watch::Receiver<bool>) {
    while goes_on(&mut end, PAUSES).await {
        server.fail_api(of_the_api());
        match fastrand::u8(..100) {
            0..2 => server.fail_refresh(that_loses_the_rotation()),
            2..4 => server.fail_refresh(of_a_refresh_request()),
            _ => {}
        }
        expire_something(&server);
    }
    server.clear_faults();
}

/// Now and then somebody logs in anew, although nothing is wrong with the login before.
pub(crate) async fn new_logins(
    users: Vec<Arc<User>>,
    account: Arc<Account>,
    mut end: watch::Receiver<bool>,
) {
    while goes_on(&mut end, 100..500).await {
        users[fastrand::usize(..users.len())].log_in_anew().await;
        account.new_logins.fetch_add(1, Ordering::Relaxed);
    }
}

/// The same as at the steady one, and each refresh request takes a while, so that a runtime can end or a store
/// fail over meanwhile.
pub(crate) async fn slow(server: FakeTeamUp, end: watch::Receiver<bool>) {
    server.fail_every_refresh(Fault::delay(Duration::from_millis(30)));
    steady(server, end).await;
}

/// Pauses; `false` once the end has come.
pub(crate) async fn goes_on(end: &mut watch::Receiver<bool>, millis: std::ops::Range<u64>) -> bool {
    let pause = Duration::from_millis(fastrand::u64(millis));
    tokio::time::timeout(pause, end.wait_for(|end| *end)).await.is_err()
}

fn expire_something(server: &FakeTeamUp) {
    match fastrand::u8(..60) {
        0 => server.expire_access_tokens(),
        1 => server.expire_access_tokens_of(RequestMode::Customer),
        _ => {}
    }
}

fn of_the_api() -> Fault {
    let some_millis = |most| Duration::from_millis(fastrand::u64(..most));
    match fastrand::u8(..10) {
        0 => Fault::drop_connection(),
        1 => Fault::drop_connection().after_rotation(),
        2 => Fault::delay(some_millis(50)),
        3 => Fault::delay(Duration::ZERO).answer_delayed(some_millis(50)),
        4 => Fault::status(StatusCode::INTERNAL_SERVER_ERROR),
        5 => Fault::status(StatusCode::TOO_MANY_REQUESTS).retry_after(Duration::from_secs(1)),
        6 => Fault::garbage(),
        7 => Fault::cut_off(),
        8 => Fault::insufficient_scope(),
        _ => Fault::unauthorized(),
    }
}

/// Nothing is rotated, or the answer still tells the rotated token.
fn of_a_refresh_request() -> Fault {
    let some_millis = |most| Duration::from_millis(fastrand::u64(..most));
    match fastrand::u8(..11) {
        0 => Fault::drop_connection(),
        1 => Fault::delay(some_millis(200)),
        2 => Fault::delay(some_millis(50)).answer_delayed(some_millis(200)),
        3 => Fault::status(StatusCode::INTERNAL_SERVER_ERROR),
        4 => Fault::status(StatusCode::SERVICE_UNAVAILABLE).retry_after(Duration::ZERO),
        5 => Fault::status(StatusCode::TOO_MANY_REQUESTS).retry_after(Duration::from_secs(1)),
        6 => Fault::garbage(),
        7 => Fault::missing_key("access_token"),
        8 => Fault::empty_value("access_token"),
        9 => Fault::oversized(),
        _ => Fault::content_type("text/html"),
    }
}

fn that_loses_the_rotation() -> Fault {
    match fastrand::u8(..4) {
        0 => Fault::drop_connection().after_rotation(),
        1 => Fault::garbage().after_rotation(),
        2 => Fault::status(StatusCode::BAD_GATEWAY).after_rotation(),
        _ => Fault::cut_off(),
    }
}
