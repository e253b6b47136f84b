use super::*;

/// A refresh whose answer could not be saved; its worker sleeps.
fn unsaved() -> (TestCredential, StoredRecord) {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    d.refresh(PROVIDER);
    d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
    d.fail_save();
    assert!(matches!(d.next(), Action::Sleep { .. }));
    (d, stored)
}

#[test]
fn p12_flush_of_a_clean_credential_is_settled_at_once() {
    let mut d = TestCredential::with_access_token();
    assert_eq!(d.enqueue(Operation::Flush), Enqueued::Settled(Ok(())));
    assert_eq!(d.enqueue(Operation::Close), Enqueued::Settled(Ok(())));
    d.idle();
}

#[test]
fn p12_flush_saves_what_is_dirty_without_waiting_for_the_backoff_and_releases() {
    let (mut d, stored) = unsaved();
    let flush = waits(&d.enqueue(Operation::Flush));
    d.complete(Outcome::Woke);
    d.load(found(&stored));
    d.save_and_release();
    d.is_ok(flush);
}

#[test]
fn p12_shutdown_that_can_not_save_says_so_and_can_be_called_again() {
    let (mut d, stored) = unsaved();
    let close = waits(&d.enqueue(Operation::Close));
    d.complete(Outcome::Woke);
    d.load(found(&stored));
    d.fail_save();
    assert!(matches!(d.next(), Action::Sleep { .. }), "it goes on trying");
    assert_eq!(*d.error(close), Failure::Unsaved(StoreCause::Error("disk")));
    let again = waits(&d.enqueue(Operation::Close));
    d.complete(Outcome::Woke);
    d.load(found(&stored));
    d.save_and_release();
    d.is_ok(again);
}

#[test]
fn p12_shutdown_waits_for_the_request_under_way_and_starts_no_further_try() {
    for class in [None, Some(FailureClass::Transient), Some(FailureClass::OutcomeUnknown)] {
        let mut d = TestCredential::logged_in();
        let stored = d.record().clone();
        let (provider, customer) = (d.refresh(PROVIDER), d.refresh(CUSTOMER));
        d.acquire(found(&stored));
        d.send("r1", PROVIDER);
        let close = waits(&d.enqueue(Operation::Close));
        assert_eq!(*d.error(customer), Failure::ShutDown);
        match class {
            None => {
                d.answer("r2", "a2");
                d.save();
            }
            Some(class) => d.fail(class),
        }
        d.release();
        d.idle();
        match class {
            None => d.is_ok(provider),
            Some(class) => {
                let failure = d.error(provider);
                assert!(matches!(failure, Failure::Request { class: told, .. } if *told == class));
                let retries = |event: &_| matches!(event, Happened::RetryingRequest { .. });
                assert!(!d.happened.iter().any(retries));
            }
        }
        if class == Some(FailureClass::OutcomeUnknown) {
            assert_eq!(*d.error(close), Failure::OutcomeUnknown("endpoint"));
        } else {
            d.is_ok(close);
        }
        assert_eq!(
            d.ask(PROVIDER, Reason::Expired),
            match class {
                None => Enqueued::Settled(Err(Failure::ShutDown)),
                Some(_) => d.ask(CUSTOMER, Reason::Expired),
            }
        );
        let operation =
            Operation::LogIn { login: login(2), tokens: tokens("s1"), overwrite: false };
        assert_eq!(d.enqueue(operation), Enqueued::Settled(Err(Failure::ShutDown)));
    }
}

#[test]
fn p12_shutdown_while_the_lease_is_waited_for_ends_the_refresh() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.refresh(PROVIDER);
    d.busy(found(&stored));
    let close = waits(&d.enqueue(Operation::Close));
    d.idle();
    assert_eq!(*d.error(ticket), Failure::ShutDown);
    d.is_ok(close);
}

#[test]
fn p12_shutdown_after_a_login_saves_it() {
    let mut d = TestCredential::new(None);
    let ticket = d.log_in(1, "r1");
    let close = waits(&d.enqueue(Operation::Close));
    d.acquire(Found::Empty);
    d.save_and_release();
    d.is_ok(ticket);
    d.is_ok(close);
}

#[test]
fn p12_lease_that_could_not_be_given_back_fails_the_shutdown_until_it_runs_out() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    d.refresh(PROVIDER);
    d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
    d.save();
    d.next();
    d.complete(Outcome::NotReleased { error: "down" });
    d.idle();
    let close = waits(&d.enqueue(Operation::Close));
    d.next();
    d.complete(Outcome::NotReleased { error: "down" });
    d.idle();
    assert_eq!(*d.error(close), Failure::NotReleased("down"));
    let again = waits(&d.enqueue(Operation::Close));
    d.lease_left = Some(Duration::ZERO);
    d.idle();
    d.is_ok(again);
}

#[test]
fn p12_flush_finds_another_login_in_the_store_and_has_nothing_left_to_save() {
    let (mut d, _) = unsaved();
    let flush = waits(&d.enqueue(Operation::Flush));
    d.complete(Outcome::Woke);
    d.load(found(&record(2, 9, RecordContent::Tokens(tokens("s1")))));
    d.release();
    d.idle();
    d.is_ok(flush);
    assert_eq!(d.refresh_text(), "s1");
}

#[test]
fn p12_rejection_at_shutdown_is_stored() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.refresh(PROVIDER);
    d.acquire(found(&stored));
    d.send("r1", PROVIDER);
    d.fail(FailureClass::Rejected);
    let close = waits(&d.enqueue(Operation::Close));
    let (_, saved) = match d.next() {
        Action::Load => {
            d.complete(Outcome::Loaded { found: found(&stored) });
            d.saving()
        }
        Action::Save { expected, record, .. } => (expected, *record),
        other => panic!("{other:?}"),
    };
    assert!(matches!(saved.content(), RecordContent::Rejected(_)));
    d.complete(Outcome::Saved);
    d.release();
    d.idle();
    assert!(matches!(d.error(ticket), Failure::Rejected { .. }));
    d.is_ok(close);
}

#[test]
fn p2_credential_with_work_a_lease_or_tokens_in_memory_alone_is_not_at_rest() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let only = |d: &TestCredential| {
        assert!(!d.state.is_at_rest());
        let CredentialState { current, queue, dirty, lease, .. } = &d.state;
        (current.is_some(), !queue.is_empty(), dirty.is_some(), lease.is_some())
    };
    assert!(d.state.is_at_rest());
    d.refresh(PROVIDER);
    assert_eq!(only(&d), (false, true, false, false));
    d.expect(&Action::AcquireLease);
    assert_eq!(only(&d), (true, false, false, false));
    d.complete(Outcome::Acquired { lease: Some(7), found: Some(found(&stored)) });
    d.send("r1", PROVIDER);
    d.answer("r2", "a2");
    d.fail_save();
    d.lease_left = Some(Duration::ZERO);
    assert!(matches!(d.next(), Action::Sleep { .. }));
    assert_eq!(only(&d), (false, false, true, false));
    d.lease_left = None;
    d.advance(Duration::from_secs(60));
    d.complete(Outcome::Woke);
    d.acquire(found(&stored));
    d.save();
    assert!(matches!(d.next(), Action::ReleaseLease { .. }));
    d.complete(Outcome::NotReleased { error: "down" });
    d.idle();
    assert_eq!(only(&d), (false, false, false, true));
}
