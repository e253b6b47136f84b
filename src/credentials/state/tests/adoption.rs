use super::*;

fn ours() -> RecordContent {
    RecordContent::Tokens(tokens_with("r5", "a5", START))
}

/// What a clean credential of login 1, revision 5, refresh token `r5` has after reading `theirs`
/// under the lease of a refresh of the customer mode.
fn after_reading(theirs: &StoredRecord) -> TestCredential {
    let mut d = TestCredential::new(Some(record(
        1,
        5,
        RecordContent::Tokens(tokens_with("r5", "a5", START)),
    )));
    d.refresh(CUSTOMER);
    d.acquire(found(theirs));
    d
}

#[test]
fn p11_clean_credential_adopts_a_record_of_a_higher_revision_and_no_other() {
    let adopted = |login, revision, content: RecordContent| {
        let theirs = record(login, revision, content);
        after_reading(&theirs).record().content() != &ours()
    };
    assert!(adopted(1, 6, RecordContent::Tokens(tokens("r6"))));
    assert!(adopted(2, 6, RecordContent::Tokens(tokens("s1"))));
    assert!(adopted(1, 6, RecordContent::SignedOut));
    assert!(adopted(1, 6, RecordContent::Rejected(tokens("r5"))));
    assert!(!adopted(1, 4, RecordContent::Tokens(tokens("r4"))));
    assert!(!adopted(2, 4, RecordContent::Tokens(tokens("s1"))));
    assert!(!adopted(1, 4, RecordContent::SignedOut));
    assert!(!adopted(1, 4, RecordContent::Rejected(tokens("r4"))));
    // Nor one of the same: the two would adopt each other's in turn.
    assert!(!adopted(1, 5, RecordContent::Tokens(tokens("r6"))));
    assert!(!adopted(2, 5, RecordContent::Tokens(tokens("s1"))));
}

#[test]
fn p11_another_login_in_the_store_fails_those_who_wait_for_the_one_before() {
    let mut d = TestCredential::with_access_token();
    let ticket = d.refresh(CUSTOMER);
    let provider = d.refresh(PROVIDER);
    d.acquire(found(&record(2, 2, RecordContent::Tokens(tokens_with("s1", "b1", START)))));
    assert_eq!(*d.error(ticket), Failure::LoginChanged);
    assert_eq!(*d.error(provider), Failure::LoginChanged);
    d.release();
    d.idle();
    assert_eq!((d.refresh_text(), d.access_text(PROVIDER)), ("s1", Some("b1")));
    assert_eq!(d.access_text(CUSTOMER), None, "no token of the login before");
}

#[test]
fn p11_sign_out_of_another_process_signs_out_here() {
    let mut d = TestCredential::with_access_token();
    let ticket = d.refresh(CUSTOMER);
    d.acquire(found(&record(1, 2, RecordContent::SignedOut)));
    d.release();
    d.idle();
    assert_eq!(*d.error(ticket), Failure::LoginChanged);
    assert_eq!(d.state.view().login_required, Some(Failure::SignedOut));
    assert_eq!(d.access_text(PROVIDER), None);
    assert!(d.happened.contains(&Happened::SignedOutElsewhere { revision: 2 }));
}

#[test]
fn c2_login_elsewhere_is_found_within_five_seconds_after_a_sign_out() {
    let mut d = TestCredential::new(Some(record(1, 2, RecordContent::SignedOut)));
    let look = waits(&d.ask(PROVIDER, Reason::Expired));
    d.load(found(&record(1, 2, RecordContent::SignedOut)));
    d.idle();
    assert_eq!(*d.error(look), Failure::SignedOut);
    d.advance(LOOK_PAUSE);
    let look = waits(&d.ask(PROVIDER, Reason::Expired));
    d.load(found(&record(2, 3, RecordContent::Tokens(tokens_with("s1", "b1", START)))));
    d.idle();
    // The request that looked was classified under no login, and is not sent as the new one.
    assert_eq!(*d.error(look), Failure::LoginChanged);
    assert_eq!(d.access_text(PROVIDER), Some("b1"));
}

