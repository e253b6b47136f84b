//! The refresh request: validation, rotation, reuse.

use std::time::Duration;

use http::{Request, StatusCode};
use serde_json::json;
use tower_teamup_auth::RequestMode::{Customer, Provider};
use tower_teamup_auth::testing::{FakeTeamUp, RefreshOutcome, Route};

use crate::client::{Client, full, refresh_request};

#[tokio::test]
async fn rotates_the_refresh_token_and_binds_the_access_token_to_the_mode() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[]);

    let answer = client.refresh(&server, tokens.refresh_token().expose(), "provider").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = answer.json();
    let keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["access_token", "expires_in", "refresh_token"]);
    assert_eq!(body["expires_in"], 7200);
    assert_ne!(answer.text("refresh_token"), tokens.refresh_token().expose());

    let access = answer.text("access_token");
    assert_eq!(client.get(&server, "/events", &access, Provider).await.status, 200);
    let in_the_wrong_mode = client.get(&server, "/events", &access, Customer).await;
    assert_eq!(in_the_wrong_mode.status, 403);
    assert_eq!(in_the_wrong_mode.text("code"), "mode_not_allowed");

    let again = client.refresh(&server, &answer.text("refresh_token"), "customer").await;
    assert_eq!(again.status, 200);
    assert_eq!((server.refresh_requests(), server.rotations()), (2, 2));
    assert_eq!((server.rotations_of(Customer), server.rotations_of(Provider)), (1, 1));
    let journal = server.journal();
    let entry = &journal.entries()[0];
    assert_eq!(entry.refresh_outcome(), Some(RefreshOutcome::Rotated(Provider)));
    assert!(entry.carried_refresh_token(tokens.refresh_token()));
}

#[tokio::test]
async fn a_token_without_a_type_acts_as_a_customer() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[]);
    let body = json!({ "refresh_token": tokens.refresh_token().expose(), "scope": ["read_write"] });
    let answer = client.answer(refresh_request(&server, body)).await;
    let access = answer.text("access_token");
    assert_eq!(client.get(&server, "/events", &access, Customer).await.status, 200);
}

#[tokio::test]
async fn a_spent_refresh_token_kills_its_family_and_no_other() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[Customer]);
    let others = server.issue_tokens(&[Customer]);
    let spent = tokens.refresh_token().expose();

    let rotated = client.refresh(&server, spent, "provider").await;
    let reused = client.refresh(&server, spent, "provider").await;
    assert_eq!(reused.status, 400);
    assert_eq!(reused.json()["code"], "invalid_grant");
    assert_eq!((server.double_spends(), server.rejected_refresh_requests()), (1, 0));

    // The newest refresh token and every access token of the family are dead.
    let newest = client.refresh(&server, &rotated.text("refresh_token"), "provider").await;
    assert_eq!(newest.status, 400);
    assert_eq!((server.double_spends(), server.rejected_refresh_requests()), (1, 1));
    let minted = rotated.text("access_token");
    assert_eq!(client.get(&server, "/events", &minted, Provider).await.status, 401);
    let old = tokens.access_token(Customer).unwrap().expose();
    assert_eq!(client.get(&server, "/events", old, Customer).await.status, 401);

    let other = others.access_token(Customer).unwrap().expose();
    assert_eq!(client.get(&server, "/events", other, Customer).await.status, 200);
    assert_eq!(
        client.refresh(&server, others.refresh_token().expose(), "customer").await.status,
        200
    );
}

#[tokio::test]
async fn says_in_teamups_form_what_is_wrong_with_a_request() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    for (body, field) in [
        (json!({}), "refresh_token"),
        (json!({ "refresh_token": "" }), "refresh_token"),
        (json!({ "refresh_token": 7 }), "refresh_token"),
        (json!({ "refresh_token": null }), "refresh_token"),
        (json!({ "refresh_token": "r", "scope": "read_write" }), "scope"),
        (json!({ "refresh_token": "r", "scope": [""] }), "scope"),
        (json!({ "refresh_token": "r", "scope": [1] }), "scope"),
        (json!({ "refresh_token": "r", "new_access_token_type": "x" }), "new_access_token_type"),
        (json!({ "refresh_token": "r", "new_access_token_type": null }), "new_access_token_type"),
        (json!(["refresh_token"]), "non_field_errors"),
    ] {
        let answer = client.answer(refresh_request(&server, body.clone())).await;
        assert_eq!(answer.status, 400, "{body}");
        let error = answer.json();
        assert_eq!(error["code"], "parameter_invalid", "{body}");
        assert_eq!(error["type"], "invalid_request_error", "{body}");
        assert!(error["message"].is_string(), "{body}");
        assert!(error["field_errors"][field][0].is_string(), "{body}: {error}");
        assert_eq!(error["field_errors"].as_object().unwrap().len(), 1, "{body}: {error}");
    }
    assert_eq!(server.rejected_refresh_requests(), server.refresh_requests());
    assert_eq!(server.rotations(), 0);
}

