//! Starting, stopping, following.

use std::time::Duration;

use tower_teamup_auth::RequestMode::Customer;
use tower_teamup_auth::testing::FakeTeamUp;

use crate::client::{Client, get};

#[tokio::test]
async fn says_where_it_is() {
    let server = FakeTeamUp::start().await;
    assert_eq!(server.origin(), format!("http://{}", server.address()));
    assert_eq!(server.base_url(), format!("{}/api/v2", server.origin()));
    assert_eq!(server.url("/events"), format!("{}/events", server.base_url()));
    assert!(server.address().ip().is_loopback());
}

#[tokio::test]
async fn stops_with_the_last_handle_and_closes_its_connections() {
    for client in Client::both() {
        let server = FakeTeamUp::start().await;
        let (other, url) = (server.clone(), get(&server, "/echo", "t", Customer).uri().clone());
        let request = || {
            let mut request = get(&other, "/echo", "t", Customer);
            *request.uri_mut() = url.clone();
            request
        };
        let hold = server.hold_api();
        let pending = tokio::spawn({
            let (client, request) = (client.clone(), request());
            async move { client.send(request).await.map(drop) }
        });
        hold.arrived(1).await;
        drop(server);
        let mut lines = other.subscribe();
        let late = request();
        drop(other);
        pending.await.unwrap().unwrap_err();
        assert!(lines.next().await.unwrap().unwrap().is_aborted());
        assert!(lines.next().await.is_none());
        assert!(client.send(late).await.unwrap_err().is_connect());
    }
}

#[tokio::test]
async fn shutdown_frees_the_port_and_keeps_the_journal() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    client.get(&server, "/echo", "t", Customer).await;
    server.shutdown().await;
    server.shutdown().await;
    assert_eq!(server.unauthorized(), 1);
    let again = FakeTeamUp::builder().port(server.address().port()).start().await;
    client.get(&again, "/echo", "t", Customer).await;
    assert_eq!((server.api_requests(), again.api_requests()), (1, 1));
}

#[tokio::test]
async fn connections_and_versions_are_journaled() {
    let server = FakeTeamUp::start().await;
    for client in Client::both() {
        for _ in 0..2 {
            client.get(&server, "/echo", "t", Customer).await;
        }
    }
    let journal = server.journal();
    let seen: Vec<_> = journal.entries().iter().map(|e| (e.connection(), e.version())).collect();
    let (one, two) = (http::Version::HTTP_11, http::Version::HTTP_2);
    assert_eq!(seen, [(1, one), (1, one), (2, two), (2, two)]);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_subscription_hands_out_every_line_in_the_order_of_the_answers() {
    let server = FakeTeamUp::start().await;
    let client = Client::http1();
    client.get(&server, "/echo", "before", Customer).await;
    let mut lines = server.subscribe();
    assert!(lines.try_next().is_none());
    for path in ["/echo/1", "/echo/2", "/echo/3"] {
        client.get(&server, path, "t", Customer).await;
    }
    for number in 2..=4 {
        assert_eq!(lines.next().await.unwrap().unwrap().number(), number);
    }
    assert!(lines.try_next().is_none());
}

#[tokio::test]
async fn a_thousand_callers_at_once_are_all_answered() {
    for client in Client::both() {
        let server = FakeTeamUp::start().await;
        let tokens = server.issue_tokens(&[Customer]);
        let token = tokens.access_token(Customer).unwrap().expose();
        let calls: Vec<_> = (0..1000)
            .map(|_| {
                let (client, request) = (client.clone(), get(&server, "/events", token, Customer));
                tokio::spawn(async move { client.answer(request).await.status })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap(), 200);
        }
        assert_eq!(server.authorized(), 1000);
    }
}

#[tokio::test]
async fn keeps_few_entries_where_it_is_told_to_and_counts_on() {
    let server = FakeTeamUp::builder().keep_entries(10).start().await;
    let client = Client::http1();
    let mut lines = server.subscribe();
    let mut late = server.subscribe();
    for number in 1..=45 {
        client.send(get(&server, "/echo", "unknown", Customer)).await.unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap().number(), number);
    }
    let journal = server.journal();
    assert_eq!((journal.api_requests(), journal.unauthorized()), (45, 45));
    assert_eq!((journal.answered(http::StatusCode::UNAUTHORIZED), journal.under_way()), (45, 0));
    let kept: Vec<_> = journal.entries().iter().map(|entry| entry.number()).collect();
    assert!((10..20).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept.last(), Some(&45));
    // A slow subscriber is told how many it missed, and misses nothing else.
    assert_eq!(journal.discarded_entries() + kept.len(), 45);
    let lagged = late.next().await.unwrap().unwrap_err();
    assert_eq!(lagged.missed(), journal.discarded_entries());
    for number in kept {
        assert_eq!(late.next().await.unwrap().unwrap().number(), number);
    }
    assert!(late.try_next().is_none());
}

#[tokio::test]
async fn a_wait_ends_with_the_journal_when_its_limit_is_over_or_the_server_stops() {
    let server = FakeTeamUp::builder().wait_limit(Duration::ZERO).start().await;
    Client::http1().get(&server, "/echo/seen", "t", Customer).await;
    let never = server.clone();
    let waiting = tokio::spawn(async move { never.wait_for(|_| false).await });
    assert!(message(waiting.await).contains("/echo/seen"));
    let hold = server.hold_api();
    let waiting = tokio::spawn(async move { hold.arrived(1).await });
    assert!(message(waiting.await).contains("0 of 1 requests arrived"));

    let server = FakeTeamUp::start().await;
    let never = server.clone();
    let waiting = tokio::spawn(async move { never.wait_for(|_| false).await });
    server.shutdown().await;
    assert!(message(waiting.await).contains("the server stopped"));
    // What has come true can still be waited for.
    server.wait_for(|journal| journal.under_way() == 0).await;
}

fn message(ended: Result<(), tokio::task::JoinError>) -> String {
    *ended.unwrap_err().into_panic().downcast().expect("a formatted message")
}

#[test]
fn a_subscription_ends_when_the_servers_runtime_is_gone() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let servers = runtime();
    let server = servers.block_on(FakeTeamUp::start());
    let mut entries = server.subscribe();
    drop(servers);
    assert!(runtime().block_on(entries.next()).is_none());
}
