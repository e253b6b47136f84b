//! What a store says of its record: load, save, delete.

use std::future::Future;
use std::time::{Duration, UNIX_EPOCH};

use super::{Conformance, acquire, done, holds, is_conflict, record, record_of, tokens};
use crate::headers::RequestMode;
use crate::store::{Expected, Fingerprint, LoginId, RecordContent, StoredRecord, TokenStore};
use crate::token::{AccessToken, RefreshToken, TokenSet};

/// Longer than any server takes in a header.
const LONGEST_TOKEN: usize = 16 * 1024;

pub(super) async fn every_record_is_read_back<S, F, O>(suite: &Conformance<O>, store: &S, other: &S)
where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    let lease = acquire(store, "nobody has it").await;
    let mut found = None;
    for next in every_record() {
        let what = format!("`save` of {next:?}");
        done(&what, store.save(&lease, Expected::found(found.as_ref()), &next).await);
        for handle in [store, other] {
            holds(handle, Some(&next), &format!("after {what}")).await;
        }
        found = Some(next);
    }
    done("`release`", store.release(lease).await);
    holds(&suite.handle().await, found.as_ref(), "as a new handle sees it").await;
}

/// In the order in which they are saved, one over the other.
fn every_record() -> Vec<StoredRecord> {
    let login = LoginId::from_bytes([9; 16]);
    let seeds = (0..16).map(|n| {
        Fingerprint::of(&RefreshToken::new(format!("s3cret-seed-{n}")).expect("visible ASCII"))
    });
    let alone = TokenSet::new(RefreshToken::new("s3cret with a space").expect("visible ASCII"));
    vec![
        StoredRecord::new(login, 1, RecordContent::Tokens(alone.clone())),
        record(2, "both"),
        record(3, "seeds").with_seeds(seeds),
        StoredRecord::new(login, 4, RecordContent::Rejected(tokens("s3cret-rejected"))),
        StoredRecord::new(login, 5, RecordContent::SignedOut).with_base_url("http://localhost:1"),
        StoredRecord::new(login, 6, RecordContent::Tokens(longest_tokens())),
        // A login may jump; a wall clock in milliseconds is a usual one.
        record_of(LoginId::from_bytes([0xff; 16]), 1_700_000_000_123, "later"),
        record(StoredRecord::MAX_REVISION - 1, "almost the last"),
        StoredRecord::new(login, StoredRecord::MAX_REVISION, RecordContent::Tokens(alone)),
    ]
}

fn longest_tokens() -> TokenSet {
    // Quotation marks and backslashes among them, which JSON writes longer than they are.
    let text: String = (b'!'..=b'~').map(char::from).cycle().take(LONGEST_TOKEN).collect();
    let access = || AccessToken::new(text.as_str()).expect("visible ASCII");
    // The first millisecond of the year 10000.
    let late = UNIX_EPOCH + Duration::from_millis(253_402_300_800_000);
    TokenSet::new(RefreshToken::new(text.as_str()).expect("visible ASCII"))
        .with_access_token_until(RequestMode::Customer, access(), Some(late))
        .with_access_token_until(RequestMode::Provider, access(), Some(UNIX_EPOCH))
}

pub(super) async fn a_save_replaces_what_is_expected<S, F, O>(
    suite: &Conformance<O>,
    store: &S,
    other: &S,
) where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    let lease = acquire(store, "nobody has it").await;
    let fifth = record(5, "fifth");
    for revision in [1, 5, StoredRecord::MAX_REVISION] {
        let expected = Expected::Revision(revision);
        let what = format!("`save` in an empty store that was to hold revision {revision}");
        is_conflict(&what, store.save(&lease, expected, &fifth).await);
        holds(other, None, &format!("after {what}")).await;
    }
    done("`save` in an empty store", store.save(&lease, Expected::Empty, &fifth).await);

    let sixth = record(6, "sixth");
    for expected in [
        Expected::Empty,
        Expected::Revision(1),
        Expected::Revision(4),
        Expected::Revision(6),
        Expected::Revision(StoredRecord::MAX_REVISION),
    ] {
        let what = format!("`save` over {expected:?}, where revision 5 is held,");
        is_conflict(&what, store.save(&lease, expected, &sixth).await);
        holds(other, Some(&fifth), &format!("after {what}")).await;
    }
    done("`save` over revision 5", store.save(&lease, Expected::Revision(5), &sixth).await);
    holds(other, Some(&sixth), "after `save` over revision 5").await;
    done("`release`", store.release(lease).await);
}

