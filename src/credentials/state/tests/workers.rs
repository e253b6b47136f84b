use super::*;

impl TestCredential {
    fn lose_worker(&mut self) {
        let effects = self.state.worker_gone(self.worker, "gone", self.tick());
        self.take(effects);
        self.worker = self.state.start_worker().expect("another takes its place");
    }
}

/// Runs `d` to its end with a store that holds `stored` and an endpoint that answers; returns how
/// many refresh requests were sent.
fn run(d: &mut TestCredential, mut stored: StoredRecord) -> u32 {
    let mut sent = 0;
    for _ in 0..40 {
        match d.next() {
            Action::AcquireLease => {
                let found = Some(found(&stored));
                d.complete(Outcome::Acquired { lease: Some(9), found });
            }
            Action::Load => d.complete(Outcome::Loaded { found: found(&stored) }),
            Action::SendRefresh { .. } => {
                sent += 1;
                d.answer("r2", "a2");
            }
            Action::Save { record, .. } => {
                stored = *record;
                d.complete(Outcome::Saved);
            }
            Action::ReleaseLease { .. } => d.complete(Outcome::Released),
            Action::Sleep { pause, .. } => {
                d.advance(pause);
                d.complete(Outcome::Woke);
            }
            Action::ReadSource => unreachable!("these credentials are refreshed"),
            Action::Idle => return sent,
        }
    }
    panic!("it does not come to rest");
}

#[test]
fn p2_worker_that_is_lost_during_any_action_loses_nothing() {
    // How many actions are done before the worker is lost in the next one.
    for done in 0..4 {
        for replaced in [false, true] {
            let mut d = TestCredential::logged_in();
            let stored = d.record().clone();
            let ticket = d.refresh(PROVIDER);
            let mut written = stored.clone();
            let mut sent = 0;
            for _ in 0..done {
                match d.next() {
                    Action::AcquireLease => d.complete(Outcome::Acquired {
                        lease: Some(7),
                        found: Some(found(&stored)),
                    }),
                    Action::SendRefresh { .. } => {
                        sent += 1;
                        d.answer("r2", "a2");
                    }
                    Action::Save { record, .. } => {
                        written = *record;
                        d.complete(Outcome::Saved);
                    }
                    other => panic!("{other:?}"),
                }
            }
            let action = d.next();
            if !replaced {
                d.lose_worker();
            } else if let Some(worker) = d.state.replace_worker() {
                d.worker = worker;
            } else {
                assert!(matches!(action, Action::SendRefresh { .. }));
                continue;
            }
            sent += run(&mut d, written);
            assert_eq!(sent, 1, "lost in {action:?}");
            d.is_ok(ticket);
            assert_eq!(d.refresh_text(), "r2");
            assert!(d.state.view().dirty.is_none());
        }
    }
}

#[test]
fn p2_answer_that_is_lost_with_its_worker_counts_as_unknown() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.refresh(PROVIDER);
    d.acquire(found(&stored));
    d.send("r1", PROVIDER);
    d.lose_worker();
    d.load(found(&stored));
    d.sleep();
    d.send("r1", PROVIDER);
    d.fail(FailureClass::Rejected);
    d.load(found(&stored));
    d.save_and_release();
    let lost = Failure::Rejected { error: Some("endpoint"), after_lost_answer: true };
    assert_eq!(*d.error(ticket), lost);
}

#[test]
fn b6_worker_that_goes_on_after_the_time_for_the_lease_waits_for_it_anew() {
    // How many actions are done before the worker is lost: in an attempt, a look, a pause.
    for done in 0..3 {
        let mut d = TestCredential::logged_in();
        let stored = d.record().clone();
        d.refresh(PROVIDER);
        for action in 0..done {
            match action {
                0 => {
                    d.expect(&Action::AcquireLease);
                    d.complete(Outcome::Acquired { lease: None, found: None });
                }
                _ => d.load(found(&stored)),
            }
        }
        d.next();
        d.lose_worker();
        d.advance(Duration::from_secs(3600));
        d.busy(found(&stored));
        d.sleep();
        d.acquire(found(&stored));
        d.send("r1", PROVIDER);
    }
}

#[test]
fn p1_worker_that_was_replaced_is_not_heard() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    d.refresh(PROVIDER);
    d.expect(&Action::AcquireLease);
    let old = d.worker;
    d.worker = d.state.replace_worker().unwrap();
    assert!(!d.state.is_at_work(old));
    let outcome = Outcome::Acquired { lease: Some(5), found: None };
    let effects = d.state.complete(old, outcome, d.tick());
    assert_eq!(effects, Effects::default());
    let effects = d.state.worker_gone(old, "gone", d.tick());
    assert_eq!(effects, Effects::default());
    d.acquire(found(&stored));
    assert_eq!(d.state.lease(), Some(&7));
}

#[test]
fn p1_worker_with_a_request_under_way_is_not_replaced() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    d.refresh(PROVIDER);
    d.acquire(found(&stored));
    d.send("r1", PROVIDER);
    assert_eq!(d.state.replace_worker(), None);
    assert_eq!(d.state.start_worker(), None);
}
