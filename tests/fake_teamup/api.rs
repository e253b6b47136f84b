//! The API: who is let in, pages, uploads.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower_teamup_auth::RequestMode::{Customer, Provider};
use tower_teamup_auth::testing::{CALLER, FakeTeamUp, Refusal};
use tower_teamup_auth::{AuthScheme, PROVIDER_ID, REQUEST_MODE, RequestMode};

use crate::client::{Body, Client, full, get};

#[tokio::test]
async fn tells_apart_why_a_request_is_refused() {
    let server = FakeTeamUp::builder().challenges(true).start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&RequestMode::ALL);
    let good = tokens.access_token(Customer).unwrap().expose();
    let invalid_token = Some("Bearer error=\"invalid_token\"");

    let request = |headers: &[(&str, &str)]| {
        let mut request = Request::get(server.url("/events"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(full("")).unwrap()
    };
    let bearer = format!("Bearer {good}");
    let basic = format!("Basic {good}");
    let mode = ("teamup-request-mode", "customer");
    let (refused, not_allowed) = ((401, "authentication_failed"), (403, "mode_not_allowed"));
    for (headers, (status, code), challenge, refusal) in [
        (vec![mode], refused, Some("Bearer"), Refusal::NoToken),
        (
            vec![mode, ("authorization", &bearer), ("authorization", &bearer)],
            refused,
            Some("Bearer"),
            Refusal::NoToken,
        ),
        (vec![mode, ("authorization", &basic)], refused, invalid_token, Refusal::Scheme),
        (
            vec![mode, ("authorization", "Bearer nobody's")],
            refused,
            invalid_token,
            Refusal::UnknownToken,
        ),
        (vec![("authorization", &bearer)], not_allowed, None, Refusal::ModeMissing),
        (
            vec![("authorization", &bearer), ("teamup-request-mode", "provider")],
            not_allowed,
            None,
            Refusal::ModeMismatch,
        ),
        (
            vec![("authorization", &bearer), mode, ("teamup-request-mode", "customer")],
            not_allowed,
            None,
            Refusal::ModeMismatch,
        ),
    ] {
        let answer = client.answer(request(&headers)).await;
        assert_eq!((answer.status.as_u16(), answer.text("code").as_str()), (status, code));
        assert_eq!(answer.header("www-authenticate"), challenge, "{headers:?}");
        assert_eq!(answer.json()["type"], "invalid_request_error");
        assert_eq!(server.journal().entries().last().unwrap().refusal(), Some(refusal));
    }

    server.expire_access_tokens_of(Provider);
    assert_eq!(client.get(&server, "/events", good, Customer).await.status, 200);
    let provider = tokens.access_token(Provider).unwrap().expose();
    assert_eq!(client.get(&server, "/events", provider, Provider).await.status, 401);
    assert_eq!(server.journal().entries().last().unwrap().refusal(), Some(Refusal::ExpiredToken));
    server.revoke_everything();
    assert_eq!(client.get(&server, "/events", good, Customer).await.status, 401);
    assert_eq!(server.journal().entries().last().unwrap().refusal(), Some(Refusal::RevokedToken));
    let refused = client.refresh(&server, tokens.refresh_token().expose(), "customer").await;
    assert_eq!(refused.status, 400);
    assert_eq!((server.authorized(), server.unauthorized(), server.api_requests()), (1, 6, 10));
}

#[tokio::test]
async fn all_three_schemes_are_accepted_unless_one_is_chosen() {
    let server = FakeTeamUp::start().await;
    let strict = FakeTeamUp::builder().accept_scheme(AuthScheme::Token).start().await;
    let client = Client::http1();
    for scheme in ["Bearer", "JWT", "Token", "bearer"] {
        for (server, taken) in [(&server, true), (&strict, scheme == "Token")] {
            let tokens = server.issue_tokens(&[Customer]);
            let token = tokens.access_token(Customer).unwrap().expose();
            let mut request = get(server, "/echo", token, Customer);
            let value = format!("{scheme} {token}").parse().unwrap();
            request.headers_mut().insert("authorization", value);
            assert_eq!(client.answer(request).await.status == 200, taken, "{scheme}");
        }
    }
}

#[tokio::test]
async fn an_m2m_token_acts_in_provider_mode_and_never_grows_old() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let token = server.issue_m2m();
    server.advance(Duration::from_secs(10 * 365 * 86_400));
    server.expire_access_tokens();
    assert_eq!(client.get(&server, "/events", token.expose(), Provider).await.status, 200);
    assert_eq!(client.get(&server, "/events", token.expose(), Customer).await.status, 403);
    let mut request = get(&server, "/events", token.expose(), Provider);
    request.headers_mut().remove(REQUEST_MODE);
    assert_eq!(client.answer(request).await.status, 200);
    assert!(server.journal().entries().iter().all(|entry| entry.carried_token(&token)));
}

