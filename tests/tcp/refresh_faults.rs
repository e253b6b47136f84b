//! What each fault of the refresh endpoint means, what the caller sees of it, and what becomes of
//! the refresh token.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::{StatusCode, header};
use tower_teamup_auth::RequestMode::Provider;
use tower_teamup_auth::refresh::FailureClass::{
    self, NotTheEndpoint, OutcomeUnknown, ProbablyRejected, Rejected, Transient,
};
use tower_teamup_auth::store::{MemoryStore, TokenStore};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Auth, Error, TokenSet};

use crate::support::{
    Http, Protocol, assert_no_token, call, credentials, expired_tokens, get, layered, pass, status,
    why, words,
};

/// An hour: longer than a refresh may take in all, so that it is given up at once.
const HOUR: Duration = Duration::from_secs(3600);

/// Longer than any failure is remembered.
const FAILURE_MEMORY: Duration = Duration::from_secs(2 * 3600);

/// The class of a failed refresh, to which the error's questions must fit.
fn class_of(error: &Error) -> FailureClass {
    let class = error.refresh_error().expect("a refresh request failed").class();
    let questions = [
        error.is_transient(),
        error.is_protocol(),
        error.is_outcome_unknown(),
        error.is_configuration(),
        error.is_login_required(),
    ];
    let expected = [
        class == Transient,
        class == NotTheEndpoint,
        class == OutcomeUnknown,
        class == FailureClass::Configuration,
        matches!(class, Rejected | ProbablyRejected),
    ];
    assert_eq!(questions, expected, "{error:?}");
    class
}

/// A fault that meets every refresh request, and what it leads to.
struct Row {
    fault: Fault,
    class: FailureClass,
    /// What the endpoint sees of one refresh.
    seen: Seen,
    /// What the error says, its sources included.
    said: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    refresh_requests: usize,
    rotations: usize,
    double_spends: usize,
}

/// Nothing was rotated.
const fn tried(refresh_requests: usize) -> Seen {
    Seen { refresh_requests, rotations: 0, double_spends: 0 }
}

/// Each refresh request has rotated the token, and each rotated token was in the faulty response.
const fn kept(rotations: usize) -> Seen {
    Seen { refresh_requests: rotations, rotations, double_spends: 0 }
}

/// The first refresh request has rotated the token, and nobody has seen the new one.
const LOST: Seen = Seen { refresh_requests: 2, rotations: 1, double_spends: 1 };

fn table(elsewhere: &str) -> Vec<Row> {
    let row = |class, seen, said, fault| Row { fault, class, seen, said };
    let answer = |code| Fault::status(StatusCode::from_u16(code).unwrap());
    let year_9999 = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    vec![
        row(Transient, tried(1), "status 503", answer(503).retry_after(HOUR)),
        row(Transient, tried(1), "status 429", answer(429).retry_after(HOUR)),
        row(Transient, tried(1), "status 429", answer(429).retry_after_date(year_9999)),
        row(Transient, tried(1), "status 500", answer(500).retry_after(HOUR)),
        row(OutcomeUnknown, tried(2), "status 502", html(answer(502))),
        row(OutcomeUnknown, tried(2), "status 504", answer(504)),
        row(ProbablyRejected, tried(1), "status 400", answer(400)),
        row(ProbablyRejected, tried(1), "made on purpose", answer(401)),
        row(NotTheEndpoint, tried(1), "not in TeamUp's words", html(answer(403))),
        row(Rejected, tried(1), "authentication_failed", Fault::unauthorized()),
        row(Rejected, tried(1), "authentication_failed", rejected(401)),
        row(Rejected, tried(1), "invalid_grant", rejected(400)),
        row(NotTheEndpoint, tried(1), "status 404", answer(404)),
        row(NotTheEndpoint, tried(1), "status 405", answer(405)),
        row(OutcomeUnknown, tried(2), "status 204", answer(204)),
        row(NotTheEndpoint, tried(1), "redirect", Fault::redirect(StatusCode::FOUND, elsewhere)),
        row(
            NotTheEndpoint,
            tried(1),
            "not followed",
            Fault::redirect(StatusCode::PERMANENT_REDIRECT, elsewhere),
        ),
        row(NotTheEndpoint, tried(1), "neither JSON nor XML", html(Fault::garbage())),
        row(OutcomeUnknown, tried(2), "not a JSON object", Fault::garbage()),
        row(OutcomeUnknown, tried(2), "no response came", Fault::drop_connection()),
        row(OutcomeUnknown, kept(2), "`access_token`", Fault::missing_key("access_token")),
        row(OutcomeUnknown, kept(2), "`access_token`", Fault::empty_value("access_token")),
        row(Rejected, LOST, "used before", Fault::cut_off()),
        row(Rejected, LOST, "used before", Fault::drop_connection().after_rotation()),
        row(Rejected, LOST, "used before", answer(503).after_rotation()),
        row(Rejected, LOST, "used before", answer(502).after_rotation()),
    ]
}

