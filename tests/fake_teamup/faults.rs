//! A fault breaks a request as described, and none after it.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::StatusCode;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;
use tower_teamup_auth::RequestMode::Customer;
use tower_teamup_auth::testing::{FakeTeamUp, Fault, RefreshOutcome};

use crate::client::{Body, Client, get, refresh_request};

#[tokio::test]
async fn queued_faults_meet_refresh_requests_in_order_and_standing_ones_until_cleared() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
    let pause = Duration::from_millis(1500);
    server.fail_refreshes(2, Fault::status(StatusCode::SERVICE_UNAVAILABLE).retry_after(pause));
    let date = UNIX_EPOCH + Duration::from_secs(784_111_777);
    server.fail_refresh(Fault::status(StatusCode::TOO_MANY_REQUESTS).retry_after_date(date));
    server.fail_every_refresh(
        Fault::status(StatusCode::BAD_GATEWAY).body("text/html", "<h1>502</h1>"),
    );
    for (status, retry_after) in [
        (503, Some("2")),
        (503, Some("2")),
        (429, Some("Sun, 06 Nov 1994 08:49:37 GMT")),
        (502, None),
        (502, None),
    ] {
        let answer = client.refresh(&server, &token, "customer").await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (status, retry_after));
        match status {
            502 => assert_eq!(answer.header("content-type"), Some("text/html")),
            _ => assert_eq!(answer.text("code"), "fault"),
        }
    }
    // API requests were none of it.
    assert_eq!(client.get(&server, "/echo", "old", Customer).await.status, 401);
    server.clear_faults();
    assert_eq!(client.refresh(&server, &token, "customer").await.status, 200);
    assert_eq!(
        (server.refresh_requests(), server.rotations(), server.rejected_refresh_requests()),
        (6, 1, 0)
    );
    let journal = server.journal();
    assert_eq!(journal.entries()[0].refresh_outcome(), Some(RefreshOutcome::Faulted));
    assert_eq!(journal.entries()[0].fault(), Some("status"));
}