#[tokio::test]
async fn modes_and_providers_are_checked_as_asked() {
    let server = FakeTeamUp::builder()
        .mode_mismatch_status(StatusCode::UNAUTHORIZED)
        .require_provider(7)
        .require_provider(8)
        .start()
        .await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[Customer]);
    let token = tokens.access_token(Customer).unwrap().expose();
    let mismatch = client.get(&server, "/events", token, Provider).await;
    assert_eq!(
        (mismatch.status, mismatch.header("www-authenticate")),
        (StatusCode::UNAUTHORIZED, None)
    );
    for (id, status, code) in [
        (None, 400, "provider_header_missing"),
        (Some("7"), 200, ""),
        (Some("8"), 200, ""),
        (Some("9"), 403, "provider_invalid"),
        (Some("x"), 400, "provider_header_invalid"),
    ] {
        let mut request = get(&server, "/events", token, Customer);
        if let Some(id) = id {
            request.headers_mut().insert(PROVIDER_ID, id.parse().unwrap());
        }
        let answer = client.answer(request).await;
        assert_eq!(answer.status, status, "{id:?}");
        assert_eq!(answer.json()["code"].as_str().unwrap_or_default(), code, "{id:?}");
    }
    assert_eq!(server.journal().entries()[2].provider(), Some("7"));

    let lenient = FakeTeamUp::builder().require_mode(false).start().await;
    let tokens = lenient.issue_tokens(&[Customer]);
    let token = tokens.access_token(Customer).unwrap().expose();
    let mut request = get(&lenient, "/events", token, Customer);
    request.headers_mut().remove(REQUEST_MODE);
    assert_eq!(client.answer(request).await.status, 200);
    assert_eq!(client.get(&lenient, "/events", token, Provider).await.status, 403);
}

#[tokio::test]
async fn tokens_grow_old_with_the_servers_time_and_with_paused_time() {
    let server = FakeTeamUp::builder().access_token_lifetime(Duration::from_secs(60)).start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[Customer]);
    let token = tokens.access_token(Customer).unwrap().expose();
    server.advance(Duration::from_secs(59));
    assert_eq!(client.get(&server, "/echo", token, Customer).await.status, 200);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    assert_eq!(client.get(&server, "/echo", token, Customer).await.status, 401);
}

#[tokio::test]
async fn pages_link_to_each_other_and_elsewhere_if_told_so() {
    let server = FakeTeamUp::builder().events(250).start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[Customer]);
    let token = tokens.access_token(Customer).unwrap().expose();

    let mut ids = Vec::new();
    let mut next = Some(server.url("/events?page_size=1000"));
    while let Some(url) = next {
        let path = url.strip_prefix(&server.base_url()).expect("an absolute link to this server");
        let page = client.get(&server, path, token, Customer).await.json();
        assert_eq!(page["count"], 250);
        let results = page["results"].as_array().unwrap();
        assert!(results.len() <= 100);
        ids.extend(results.iter().map(|event| event["id"].as_u64().unwrap()));
        next = page["next"].as_str().map(str::to_owned);
    }
    assert!(ids.into_iter().eq(1..=250));
    assert_eq!(server.api_requests(), 3);

    let middle = client.get(&server, "/events?page=2&page_size=100", token, Customer).await.json();
    assert_eq!(middle["previous"], server.url("/events?page=1&page_size=100"));
    for beyond in ["page=4&page_size=100", "page=0", "page=x", "page_size=0"] {
        let answer = client.get(&server, &format!("/events?{beyond}"), token, Customer).await;
        assert_eq!(answer.status, 404, "{beyond}");
    }

    server.link_pages_to("https://elsewhere.example/api/v2/");
    let first = client.get(&server, "/events", token, Customer).await.json();
    assert_eq!(first["next"], "https://elsewhere.example/api/v2/events?page=2&page_size=20");

    server.serve_json("/memberships/7", r#"{"id": 7}"#);
    assert_eq!(client.get(&server, "/memberships/7", token, Customer).await.json()["id"], 7);
    assert_eq!(client.get(&server, "/memberships/8", token, Customer).await.status, 404);
    assert_eq!(client.get(&server, "/memberships/7", "nobody's", Customer).await.status, 401);
}

#[tokio::test]
async fn an_upload_is_measured_digested_and_journaled_with_its_trailers() {
    let server = FakeTeamUp::start().await;
    let tokens = server.issue_tokens(&[Customer]);
    let token = tokens.access_token(Customer).unwrap().expose();
    for client in Client::both() {
        let chunks = (0..100).map(|_| Ok(Frame::data(Bytes::from(vec![b'a'; 10_000]))));
        let trailers =
            HeaderMap::from_iter([("x-checksum".parse().unwrap(), "7".parse().unwrap())]);
        let frames = chunks.chain([Ok(Frame::trailers(trailers))]);
        let body: Body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
        let mut request = get(&server, "/uploads", token, Customer).map(|_| body);
        *request.method_mut() = http::Method::POST;
        request.headers_mut().insert("trailer", "x-checksum".parse().unwrap());
        let answer = client.answer(request).await;
        // sha256 of a million times `a`, a test vector of FIPS 180.
        let digest = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(answer.json()["size"], 1_000_000);
        assert_eq!(answer.json()["sha256"], digest);
        let journal = server.journal();
        let received = journal.entries().last().unwrap().body().unwrap();
        assert_eq!((received.size(), received.sha256()), (1_000_000, digest));
        assert_eq!(received.bytes().len(), 64 * 1024);
        assert_eq!(received.trailers().unwrap()["x-checksum"], "7");
    }
}

