use super::*;

#[test]
fn p11_login_takes_effect_at_once_and_fails_all_who_wait_for_the_one_before() {
    let mut d = TestCredential::with_access_token();
    let stored = d.record().clone();
    let generation = d.state.generation(PROVIDER);
    let (first, second) = (d.refresh(CUSTOMER), d.refresh(PROVIDER));
    d.acquire(found(&stored));
    d.send("r1", CUSTOMER);
    let ticket = d.log_in(2, "s1");
    assert_eq!(*d.error(first), Failure::LoginChanged);
    assert_eq!(*d.error(second), Failure::LoginChanged);
    assert_eq!((d.refresh_text(), d.access_text(PROVIDER)), ("s1", None));
    assert!(d.state.is_request_obsolete());
    let late = d.enqueue(Operation::Refresh { generation, reason: Reason::Unauthorized });
    assert_eq!(late, Enqueued::Settled(Err(Failure::LoginChanged)));
    // The answer comes all the same.
    d.answer("r2", "c2");
    assert!(d.happened.contains(&Happened::AnswerWithoutLogin));
    assert_eq!((d.refresh_text(), d.access_text(CUSTOMER)), ("s1", None));
    d.save_and_release();
    d.is_ok(ticket);
}

#[test]
fn p11_rejection_of_a_login_that_is_gone_does_not_reject_the_new_one() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    d.refresh(PROVIDER);
    d.acquire(found(&stored));
    d.send("r1", PROVIDER);
    d.fail(FailureClass::Rejected);
    d.expect(&Action::Load);
    let ticket = d.log_in(2, "s1");
    d.complete(Outcome::Loaded { found: found(&stored) });
    d.save_and_release();
    d.is_ok(ticket);
    assert!(matches!(d.record().content(), RecordContent::Tokens(_)));
    assert_eq!(d.state.view().login_required, None);
}

#[test]
fn p11_failure_of_a_request_whose_login_is_gone_leaves_the_new_one_alone() {
    for class in [FailureClass::OutcomeUnknown, FailureClass::Rejected, FailureClass::Transient] {
        let mut d = TestCredential::logged_in();
        let stored = d.record().clone();
        d.refresh(PROVIDER);
        d.acquire(found(&stored));
        d.send("r1", PROVIDER);
        d.log_in(2, "s1");
        d.fail(class);
        d.save_and_release();
        assert!(d.state.view().provider.failure.is_none());
        assert_eq!(d.enqueue(Operation::Close), Enqueued::Settled(Ok(())));
    }
}

#[test]
fn p11_login_during_the_save_of_a_refresh_is_saved_after_it() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let refresh = d.refresh(PROVIDER);
    d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
    d.saving();
    let ticket = d.log_in(2, "s1");
    d.complete(Outcome::Saved);
    assert!(d.state.view().dirty.is_some(), "what was saved is not the newest record");
    let (expected, saved) = d.saving();
    assert_eq!((expected, saved.login()), (Expected::Revision(2), login(2)));
    d.complete(Outcome::Saved);
    d.release();
    d.idle();
    d.is_ok(ticket);
    assert_eq!(*d.error(refresh), Failure::LoginChanged);
    assert_eq!(d.access_text(PROVIDER), None);
}

#[test]
fn p11_later_login_takes_the_place_of_an_unsaved_one() {
    let mut d = TestCredential::new(None);
    let first = d.log_in(1, "r1");
    let second = d.log_in(2, "s1");
    assert_eq!(*d.error(first), Failure::LoginChanged);
    d.acquire(Found::Empty);
    assert_eq!(d.save().login(), login(2));
    d.release();
    d.idle();
    d.is_ok(second);
}

#[test]
fn p11_sign_out_saves_a_tombstone_of_the_login_and_its_token_is_never_sent_again() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.sign_out();
    d.acquire(found(&stored));
    let saved = d.save();
    assert_eq!((saved.login(), saved.revision()), (login(1), 2));
    assert!(saved.is_signed_out());
    d.release();
    d.idle();
    d.is_ok(ticket);
    assert_eq!(d.state.view().login_required, Some(Failure::SignedOut));
    // A process that has not seen it yet writes the tokens once more, at a lower revision.
    d.advance(LOOK_PAUSE);
    waits(&d.ask(PROVIDER, Reason::Expired));
    d.load(found(&stored));
    d.idle();
    assert_eq!(d.state.view().login_required, Some(Failure::SignedOut));
}

#[test]
fn p11_login_with_a_token_that_was_spent_before_may_use_it() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    d.sign_out();
    d.acquire(found(&stored));
    d.save_and_release();
    let signed_out = d.record().clone();
    let ticket = d.log_in(2, "r1");
    d.acquire(found(&signed_out));
    let saved = d.save();
    assert!(saved.revision() > signed_out.revision());
    d.release();
    d.idle();
    d.is_ok(ticket);
    d.refresh_to(PROVIDER, "r2", "a2");
}

#[test]
fn p11_revisions_grow_over_logins_and_end() {
    let mut d = TestCredential::new(Some(record(1, 3, RecordContent::Tokens(tokens("r1")))));
    d.log_in(2, "s1");
    assert_eq!(d.record().revision(), START.wall, "the wall clock, in milliseconds");
    d.log_in(3, "t1");
    assert_eq!(d.record().revision(), START.wall + 1);
    let last = record(1, StoredRecord::MAX_REVISION, RecordContent::Tokens(tokens("r1")));
    let mut d = TestCredential::new(Some(last));
    let tokens = tokens("s1");
    let operation = Operation::LogIn { login: login(2), tokens, overwrite: false };
    assert_eq!(d.enqueue(operation), Enqueued::Settled(Err(Failure::NoRevisionLeft)));
    let operation = Operation::SignOut { login: login(2), overwrite: false };
    assert_eq!(d.enqueue(operation), Enqueued::Settled(Err(Failure::NoRevisionLeft)));
    assert_eq!(d.refresh_text(), "r1");
    d.refresh_to(PROVIDER, "r2", "a2");
}

#[test]
fn p11_wall_clock_beyond_the_year_2200_numbers_no_login() {
    let mut d = TestCredential::new(Some(record(1, 3, RecordContent::Tokens(tokens("r1")))));
    d.now.wall = u64::MAX / 4;
    d.log_in(2, "s1");
    assert_eq!(d.record().revision(), 4);
}

#[test]
fn p11_login_without_a_store_is_settled_at_once() {
    let mut config = config();
    config.has_store = false;
    let mut d =
        TestCredential::with(config, Some(record(1, 1, RecordContent::Tokens(tokens("r1")))));
    let refresh = d.refresh(PROVIDER);
    d.send("r1", PROVIDER);
    let operation = Operation::LogIn { login: login(2), tokens: tokens("s1"), overwrite: false };
    assert_eq!(d.enqueue(operation), Enqueued::Settled(Ok(())));
    assert_eq!(*d.error(refresh), Failure::LoginChanged);
    assert!(d.state.is_request_obsolete());
    d.complete(Outcome::Abandoned);
    d.idle();
}