#[tokio::test]
async fn a_spoiled_answer_comes_after_the_rotation() {
    let client = Client::http1();
    for fault in [
        Fault::content_type("text/plain"),
        Fault::oversized(),
        Fault::missing_key("refresh_token"),
        Fault::empty_value("access_token"),
        Fault::garbage().after_rotation(),
        Fault::redirect(StatusCode::TEMPORARY_REDIRECT, "/elsewhere").after_rotation(),
    ] {
        let server = FakeTeamUp::start().await;
        let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
        server.fail_refresh(fault.clone());
        let answer = client.refresh(&server, &token, "customer").await;
        let body = String::from_utf8_lossy(&answer.body);
        let name = server.journal().entries()[0].fault().unwrap();
        match name {
            "content type" => {
                assert_eq!(answer.header("content-type"), Some("text/plain"));
                assert!(answer.json()["access_token"].is_string());
            }
            "oversized" => {
                assert!(answer.body.len() > 64 * 1024);
                assert!(answer.json()["access_token"].is_string());
            }
            "missing key" => assert_eq!(answer.json().get("refresh_token"), None),
            "empty value" => assert_eq!(answer.json()["access_token"], ""),
            "garbage" => assert!(serde_json::from_str::<serde_json::Value>(&body).is_err()),
            "redirect" => {
                assert_eq!(answer.status, 307);
                assert_eq!(answer.header("location"), Some("/elsewhere"));
            }
            other => panic!("{other}"),
        }
        assert_eq!(server.rotations(), 1, "{name}");
        client.refresh(&server, &token, "customer").await;
        assert_eq!(server.double_spends(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_replaced_answer_leaves_the_refresh_token_unspent() {
    let client = Client::http1();
    let server = FakeTeamUp::start().await;
    let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
    server.fail_refresh(Fault::garbage());
    server.fail_refresh(Fault::redirect(StatusCode::FOUND, &server.url("/echo")));
    assert_eq!(client.refresh(&server, &token, "customer").await.status, 200);
    assert_eq!(client.refresh(&server, &token, "customer").await.status, 302);
    assert_eq!(server.rotations(), 0);
    client.refresh(&server, &token, "customer").await.text("access_token");
    assert_eq!((server.rotations(), server.double_spends()), (1, 0));
}

#[tokio::test]
async fn a_dropped_connection_has_rotated_or_has_not_as_told() {
    for client in Client::both() {
        let server = FakeTeamUp::start().await;
        let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
        let body = serde_json::json!({ "refresh_token": token });
        // Over a connection that was used before: where a pool would be most tempted to send again.
        client.get(&server, "/echo", "old", Customer).await;

        server.fail_refresh(Fault::drop_connection());
        client.send(refresh_request(&server, body.clone())).await.unwrap_err();
        assert_eq!((server.refresh_requests(), server.rotations()), (1, 0));
        assert!(server.journal().entries()[1].is_aborted());
        assert_eq!(server.journal().entries()[1].refresh_outcome(), Some(RefreshOutcome::Faulted));

        client.get(&server, "/echo", "old", Customer).await;
        server.fail_refresh(Fault::drop_connection().after_rotation());
        client.send(refresh_request(&server, body.clone())).await.unwrap_err();
        assert_eq!((server.refresh_requests(), server.rotations()), (2, 1));
        assert!(server.journal().entries()[3].is_aborted());
        assert_eq!(
            server.journal().entries()[3].refresh_outcome(),
            Some(RefreshOutcome::Rotated(Customer))
        );

        client.refresh(&server, &token, "customer").await;
        assert_eq!(server.double_spends(), 1);
    }
}

#[tokio::test]
async fn an_answer_is_cut_off_in_the_middle_of_its_body() {
    for client in Client::both() {
        let server = FakeTeamUp::start().await;
        let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
        server.fail_refresh(Fault::cut_off());
        let body = serde_json::json!({ "refresh_token": token });
        let answer = client.send(refresh_request(&server, body)).await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        let half = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(half.starts_with(b"{\"access_token\":\""));
        body.frame().await.unwrap().unwrap_err();
        assert_eq!(server.rotations(), 1);
    }
}

#[tokio::test]
async fn a_401_has_the_challenge_and_the_body_that_it_was_given() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[Customer]);
    let token = tokens.access_token(Customer).unwrap().expose();
    server.fail_api(Fault::unauthorized().challenge("Bearer error=\"invalid_token\""));
    server.fail_api(Fault::insufficient_scope());
    server.fail_api(Fault::unauthorized().body("text/plain", vec![b'x'; 1 << 20]));
    server.fail_api(Fault::unauthorized().body_size(100 * 1024));
    let answer = client.get(&server, "/echo", token, Customer).await;
    assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    let answer = client.get(&server, "/echo", token, Customer).await;
    assert!(answer.header("www-authenticate").unwrap().contains("insufficient_scope"));
    let answer = client.get(&server, "/echo", token, Customer).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (401, 1 << 20));
    let answer = client.get(&server, "/echo", token, Customer).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (401, 100 * 1024));
    assert_eq!(answer.text("code"), "authentication_failed");
    assert_eq!(answer.header("www-authenticate"), None, "nobody asked for a challenge");
    assert_eq!((server.unauthorized(), server.authorized()), (4, 0));
}

#[tokio::test]
async fn a_401_can_come_before_the_body_was_sent() {
    let early = FakeTeamUp::builder().refuse_before_body(true).start().await;
    let broken = FakeTeamUp::start().await;
    broken.fail_every_api(Fault::unauthorized().before_body());
    for server in [early, broken] {
        for client in Client::both() {
            let (_still_sending, body) = endless_body();
            let mut request = get(&server, "/uploads", "old", Customer).map(|_| body);
            *request.method_mut() = http::Method::POST;
            let answer = client.send(request).await.unwrap();
            assert_eq!(answer.status(), 401);
            assert!(server.journal().entries().last().unwrap().body().is_none());
        }
    }
}