#[test]
fn p10_adoption_keeps_an_own_access_token_where_theirs_is_missing_or_has_expired() {
    let theirs = record(1, 6, RecordContent::Tokens(tokens("r6")));
    assert_eq!(after_reading(&theirs).access_text(PROVIDER), Some("a5"));
    let expired = issued("old", START, Some(Duration::ZERO));
    let expired = tokens("r6").with_access_token_until(PROVIDER, expired.token, expired.expires_at);
    let theirs = record(1, 6, RecordContent::Tokens(expired));
    assert_eq!(after_reading(&theirs).access_text(PROVIDER), Some("a5"));
    let theirs = record(1, 6, RecordContent::Tokens(tokens_with("r6", "a6", START)));
    assert_eq!(after_reading(&theirs).access_text(PROVIDER), Some("a6"));
}

#[test]
fn p2_record_with_a_spent_token_is_never_adopted_and_is_written_over() {
    let mut d = TestCredential::logged_in();
    d.refresh_to(PROVIDER, "r2", "a2");
    // A process that never heard of the rotation was told that `r1` is refused.
    let ticket = d.refresh(CUSTOMER);
    d.acquire(found(&record(1, 3, RecordContent::Rejected(tokens("r1")))));
    assert_eq!(d.save().revision(), 4);
    d.send("r2", CUSTOMER);
    d.answer("r3", "c3");
    d.save_and_release();
    d.is_ok(ticket);
}

#[test]
fn p2_token_that_the_endpoint_gives_out_again_is_no_longer_spent() {
    let mut d = TestCredential::logged_in();
    d.refresh_to(PROVIDER, "r2", "a2");
    d.refresh_to(PROVIDER, "r1", "a3");
    let theirs = record(1, 4, RecordContent::Tokens(tokens_with("r1", "a4", START)));
    let ticket = d.refresh(PROVIDER);
    d.acquire(found(&theirs));
    d.release();
    d.idle();
    d.is_ok(ticket);
    assert_eq!(d.access_text(PROVIDER), Some("a4"));
}

/// A credential whose login 5 could not be saved yet, and that reads `theirs` then.
fn unsaved_login_reads(theirs: &StoredRecord) -> (TestCredential, Ticket) {
    let mut d = TestCredential::new(None);
    let ticket = d.log_in(5, "r1");
    assert_eq!(d.record().revision(), START.wall);
    d.acquire(found(theirs));
    (d, ticket)
}

#[test]
fn p11_higher_revision_of_another_login_wins_over_an_unsaved_one() {
    let theirs = record(2, START.wall + 1, RecordContent::Tokens(tokens("s1")));
    let (mut d, ticket) = unsaved_login_reads(&theirs);
    assert_eq!(*d.error(ticket), Failure::LoginChanged);
    assert!(d.state.view().dirty.is_none());
    assert_eq!(d.refresh_text(), "s1");
    d.release();
    d.idle();
}

#[test]
fn p11_lower_revision_of_another_login_is_written_over() {
    let (mut d, ticket) =
        unsaved_login_reads(&record(9, START.wall - 1, RecordContent::Tokens(tokens("s1"))));
    let (expected, saved) = d.saving();
    assert_eq!(expected, Expected::Revision(START.wall - 1));
    assert_eq!((saved.login(), saved.revision()), (login(5), START.wall));
    d.complete(Outcome::Saved);
    d.release();
    d.idle();
    d.is_ok(ticket);
}

#[test]
fn p11_at_equal_revisions_the_greater_login_wins_and_gets_one_above() {
    let (d, ticket) = unsaved_login_reads(&record(6, START.wall, RecordContent::SignedOut));
    assert_eq!(*d.error(ticket), Failure::LoginChanged);
    let (mut d, _) = unsaved_login_reads(&record(4, START.wall, RecordContent::SignedOut));
    let (_, saved) = d.saving();
    assert_eq!((saved.login(), saved.revision()), (login(5), START.wall + 1));
}

