use super::*;

#[test]
fn p1_callers_of_one_generation_share_one_refresh_request() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let generation = d.state.generation(PROVIDER);
    let ticket = d.refresh(PROVIDER);
    assert_eq!(d.ask(PROVIDER, Reason::Unauthorized), Enqueued::Waits { ticket, started: false });
    d.acquire(found(&stored));
    assert_eq!(d.ask(PROVIDER, Reason::Expired), Enqueued::Waits { ticket, started: false });
    d.send("r1", PROVIDER);
    assert_eq!(d.ask(PROVIDER, Reason::Requested), Enqueued::Waits { ticket, started: false });
    d.answer("r2", "a2");
    d.save();
    d.release();
    assert_eq!(d.result(ticket), None, "released before anybody is woken");
    d.idle();
    d.is_ok(ticket);
    let late = d.enqueue(Operation::Refresh { generation, reason: Reason::Unauthorized });
    assert_eq!(late, Enqueued::Settled(Ok(())));
    d.idle();
}

#[test]
fn p1_modes_refresh_one_after_the_other_with_the_newest_refresh_token() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let (provider, customer) = (d.refresh(PROVIDER), d.refresh(CUSTOMER));
    d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
    d.save();
    d.send("r2", CUSTOMER);
    d.is_ok(provider);
    d.answer("r3", "c3");
    assert_eq!(d.save().revision(), 3);
    d.release();
    d.idle();
    d.is_ok(customer);
    assert_eq!((d.access_text(PROVIDER), d.access_text(CUSTOMER)), (Some("a2"), Some("c3")));
}

#[test]
fn p1_result_of_another_process_is_adopted_without_a_request() {
    let mut d = TestCredential::logged_in();
    let ticket = d.refresh(PROVIDER);
    let theirs = record(1, 2, RecordContent::Tokens(tokens_with("r2", "a2", START)));
    d.acquire(found(&theirs));
    d.release();
    d.idle();
    d.is_ok(ticket);
    assert_eq!(d.access_text(PROVIDER), Some("a2"));
    assert!(d.published);
}

#[test]
fn p1_adopted_token_that_is_no_use_is_refreshed_once_for_all_who_ask() {
    let mut d = TestCredential::with_access_token();
    d.advance(LIFETIME);
    let ticket = d.refresh(PROVIDER);
    let theirs = record(1, 2, RecordContent::Tokens(tokens_with("r2", "a2", START)));
    d.acquire(found(&theirs));
    d.send("r2", PROVIDER);
    let other = d.ask(PROVIDER, Reason::Expired);
    assert_eq!(other, Enqueued::Waits { ticket, started: false });
    d.answer("r3", "a3");
    d.save_and_release();
    d.is_ok(ticket);
}

#[test]
fn d1_same_access_token_in_the_answer_ends_the_generation() {
    let mut d = TestCredential::with_access_token();
    let before = d.state.generation(PROVIDER);
    d.refresh_to(PROVIDER, "r2", "a1");
    assert_ne!(d.state.generation(PROVIDER), before);
}

#[test]
fn d2_answer_without_an_expiry_and_without_a_refresh_token_is_used() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let ticket = d.refresh(PROVIDER);
    d.acquire(found(&stored));
    d.send("r1", PROVIDER);
    let response = minted(None, issued("a2", d.now, None));
    d.complete(Outcome::Refreshed { response, sent_at: d.now });
    assert_eq!(d.save().revision(), 2);
    d.release();
    d.idle();
    d.is_ok(ticket);
    assert_eq!(d.refresh_text(), "r1");
    assert_eq!(d.state.mode(PROVIDER).deadlines, Deadlines::UNKNOWN);
    d.refresh_to(PROVIDER, "r2", "a3");
}

#[test]
fn p2_answer_is_recorded_before_it_is_saved_and_published_after() {
    let mut d = TestCredential::logged_in();
    let stored = d.record().clone();
    let before = d.state.generation(PROVIDER);
    d.refresh(PROVIDER);
    d.rotate(&stored, PROVIDER, "r1", "r2", "a2");
    assert_eq!(d.refresh_text(), "r2");
    assert!(d.state.view().dirty.is_some());
    assert!(!d.published);
    let (expected, saved) = d.saving();
    assert_eq!(expected, Expected::Revision(1));
    assert_eq!((saved.revision(), saved.login()), (2, login(1)));
    assert_eq!(d.state.generation(PROVIDER), before);
    d.complete(Outcome::Saved);
    assert!(d.published);
    assert_ne!(d.state.generation(PROVIDER), before);
}