pub(super) async fn the_same_save_may_be_repeated<S, F, O>(
    suite: &Conformance<O>,
    store: &S,
    other: &S,
) where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    let lease = acquire(store, "nobody has it").await;
    let saves = [
        (Expected::Empty, record(1, "first")),
        (Expected::Revision(1), record(2, "second")),
        (Expected::Revision(2), StoredRecord::new(super::LOGIN, 3, RecordContent::SignedOut)),
    ];
    for (expected, next) in &saves {
        for _ in 0..3 {
            done("the same `save` once more", store.save(&lease, *expected, next).await);
            holds(other, Some(next), "after the same `save` once more").await;
        }
    }
    let [(_, first), (_, second), (_, tombstone)] = &saves;
    let similar = [
        ("a superseded record", first.clone()),
        ("the tokens before the tombstone", second.clone()),
        ("another record of the same revision", record(3, "another")),
        (
            "the record of another login",
            StoredRecord::new(LoginId::from_bytes([8; 16]), 3, RecordContent::SignedOut),
        ),
    ];
    for (what, late) in similar {
        for expected in [Expected::Empty, Expected::Revision(1), Expected::Revision(2)] {
            let what = format!("`save` of {what} over {expected:?}");
            is_conflict(&what, store.save(&lease, expected, &late).await);
            holds(other, Some(tombstone), &format!("after {what}")).await;
        }
    }
    done("`release`", store.release(lease).await);
}

pub(super) async fn anything_may_be_overwritten<S, F, O>(
    suite: &Conformance<O>,
    store: &S,
    other: &S,
) where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    let lease = acquire(store, "nobody has it").await;
    let another = LoginId::from_bytes([8; 16]);
    for next in [
        record(9, "in an empty store"),
        record(10, "over an older one"),
        record(3, "over a newer one"),
        record_of(another, 3, "over the same revision of another login"),
        StoredRecord::new(another, 3, RecordContent::SignedOut),
        record(3, "over a tombstone"),
        record(StoredRecord::MAX_REVISION, "the last revision"),
        record(1, "over the last revision"),
    ] {
        for _ in 0..2 {
            done("`save` over anything", store.save(&lease, Expected::Anything, &next).await);
            holds(other, Some(&next), "after `save` over anything").await;
        }
    }
    done("`release`", store.release(lease).await);
}

pub(super) async fn a_deletion_leaves_an_empty_store<S, F, O>(
    suite: &Conformance<O>,
    store: &S,
    other: &S,
) where
    S: TokenStore,
    F: Future<Output = S>,
    O: Fn() -> F,
{
    suite.clear(store).await;
    let lease = acquire(store, "nobody has it").await;
    for next in [record(7, "deleted"), StoredRecord::new(super::LOGIN, 8, RecordContent::SignedOut)]
    {
        done("`save` in an empty store", store.save(&lease, Expected::Empty, &next).await);
        for _ in 0..2 {
            done("`delete`", store.delete(&lease).await);
            holds(store, None, "after `delete`").await;
            holds(other, None, "after `delete`").await;
            super::is_busy(other, "after `delete`, before `release`").await;
        }
        let what = "`save` over what was deleted";
        is_conflict(what, store.save(&lease, Expected::Revision(7), &record(9, "late")).await);
    }
    done("`release`", store.release(lease).await);
    let lease = acquire(other, "it was released after `delete`").await;
    done("`save` after `delete`", other.save(&lease, Expected::Empty, &record(1, "new")).await);
    holds(store, Some(&record(1, "new")), "after `delete` and `save`").await;
    done("`release`", other.release(lease).await);
}