#[test]
fn p11_sign_out_wins_over_a_refresh_of_the_same_login() {
    let mut d = TestCredential::with_access_token();
    let ticket = d.sign_out();
    d.acquire(found(&record(1, 7, RecordContent::Tokens(tokens("r7")))));
    let (expected, saved) = d.saving();
    assert_eq!((expected, saved.revision()), (Expected::Revision(7), 8));
    assert!(saved.is_signed_out());
    d.complete(Outcome::Saved);
    d.release();
    d.idle();
    d.is_ok(ticket);
}

#[test]
fn g5_seeds_of_both_records_are_kept() {
    let seeds = |texts: &[&str]| -> Vec<Fingerprint> {
        texts.iter().map(|text| Fingerprint::of(&refresh_token(text))).collect()
    };
    // Ours is written over theirs.
    let ours = record(1, 1, RecordContent::Tokens(tokens("r1"))).with_seeds(seeds(&["one"]));
    let mut d = TestCredential::new(Some(ours.clone()));
    let ticket = d.sign_out();
    d.acquire(found(&ours.clone().at_revision(5).with_seeds(seeds(&["one", "two"]))));
    let (_, saved) = d.saving();
    assert_eq!(saved.seeds(), seeds(&["one", "two"]));
    d.complete(Outcome::Saved);
    d.release();
    d.idle();
    d.is_ok(ticket);
    // Theirs is adopted; the next save holds both.
    let mut d = TestCredential::new(Some(ours));
    d.refresh(PROVIDER);
    let theirs = record(1, 5, RecordContent::Tokens(tokens("r5"))).with_seeds(seeds(&["two"]));
    d.rotate(&theirs, PROVIDER, "r5", "r6", "a6");
    let (_, saved) = d.saving();
    for seed in seeds(&["one", "two"]) {
        assert!(saved.seeds().contains(&seed));
    }
}

#[test]
fn p10_unsaved_answer_keeps_its_access_token_when_the_store_wins() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.refresh(PROVIDER);
    d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
    d.saving();
    d.complete(Outcome::NotSaved { conflict: true, lease_lost: false, error: "conflict" });
    d.load(found(&record(1, 2, RecordContent::Tokens(tokens("other")))));
    d.release();
    d.idle();
    d.is_ok(ticket);
    assert_eq!((d.refresh_text(), d.access_text(PROVIDER)), ("other", Some("a2")));
}

#[test]
fn p1_rejected_record_that_is_read_again_is_no_news() {
    let rejected = record(1, 3, RecordContent::Rejected(tokens_with("r1", "a1", START)));
    let mut d = TestCredential::new(Some(rejected));
    let theirs = record(1, 3, RecordContent::Rejected(tokens("r1")));
    waits(&d.ask(CUSTOMER, Reason::Expired));
    d.load(found(&theirs));
    d.idle();
    assert!(!d.happened.iter().any(|event| matches!(event, Happened::Adopted { .. })));
}

#[test]
fn b4_another_login_of_a_lower_revision_rescues_one_that_was_rejected() {
    let mut d = TestCredential::new(Some(record(1, 9, RecordContent::Rejected(tokens("r1")))));
    waits(&d.ask(PROVIDER, Reason::Expired));
    d.load(found(&record(2, 3, RecordContent::Tokens(tokens("s1")))));
    assert_eq!(d.refresh_text(), "s1");
}

#[test]
fn b4_a_sign_out_of_a_lower_revision_rescues_nothing() {
    let rejected = RecordContent::Rejected(tokens_with("r1", "a1", START));
    let mut d = TestCredential::new(Some(record(1, 9, rejected)));
    waits(&d.ask(CUSTOMER, Reason::Expired));
    d.load(found(&record(1, 3, RecordContent::SignedOut)));
    assert_eq!(d.access_text(PROVIDER), Some("a1"));
}

/// What a credential holds whose `r1` was rejected just now, and the record that it has saved.
fn rejected() -> (TestCredential, StoredRecord) {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    d.refresh(PROVIDER);
    d.acquire(found(&stored));
    d.send("r1", PROVIDER);
    d.fail(FailureClass::Rejected);
    d.load(found(&stored));
    let saved = d.save_and_release();
    d.advance(Duration::from_secs(3600));
    (d, saved)
}

