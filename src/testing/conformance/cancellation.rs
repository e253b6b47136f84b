//! Any future may be dropped, after any number of polls.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::{Conformance, TRIES, acquire, broken, demand, done, holds, record};
use crate::store::{Expected, TokenStore};

/// A future that is polled more often than this without an end is taken for one that has none.
const MOST_POLLS: usize = 1000;

/// Polls `future` at most `polls` times and drops it then; `None` where it was not done by then.
async fn polled<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// 0, 1, 2 and so on, as long as a future needs more.
fn counts(what: &'static str) -> impl Iterator<Item = usize> {
    (0..=MOST_POLLS).inspect(move |&polls| {
        if polls == MOST_POLLS {
            broken(&format!("`{what}` is not done after {MOST_POLLS} polls"));
        }
    })
}

pub(super) async fn any_future_may_be_dropped<S, F, O>(suite: &Conformance<O>, store: &S, other: &S)
where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    save(suite, store, other).await;
    superseded_save(suite, store, other).await;
    load_renew_and_check(suite, store, other).await;
    delete(suite, store, other).await;
    release(suite, store, other).await;
    try_acquire(suite, store, other).await;
    for polls in counts("changed") {
        if polled(polls, store.changed()).await.is_some() {
            break;
        }
    }
}

async fn save<S, F, O>(suite: &Conformance<O>, store: &S, other: &S)
where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    let lease = acquire(store, "nobody has it").await;
    let mut old = record(1, "first");
    done("`save`", store.save(&lease, Expected::Empty, &old).await);
    for polls in counts("save") {
        let expected = Expected::Revision(old.revision());
        let new = record(old.revision() + 1, "dropped");
        let result = polled(polls, store.save(&lease, expected, &new)).await;
        let is_done = result.map(|result| done("`save`", result)).is_some();
        let found = done("`load` after a dropped `save`", other.load().await);
        demand(
            found.as_ref() == Some(&new) || (!is_done && found.as_ref() == Some(&old)),
            "a dropped `save` leaves neither the old record nor the new one",
        );
        done("a `save` whose future was dropped, once more,", {
            store.save(&lease, expected, &new).await
        });
        holds(other, Some(&new), "after a dropped `save` was repeated").await;
        if is_done {
            break;
        }
        old = new;
    }
    done("`release`", store.release(lease).await);
}

/// The credential may have something else to save by the time.
async fn superseded_save<S, F, O>(suite: &Conformance<O>, store: &S, other: &S)
where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    let lease = acquire(store, "nobody has it").await;
    let dropped = record(2, "dropped");
    let newest = record(3, "newest");
    for polls in counts("save") {
        done("`save`", store.save(&lease, Expected::Anything, &record(1, "first")).await);
        let save = store.save(&lease, Expected::Revision(1), &dropped);
        let is_done = polled(polls, save).await.is_some();
        done("`save`", store.save(&lease, Expected::Anything, &newest).await);
        // What was left under way has had its time once this is done.
        store.changed().await;
        done("`renew`", store.renew(&lease).await);
        holds(other, Some(&newest), "after a dropped `save` and another one").await;
        if is_done {
            break;
        }
    }
    done("`release`", store.release(lease).await);
}

async fn load_renew_and_check<S, F, O>(suite: &Conformance<O>, store: &S, other: &S)
where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    let lease = acquire(store, "nobody has it").await;
    let held = record(1, "held");
    done("`save`", store.save(&lease, Expected::Empty, &held).await);
    for polls in counts("load") {
        if polled(polls, store.load()).await.is_some() {
            break;
        }
        holds(other, Some(&held), "after a dropped `load`").await;
    }
    for polls in counts("check") {
        if polled(polls, TokenStore::check(store)).await.is_some() {
            break;
        }
        holds(other, Some(&held), "after a dropped `check`").await;
    }
    for polls in counts("renew") {
        if polled(polls, store.renew(&lease)).await.is_some() {
            break;
        }
        super::is_busy(other, "to another after a dropped `renew`").await;
        done("`renew` after a dropped `renew`", store.renew(&lease).await);
    }
    done("`release`", store.release(lease).await);
}

async fn delete<S, F, O>(suite: &Conformance<O>, store: &S, other: &S)
where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    let lease = acquire(store, "nobody has it").await;
    let held = record(1, "held");
    for polls in counts("delete") {
        done("`save`", store.save(&lease, Expected::Empty, &held).await);
        let is_done = polled(polls, store.delete(&lease)).await.is_some();
        let found = done("`load` after a dropped `delete`", other.load().await);
        demand(
            found.is_none() || (!is_done && found.as_ref() == Some(&held)),
            "a dropped `delete` leaves neither the record nor an empty store",
        );
        done("`delete` after a dropped `delete`", store.delete(&lease).await);
        holds(other, None, "after a dropped `delete` was repeated").await;
        if is_done {
            break;
        }
    }
    done("`release`", store.release(lease).await);
}

async fn release<S, F, O>(suite: &Conformance<O>, store: &S, other: &S)
where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    for polls in counts("release") {
        let lease = acquire(store, "it was released").await;
        let is_done = polled(polls, store.release(lease.clone())).await.is_some();
        done("`release` after a dropped `release`", store.release(lease).await);
        let lease = acquire(other, "it was released, after a dropped `release`").await;
        done("`release`", other.release(lease).await);
        if is_done {
            break;
        }
    }
}

async fn try_acquire<S, F, O>(suite: &Conformance<O>, store: &S, other: &S)
where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    for polls in counts("try_acquire") {
        let attempt = polled(polls, store.try_acquire()).await;
        let lease = attempt.map(|attempt| done("`try_acquire`", attempt).lease);
        // An attempt that was polled and dropped may take the lease whenever it is free, until that has
        // run out: then this one is not the end.
        let is_done = match lease {
            Some(Some(lease)) => {
                done("`release`", store.release(lease).await);
                true
            }
            Some(None) if polls == 1 => broken("the lease is not granted when it is free"),
            Some(None) | None => false,
        };
        // The lease may be taken only after its future was dropped, so it is ended each time.
        let mut tries = 0;
        let lease = loop {
            let attempt = done("`try_acquire` after a dropped one", other.try_acquire().await);
            if let Some(lease) = attempt.lease {
                break lease;
            }
            tries += 1;
            demand(tries < TRIES, "a dropped `try_acquire` has taken the lease permanently");
            suite.expire().await;
            other.changed().await;
        };
        done("`release`", other.release(lease).await);
        if is_done {
            break;
        }
    }
    suite.clear(store).await;
}
