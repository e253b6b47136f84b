use super::*;

#[test]
fn p1_waiting_for_the_lease_is_reading_the_store() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.refresh(PROVIDER);
    d.busy(found(&stored));
    assert!(matches!(d.next(), Action::Sleep { for_change: true, .. }));
    d.complete(Outcome::Woke);
    // A store that does not read in the same round trip is read then.
    d.expect(&Action::AcquireLease);
    d.complete(Outcome::Acquired { lease: None, found: None });
    d.load(found(&record(1, 2, RecordContent::Tokens(tokens_with("r2", "a2", START)))));
    d.idle();
    d.is_ok(ticket);
    assert_eq!(d.access_text(PROVIDER), Some("a2"));
}

#[test]
fn b6_lease_that_is_not_granted_in_time_is_an_error_and_no_request_is_sent() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.refresh(PROVIDER);
    let mut tries = 0;
    while d.result(ticket).is_none() {
        match d.next() {
            Action::AcquireLease => {
                tries += 1;
                d.complete(Outcome::Acquired { lease: None, found: Some(found(&stored)) });
            }
            Action::Sleep { pause, .. } => {
                d.advance(pause);
                d.complete(Outcome::Woke);
            }
            Action::Idle => {}
            other => panic!("{other:?}"),
        }
        assert!(tries <= 31);
    }
    assert!(matches!(d.error(ticket), Failure::Store { cause: StoreCause::Busy, .. }));
}

#[test]
fn p1_lease_that_has_run_out_is_taken_again_and_the_store_read_before_anything_is_sent() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.refresh(PROVIDER);
    d.acquire(found(&stored));
    d.lease_left = Some(Duration::ZERO);
    let pause = Duration::from_secs(1);
    d.expect(&Action::Sleep { pause, for_change: false });
    assert!(d.happened.contains(&Happened::LeaseLost));
    d.lease_left = None;
    d.advance(pause);
    d.complete(Outcome::Woke);
    d.expect(&Action::AcquireLease);
    let theirs = record(1, 2, RecordContent::Tokens(tokens_with("r2", "a2", START)));
    d.complete(Outcome::Acquired { lease: Some(8), found: None });
    d.load(found(&theirs));
    d.release();
    d.idle();
    d.is_ok(ticket);
}

#[test]
fn b6_clock_that_is_set_ends_no_wait_for_the_lease() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    d.refresh(PROVIDER);
    d.busy(found(&stored));
    d.sleep();
    d.now.wall += 3_600_000;
    d.busy(found(&stored));
    d.sleep();
    d.acquire(found(&stored));
    d.send("r1", PROVIDER);
}

#[test]
fn b6_process_that_stood_still_asks_for_the_lease_once_more() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    d.refresh(PROVIDER);
    d.busy(found(&stored));
    d.sleep();
    d.advance(Duration::from_secs(3600));
    d.acquire(found(&stored));
    d.send("r1", PROVIDER);
}

#[test]
fn leases_that_have_run_out_when_they_are_granted_are_asked_for_with_pauses_and_not_for_ever() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.refresh(PROVIDER);
    let mut granted = 0;
    loop {
        match d.next() {
            Action::AcquireLease => {
                granted += 1;
                d.complete(Outcome::Acquired { lease: Some(granted), found: Some(found(&stored)) });
                d.lease_left = Some(Duration::ZERO);
            }
            Action::Sleep { pause, .. } => {
                d.lease_left = None;
                d.advance(pause);
                d.complete(Outcome::Woke);
            }
            Action::Idle => break,
            other => panic!("{other:?}"),
        }
        assert!(granted <= 31);
    }
    assert!(matches!(d.error(ticket), Failure::Store { cause: StoreCause::Busy, .. }));
}

#[test]
fn p1_lease_whose_release_failed_is_not_used_again_before_it_is_given_back() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    d.refresh(PROVIDER);
    d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
    let stored = d.save();
    assert!(matches!(d.next(), Action::ReleaseLease { .. }));
    d.complete(Outcome::NotReleased { error: "down" });
    d.idle();
    // It may be another's by now, although this process was not told.
    let ticket = d.refresh(CUSTOMER);
    d.release();
    d.rotate(&stored, CUSTOMER, "r2", "r3", "c3");
    d.save_and_release();
    d.is_ok(ticket);
}

#[test]
fn p1_lease_that_can_not_be_given_back_fails_the_next_refresh_without_a_request() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    d.refresh(PROVIDER);
    d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
    d.save();
    d.next();
    d.complete(Outcome::NotReleased { error: "down" });
    d.idle();
    let ticket = d.refresh(CUSTOMER);
    assert!(matches!(d.next(), Action::ReleaseLease { .. }));
    d.complete(Outcome::NotReleased { error: "down" });
    d.idle();
    assert!(matches!(d.error(ticket), Failure::Store { cause: StoreCause::Error("down"), .. }));
}

#[test]
fn p1_lease_that_was_being_given_back_by_a_lost_worker_is_given_back_before_the_next_refresh() {
    for replaced in [false, true] {
        let mut d = TestCredential::logged_in();
        let stored = d.record().clone();
        d.refresh(PROVIDER);
        d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
        let stored = d.save();
        assert!(matches!(d.next(), Action::ReleaseLease { .. }));
        let ticket = d.refresh(CUSTOMER);
        if replaced {
            d.worker = d.state.replace_worker().unwrap();
        } else {
            let effects = d.state.worker_gone(d.worker, "gone", d.tick());
            d.take(effects);
        }
        d.release();
        d.rotate(&stored, CUSTOMER, "r2", "r3", "c3");
        d.save_and_release();
        d.is_ok(ticket);
    }
}

#[test]
fn p1_renewed_lease_is_the_one_that_is_saved_with_and_given_back() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    d.refresh(PROVIDER);
    d.acquire(found(&stored));
    d.send("r1", PROVIDER);
    assert_eq!(d.state.lease(), Some(&7));
    d.state.lease_renewed(8);
    d.answer("r2", "a2");
    assert!(matches!(d.next(), Action::Save { lease: 8, .. }));
    d.complete(Outcome::Saved);
    d.expect(&Action::ReleaseLease { lease: 8 });
    d.complete(Outcome::Released);
    d.idle();
}