#[test]
fn p2_a_token_that_was_rejected_is_not_taken_back_at_a_higher_revision() {
    let (mut d, saved) = rejected();
    let theirs = record(1, saved.revision() + 1, RecordContent::Tokens(tokens("r1")));
    waits(&d.ask(CUSTOMER, Reason::Expired));
    d.load(found(&theirs));
    assert!(matches!(d.record().content(), RecordContent::Rejected(_)));
}

#[test]
fn p1_a_rejection_of_another_process_is_adopted_and_its_own_is_no_news() {
    for (more, adopted) in [(0, false), (1, true)] {
        let (mut d, saved) = rejected();
        let revision = saved.revision() + more;
        let theirs = record(1, revision, RecordContent::Rejected(tokens_with("r1", "a9", d.now)));
        waits(&d.ask(CUSTOMER, Reason::Expired));
        d.load(found(&theirs));
        d.idle();
        assert_eq!(d.record().revision(), revision);
        assert_eq!(d.access_text(PROVIDER).is_some(), adopted);
    }
}

#[test]
fn c2_a_login_with_a_token_that_was_spent_before_makes_it_good_again() {
    let mut d = TestCredential::logged_in();
    d.refresh_to(PROVIDER, "r2", "a2");
    let ticket = d.log_in(2, "r1");
    let before = record(1, 2, RecordContent::Tokens(tokens("r2")));
    d.acquire(found(&before));
    let saved = d.save_and_release();
    d.is_ok(ticket);
    // Another process has a token for it.
    let content = RecordContent::Tokens(tokens_with("r1", "a9", d.now));
    let theirs = record(2, saved.revision() + 1, content);
    d.refresh(CUSTOMER);
    d.acquire(found(&theirs));
    assert_eq!(d.access_text(PROVIDER), Some("a9"));
}

/// It is in the record that the process began with or has read, and then the store lost that.
#[test]
fn p2_a_token_that_another_process_was_refused_is_not_taken_back() {
    let refused = record(1, 2, RecordContent::Rejected(tokens("r1")));
    let began = TestCredential::new(Some(refused.clone()));
    let mut read = TestCredential::logged_in();
    read.refresh(PROVIDER);
    read.acquire(found(&refused));
    read.release();
    read.idle();
    for mut d in [began, read] {
        d.advance(Duration::from_secs(3600));
        waits(&d.ask(CUSTOMER, Reason::Expired));
        d.load(found(&record(1, 1, RecordContent::Tokens(tokens("r1")))));
        d.idle();
        assert!(matches!(d.record().content(), RecordContent::Rejected(_)));
    }
}

/// After a lost write the revisions of two processes may be the same.
#[test]
fn p2_a_refusal_of_our_very_token_is_adopted_at_any_revision() {
    for revision in [4, 5] {
        let theirs = record(1, revision, RecordContent::Rejected(tokens("r5")));
        let mut d = after_reading(&theirs);
        if revision == 4 {
            assert_eq!(d.save().revision(), 6);
        }
        d.release();
        d.idle();
        assert!(matches!(d.record().content(), RecordContent::Rejected(_)));
        assert_eq!(d.access_text(PROVIDER), Some("a5"));
    }
}

#[test]
fn p2_a_token_that_another_process_has_rotated_rescues_nothing() {
    let mut d = after_reading(&record(1, 6, RecordContent::Tokens(tokens("r6"))));
    d.send("r6", CUSTOMER);
    d.fail(FailureClass::Rejected);
    d.load(found(&record(1, 5, ours())));
    assert!(matches!(d.save_and_release().content(), RecordContent::Rejected(_)));
}

#[test]
fn c2_a_login_of_another_process_makes_a_spent_token_good_again() {
    let mut d = TestCredential::logged_in();
    d.refresh_to(PROVIDER, "r2", "a2");
    for (revision, access) in [(8, "a8"), (9, "a9")] {
        let content = RecordContent::Tokens(tokens_with("r1", access, d.now));
        d.refresh(PROVIDER);
        d.acquire(found(&record(2, revision, content)));
        d.release();
        d.idle();
        assert_eq!(d.access_text(PROVIDER), Some(access));
    }
}
