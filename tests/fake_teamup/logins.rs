//! Several logins in one server, modes that are refused, M2M tokens, and who one is.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use serde_json::json;
use tower_teamup_auth::RequestMode::{Customer, Provider};
use tower_teamup_auth::testing::login::CLIENT_ID;
use tower_teamup_auth::testing::{
    CALLER, FakeTeamUp, Fault, RefreshOutcome, Refusal, Route, SpentTokens,
};
use tower_teamup_auth::{PROVIDER_ID, RequestMode};

use crate::client::{Client, full, get};

#[tokio::test]
async fn p11_the_journal_says_which_login_a_token_belongs_to() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let anna = server.issue_tokens_to("anna", &[Customer]);
    let ben = server.issue_tokens_to("ben", &[Customer]);
    let again = server.issue_tokens_to("anna", &[Customer]);
    for tokens in [&anna, &ben, &again] {
        let token = tokens.access_token(Customer).unwrap().expose();
        client.get(&server, "/echo", token, Customer).await;
    }
    let rotated = client.refresh(&server, ben.refresh_token().expose(), "customer").await;
    client.get(&server, "/echo", &rotated.text("access_token"), Customer).await;
    client.get(&server, "/echo", "nobody's", Customer).await;
    client.get(&server, "/echo", server.issue_m2m().expose(), Provider).await;

    let journal = server.journal();
    let seen: Vec<_> =
        journal.entries().iter().map(|entry| (entry.login(), entry.account())).collect();
    let (first, second, third) =
        ((Some(1), Some("anna")), (Some(2), Some("ben")), (Some(3), Some("anna")));
    assert_eq!(seen, [first, second, third, second, second, (None, None), (None, None)]);
    assert_eq!(server.login_of(again.refresh_token().expose()), Some(3));

    // Logins of one account are revoked apart from each other.
    server.revoke_login(1);
    for (tokens, status) in [(&anna, 400), (&again, 200)] {
        let token = tokens.refresh_token().expose();
        assert_eq!(client.refresh(&server, token, "customer").await.status, status);
    }
}

#[tokio::test]
async fn p11_a_retry_with_the_token_of_another_login_is_counted() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let (anna, ben) = (server.issue_tokens(&[Customer]), server.issue_tokens(&[Customer]));
    server.expire_access_tokens();
    let call = async |caller: &str, refresh_token: Option<&str>| {
        let token = match refresh_token {
            None => anna.access_token(Customer).unwrap().expose().to_owned(),
            Some(token) => client.refresh(&server, token, "customer").await.text("access_token"),
        };
        let mut request = get(&server, "/echo", &token, Customer);
        request.headers_mut().insert(CALLER, caller.parse().unwrap());
        client.answer(request).await.status
    };
    assert_eq!(call("good", None).await, 401);
    assert_eq!(call("good", Some(anna.refresh_token().expose())).await, 200);
    assert_eq!((server.retries(), server.mixed_logins()), (1, 0));
    assert_eq!(call("mixed", None).await, 401);
    assert_eq!(call("mixed", Some(ben.refresh_token().expose())).await, 200);
    assert_eq!((server.retries(), server.mixed_logins()), (2, 1));
    assert!(server.journal().entries().last().unwrap().is_mixed_login());
}

#[tokio::test]
async fn accounts_share_a_rate_limit_whatever_the_login() {
    let server = FakeTeamUp::builder().rate_limit(250).start().await;
    let client = Client::http2();
    let logins = [(); 2].map(|()| server.issue_tokens_to("anna", &[Customer]));
    for number in 0..250 {
        let token = logins[number % 2].access_token(Customer).unwrap().expose();
        assert_eq!(client.get(&server, "/echo", token, Customer).await.status, 200);
    }
    let token = logins[0].access_token(Customer).unwrap().expose();
    let limited = client.get(&server, "/echo", token, Customer).await;
    // TeamUp documents no `Retry-After`.
    assert_eq!((limited.status.as_u16(), limited.header("retry-after")), (429, None));
    server.advance(Duration::from_secs(60));
    assert_eq!(client.get(&server, "/echo", token, Customer).await.status, 200);
}

#[tokio::test]
async fn b3_a_refused_mode_leaves_the_refresh_token_and_the_other_mode_alone() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&RequestMode::ALL);
    server.refuse_mode(Customer, true);
    let token = tokens.refresh_token().expose();
    let refused = client.refresh(&server, token, "customer").await;
    assert_eq!(
        (refused.status.as_u16(), refused.text("code")),
        (403, "mode_not_allowed".to_owned())
    );
    assert_eq!(server.journal().entries()[0].refresh_outcome(), Some(RefreshOutcome::Rejected));
    let rotated = client.refresh(&server, token, "provider").await;
    assert_eq!((rotated.status, server.double_spends()), (StatusCode::OK, 0));
    server.refuse_mode(Customer, false);
    let token = rotated.text("refresh_token");
    assert_eq!(client.refresh(&server, &token, "customer").await.status, 200);
}

#[tokio::test]
async fn a_spent_refresh_token_ends_its_login_or_not_as_told() {
    let client = Client::http1();
    for (spent_tokens, reused, newest) in [
        (SpentTokens::RevokeLogin, 401, 401),
        (SpentTokens::Refuse, 401, 200),
        (SpentTokens::Accept, 200, 200),
    ] {
        let server = FakeTeamUp::builder()
            .spent_tokens(spent_tokens)
            .refused_refresh_status(StatusCode::UNAUTHORIZED)
            .refused_refresh_code("authentication_failed")
            .start()
            .await;
        let tokens = server.issue_tokens(&[]);
        let token = tokens.refresh_token().expose();
        let rotated = client.refresh(&server, token, "customer").await;
        let again = client.refresh(&server, token, "customer").await;
        assert_eq!(again.status, reused, "{spent_tokens:?}");
        if reused == 401 {
            assert_eq!(again.text("code"), "authentication_failed");
        }
        assert_eq!(server.double_spends(), usize::from(reused == 401), "{spent_tokens:?}");
        let next = client.refresh(&server, &rotated.text("refresh_token"), "customer").await;
        assert_eq!(next.status, newest, "{spent_tokens:?}");
    }
}

