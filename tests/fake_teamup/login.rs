//! How first tokens are issued: the authorize page, the code, the password.

use std::time::Duration;

use http::{Request, Uri};
use serde_json::json;
use tower_teamup_auth::RequestMode::{Customer, Provider};
use tower_teamup_auth::testing::login::{
    CLIENT_ID, CLIENT_SECRET, DIRECT_AUTH_KEY, PASSWORD, USERNAME,
};
use tower_teamup_auth::testing::{FakeTeamUp, Route};

use crate::client::{Answer, Client, full};

const CALLBACK: &str = "http://127.0.0.1:9/callback";
// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

type Fields<'a> = Vec<(&'a str, &'a str)>;

fn encode(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// A valid request for authorization.
fn asking() -> Fields<'static> {
    vec![
        ("client_id", CLIENT_ID),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "read_write provider:7"),
        ("state", "s<&>"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

/// The same fields with one changed; `None` leaves it out.
fn but<'a>(mut fields: Fields<'a>, name: &'a str, value: Option<&'a str>) -> Fields<'a> {
    fields.retain(|(key, _)| *key != name);
    fields.extend(value.map(|value| (name, value)));
    fields
}

struct Browser {
    client: Client,
    server: FakeTeamUp,
}

impl Browser {
    async fn new() -> Self {
        Browser { client: Client::http1(), server: FakeTeamUp::start().await }
    }

    async fn open(&self, query: &[(&str, &str)]) -> Answer {
        let url = format!("{}?{}", self.server.authorize_url(), encode(query));
        self.client.answer(Request::get(url).body(full("")).unwrap()).await
    }

    async fn decide(&self, query: &[(&str, &str)], decision: &str) -> Answer {
        let url = format!("{}?{}", self.server.authorize_url(), encode(query));
        self.post(&url, &[("decision", decision)]).await
    }

    async fn post(&self, url: &str, fields: &[(&str, &str)]) -> Answer {
        let request = Request::post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(full(encode(fields)))
            .unwrap();
        self.client.answer(request).await
    }

    /// Approves, and takes the code from the way back.
    async fn code(&self, query: &[(&str, &str)]) -> String {
        let answer = self.decide(query, "approve").await;
        let way_back = way_back(&answer);
        assert_eq!(way_back[1], ("state".to_owned(), "s<&>".to_owned()));
        assert_eq!(way_back[0].0, "code");
        way_back[0].1.clone()
    }

    async fn redeem(&self, fields: &[(&str, &str)]) -> Answer {
        self.post(&self.server.token_url(), fields).await
    }
}

/// The parameters that the browser is sent back with.
fn way_back(answer: &Answer) -> Vec<(String, String)> {
    assert_eq!(answer.status, 303, "{answer:?}");
    let location: Uri = answer.header("location").unwrap().parse().unwrap();
    assert_eq!(location.path(), "/callback");
    form_urlencoded::parse(location.query().unwrap().as_bytes()).into_owned().collect()
}

fn redeeming(code: &str) -> Fields<'_> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT_ID),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ]
}

#[tokio::test]
async fn a_person_approves_and_the_program_gets_working_tokens() {
    let browser = Browser::new().await;
    let page = browser.open(&asking()).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    for part in [CLIENT_ID, USERNAME, "provider:7", "id=\"approve\"", "id=\"deny\"", CALLBACK] {
        assert!(html.contains(part), "{part}: {html}");
    }

    let code = browser.code(&asking()).await;
    let answer = browser.redeem(&redeeming(&code)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let keys: Vec<_> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["access_token", "expires_in", "refresh_token"]);
    let access = answer.text("access_token");
    let (client, server) = (&browser.client, &browser.server);
    assert_eq!(client.get(server, "/events", &access, Customer).await.status, 200);
    let refresh = answer.text("refresh_token");
    assert_eq!(client.refresh(server, &refresh, "provider").await.status, 200);

    let journal = server.journal();
    let routes: Vec<_> = journal.entries().iter().map(|entry| entry.route()).collect();
    assert_eq!(routes[..3], [Route::Authorize, Route::Authorize, Route::OAuthToken]);
    assert!(!format!("{journal} {journal:?}").contains(&code));
    assert_eq!(server.api_requests(), 1);
}