/// Every fault of the table.
pub(crate) fn every_fault(elsewhere: &str) -> Vec<Fault> {
    table(elsewhere).into_iter().map(|row| row.fault).collect()
}

fn html(fault: Fault) -> Fault {
    fault.body("text/html", "<html>what a proxy says</html>")
}

/// TeamUp's own word about the refresh token.
fn rejected(status: u16) -> Fault {
    let code = if status == 401 { "authentication_failed" } else { "invalid_grant" };
    let body = format!(r#"{{"code":"{code}","message":"No.","type":"invalid_request_error"}}"#);
    Fault::status(StatusCode::from_u16(status).unwrap()).body("application/json", body)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, of which {:?} was expected", self.fault, self.class)
    }
}

impl Row {
    /// Hands the fault to the server: a lost token is found out by a refresh without it.
    fn inject(&self, server: &FakeTeamUp) {
        if self.seen == LOST {
            server.fail_refresh(self.fault.clone());
        } else {
            server.fail_every_refresh(self.fault.clone());
        }
    }

    fn check(&self, server: &FakeTeamUp, error: &Error) {
        let words = words(error);
        assert_no_token(&words);
        assert_eq!(class_of(error), self.class, "{self}: {words}");
        assert!(words.contains(self.said), "{self}: {words}");
        assert!(!words.contains("a proxy says"), "{self}: {words}");
        let seen = Seen {
            refresh_requests: server.refresh_requests(),
            rotations: server.rotations(),
            double_spends: server.double_spends(),
        };
        assert_eq!(seen, self.seen, "{self}: {}", server.journal());
    }

    /// When the endpoint is well again, so is a credential that has not lost its token.
    async fn check_recovery(&self, server: &FakeTeamUp, api: &Auth<Http>, error: &Error) {
        server.clear_faults();
        if error.retry_after().is_some_and(|pause| pause > FAILURE_MEMORY) {
            return; // asked to wait until the year 9999
        }
        pass(FAILURE_MEMORY).await;
        if self.class == Rejected {
            let error = why(call(api, get(server, "/echo", "later")).await);
            assert!(error.is_login_required(), "{self}");
        } else {
            assert_eq!(status(api, server, "later").await, 200, "{self}");
        }
        assert_eq!(server.double_spends(), self.seen.double_spends, "{self}");
    }
}

async fn api(server: &FakeTeamUp, protocol: Protocol, tokens: TokenSet) -> Auth<Http> {
    let client = protocol.client();
    let builder = credentials(server, &client).clock(Clock::tokio()).tokens(tokens);
    layered(builder.build().await.unwrap(), client)
}

#[tokio::test]
async fn after_a_401_the_caller_gets_that_401_and_the_reason() {
    let elsewhere = FakeTeamUp::start().await;
    for (row, protocol) in table(&elsewhere.url("/echo")).iter().zip(alternating()) {
        let server = FakeTeamUp::builder().challenges(true).start().await;
        let api = api(&server, protocol, server.issue_tokens(&[Provider])).await;
        server.expire_access_tokens();
        row.inject(&server);
        let answer = call(&api, get(&server, "/echo", "first")).await.unwrap();
        assert_eq!(answer.status, 401, "{row}");
        assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
        assert!(answer.body.starts_with(b"{\"code\":\"authentication_failed\""), "{row}");
        let reason = answer.reason.expect("the reason stands in the extensions");
        row.check(&server, &reason);
        assert_eq!((server.api_requests(), server.retries()), (1, 0), "{row}");
        row.check_recovery(&server, &api, &reason).await;
    }
    assert_eq!(elsewhere.journal().entries().len(), 0, "a redirect was followed");
}

#[tokio::test]
async fn without_a_token_the_call_fails_with_the_reason_and_nothing_is_sent() {
    let elsewhere = FakeTeamUp::start().await;
    for (row, protocol) in table(&elsewhere.url("/echo")).iter().zip(alternating()) {
        let server = FakeTeamUp::start().await;
        let api = api(&server, protocol, expired_tokens(&server)).await;
        row.inject(&server);
        let error = call(&api, get(&server, "/echo", "first")).await.unwrap_err();
        let error = error.downcast_ref().expect("an error of this crate");
        row.check(&server, error);
        assert_eq!(server.api_requests(), 0, "{row}");
        row.check_recovery(&server, &api, error).await;
    }
    assert_eq!(elsewhere.journal().entries().len(), 0, "a redirect was followed");
}

