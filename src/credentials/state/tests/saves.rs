use super::*;

/// A refresh whose answer could not be saved.
fn unsaved() -> (TestCredential, StoredRecord, Ticket) {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.refresh(PROVIDER);
    d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
    d.fail_save();
    (d, stored, ticket)
}

#[test]
fn p2_tokens_that_could_not_be_saved_are_used_and_saved_with_backoff_under_the_lease() {
    let (mut d, stored, ticket) = unsaved();
    assert!(d.published);
    let first = d.sleep();
    d.is_ok(ticket);
    d.load(found(&stored));
    d.fail_save();
    assert!(d.sleep() > first);
    d.load(found(&stored));
    assert_eq!(d.save().revision(), 2);
    assert!(d.happened.contains(&Happened::SavedAfterAll { revision: 2 }));
    d.release();
    d.idle();
}

#[test]
fn p2_no_refresh_request_is_sent_while_the_last_answer_is_unsaved() {
    let (mut d, stored, _) = unsaved();
    assert!(matches!(d.next(), Action::Sleep { .. }));
    let refused = d.ask(CUSTOMER, Reason::Expired);
    assert!(matches!(refused, Enqueued::Settled(Err(Failure::Unsaved(_)))), "{refused:?}");
    d.advance(Duration::from_secs(1));
    d.complete(Outcome::Woke);
    let ticket = d.refresh(CUSTOMER);
    d.load(found(&stored));
    d.save();
    d.send("r2", CUSTOMER);
    d.answer("r3", "c3");
    d.save_and_release();
    d.is_ok(ticket);
}

#[test]
fn p2_save_that_reached_the_store_but_reported_a_failure_is_found() {
    let (mut d, ..) = unsaved();
    d.sleep();
    let ours = d.record().clone();
    d.load(found(&ours));
    d.release();
    d.idle();
    assert!(d.state.view().dirty.is_none());
    assert!(d.happened.contains(&Happened::SavedAfterAll { revision: 2 }));
}

#[test]
fn p2_lost_lease_is_taken_again_before_the_save() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.refresh(PROVIDER);
    d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
    d.saving();
    d.complete(Outcome::NotSaved { conflict: false, lease_lost: true, error: "lost" });
    assert!(d.happened.contains(&Happened::LeaseLost));
    d.acquire(found(&stored));
    d.save_and_release();
    d.is_ok(ticket);
}

#[test]
fn p2_conflict_reads_the_store_and_writes_over_an_older_token_of_the_same_login() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    d.refresh(PROVIDER);
    d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
    d.saving();
    d.complete(Outcome::NotSaved { conflict: true, lease_lost: false, error: "conflict" });
    // Another process was told that the spent token is refused.
    d.load(found(&record(1, 5, RecordContent::Rejected(tokens("r1")))));
    let (expected, saved) = d.saving();
    assert_eq!(expected, Expected::Revision(5));
    assert_eq!(saved.revision(), 6);
    assert_eq!(saved.tokens().unwrap().refresh_token().expose(), "r2");
    d.complete(Outcome::Saved);
    d.release();
    d.idle();
    assert_eq!(d.access_text(PROVIDER), Some("a2"));
}

#[test]
fn p2_endless_conflicts_end_the_attempt_and_not_the_tokens() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.refresh(PROVIDER);
    d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
    for _ in 0..3 {
        d.saving();
        d.complete(Outcome::NotSaved { conflict: true, lease_lost: false, error: "conflict" });
        d.load(found(&stored));
    }
    d.saving();
    d.complete(Outcome::NotSaved { conflict: true, lease_lost: false, error: "conflict" });
    d.sleep();
    d.is_ok(ticket);
    assert!(d.state.view().dirty.is_some());
}

#[test]
fn p2_unreadable_store_under_the_lease_stops_the_refresh_before_anything_is_sent() {
    for found in [Found::Locked("sealed"), Found::Unavailable("down")] {
        let mut d = TestCredential::logged_in();
        let ticket = d.refresh(PROVIDER);
        d.acquire(found);
        d.release();
        d.idle();
        assert!(matches!(d.error(ticket), Failure::Store { .. }));
    }
}

#[test]
fn f1_corrupt_record_is_written_over() {
    let mut d = TestCredential::new(None);
    let ticket = d.log_in(1, "r1");
    d.acquire(Found::Corrupt("empty file"));
    let (expected, _) = d.saving();
    assert_eq!(expected, Expected::Anything);
    d.complete(Outcome::Saved);
    d.release();
    d.idle();
    d.is_ok(ticket);
}

#[test]
fn p12_locked_record_is_written_over_only_where_the_program_said_so() {
    let mut d = TestCredential::new(None);
    let ticket = d.log_in(1, "r1");
    d.acquire(Found::Locked("sealed"));
    d.sleep();
    assert!(matches!(d.error(ticket), Failure::Unsaved(_)));
    let operation = Operation::LogIn { login: login(2), tokens: tokens("s1"), overwrite: true };
    let ticket = waits(&d.enqueue(operation));
    d.load(Found::Locked("sealed"));
    assert_eq!(d.saving().0, Expected::Anything);
    d.complete(Outcome::Saved);
    d.release();
    d.idle();
    d.is_ok(ticket);
}

#[test]
fn c5_empty_store_gets_the_record_of_a_running_process() {
    let mut d = TestCredential::logged_in();
    d.refresh(PROVIDER);
    d.acquire(Found::Empty);
    d.send("r1", PROVIDER);
    d.answer("r2", "a2");
    let (expected, saved) = d.saving();
    assert_eq!((expected, saved.revision()), (Expected::Empty, 2));
}
