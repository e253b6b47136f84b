//! Who may refresh.

use std::future::Future;
use std::time::Duration;

use super::{Conformance, acquire, broken, demand, done, holds, is_busy, record};
use crate::store::{Attempt, Expected, StoredRecord, TokenStore};

pub(super) async fn one_handle_has_the_lease<S, F, O>(suite: &Conformance<O>, store: &S, other: &S)
where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    let first = record(1, "first");
    let second = record(2, "second");
    for (expected, next) in [(Expected::Empty, &first), (Expected::Revision(1), &second)] {
        let before = done("`load`", store.load().await);
        let attempt = done("`try_acquire`", store.try_acquire().await);
        names_the_record(&attempt, before.as_ref());
        let Some(lease) = attempt.lease else { broken("the lease is not granted when it is free") };
        demand(
            store.time_left(&lease) != Some(Duration::ZERO),
            "a lease that was just granted has no time left",
        );
        let late = suite.handle().await;
        for _ in 0..3 {
            is_busy(store, "to the handle that has it: it must not be re-entrant").await;
            is_busy(other, "to two handles").await;
            is_busy(&late, "to a handle that was opened later").await;
        }
        // Whoever waits reads meanwhile.
        holds(other, before.as_ref(), "while another has the lease").await;
        done("`save`", store.save(&lease, expected, next).await);
        holds(other, Some(next), "after `save`").await;
        let attempt = done("`try_acquire`", other.try_acquire().await);
        names_the_record(&attempt, Some(next));
        done("`release`", store.release(lease).await);

        let lease = acquire(other, "it was released").await;
        is_busy(store, "to the handle that has released it, while another has it").await;
        done("`release`", other.release(lease).await);
    }
}

/// A record that an attempt brings along is the one that `load` gives.
fn names_the_record<L>(attempt: &Attempt<L>, expected: Option<&StoredRecord>) {
    let found = match &attempt.record {
        None => return,
        Some(Ok(found)) => found.as_ref(),
        Some(Err(error)) => broken(&format!("`try_acquire` can't read the record: {error}")),
    };
    demand(found == expected, "`try_acquire` brings another record than `load`");
}

pub(super) async fn a_lease_that_was_released_does_no_harm<S, F, O>(
    suite: &Conformance<O>,
    store: &S,
    other: &S,
) where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    let old = acquire(store, "nobody has it").await;
    done("`save`", store.save(&old, Expected::Empty, &record(1, "first")).await);
    done("`release`", store.release(old.clone()).await);
    let new = acquire(other, "it was released, although a clone of it lives").await;
    // A process that does not know yet that its lease is gone.
    old_lease_does_no_harm(store, &old, other, &new).await;
    done("`release`", other.release(new).await);
    done("`release` of a lease that was released", store.release(old).await);
    let lease = acquire(store, "every lease was released").await;
    done("`release`", store.release(lease).await);
}

/// `old` was lost, and `other` has the lease by now; the store holds `record(1, "first")`.
async fn old_lease_does_no_harm<S: TokenStore>(
    store: &S,
    old: &S::Lease,
    other: &S,
    new: &S::Lease,
) {
    done("`release` of a lease that was lost", store.release(old.clone()).await);
    is_busy(store, "after a lost lease was released, while another has it").await;

    let second = record(2, "second");
    done("`save`", other.save(new, Expected::Revision(1), &second).await);
    let late = store.save(old, Expected::Revision(1), &record(2, "late")).await;
    match late {
        Ok(()) => broken("a `save` under a lost lease replaces what another has saved since"),
        Err(error) if error.is_conflict() || error.is_lease_lost() => {}
        Err(error) => broken(&format!(
            "a `save` under a lost lease, over a record that is gone, is neither a conflict nor a \
             lost lease but: {error}"
        )),
    }
    holds(other, Some(&second), "after a `save` under a lost lease").await;
}

pub(super) async fn a_lease_survives_renewal_and_check<S, F, O>(
    suite: &Conformance<O>,
    store: &S,
    other: &S,
) where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    let mut lease = acquire(store, "nobody has it").await;
    for revision in 1..=3 {
        let renewed = done("`renew`", store.renew(&lease).await);
        demand(
            store.time_left(&renewed) != Some(Duration::ZERO),
            "a lease that was just renewed has no time left",
        );
        is_busy(other, "to another after `renew`").await;
        done("`check` while another has the lease", TokenStore::check(other).await);
        done("`check` while it has the lease", TokenStore::check(store).await);
        is_busy(other, "to another after `check`").await;
        let next = record(revision, "renewed");
        let expected = match revision {
            1 => Expected::Empty,
            _ => Expected::Revision(revision - 1),
        };
        done("`save` under a renewed lease", store.save(&renewed, expected, &next).await);
        done("`check`", TokenStore::check(other).await);
        holds(other, Some(&next), "after `check`").await;
        lease = renewed;
    }
    done("`release` of a renewed lease", store.release(lease).await);
    let lease = acquire(other, "the renewed lease was released").await;
    done("`release`", other.release(lease).await);
}

pub(super) async fn a_lease_that_ran_out_is_lost<S, F, O>(
    suite: &Conformance<O>,
    store: &S,
    other: &S,
) where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    let old = acquire(store, "nobody has it").await;
    done("`save`", store.save(&old, Expected::Empty, &record(1, "first")).await);
    suite.expire().await;
    let attempt = done("`try_acquire`", other.try_acquire().await);
    let Some(new) = attempt.lease else { broken("the lease is not granted after it ran out") };
    match store.renew(&old).await {
        Ok(_) => broken("`renew` takes a lease back that another has by now"),
        Err(error) if error.is_lease_lost() => {}
        Err(error) => broken(&format!(
            "`renew` of a lease that another has by now is no lost lease but: {error} ({error:?})"
        )),
    }
    is_busy(store, "after a lost lease was renewed, while another has it").await;
    old_lease_does_no_harm(store, &old, other, &new).await;
    done("`renew` by the one who has the lease", other.renew(&new).await);
    done("`release`", other.release(new).await);

    // A lease that ran out and that nobody has taken since.
    let old = acquire(store, "it was released").await;
    suite.expire().await;
    if let Err(error) = store.renew(&old).await {
        demand(
            error.is_lease_lost(),
            &format!("`renew` of a lease that ran out is no lost lease but: {error} ({error:?})"),
        );
    }
    done("`release` of a lease that ran out", store.release(old).await);
    let lease = acquire(other, "it ran out or was released").await;
    done("`release`", other.release(lease).await);
}