fn alternating() -> impl Iterator<Item = Protocol> {
    Protocol::BOTH.into_iter().cycle()
}

#[tokio::test]
async fn teamups_own_words_and_its_wish_to_be_left_alone_are_in_the_error() {
    let server = FakeTeamUp::start().await;
    let api = api(&server, Protocol::Http1, server.issue_tokens(&[Provider])).await;
    server.expire_access_tokens();
    server.fail_refresh(Fault::status(StatusCode::TOO_MANY_REQUESTS).retry_after(HOUR / 2));
    let answer = call(&api, get(&server, "/echo", "first")).await.unwrap();
    let reason = answer.reason.unwrap();
    let refresh_error = reason.refresh_error().unwrap();
    assert_eq!(refresh_error.retry_after(), Some(HOUR / 2));
    assert_eq!(refresh_error.status(), Some(StatusCode::TOO_MANY_REQUESTS));
    let api_error = reason.api_error().unwrap();
    assert_eq!(
        (&*api_error.code, &*api_error.error_type, &*api_error.message),
        ("fault", "invalid_request_error", "This answer is a fault made on purpose.")
    );
}

#[tokio::test]
async fn p5_an_error_body_that_quotes_the_refresh_token_is_shown_without_it() {
    let server = FakeTeamUp::start().await;
    let tokens = server.issue_tokens(&[Provider]);
    let token = tokens.refresh_token().expose().to_owned();
    let api = api(&server, Protocol::Http1, tokens).await;
    server.expire_access_tokens();
    let body = format!(r#"{{"code": "invalid_grant", "message": "What is {token}?"}}"#);
    server.fail_refresh(Fault::status(StatusCode::BAD_REQUEST).body("application/json", body));
    let answer = call(&api, get(&server, "/echo", "first")).await.unwrap();
    let words = words(&answer.reason.unwrap());
    assert_no_token(&words);
    assert!(words.contains("What is [refresh token]?"), "{words}");
}

#[tokio::test]
async fn p10_access_token_that_arrived_is_used_whatever_is_odd_about_its_response() {
    for (fault, keeps_rotated) in [
        (Fault::missing_key("expires_in"), true),
        (Fault::missing_key("refresh_token"), false),
        (Fault::empty_value("refresh_token"), false),
        (Fault::oversized(), true),
        (Fault::content_type("text/plain"), true),
    ] {
        let server = FakeTeamUp::start().await;
        let api = api(&server, Protocol::Http1, expired_tokens(&server)).await;
        server.fail_every_refresh(fault.clone());
        for number in 0..20 {
            assert_eq!(status(&api, &server, number).await, 200, "{fault:?}");
        }
        assert_eq!((server.refresh_requests(), server.rotations()), (1, 1), "{fault:?}");
        if keeps_rotated {
            server.expire_access_tokens();
            assert_eq!(status(&api, &server, "after its end").await, 200, "{fault:?}");
            assert_eq!((server.refresh_requests(), server.double_spends()), (2, 0), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn whatever_the_lifetime_says_the_fresh_pair_is_used() {
    for (json, is_known) in [
        ("null", false),
        ("0", false),
        ("-1", false),
        ("1e300", true),
        ("\"7200\"", true),
        ("7200.5", true),
        ("\"soon\"", false),
        ("true", false),
        ("7200", true),
    ] {
        let server = FakeTeamUp::builder().expires_in(json).start().await;
        let client = Protocol::Http1.client();
        let store = MemoryStore::with_record(expired_tokens(&server));
        let builder = credentials(&server, &client).store(store.clone());
        let api = layered(builder.build().await.unwrap(), client);
        for number in 0..3 {
            assert_eq!(status(&api, &server, number).await, 200, "{json}");
        }
        assert_eq!(server.refresh_requests(), 1, "{json}: one token serves them all");
        let kept = store.load().await.unwrap().unwrap();
        assert_eq!(kept.tokens().unwrap().expires_at(Provider).is_some(), is_known, "{json}");
        // Known or not, its end shows in a 401, and the rotated token was kept.
        server.expire_access_tokens();
        assert_eq!(status(&api, &server, "after its end").await, 200, "{json}");
        assert_eq!((server.rotations(), server.double_spends()), (2, 0), "{json}");
    }
}