#[tokio::test]
async fn echo_answers_any_method() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[Customer]);
    let token = tokens.access_token(Customer).unwrap().expose();
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let mut request = get(&server, "/echo/a?b=c", token, Customer).map(|_| full("four"));
        *request.method_mut() = method.parse().unwrap();
        let answer = client.answer(request).await.json();
        assert_eq!(answer["method"], method);
        assert_eq!((&answer["path"], &answer["query"]), (&"/api/v2/echo/a".into(), &"b=c".into()));
        assert_eq!(answer["size"], 4);
    }
}

#[tokio::test]
async fn a_caller_that_asks_too_often_is_told_when_to_come_back() {
    let server = FakeTeamUp::builder().rate_limit(2).rate_limit_retry_after(true).start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[Customer]);
    let others = server.issue_tokens(&[Customer]);
    let token = tokens.access_token(Customer).unwrap().expose();
    let other = others.access_token(Customer).unwrap().expose();
    for status in [200, 200, 429] {
        assert_eq!(client.get(&server, "/echo", token, Customer).await.status, status);
    }
    assert_eq!(client.get(&server, "/echo", other, Customer).await.status, 200);
    // The refresh endpoint counts the address.
    let mut refresh_token = tokens.refresh_token().expose().to_owned();
    for _ in 0..2 {
        let answer = client.refresh(&server, &refresh_token, "customer").await;
        refresh_token = answer.text("refresh_token");
    }
    let limited = client.refresh(&server, &refresh_token, "customer").await;
    assert_eq!(limited.status, 429);
    assert_eq!(limited.json()["code"], "throttled");
    let pause: u64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&pause));
    assert_eq!((server.rotations(), server.rejected_refresh_requests()), (2, 0));
    server.advance(Duration::from_secs(pause));
    assert_eq!(client.refresh(&server, &refresh_token, "customer").await.status, 200);
    assert_eq!(client.get(&server, "/echo", token, Customer).await.status, 200);
}

#[tokio::test]
async fn the_journal_tells_retries_from_new_calls() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[Customer]);
    let good = tokens.access_token(Customer).unwrap().expose();
    let call = async |caller: &str, token: &str| {
        let mut request = get(&server, "/echo", token, Customer);
        request.headers_mut().insert(CALLER, caller.parse().unwrap());
        client.answer(request).await.status.as_u16()
    };
    assert_eq!(call("a", "old").await, 401);
    assert_eq!(server.unauthorized_to_caller(), 1);
    assert_eq!(call("b", good).await, 200);
    assert_eq!(call("a", good).await, 200);
    assert_eq!((server.retries(), server.unauthorized_to_caller()), (1, 0));
    assert_eq!(call("a", good).await, 200);
    assert_eq!(call("c", "old").await, 401);
    assert_eq!(call("c", "old").await, 401);
    assert_eq!((server.retries(), server.unauthorized_to_caller()), (2, 1));
    client.get(&server, "/echo", "old", Customer).await;
    assert_eq!((server.retries(), server.unauthorized_to_caller()), (2, 2));
    let retries: Vec<_> =
        server.journal().entries().iter().filter(|e| e.is_retry()).map(|e| e.number()).collect();
    assert_eq!(retries, [3, 6]);
}

#[tokio::test]
async fn p5_no_line_of_the_journal_shows_a_token() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[Customer]);
    let access = tokens.access_token(Customer).unwrap().expose();
    client.get(&server, "/events?page=1", access, Customer).await;
    let answer = client.refresh(&server, tokens.refresh_token().expose(), "customer").await;
    let journal = server.journal();
    let shown = format!(
        "{journal} {journal:?} {server:?} {:#?} {:?}",
        journal.entries(),
        journal.entries()[1].body(),
    );
    for secret in [
        access,
        tokens.refresh_token().expose(),
        &answer.text("access_token"),
        &answer.text("refresh_token"),
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let fingerprint = journal.entries()[0].token_fingerprint().unwrap();
    assert_eq!(fingerprint.len(), 8);
    assert_eq!(
        journal.to_string().lines().next().unwrap(),
        format!("#1     GET  /api/v2/events?page=1 customer token:{fingerprint} login:1 -> 200")
    );
}
