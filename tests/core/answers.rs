//! What the endpoint may answer instead of tokens: each a classed error, in which nothing of the
//! body's secrets is repeated.

use http::StatusCode;
use tower_teamup_auth::refresh::FailureClass::{
    self, Configuration, NotTheEndpoint, OutcomeUnknown, ProbablyRejected, Rejected, Transient,
};

use crate::support::refresh_answers::RefreshAnswer;
use crate::support::server::Server;
use crate::support::*;

struct Case {
    answer: RefreshAnswer,
    class: FailureClass,
    /// What the error or what lies behind it says.
    says: &'static str,
}

fn of_type(content_type: &str, body: &str) -> RefreshAnswer {
    RefreshAnswer::Answered(200, vec![("content-type", content_type.to_owned())], body.to_owned())
}

/// A good answer, with one thing replaced by another.
fn with(from: &str, to: &str) -> RefreshAnswer {
    let good = good_body();
    assert!(good.contains(from));
    RefreshAnswer::json(200, good.replace(from, to))
}

fn good_body() -> String {
    format!(
        r#"{{"access_token":"{SECRET}-a","expires_in":7200,"refresh_token":"{SECRET}-refresh-0"}}"#
    )
}

fn cases() -> Vec<Case> {
    let case = |class, says, answer| Case { answer, class, says };
    let unknown = |says, answer| case(OutcomeUnknown, says, answer);
    let not_the_endpoint = |says, answer| case(NotTheEndpoint, says, answer);
    let configuration = |body: &str| case(Configuration, "TeamUp", RefreshAnswer::json(403, body));
    let mut compressed = vec![("content-type", "application/json".to_owned())];
    compressed.push(("content-encoding", "gzip".to_owned()));
    let redirect = vec![("location", format!("https://evil.test/?token={SECRET}"))];
    vec![
        unknown("has no `access_token`", with("access_token", "excess_token")),
        unknown("no usable text as its `access_token`", with("\"s3cret-a\"", "\"\"")),
        unknown("no usable text as its `access_token`", with("\"s3cret-a\"", "null")),
        unknown("no usable text as its `access_token`", with("\"s3cret-a\"", "[\"s3cret-a\"]")),
        unknown("no usable text as its `access_token`", with("s3cret-a", "s3cret\\u0000a")),
        unknown("no usable text as its `access_token`", with("s3cret-a", "s3cret-ä")),
        unknown("is not a JSON object", RefreshAnswer::json(200, format!("{SECRET} is no JSON"))),
        unknown("is not a JSON object", RefreshAnswer::json(200, format!("[\"{SECRET}\"]"))),
        unknown("is not a JSON object", RefreshAnswer::json(200, "")),
        unknown("is not a JSON object", RefreshAnswer::json(200, &good_body()[..40])),
        unknown("is not a JSON object", RefreshAnswer::json(204, "")),
        unknown(
            "longer than 64 KiB",
            RefreshAnswer::json(200, " ".repeat(64 * 1024) + &good_body()),
        ),
        unknown(
            "is compressed",
            RefreshAnswer::Answered(200, compressed, format!("\u{1F}{SECRET}")),
        ),
        unknown("a gateway", of_type_with(502, "text/html", SECRET)),
        unknown("a gateway", of_type_with(504, "text/html", SECRET)),
        not_the_endpoint("neither JSON nor XML", of_type("text/html", SECRET)),
        not_the_endpoint("neither JSON nor XML", of_type("text/html", &format!("<p>{SECRET}"))),
        not_the_endpoint("neither JSON nor XML", of_type("text/plain", SECRET)),
        not_the_endpoint("redirect", RefreshAnswer::Answered(301, redirect.clone(), good_body())),
        not_the_endpoint("redirect", RefreshAnswer::Answered(302, redirect.clone(), good_body())),
        not_the_endpoint("redirect", RefreshAnswer::Answered(307, redirect.clone(), good_body())),
        not_the_endpoint("redirect", RefreshAnswer::Answered(308, redirect, good_body())),
        not_the_endpoint("status that has no meaning", RefreshAnswer::json(404, good_body())),
        not_the_endpoint("status that has no meaning", RefreshAnswer::json(418, good_body())),
        not_the_endpoint("not in TeamUp's words", RefreshAnswer::json(400, good_body())),
        not_the_endpoint("not in TeamUp's words", of_type_with(401, "text/html", "<html>")),
        not_the_endpoint("not in TeamUp's words", of_type_with(403, "text/html", "<html>")),
        configuration(r#"{"field_errors":{"scope":["no"]}}"#),
        configuration(r#"{"code":"mode_not_allowed"}"#),
        case(
            ProbablyRejected,
            "does not document",
            RefreshAnswer::json(400, r#"{"code":"odd","type":"conflict"}"#),
        ),
        case(Rejected, "refused the refresh token", RefreshAnswer::rejected(400)),
        case(Rejected, "refused the refresh token", RefreshAnswer::rejected(401)),
        case(Transient, "could not serve", of_type_with(429, "text/html", SECRET)),
        case(Transient, "could not serve", of_type_with(503, "text/html", SECRET)),
    ]
}

fn of_type_with(status: u16, content_type: &str, body: &str) -> RefreshAnswer {
    RefreshAnswer::Answered(
        status,
        vec![("content-type", content_type.to_owned())],
        body.to_owned(),
    )
}

/// What an error says, and what lies behind it.
fn all_words(error: &dyn std::error::Error) -> String {
    let behind = error.source().map(all_words).unwrap_or_default();
    format!("{error} | {behind}")
}

#[tokio::test(start_paused = true)]
async fn p5_each_bad_answer_is_a_classed_error_that_repeats_no_secret() {
    for Case { answer, class, says } in cases() {
        for rejected in [false, true] {
            let server = Server::new();
            server.every_answer(answer.clone());
            let client = if rejected {
                client(&good(&server).await, &server)
            } else {
                client(&expired(&server).await, &server)
            };
            server.expire_everything();
            let answered = send(&client, get("/events")).await;
            // A 401 passes with the reason beside it; without a token the error is the answer.
            let error = if rejected { reason(&answered) } else { failure(answered) };
            let words = all_words(&error);
            assert!(words.contains(says), "{says}: {words}");
            for text in [words, format!("{error:?}"), format!("{error:#?}")] {
                assert!(!text.contains(SECRET), "{text}");
            }
            let cause = error.refresh_error().expect("the refresh request's own account");
            assert_eq!(cause.class(), class, "{says}");
            assert!(cause.status().is_some());
            let questions = [
                error.is_transient(),
                error.is_login_required(),
                error.is_outcome_unknown(),
                error.is_protocol(),
                error.is_configuration(),
            ];
            let expected = [
                class == Transient,
                matches!(class, Rejected | ProbablyRejected),
                class == OutcomeUnknown,
                class == NotTheEndpoint,
                class == Configuration,
            ];
            assert_eq!(questions, expected, "{says}");

            // What is unknown or may pass is tried once more, what is certain is not.
            let refresh_requests = server.seen_refresh_requests().len();
            match class {
                OutcomeUnknown | Transient => assert_eq!(refresh_requests, 2, "{says}"),
                _ => assert_eq!(refresh_requests, 1, "{says}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn response_of_64_kib_is_read() {
    let server = Server::new();
    let mut body = good_body();
    body.insert_str(0, &" ".repeat(64 * 1024 - body.len()));
    server.next_answers([RefreshAnswer::json(200, body)]);
    server.revive(Provider, "s3cret-a");
    assert_eq!(status(&client(&expired(&server).await, &server)).await, StatusCode::OK);
    assert_eq!(server.seen_refresh_requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn teamups_own_words_reach_the_program_without_the_token_in_them() {
    let server = Server::new();
    let said = format!(
        r#"{{"code":"invalid_grant","message":"token {SECRET}-refresh-0 is spent","type":"invalid_request_error",
            "field_errors":{{"refresh_token":["unknown: {SECRET}-refresh-0"],"non_field_errors":["no"]}}}}"#
    );
    server.every_answer(RefreshAnswer::json(400, said));
    let error = failure(send(&client(&expired(&server).await, &server), get("/events")).await);
    let api_error = error.api_error().unwrap();
    assert_eq!(api_error.code, "invalid_grant");
    assert_eq!(api_error.error_type, "invalid_request_error");
    assert_eq!(api_error.message, "token [refresh token] is spent");
    assert_eq!(api_error.field_errors["refresh_token"], ["unknown: [refresh token]"]);
    assert_eq!(api_error.field_errors["non_field_errors"], ["no"]);
    assert!(!format!("{error:?} {}", all_words(&error)).contains(SECRET));
}

#[tokio::test(start_paused = true)]
async fn p5_error_of_a_client_that_quotes_the_request_is_redacted() {
    let server = Server::new();
    server.every_answer(RefreshAnswer::Quoted);
    let error = failure(send(&client(&expired(&server).await, &server), get("/events")).await);
    let words = all_words(&error);
    assert!(words.contains("could not send") && words.contains("[refresh token]"), "{words}");
    assert!(!format!("{error:?} {words}").contains(SECRET), "{words}");
}

#[tokio::test(start_paused = true)]
async fn refresh_request_is_the_documented_one() {
    let server = Server::new();
    let credentials = builder(&server)
        .tokens(server.bare_tokens())
        .scope(["read_write", "provider:54664"])
        .provider_id(54664)
        .build()
        .await
        .unwrap();
    assert_eq!(status(&client(&credentials, &server)).await, StatusCode::OK);
    let [refresh_request] = &server.seen_refresh_requests()[..] else {
        panic!("one refresh request")
    };
    assert_eq!(refresh_request.method, http::Method::POST);
    assert_eq!(
        refresh_request.uri.to_string(),
        "https://api.test/api/v2/auth/refresh_access_token"
    );
    assert_eq!(refresh_request.headers["content-type"], "application/json");
    assert_eq!(refresh_request.headers["accept"], "application/json");
    assert_eq!(refresh_request.headers["accept-encoding"], "identity");
    assert_eq!(refresh_request.headers.len(), 3);
    let body: serde_json::Value = serde_json::from_slice(&refresh_request.body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "refresh_token": "s3cret-refresh-0",
            "scope": ["read_write", "provider:54664"],
            "new_access_token_type": "provider",
        })
    );
}