/// A body that has sent something and goes on for as long as the sender is kept.
fn endless_body() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, mut receiver) = mpsc::channel(1);
    sender.try_send(Bytes::from_static(b"beginning")).unwrap();
    let stream = futures_util::stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|data| data.map(|data| Ok(Frame::data(data))))
    });
    (sender, StreamBody::new(stream).boxed())
}

#[tokio::test]
async fn held_refresh_requests_arrive_together_and_are_let_go_one_by_one() {
    for client in Client::both() {
        let server = FakeTeamUp::start().await;
        let hold = server.hold_refresh();
        let calls: Vec<_> = (0..3)
            .map(|_| {
                let (client, server) = (client.clone(), server.clone());
                let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
                tokio::spawn(
                    async move { client.refresh(&server, &token, "customer").await.status },
                )
            })
            .collect();
        hold.arrived(3).await;
        assert_eq!((server.refresh_requests(), server.rotations(), hold.count()), (3, 0, 3));
        hold.let_through(1);
        server.wait_for(|journal| journal.rotations() == 1).await;
        assert_eq!(server.journal().under_way(), 2);
        hold.release();
        for call in calls {
            assert_eq!(call.await.unwrap(), 200);
        }
        assert_eq!(server.rotations(), 3);
    }
}

#[tokio::test]
async fn a_held_answer_has_done_its_work_and_a_client_that_leaves_shows() {
    for client in Client::both() {
        let server = FakeTeamUp::start().await;
        let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
        let hold = server.hold_refresh_answer();
        let body = serde_json::json!({ "refresh_token": token });
        let leaving = {
            let (client, request) = (client.clone(), refresh_request(&server, body));
            tokio::spawn(async move { client.send(request).await.map(drop) })
        };
        hold.arrived(1).await;
        assert_eq!(server.rotations(), 1);
        assert_eq!(server.journal().entries()[0].status(), None);
        leaving.abort();
        server.wait_for(|journal| journal.under_way() == 0).await;
        assert_eq!(server.journal().in_work(), 1);
        assert!(server.journal().entries()[0].is_aborted());
        assert_eq!(
            server.journal().entries()[0].refresh_outcome(),
            Some(RefreshOutcome::Rotated(Customer))
        );
    }
}

#[tokio::test]
async fn held_api_requests_are_judged_after_their_arrival_or_before_their_answer() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    for (place, status) in [("answer", 200), ("arrival", 401)] {
        let tokens = server.issue_tokens(&[Customer]);
        let hold = if place == "answer" { server.hold_api_answer() } else { server.hold_api() };
        let call = {
            let (client, server) = (client.clone(), server.clone());
            let token = tokens.access_token(Customer).unwrap().expose().to_owned();
            tokio::spawn(async move { client.get(&server, "/echo", &token, Customer).await.status })
        };
        hold.arrived(1).await;
        server.expire_access_tokens();
        hold.release();
        assert_eq!(call.await.unwrap(), status);
    }
}

