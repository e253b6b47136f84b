//! The advised window: a request goes on at once with the old token, and one refresh runs beside
//! it. And what is known of a token's end.

use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;
use tower_teamup_auth::{Credentials, CredentialsBuilder};

use crate::support::refresh_answers::RefreshAnswer;
use crate::support::server::Server;
use crate::support::*;
use crate::witness::Heard;

/// Credentials whose token was minted just now, and lives for `lifetime` seconds.
async fn minted(server: &Server, builder: CredentialsBuilder, lifetime: u64) -> Credentials {
    server.set_lifetime(Some(lifetime));
    let credentials = builder.tokens(server.bare_tokens()).build().await.unwrap();
    credentials.refresh(Provider).await.unwrap();
    credentials
}

/// How many seconds after it was minted the renewal of a token starts, which `least` seconds after
/// it does not.
async fn advised_after(server: &Server, credentials: &Credentials, least: u64) -> u64 {
    let client = client(credentials, server);
    let before = server.granted();
    let minted = server.seen_refresh_requests().pop().unwrap().at;
    tokio::time::sleep(minted + Duration::from_secs(least) - server.elapsed()).await;
    assert_eq!(status(&client).await, StatusCode::OK);
    run_pending_tasks().await;
    assert_eq!(server.granted(), before);
    while server.granted() == before {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(status(&client).await, StatusCode::OK);
        run_pending_tasks().await;
    }
    (server.seen_refresh_requests().pop().unwrap().at - minted).as_secs()
}

#[tokio::test(start_paused = true)]
async fn in_the_last_part_of_a_token_one_request_waits_3_s_and_all_others_go_on_at_once() {
    let server = Server::new();
    let credentials = minted(&server, builder(&server), 1000).await;
    let client = client(&credentials, &server);
    tokio::time::sleep(Duration::from_secs(950)).await;
    server.refresh_requests().hold();
    let stopwatch = Stopwatch::start();
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let client = client.clone();
        callers.spawn(async move { status(&client).await });
    }
    for _ in 0..99 {
        assert_eq!(callers.join_next().await.unwrap().unwrap(), StatusCode::OK);
    }
    server.refresh_requests().arrived(2).await;
    run_pending_tasks().await;
    assert_eq!((stopwatch.elapsed(), server.refresh_requests().count()), (Duration::ZERO, 2));
    assert_eq!(callers.join_next().await.unwrap().unwrap(), StatusCode::OK);
    assert_eq!(
        (stopwatch.elapsed(), server.refresh_requests().count()),
        (Duration::from_secs(3), 2)
    );
    let old = format!("{SECRET}-provider-1");
    assert!(server.seen_calls().iter().all(|seen| seen.token() == Some(&*old)));

    server.refresh_requests().open();
    until(|| server.granted() == 2).await;
    run_pending_tasks().await;
    assert_eq!(status(&client).await, StatusCode::OK);
    let new = format!("{SECRET}-provider-2");
    assert_eq!(server.seen_calls().pop().unwrap().token(), Some(&*new));
    assert_eq!(server.seen_refresh_requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn window_is_a_fifth_of_the_lifetime_less_a_jitter_of_up_to_a_half() {
    let mut seen = Vec::new();
    for _ in 0..30 {
        let server = Server::new();
        let credentials = minted(&server, builder(&server), 1000).await;
        let after = advised_after(&server, &credentials, 799).await;
        assert!((800..=901).contains(&after), "{after} s");
        seen.push(after);
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() > 10, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn window_is_the_leeway_where_that_is_shorter_and_the_jitter_is_stable() {
    let server = Server::new();
    let with_leeway = builder(&server).refresh_leeway(Duration::from_secs(100));
    let credentials = minted(&server, with_leeway, 1000).await;
    let first = advised_after(&server, &credentials, 899).await;
    assert!((900..=951).contains(&first), "{first} s");
    for _ in 0..5 {
        assert_eq!(advised_after(&server, &credentials, 899).await, first);
    }
}

#[tokio::test(start_paused = true)]
async fn without_leeway_a_token_is_renewed_when_it_is_due() {
    let server = Server::new();
    let credentials = minted(&server, builder(&server).refresh_leeway(Duration::ZERO), 1000).await;
    let client = client(&credentials, &server);
    tokio::time::sleep(Duration::from_millis(999_990)).await;
    assert_eq!(status(&client).await, StatusCode::OK);
    run_pending_tasks().await;
    assert_eq!(server.seen_refresh_requests().len(), 1);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(status(&client).await, StatusCode::OK);
    assert_eq!(server.seen_refresh_requests().len(), 2);
    assert!(server.seen_calls().iter().all(|seen| seen.answered == Some(StatusCode::OK)));
}

#[tokio::test(start_paused = true)]
async fn token_without_known_end_is_renewed_by_a_401_alone() {
    let answer = |expires_in| {
        RefreshAnswer::json(
            200,
            format!(
                r#"{{"access_token":"{SECRET}-provider-odd","expires_in":{expires_in},"refresh_token":"{SECRET}-refresh-0"}}"#
            ),
        )
    };
    for (expires_in, odd) in [
        ("null", 0),
        ("0", 1),
        ("-5", 1),
        ("true", 1),
        ("\"soon\"", 1),
        ("[]", 1),
        ("0.5", 1),
        ("-1e308", 1),
    ] {
        let trace = Heard::start();
        let server = Server::new();
        server.next_answers([answer(expires_in)]);
        server.revive(Provider, &format!("{SECRET}-provider-odd"));
        let client = client(&expired(&server).await, &server);
        assert_eq!(status(&client).await, StatusCode::OK, "{expires_in}");
        tokio::time::sleep(Duration::from_secs(30 * 24 * 3600)).await;
        assert_eq!(status(&client).await, StatusCode::OK, "{expires_in}");
        assert_eq!(server.seen_refresh_requests().len(), 1);
        assert_eq!(trace.count("the endpoint gave an odd lifetime"), odd, "{expires_in}");
        server.expire_everything();
        assert_eq!(status(&client).await, StatusCode::OK);
        assert_eq!(server.seen_refresh_requests().len(), 2);
    }
    // What can be read as a lifetime is one; what is huge is long, and never a panic.
    for (expires_in, due_after) in [
        ("60", Some(60)),
        ("\"60\"", Some(60)),
        ("60.9", Some(60)),
        ("6e1", Some(60)),
        ("18446744073709551615", None),
        ("1e300", None),
        ("\"99999999999999999999999999\"", None),
    ] {
        let server = Server::new();
        server.next_answers([answer(expires_in)]);
        server.revive(Provider, &format!("{SECRET}-provider-odd"));
        let without_leeway = builder(&server).refresh_leeway(Duration::ZERO);
        let tokens = server.bare_tokens();
        let client = client(&without_leeway.tokens(tokens).build().await.unwrap(), &server);
        assert_eq!(status(&client).await, StatusCode::OK, "{expires_in}");
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(status(&client).await, StatusCode::OK, "{expires_in}");
        assert_eq!(server.seen_refresh_requests().len(), 1, "{expires_in}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(status(&client).await, StatusCode::OK, "{expires_in}");
        assert_eq!(server.seen_refresh_requests().len(), 1 + usize::from(due_after.is_some()));
    }
}