#[test]
fn p1_without_a_store_a_refresh_is_one_action() {
    let mut config = config();
    config.has_store = false;
    let mut d =
        TestCredential::with(config, Some(record(1, 1, RecordContent::Tokens(tokens("r1")))));
    let ticket = d.refresh(PROVIDER);
    d.send("r1", PROVIDER);
    d.answer("r2", "a2");
    d.idle();
    d.is_ok(ticket);
    assert!(d.state.view().dirty.is_none());
}

#[test]
fn p3_refreshes_for_401s_are_limited_for_each_mode_and_the_window_ends() {
    let mut d = TestCredential::with_access_token();
    for round in 2..6 {
        let stored = d.record().clone();
        let before = d.refresh_text().to_owned();
        waits(&d.ask(PROVIDER, Reason::Unauthorized));
        d.acquire(found(&stored));
        d.send(&before, PROVIDER);
        d.answer(&format!("r{round}"), &format!("a{round}"));
        d.save_and_release();
    }
    let look = waits(&d.ask(PROVIDER, Reason::Unauthorized));
    let stored = d.record().clone();
    d.load(found(&stored));
    d.idle();
    assert_eq!(*d.error(look), Failure::RefreshLimited);
    let refused = d.ask(PROVIDER, Reason::Unauthorized);
    assert_eq!(refused, Enqueued::Settled(Err(Failure::RefreshLimited)));
    d.refresh_to(CUSTOMER, "r6", "c6");
    d.advance(Duration::from_secs(30));
    waits(&d.ask(PROVIDER, Reason::Unauthorized));
}

#[test]
fn p3_keep_warm_pauses_between_tokens_that_are_born_expired() {
    let mut config = config();
    config.keep_warm = Some(PROVIDER);
    let mut d =
        TestCredential::with(config, Some(record(1, 1, RecordContent::Tokens(tokens("r1")))));
    let stored = d.record().clone();
    d.acquire(found(&stored));
    d.send("r1", PROVIDER);
    let response = minted(Some("r2"), issued("a2", d.now, Some(Duration::ZERO)));
    d.complete(Outcome::Refreshed { response, sent_at: d.now });
    d.save();
    d.release();
    assert!(d.sleep() >= Duration::from_secs(1));
}

#[test]
fn p1_keep_warm_refreshes_in_time_and_its_refresh_is_shared() {
    let mut config = config();
    config.keep_warm = Some(PROVIDER);
    let content = RecordContent::Tokens(tokens_with("r1", "a1", START));
    let mut d = TestCredential::with(config, Some(record(1, 1, content)));
    let stored = d.record().clone();
    assert_eq!(d.sleep(), Duration::from_secs(6900));
    d.acquire(found(&stored));
    let ticket = d.refresh(PROVIDER);
    d.send("r1", PROVIDER);
    d.answer("r2", "a2");
    d.save();
    d.release();
    assert_eq!(d.sleep(), Duration::from_secs(6900));
    d.is_ok(ticket);
}

#[test]
fn p1_keep_warm_has_no_work_while_a_login_is_required() {
    let mut config = config();
    config.keep_warm = Some(PROVIDER);
    let mut d = TestCredential::with(config, Some(record(1, 1, RecordContent::SignedOut)));
    assert_eq!(d.state.start_worker(), None, "a worker would end at once, and be started again");
    assert_eq!(d.enqueue(Operation::Close), Enqueued::Settled(Ok(())));
}

#[test]
fn p3_m2m_token_is_never_refreshed() {
    let mut config = config();
    (config.renewal, config.has_store) = (Renewal::Never, false);
    let mut d =
        TestCredential::with(config, Some(record(1, 1, RecordContent::Tokens(tokens("r1")))));
    let refused = d.ask(PROVIDER, Reason::Unauthorized);
    assert_eq!(refused, Enqueued::Settled(Err(Failure::M2mRefused { until: Moment::NEVER })));
    let asked = d.ask(PROVIDER, Reason::Requested);
    assert_eq!(asked, Enqueued::Settled(Err(Failure::NotRefreshable)));
    assert!(d.state.view().login_required.is_none());
    assert!(d.state.view().provider.refused);
    d.idle();
}

#[test]
fn g3_refresh_that_keeps_a_credential_warm_is_told_when_it_begins() {
    let mut config = config();
    config.keep_warm = Some(PROVIDER);
    let mut d =
        TestCredential::with(config, Some(record(1, 1, RecordContent::Tokens(tokens("r1")))));
    d.worker = d.state.start_worker().expect("there is no access token yet");
    let (action, effects) = d.state.next(d.tick(), None);
    assert_eq!(action, Action::AcquireLease);
    assert!(effects.changed);
}