#[tokio::test]
async fn refuses_other_methods_forms_and_paths() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let place = server.url("/auth/refresh_access_token");
    let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
    let body = || full(json!({ "refresh_token": token }).to_string());
    let post = |url: &str| Request::post(url).header("content-type", "application/json");

    let get = client.answer(Request::get(&place).body(full("")).unwrap()).await;
    assert_eq!((get.status, get.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("POST")));
    let typeless = client.answer(Request::post(&place).body(body()).unwrap()).await;
    assert_eq!(typeless.status, 415);
    let format = client.answer(post(&format!("{place}?format=yaml")).body(body()).unwrap()).await;
    assert_eq!(format.status, 404);
    let garbled = client.answer(post(&place).body(full("{")).unwrap()).await;
    assert_eq!((garbled.status.as_u16(), garbled.text("code").as_str()), (400, "parse_error"));
    let large = client.answer(post(&place).body(full(vec![b' '; 65 * 1024])).unwrap()).await;
    assert_eq!(large.status, 413);
    assert_eq!(server.refresh_requests(), 5);

    // What the endpoint's page writes is no place of the server.
    let doubled = server.url("//auth/refresh_access_token");
    let doubled = client.answer(post(&doubled).body(body()).unwrap()).await;
    assert_eq!(doubled.status, 404);
    assert_eq!(server.refresh_requests(), 5);
    assert_eq!(server.journal().entries()[5].route(), Route::Unknown);

    // None of these spent the token.
    let valid = client.answer(post(&format!("{place}?format=json")).body(body()).unwrap()).await;
    assert_eq!(valid.status, 200);
}

#[tokio::test]
async fn answers_whatever_lifetime_it_is_told_to() {
    let server = FakeTeamUp::builder().expires_in("null").start().await;
    let client = Client::http1();
    let mut token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
    for (told, answered) in [
        (None, "null"),
        (Some("0"), "0"),
        (Some("-1"), "-1"),
        (Some("1e300"), "1e+300"),
        (Some("7200.5"), "7200.5"),
        (Some("\"7200\""), "\"7200\""),
        (Some("\"soon\""), "\"soon\""),
    ] {
        if told.is_some() {
            server.set_expires_in(told);
        }
        let answer = client.refresh(&server, &token, "customer").await;
        assert_eq!(answer.json()["expires_in"].to_string(), answered);
        token = answer.text("refresh_token");
    }
    server.set_expires_in(None);
    server.set_access_token_lifetime(Some(Duration::from_secs(60)));
    let answer = client.refresh(&server, &token, "customer").await;
    assert_eq!(answer.json()["expires_in"], 60);
    server.set_access_token_lifetime(None);
    let answer = client.refresh(&server, &answer.text("refresh_token"), "customer").await;
    assert!(answer.json()["expires_in"].is_null());
}

#[tokio::test]
async fn refresh_tokens_expire_and_are_refused_with_the_status_asked_for() {
    let server = FakeTeamUp::builder()
        .refresh_token_lifetime(Duration::from_secs(60))
        .refused_refresh_status(StatusCode::UNAUTHORIZED)
        .start()
        .await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[]);
    server.advance(Duration::from_secs(60));
    let expired = client.refresh(&server, tokens.refresh_token().expose(), "customer").await;
    assert_eq!(expired.status, 401);
    let unknown = client.refresh(&server, "never-issued", "customer").await;
    assert_eq!(unknown.status, 401);
    assert_eq!(server.rejected_refresh_requests(), 2);
}

#[tokio::test]
async fn a_rotation_can_revoke_the_access_token_of_its_mode() {
    let server = FakeTeamUp::builder().rotation_revokes_access_tokens(true).start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[Customer, Provider]);
    let rotated = client.refresh(&server, tokens.refresh_token().expose(), "customer").await;
    let access = |mode| tokens.access_token(mode).unwrap().expose().to_owned();
    assert_eq!(client.get(&server, "/echo", &access(Customer), Customer).await.status, 401);
    assert_eq!(client.get(&server, "/echo", &access(Provider), Provider).await.status, 200);
    let minted = rotated.text("access_token");
    assert_eq!(client.get(&server, "/echo", &minted, Customer).await.status, 200);
}
