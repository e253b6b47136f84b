use super::*;

/// A refresh of login 1 whose request was just sent.
fn sent(mode: RequestMode) -> (TestCredential, StoredRecord, Ticket) {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.refresh(mode);
    d.acquire(found(&stored));
    d.send("r1", mode);
    (d, stored, ticket)
}

fn until(failure: &Failure<&'static str>) -> Moment {
    match failure {
        Failure::Request { until, .. } => *until,
        other => panic!("no request failed but {other:?}"),
    }
}

#[test]
fn p2_unknown_outcome_reads_the_store_and_tries_once_more() {
    let (mut d, stored, ticket) = sent(PROVIDER);
    d.fail(FailureClass::OutcomeUnknown);
    d.load(found(&stored));
    d.sleep();
    d.send("r1", PROVIDER);
    d.fail(FailureClass::OutcomeUnknown);
    d.release();
    d.idle();
    let failure = d.error(ticket);
    assert!(matches!(failure, Failure::Request { class: FailureClass::OutcomeUnknown, .. }));
    // The next refresh comes after a pause, and sends one request.
    let until = until(failure);
    d.now = until;
    let ticket = d.refresh(PROVIDER);
    d.acquire(found(&stored));
    d.send("r1", PROVIDER);
    d.fail(FailureClass::OutcomeUnknown);
    d.release();
    d.idle();
    d.error(ticket);
}

#[test]
fn p2_after_an_unknown_outcome_what_another_process_saved_is_adopted() {
    let (mut d, _, ticket) = sent(PROVIDER);
    d.fail(FailureClass::OutcomeUnknown);
    d.load(found(&record(1, 2, RecordContent::Tokens(tokens_with("r2", "a2", START)))));
    d.release();
    d.idle();
    d.is_ok(ticket);
}

#[test]
fn p2_rejection_after_an_unknown_outcome_tells_of_the_lost_answer() {
    let (mut d, stored, ticket) = sent(PROVIDER);
    d.fail(FailureClass::OutcomeUnknown);
    d.load(found(&stored));
    d.sleep();
    d.send("r1", PROVIDER);
    d.fail(FailureClass::Rejected);
    d.load(found(&stored));
    d.saving();
    let failure = Failure::Rejected { error: Some("endpoint"), after_lost_answer: true };
    assert_eq!(*d.error(ticket), failure);
}

#[test]
fn p2_rotated_token_of_a_faulty_answer_is_saved_before_it_is_sent() {
    let (mut d, _, ticket) = sent(PROVIDER);
    let failure = RequestFailure {
        rotated: Some(refresh_token("r2")),
        ..failure(FailureClass::OutcomeUnknown)
    };
    d.complete(Outcome::RefreshFailed { failure });
    assert_eq!(d.save().tokens().unwrap().refresh_token().expose(), "r2");
    d.sleep();
    d.send("r2", PROVIDER);
    d.answer("r3", "a3");
    d.save_and_release();
    d.is_ok(ticket);
}

#[test]
fn p10_refusal_that_brings_a_new_refresh_token_does_not_end_the_mode() {
    let (mut d, _, ticket) = sent(PROVIDER);
    let failure =
        RequestFailure { rotated: Some(refresh_token("r2")), ..failure(FailureClass::Rejected) };
    d.complete(Outcome::RefreshFailed { failure });
    d.save_and_release();
    assert_ne!(until(d.error(ticket)), Moment::NEVER);
    assert!(d.state.view().login_required.is_none());
}

#[test]
fn p10_rejection_is_saved_and_leaves_the_access_token() {
    let mut d = TestCredential::with_access_token();
    let stored = d.record().clone();
    let ticket = d.refresh(CUSTOMER);
    d.acquire(found(&stored));
    d.send("r1", CUSTOMER);
    d.fail(FailureClass::Rejected);
    d.load(found(&stored));
    let saved = d.save();
    assert_eq!(saved.revision(), 2);
    assert!(matches!(saved.content(), RecordContent::Rejected(_)));
    d.release();
    d.idle();
    let rejected = Failure::Rejected { error: Some("endpoint"), after_lost_answer: false };
    assert_eq!(*d.error(ticket), rejected);
    assert_eq!(d.access_text(PROVIDER), Some("a1"));
    assert_eq!(d.state.view().login_required, Some(rejected.clone()));
    // Nothing is sent again; the store is read at most once in five seconds.
    assert_eq!(d.ask(PROVIDER, Reason::Expired), Enqueued::Settled(Err(rejected.clone())));
    d.advance(LOOK_PAUSE);
    let look = waits(&d.ask(PROVIDER, Reason::Expired));
    assert_eq!(d.ask(CUSTOMER, Reason::Expired), Enqueued::Settled(Err(rejected.clone())));
    d.load(found(&saved));
    d.idle();
    assert_eq!(*d.error(look), rejected);
}

