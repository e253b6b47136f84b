use super::*;
use crate::token::AccessToken;

fn m2m() -> TestCredential {
    let mut config = config();
    (config.renewal, config.has_store) = (Renewal::ReadSource, false);
    TestCredential::with(config, Some(record(1, 1, RecordContent::Tokens(tokens("none")))))
}

fn read(d: &mut TestCredential, token: &str) {
    d.expect(&Action::ReadSource);
    d.complete(Outcome::SourceRead { token: AccessToken::new(token).unwrap() });
}

fn set(d: &mut TestCredential, token: &str) {
    let token = AccessToken::new(token).unwrap();
    assert_eq!(d.enqueue(Operation::SetM2mToken { token }), Enqueued::Settled(Ok(())));
}

#[test]
fn e7_source_is_read_at_first_use_and_once_for_all_who_ask() {
    let mut d = m2m();
    let ticket = waits(&d.ask(PROVIDER, Reason::Expired));
    assert_eq!(d.ask(PROVIDER, Reason::Expired), Enqueued::Waits { ticket, started: false });
    read(&mut d, "a1");
    d.idle();
    d.is_ok(ticket);
    assert_eq!(d.access_text(PROVIDER), Some("a1"));
    let mode = RequestMode::Customer;
    let asked = d.ask(mode, Reason::Expired);
    assert_eq!(asked, Enqueued::Settled(Err(Failure::NotRefreshable)));
}

#[test]
fn e7_unchanged_token_is_good_unless_it_was_refused() {
    let mut d = m2m();
    set(&mut d, "a1");
    let generation = d.state.generation(PROVIDER);
    let ticket = d.refresh(PROVIDER);
    read(&mut d, "a1");
    d.idle();
    d.is_ok(ticket);
    assert_eq!(d.state.generation(PROVIDER), generation, "nothing has ended");

    let ticket = waits(&d.ask(PROVIDER, Reason::Unauthorized));
    read(&mut d, "a1");
    d.idle();
    let Failure::M2mRefused { until } = *d.error(ticket) else { panic!("{:?}", d.error(ticket)) };
    assert_ne!(until, Moment::NEVER);
    let asked = d.ask(PROVIDER, Reason::Unauthorized);
    assert_eq!(asked, Enqueued::Settled(Err(Failure::M2mRefused { until })), "not read again");
    // The program's own wish is not held up by the pause.
    let ticket = waits(&d.ask(PROVIDER, Reason::Requested));
    read(&mut d, "a2");
    d.idle();
    d.is_ok(ticket);
    assert!(!d.state.view().provider.refused && d.state.view().provider.failure.is_none());
}

#[test]
fn e7_token_that_is_set_serves_those_who_wait_and_outlives_a_read_that_began_before() {
    let mut d = m2m();
    let ticket = waits(&d.ask(PROVIDER, Reason::Expired));
    d.expect(&Action::ReadSource);
    set(&mut d, "set");
    d.is_ok(ticket);
    let later = waits(&d.ask(PROVIDER, Reason::Unauthorized));
    d.complete(Outcome::SourceRead { token: AccessToken::new("stale").unwrap() });
    read(&mut d, "a2");
    d.idle();
    d.is_ok(later);
    assert_eq!(d.access_text(PROVIDER), Some("a2"));
}

#[test]
fn e7_source_that_fails_leaves_the_last_token() {
    let mut d = m2m();
    set(&mut d, "a1");
    let ticket = d.refresh(PROVIDER);
    d.expect(&Action::ReadSource);
    d.complete(Outcome::SourceFailed { error: "down" });
    d.idle();
    assert!(matches!(d.error(ticket), Failure::M2mSource { error: "down", .. }));
    assert_eq!(d.access_text(PROVIDER), Some("a1"));
}

#[test]
fn e7_worker_that_dies_while_it_reads_is_replaced_by_one_that_reads_again() {
    let mut d = m2m();
    let ticket = waits(&d.ask(PROVIDER, Reason::Expired));
    d.expect(&Action::ReadSource);
    d.worker = d.state.replace_worker().expect("no answer is lost by it");
    read(&mut d, "a1");
    d.idle();
    d.is_ok(ticket);
}

#[test]
fn credential_that_is_refreshed_takes_no_m2m_token() {
    let mut d = TestCredential::logged_in();
    let token = AccessToken::new("a").unwrap();
    let answer = d.enqueue(Operation::SetM2mToken { token });
    assert_eq!(answer, Enqueued::Settled(Err(Failure::NotM2m)));
}

#[test]
fn p3_tokens_that_a_source_gives_for_a_401_are_limited_and_those_that_were_asked_for_are_not_counted()
 {
    let mut d = m2m();
    set(&mut d, "a0");
    for token in ["b1", "b2", "b3", "b4", "b5"] {
        let ticket = waits(&d.ask(PROVIDER, Reason::Requested));
        read(&mut d, token);
        d.idle();
        d.is_ok(ticket);
    }
    for token in ["c1", "c2", "c3", "c4"] {
        let ticket = waits(&d.ask(PROVIDER, Reason::Unauthorized));
        read(&mut d, token);
        d.idle();
        d.is_ok(ticket);
    }
    let limited = Enqueued::Settled(Err(Failure::RefreshLimited));
    assert_eq!(d.ask(PROVIDER, Reason::Unauthorized), limited);
    d.advance(d.state.config.limit.window);
    waits(&d.ask(PROVIDER, Reason::Unauthorized));
}