#[tokio::test(start_paused = true)]
async fn delays_are_of_tokios_time() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
    server.fail_refresh(Fault::delay(Duration::from_secs(3600)));
    let call = {
        let (client, server) = (client.clone(), server.clone());
        tokio::spawn(async move { client.refresh(&server, &token, "customer").await.status })
    };
    server.wait_for(|journal| journal.refresh_requests() == 1).await;
    tokio::time::sleep(Duration::from_secs(3599)).await;
    assert_eq!((server.journal().under_way(), server.rotations()), (1, 0));
    assert_eq!(call.await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn a4_a_whole_answer_comes_without_its_end() {
    for (fault, promised) in [
        (Fault::length_too_long(), true),
        (Fault::last_chunk_missing(), false),
        (Fault::delay(Duration::ZERO).never_ends(), false),
    ] {
        for client in Client::both() {
            let server = FakeTeamUp::start().await;
            let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
            server.fail_refresh(fault.clone());
            let body = serde_json::json!({ "refresh_token": token });
            let answer = client.send(refresh_request(&server, body)).await.unwrap();
            let length = answer.headers().get("content-length").cloned();
            assert_eq!(length.is_some(), promised);
            let mut body = answer.into_body();
            let whole = body.frame().await.unwrap().unwrap().into_data().unwrap();
            let json: serde_json::Value = serde_json::from_slice(&whole).unwrap();
            assert!(json["refresh_token"].is_string());
            if let Some(length) = length {
                let length: usize = length.to_str().unwrap().parse().unwrap();
                assert!(length > whole.len());
            }
            // Neither a frame nor an end nor an error.
            tokio::time::timeout(Duration::from_secs(3600), body.frame()).await.unwrap_err();
            assert_eq!(server.rotations(), 1);
        }
    }
}

#[tokio::test]
async fn a5_an_answer_is_compressed_although_nobody_asked_for_it() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
    server.fail_refresh(Fault::gzip());
    let answer = client.refresh(&server, &token, "customer").await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*answer.body), &mut text)
        .unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(json["access_token"].is_string());
}

#[tokio::test]
async fn b1_pages_of_firewalls_and_proxies_are_html() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    for (fault, status) in [
        (Fault::firewall(), 403),
        (Fault::bad_gateway(), 502),
        (Fault::gateway_timeout().after_rotation(), 504),
    ] {
        let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
        server.fail_refresh(fault);
        let answer = client.refresh(&server, &token, "customer").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(answer.body.starts_with(b"<"));
    }
    assert_eq!(server.rotations(), 1, "the proxy's time-out alone came after the rotation");
}

#[tokio::test]
async fn b2_an_error_has_the_code_and_the_field_errors_that_it_was_given() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    let token = server.issue_tokens(&[]).refresh_token().expose().to_owned();
    server.fail_refresh(
        Fault::error(StatusCode::BAD_REQUEST, "parameter_invalid")
            .field_error("scope", "Unknown scope."),
    );
    server.fail_refresh(Fault::error(StatusCode::FORBIDDEN, "permission_denied"));
    let error = client.refresh(&server, &token, "customer").await;
    assert_eq!((error.status.as_u16(), error.text("code").as_str()), (400, "parameter_invalid"));
    assert_eq!(error.json()["field_errors"]["scope"][0], "Unknown scope.");
    let error = client.refresh(&server, &token, "customer").await;
    assert_eq!((error.status.as_u16(), error.text("code").as_str()), (403, "permission_denied"));
    assert_eq!(error.json()["type"], "invalid_request_error");
    assert_eq!(client.refresh(&server, &token, "customer").await.status, 200);
}

#[tokio::test]
async fn d1_the_same_access_token_comes_back_with_a_new_lifetime() {
    let server = FakeTeamUp::builder().access_token_lifetime(Duration::from_secs(60)).start().await;
    let client = Client::http1();
    let tokens = server.issue_tokens(&[Customer]);
    let access = tokens.access_token(Customer).unwrap().expose();
    server.advance(Duration::from_secs(60));
    assert_eq!(client.get(&server, "/echo", access, Customer).await.status, 401);
    server.fail_refresh(Fault::same_access_token());
    let answer = client.refresh(&server, tokens.refresh_token().expose(), "customer").await;
    assert_eq!(answer.text("access_token"), access);
    assert_ne!(answer.text("refresh_token"), tokens.refresh_token().expose());
    assert_eq!(client.get(&server, "/echo", access, Customer).await.status, 200);
    // Of a mode without a token there is none to come back.
    server.fail_refresh(Fault::same_access_token());
    let answer = client.refresh(&server, &answer.text("refresh_token"), "provider").await;
    assert_ne!(answer.text("access_token"), access);
}