#[test]
fn b4_rejected_process_adopts_what_another_has_saved() {
    let mut d = TestCredential::with_access_token();
    let stored = d.record().clone();
    let ticket = d.refresh(CUSTOMER);
    d.acquire(found(&stored));
    d.send("r1", CUSTOMER);
    d.fail(FailureClass::Rejected);
    let theirs =
        tokens("r3").with_access_token_until(CUSTOMER, AccessToken::new("c3").unwrap(), None);
    d.load(found(&record(1, 3, RecordContent::Tokens(theirs))));
    d.release();
    d.idle();
    d.is_ok(ticket);
    assert_eq!((d.refresh_text(), d.access_text(PROVIDER)), ("r3", Some("a1")));
    assert!(d.state.view().login_required.is_none());
}

#[test]
fn b4_rejected_process_adopts_a_live_token_of_a_lower_revision_and_no_spent_one() {
    let mut d = TestCredential::logged_in();
    d.refresh_to(PROVIDER, "r2", "a2");
    d.refresh_to(PROVIDER, "r3", "a3");
    let stored = d.record().clone();
    let ticket = d.refresh(CUSTOMER);
    d.acquire(found(&stored));
    d.send("r3", CUSTOMER);
    d.fail(FailureClass::Rejected);
    d.load(found(&record(1, 2, RecordContent::Tokens(tokens("r2")))));
    let saved = d.save();
    assert!(matches!(d.error(ticket), Failure::Rejected { .. }));
    d.release();
    d.idle();
    d.advance(LOOK_PAUSE);
    let look = d.refresh(CUSTOMER);
    d.load(found(&record(1, 2, RecordContent::Tokens(tokens("live")))));
    d.acquire(found(&record(1, 2, RecordContent::Tokens(tokens("live")))));
    // Revisions only grow, so that the others adopt it as well.
    assert!(d.save().revision() > saved.revision());
    d.send("live", CUSTOMER);
    d.answer("r5", "c5");
    d.save_and_release();
    d.is_ok(look);
}

#[test]
fn b4_rejection_while_the_lease_is_lost_adopts_a_live_token_that_is_read_without_it() {
    let (mut d, ..) = sent(PROVIDER);
    d.fail(FailureClass::Rejected);
    d.lease_left = Some(Duration::ZERO);
    d.expect(&Action::AcquireLease);
    d.lease_left = None;
    let live = record(1, 1, RecordContent::Tokens(tokens_with("live", "a9", START)));
    d.complete(Outcome::Acquired { lease: None, found: Some(found(&live)) });
    d.idle();
    assert_eq!(d.access_text(PROVIDER), Some("a9"));
}

#[test]
fn p3_transient_failure_is_tried_once_more_and_then_shared_for_longer_each_time() {
    let (mut d, stored, ticket) = sent(PROVIDER);
    d.fail(FailureClass::Transient);
    d.sleep();
    d.send("r1", PROVIDER);
    d.fail(FailureClass::Transient);
    d.release();
    d.idle();
    let failure = d.error(ticket).clone();
    let first = d.now.until(until(&failure));
    assert!(first >= Duration::from_secs(5));
    // The store is read for the first who asks; the failure answers all others.
    let look = d.refresh(PROVIDER);
    d.load(found(&stored));
    d.idle();
    assert_eq!(*d.error(look), failure);
    assert_eq!(d.ask(PROVIDER, Reason::Expired), Enqueued::Settled(Err(failure.clone())));
    assert_eq!(d.ask(PROVIDER, Reason::Requested), Enqueued::Settled(Err(failure.clone())));
    d.now = until(&failure);
    let ticket = d.refresh(PROVIDER);
    d.acquire(found(&stored));
    // One that has failed before sends one request.
    d.send("r1", PROVIDER);
    d.fail(FailureClass::Transient);
    d.release();
    d.idle();
    let second = d.now.until(until(d.error(ticket)));
    assert!(second > first, "b9: {first:?}, then {second:?}");
}