#[tokio::test]
async fn e1_a_request_that_is_carried_out_is_redirected_also_to_its_own_url() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[Customer]);
    let token = tokens.access_token(Customer).unwrap().expose();
    server.serve_json("/bookings", "[]");
    let list = server.url("/bookings");
    server.redirect(Method::POST, "/bookings", StatusCode::SEE_OTHER, &list);

    let mut booking = get(&server, "/bookings", token, Customer);
    *booking.method_mut() = Method::POST;
    let answer = client.answer(booking).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, Some(&*list)));
    assert_eq!(client.get(&server, "/bookings", token, Customer).await.status, 200);
    let journal = server.journal();
    let carried_out = |entry: &&tower_teamup_auth::testing::Entry| entry.is_authorized();
    assert_eq!(journal.entries().iter().filter(carried_out).count(), 2);

    // Nobody is redirected who is not let in.
    let mut refused = get(&server, "/bookings", "old", Customer);
    *refused.method_mut() = Method::POST;
    assert_eq!(client.answer(refused).await.status, 401);
}

#[tokio::test]
async fn b5_one_route_answers_401_and_the_others_do_not() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[Customer]);
    let token = tokens.access_token(Customer).unwrap().expose();
    server.fail_path("/echo/locked", Fault::unauthorized());
    server.fail_api(Fault::status(StatusCode::BAD_GATEWAY));
    for (path, status) in
        [("/echo/locked", 401), ("/echo", 502), ("/echo/locked", 401), ("/echo", 200)]
    {
        assert_eq!(client.get(&server, path, token, Customer).await.status, status, "{path}");
    }
    server.clear_faults();
    assert_eq!(client.get(&server, "/echo/locked", token, Customer).await.status, 200);
}

#[tokio::test]
async fn e7_m2m_tokens_expire_are_revoked_and_overlap_two_at_a_time() {
    let server = FakeTeamUp::builder().require_provider(7).require_provider(8).start().await;
    let client = Client::http1();
    let old = server.issue_m2m_of(7, Some(Duration::from_secs(60)));
    let new = server.issue_m2m_of(7, None);
    for token in [&old, &new] {
        // It needs no header to say which provider it belongs to.
        let answer = client.get(&server, "/echo", token.expose(), Provider).await;
        assert_eq!(answer.status, 200);
    }
    let mut elsewhere = get(&server, "/echo", new.expose(), Provider);
    elsewhere.headers_mut().insert(PROVIDER_ID, "8".parse().unwrap());
    assert_eq!(client.answer(elsewhere).await.text("code"), "provider_invalid");

    let third = {
        let server = server.clone();
        tokio::spawn(async move { server.issue_m2m_of(7, None) })
    };
    assert!(third.await.unwrap_err().is_panic(), "two are valid already");
    server.issue_m2m_of(8, None);

    server.advance(Duration::from_secs(60));
    client.get(&server, "/echo", old.expose(), Provider).await;
    assert_eq!(server.journal().entries().last().unwrap().refusal(), Some(Refusal::ExpiredToken));
    let third = server.issue_m2m_of(7, None);
    server.revoke(&new);
    client.get(&server, "/echo", new.expose(), Provider).await;
    assert_eq!(server.journal().entries().last().unwrap().refusal(), Some(Refusal::RevokedToken));
    assert_eq!(client.get(&server, "/echo", third.expose(), Provider).await.status, 200);
}

#[tokio::test]
async fn says_which_application_and_which_profiles_there_are() {
    let server = FakeTeamUp::builder().require_provider(7).require_provider(8).start().await;
    let client = Client::http1();
    let application = async |id: Option<&str>| {
        let mut request = Request::get(server.url("/auth/application"));
        if let Some(id) = id {
            request = request.header("TeamUp-Client-ID", id);
        }
        client.answer(request.body(full("")).unwrap()).await
    };
    assert_eq!(application(None).await.status, 400);
    assert_eq!(application(Some("another")).await.status, 401);
    let answer = application(Some(CLIENT_ID)).await.json();
    let ids = |list: &serde_json::Value, key: &str| -> Vec<_> {
        list.as_array().unwrap().iter().map(|item| item[key].clone()).collect()
    };
    assert_eq!(ids(&answer["scoped_providers"], "id"), [7, 8]);

    // Before it is known, no mode and no provider can be named.
    let tokens = server.issue_tokens(&[Customer]);
    let bearer = format!("Bearer {}", tokens.access_token(Customer).unwrap().expose());
    let profiles = Request::get(server.url("/auth/profiles"));
    let unknown = profiles.body(full("")).unwrap();
    assert_eq!(client.answer(unknown).await.status, 401);
    let profiles = Request::get(server.url("/auth/profiles")).header("authorization", bearer);
    let answer = client.answer(profiles.body(full("")).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(ids(&answer.json()["results"], "provider"), [7, 7, 8, 8]);
    assert_eq!(answer.json()["results"][0]["type"], json!("customer"));
    assert_eq!(server.journal().entries().last().unwrap().route(), Route::Profiles);
}