#[tokio::test]
async fn a_person_denies() {
    let browser = Browser::new().await;
    let denied = browser.decide(&asking(), "deny").await;
    let expected = [("error", "access_denied"), ("state", "s<&>")];
    assert_eq!(way_back(&denied), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let undecided = browser.decide(&asking(), "perhaps").await;
    assert_eq!(undecided.status, 400);
}

#[tokio::test]
async fn the_state_can_come_back_wrong_or_was_never_sent() {
    let browser = Browser::new().await;
    let stateless = but(asking(), "state", None);
    let answer = browser.decide(&stateless, "approve").await;
    assert_eq!(way_back(&answer).len(), 1);
    browser.server.answer_with_wrong_state(true);
    let answer = browser.decide(&asking(), "approve").await;
    assert_ne!(way_back(&answer)[1].1, "s<&>");
}

#[tokio::test]
async fn nobody_is_sent_anywhere_before_application_and_address_are_known() {
    let browser = Browser::new().await;
    for query in [
        but(asking(), "client_id", None),
        but(asking(), "client_id", Some("another")),
        but(asking(), "redirect_uri", None),
        but(asking(), "redirect_uri", Some("https://thief.example/callback")),
        but(asking(), "redirect_uri", Some("http://127.0.0.1.thief.example/callback")),
        but(asking(), "redirect_uri", Some("http://127.0.0.1:9/callback#here")),
        [asking(), vec![("state", "another")]].concat(),
    ] {
        for answer in [browser.open(&query).await, browser.decide(&query, "approve").await] {
            assert_eq!(answer.status, 400, "{query:?}");
            assert_eq!(answer.header("location"), None, "{query:?}");
            assert!(String::from_utf8_lossy(&answer.body).contains("id=\"error\""));
        }
    }
}

#[tokio::test]
async fn other_mistakes_are_told_to_the_program() {
    let browser = Browser::new().await;
    for (name, value, error) in [
        ("response_type", None, "invalid_request"),
        ("response_type", Some("token"), "unsupported_response_type"),
        ("scope", None, "invalid_scope"),
        ("scope", Some("provider:7"), "invalid_scope"),
        ("scope", Some("read_write everything"), "invalid_scope"),
        ("code_challenge", Some("too-short"), "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
    ] {
        let answer = browser.open(&but(asking(), name, value)).await;
        let way_back = way_back(&answer);
        assert_eq!(way_back[0], ("error".to_owned(), error.to_owned()), "{name} {value:?}");
        assert_eq!(way_back.last().unwrap().1, "s<&>");
    }

    let server =
        FakeTeamUp::builder().require_provider(8).allow_redirect("app:/callback").start().await;
    let strict = Browser { client: Client::http1(), server };
    let answer = strict.open(&asking()).await;
    assert_eq!(way_back(&answer)[0].1, "invalid_scope");
    let elsewhere = but(asking(), "redirect_uri", Some("app:/callback"));
    let elsewhere = but(elsewhere, "scope", Some("read_write provider:8"));
    assert_eq!(strict.open(&elsewhere).await.status, 200);
}

#[tokio::test]
async fn a_code_is_redeemed_by_who_asked_for_it_and_by_nobody_else() {
    let browser = Browser::new().await;
    let code = browser.code(&asking()).await;
    let wrong_verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXX";
    for (name, value, status, error) in [
        ("grant_type", Some("password"), 400, "unsupported_grant_type"),
        ("client_id", Some("another"), 401, "invalid_client"),
        ("client_secret", Some("wrong"), 401, "invalid_client"),
        ("code", None, 400, "invalid_request"),
        ("code", Some("another"), 400, "invalid_grant"),
        ("redirect_uri", None, 400, "invalid_request"),
        ("redirect_uri", Some("http://127.0.0.1:10/callback"), 400, "invalid_grant"),
        ("code_verifier", None, 400, "invalid_grant"),
        ("code_verifier", Some(wrong_verifier), 400, "invalid_grant"),
    ] {
        let answer = browser.redeem(&but(redeeming(&code), name, value)).await;
        assert_eq!(answer.status, status, "{name} {value:?}");
        assert_eq!((answer.text("error"), answer.text("code")), (error.into(), error.into()));
        assert!(answer.json()["error_description"].is_string());
    }
    let json = Request::post(browser.server.token_url())
        .header("content-type", "application/json")
        .body(full(json!({ "code": code }).to_string()))
        .unwrap();
    assert_eq!(browser.client.answer(json).await.status, 415);

    // None of these spent the code.
    let answer = browser.redeem(&but(redeeming(&code), "grant_type", None)).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_secret_does_where_there_was_no_challenge() {
    let browser = Browser::new().await;
    let plain = but(but(asking(), "code_challenge", None), "code_challenge_method", None);
    let code = browser.code(&plain).await;
    let proof = |secret| but(but(redeeming(&code), "code_verifier", None), "client_secret", secret);
    assert_eq!(browser.redeem(&redeeming(&code)).await.text("error"), "invalid_grant");
    assert_eq!(browser.redeem(&proof(None)).await.text("error"), "invalid_client");
    assert_eq!(browser.redeem(&proof(Some("wrong"))).await.text("error"), "invalid_client");
    assert_eq!(browser.redeem(&proof(Some(CLIENT_SECRET))).await.status, 200);
}

#[tokio::test]
async fn a_code_that_comes_twice_revokes_what_it_brought_and_an_old_one_is_refused() {
    let browser = Browser::new().await;
    let code = browser.code(&asking()).await;
    let first = browser.redeem(&redeeming(&code)).await;
    assert_eq!(browser.redeem(&redeeming(&code)).await.text("error"), "invalid_grant");
    let access = first.text("access_token");
    let (client, server) = (&browser.client, &browser.server);
    assert_eq!(client.get(server, "/events", &access, Customer).await.status, 401);
    let refresh = first.text("refresh_token");
    assert_eq!(client.refresh(server, &refresh, "customer").await.status, 400);

    let code = browser.code(&asking()).await;
    server.advance(Duration::from_secs(600));
    assert_eq!(browser.redeem(&redeeming(&code)).await.text("error"), "invalid_grant");
}

fn logging_in() -> Fields<'static> {
    vec![("username", USERNAME), ("password", PASSWORD), ("direct_auth_key", DIRECT_AUTH_KEY)]
}

#[tokio::test]
async fn a_password_brings_tokens_of_the_mode_asked_for() {
    let server = FakeTeamUp::builder().login_mode(Provider).start().await;
    let browser = Browser { client: Client::http1(), server };
    let url = browser.server.password_login_url();
    let answer = browser.post(&url, &logging_in()).await;
    assert_eq!(answer.status, 200);
    let access = answer.text("access_token");
    let events = browser.client.get(&browser.server, "/events", &access, Provider).await;
    assert_eq!(events.status, 200);

    let in_json = Request::post(&url)
        .header("content-type", "application/json")
        .body(full(serde_json::Value::from_iter(logging_in()).to_string()))
        .unwrap();
    assert_eq!(browser.client.answer(in_json).await.status, 200);

    for (name, value, status) in [
        ("password", Some("wrong"), 401),
        ("username", Some("bob@example.com"), 401),
        ("direct_auth_key", Some("wrong"), 403),
    ] {
        let answer = browser.post(&url, &but(logging_in(), name, value)).await;
        assert_eq!(answer.status, status, "{name}");
    }
    let answer = browser.post(&url, &[]).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["field_errors"].as_object().unwrap().len(), 3);
}

/// The flow as TeamUp documents it, field by field.
#[tokio::test]
async fn g1_two_factors_make_a_pending_login_at_the_top_level_first() {
    let server = FakeTeamUp::builder().two_factor("123456").require_provider(8).start().await;
    let browser = Browser { client: Client::http1(), server };
    let url = browser.server.password_login_url();
    let pending = browser.post(&url, &logging_in()).await;
    assert_eq!(pending.status, 200);
    let pending = pending.json();
    assert_eq!(pending["object"], "pending_login");
    let id = pending["id"].as_str().unwrap();
    let groups: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12], "{id} is a UUID");
    assert!(pending["created_at"].as_str().unwrap().ends_with('Z'));
    assert!(pending["user"].is_u64());
    assert_eq!(pending["two_factor_required_providers"], json!([8]));
    assert_eq!(pending.get("access_token"), None);

    let at = |path: &str| browser.server.url(&format!("/auth/two_factor/{path}"));
    for (provider, required) in [("8", true), ("9", false)] {
        let url = format!("{}?provider={provider}", at("requirements"));
        let answer = browser.client.answer(Request::get(url).body(full("")).unwrap()).await;
        assert_eq!(answer.json()["two_factor_required"], required);
    }

    let starting = vec![
        ("phone_number", "+41791234567"),
        ("provider", "8"),
        ("direct_auth_key", DIRECT_AUTH_KEY),
        ("pending_login", id),
    ];
    for (name, value, status) in [
        ("phone_number", None, 400),
        ("phone_number", Some("+41791234567890123456"), 400),
        ("provider", Some("9"), 400),
        ("pending_login", Some("another"), 400),
        ("direct_auth_key", Some("another"), 403),
    ] {
        let wrong = but(starting.clone(), name, value);
        let answer = browser.post(&at("start_verification"), &wrong).await;
        assert_eq!(answer.status, status, "{name} {value:?}");
    }
    let verifying = |code| vec![("phone_number", "+41791234567"), ("verification_code", code)];
    assert_eq!(browser.post(&at("verify"), &verifying("123456")).await.status, 400);
    let started = browser.post(&at("start_verification"), &starting).await.json();
    assert_eq!(started["success"], true);
    assert!(started["message"].is_string() && started["expires_at"].is_string());

    for wrong in ["654321", "1234567"] {
        let answer = browser.post(&at("verify"), &verifying(wrong)).await;
        assert!(answer.json()["field_errors"]["verification_code"][0].is_string());
    }
    let verified = browser.post(&at("verify"), &verifying("123456")).await.json();
    assert_eq!(verified["success"], true);
    let key = verified["verification_key"].as_str().unwrap();
    assert!(key.len() <= 32);

    let with = |key| but(logging_in(), "verification_key", Some(key));
    let wrong = browser.post(&url, &with("654321")).await;
    assert!(wrong.json()["field_errors"]["verification_key"][0].is_string());
    let right = browser.post(&url, &with(key)).await;
    assert!(right.json()["access_token"].is_string());
    assert_eq!(browser.post(&url, &with(key)).await.status, 400);
}