#[test]
fn b8_retry_after_is_kept_to_and_tokens_of_another_process_are_adopted_meanwhile() {
    let (mut d, stored, ticket) = sent(PROVIDER);
    let half_an_hour = Duration::from_secs(1800);
    let failure =
        RequestFailure { retry_after: Some(half_an_hour), ..failure(FailureClass::Transient) };
    d.complete(Outcome::RefreshFailed { failure });
    d.release();
    d.idle();
    assert_eq!(d.now.until(until(d.error(ticket))), half_an_hour);
    d.advance(half_an_hour - Duration::from_secs(1));
    let look = d.refresh(PROVIDER);
    d.load(found(&stored));
    d.idle();
    d.error(look);
    d.advance(LOOK_PAUSE / 10);
    let refused = d.ask(PROVIDER, Reason::Expired);
    assert!(matches!(refused, Enqueued::Settled(Err(Failure::Request { .. }))));
    let (mut d, _, _) = {
        let (mut d, stored, ticket) = sent(PROVIDER);
        let failure = RequestFailure {
            retry_after: Some(half_an_hour),
            ..super::failure(FailureClass::Transient)
        };
        d.complete(Outcome::RefreshFailed { failure });
        d.release();
        d.idle();
        (d, stored, ticket)
    };
    let look = d.refresh(PROVIDER);
    d.load(found(&record(1, 2, RecordContent::Tokens(tokens_with("r2", "a2", START)))));
    d.idle();
    d.is_ok(look);
}

#[test]
fn b8_short_retry_after_is_waited_for_within_the_refresh() {
    let (mut d, _, ticket) = sent(PROVIDER);
    let second = Duration::from_secs(1);
    let failure = RequestFailure { retry_after: Some(second), ..failure(FailureClass::Transient) };
    d.complete(Outcome::RefreshFailed { failure });
    assert_eq!(d.sleep(), second);
    d.send("r1", PROVIDER);
    d.answer("r2", "a2");
    d.save_and_release();
    d.is_ok(ticket);
}

#[test]
fn b3_failure_of_one_mode_does_not_keep_the_other_from_being_refreshed() {
    let (mut d, _, ticket) = sent(CUSTOMER);
    d.fail(FailureClass::Configuration);
    d.release();
    d.idle();
    assert_eq!(until(d.error(ticket)), Moment::NEVER);
    assert!(d.state.view().login_required.is_none());
    d.refresh_to(PROVIDER, "r2", "a2");
    let failed = d.state.view().customer.failure.is_some();
    assert!(failed);
}

#[test]
fn b2_configuration_failure_is_tried_again_when_asked_explicitly() {
    let (mut d, stored, _) = sent(CUSTOMER);
    d.fail(FailureClass::Configuration);
    d.release();
    d.idle();
    d.advance(Duration::from_secs(100_000));
    let look = d.refresh(CUSTOMER);
    d.load(found(&stored));
    d.idle();
    d.error(look);
    let ticket = waits(&d.ask(CUSTOMER, Reason::Requested));
    d.rotate(&stored, CUSTOMER, "r1", "r2", "c2");
    d.save_and_release();
    d.is_ok(ticket);
}

#[test]
fn b1_what_is_not_the_endpoint_ends_no_login() {
    for (class, pause) in [
        (FailureClass::NotTheEndpoint, Duration::from_secs(1)),
        (FailureClass::ProbablyRejected, Duration::from_secs(60)),
    ] {
        let (mut d, stored, ticket) = sent(PROVIDER);
        d.fail(class);
        d.release();
        d.idle();
        let failure = d.error(ticket).clone();
        assert_eq!(d.now.until(until(&failure)), pause);
        assert_eq!(failure.is_login_required(), class == FailureClass::ProbablyRejected);
        assert!(matches!(d.record().content(), RecordContent::Tokens(_)), "nothing is stored");
        d.now = until(&failure);
        let ticket = d.refresh(PROVIDER);
        d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
        d.save_and_release();
        d.is_ok(ticket);
    }
}

#[test]
fn p10_new_refresh_token_of_another_process_ends_a_probable_rejection() {
    let (mut d, _, _) = sent(PROVIDER);
    d.fail(FailureClass::ProbablyRejected);
    d.release();
    d.idle();
    let theirs = record(1, 2, RecordContent::Tokens(tokens("r2")));
    let look = d.refresh(PROVIDER);
    d.load(found(&theirs));
    d.rotate(&theirs, PROVIDER, "r2", "r3", "a3");
    d.save_and_release();
    d.is_ok(look);
}

#[test]
fn p3_store_that_fails_is_not_asked_by_every_request() {
    let mut d = TestCredential::logged_in();
    let ticket = d.refresh(PROVIDER);
    d.expect(&Action::AcquireLease);
    d.complete(Outcome::NotAcquired { error: "down" });
    d.idle();
    let failure = d.error(ticket).clone();
    assert!(matches!(failure, Failure::Store { cause: StoreCause::Error("down"), .. }));
    let look = d.refresh(PROVIDER);
    d.load(Found::Unavailable("down"));
    d.idle();
    assert_eq!(*d.error(look), failure);
    assert_eq!(d.ask(PROVIDER, Reason::Expired), Enqueued::Settled(Err(failure)));
}

#[test]
fn p2_refused_token_is_not_sent_again_because_a_newer_record_holds_it_too() {
    let (mut d, _, ticket) = sent(PROVIDER);
    d.fail(FailureClass::Rejected);
    // Another process was given an access token without a rotation.
    d.load(found(&record(1, 2, RecordContent::Tokens(tokens_with("r1", "a2", START)))));
    let saved = d.save();
    assert!(matches!(saved.content(), RecordContent::Rejected(_)));
    assert_eq!(saved.revision(), 4);
    d.release();
    d.idle();
    assert!(matches!(d.error(ticket), Failure::Rejected { .. }));
}

/// The store can't be asked for the lease.
fn fail_to_acquire(d: &mut TestCredential) {
    d.expect(&Action::AcquireLease);
    d.complete(Outcome::NotAcquired { error: "store" });
    d.idle();
}

#[test]
fn b8_store_that_fails_does_not_shorten_the_pause_that_the_endpoint_has_asked_for() {
    let (mut d, _, ticket) = sent(PROVIDER);
    let hour = Some(Duration::from_secs(3600));
    let failure = RequestFailure { retry_after: hour, ..failure(FailureClass::NotTheEndpoint) };
    d.complete(Outcome::RefreshFailed { failure });
    d.release();
    d.idle();
    let failure = d.error(ticket).clone();
    assert_eq!(Some(d.now.until(until(&failure))), hour);
    // Whoever asks on purpose is heard nevertheless, and told what has kept it from the endpoint.
    let asked = waits(&d.ask(PROVIDER, Reason::Requested));
    fail_to_acquire(&mut d);
    assert!(matches!(d.error(asked), Failure::Store { .. }), "{:?}", d.error(asked));
    d.advance(Duration::from_secs(1800));
    let look = d.refresh(PROVIDER);
    d.load(found(&d.record().clone()));
    d.idle();
    assert_eq!(*d.error(look), failure);
}

#[test]
fn b8_store_that_fails_after_the_pause_of_the_endpoint_begins_one_of_its_own() {
    let (mut d, _, ticket) = sent(PROVIDER);
    d.fail(FailureClass::NotTheEndpoint);
    d.release();
    d.idle();
    d.now = until(d.error(ticket));
    let ticket = d.refresh(PROVIDER);
    fail_to_acquire(&mut d);
    let failure = d.error(ticket).clone();
    assert!(matches!(failure, Failure::Store { until, .. } if !d.now.has_reached(until)));
    let look = d.refresh(PROVIDER);
    d.load(found(&d.record().clone()));
    d.idle();
    assert_eq!(*d.error(look), failure);
}

#[test]
fn g3_first_401_during_a_pause_changes_the_status_and_the_second_does_not() {
    let mut d = TestCredential::with_access_token();
    let stored = d.record().clone();
    d.refresh(PROVIDER);
    d.acquire(found(&stored));
    d.send("r1", PROVIDER);
    d.fail(FailureClass::NotTheEndpoint);
    d.release();
    d.idle();
    d.refresh(PROVIDER);
    d.load(found(&stored));
    d.idle();
    let generation = d.state.generation(PROVIDER);
    for is_first in [true, false] {
        assert_eq!(d.state.view().provider.refused, !is_first);
        let operation = Operation::Refresh { generation, reason: Reason::Unauthorized };
        let (enqueued, effects) = d.state.enqueue(operation, d.tick());
        assert!(matches!(enqueued, Enqueued::Settled(Err(Failure::Request { .. }))));
        assert_eq!(effects.changed, is_first);
    }
}

#[test]
fn p3_mode_that_fails_does_not_have_the_store_read_beside_the_refresh_of_the_other() {
    let (mut d, stored, ticket) = sent(PROVIDER);
    d.fail(FailureClass::NotTheEndpoint);
    d.release();
    d.idle();
    let failure = d.error(ticket).clone();
    d.refresh(CUSTOMER);
    d.acquire(found(&stored));
    d.send("r1", CUSTOMER);
    assert_eq!(d.ask(PROVIDER, Reason::Expired), Enqueued::Settled(Err(failure)));
}
