//! The loopback receiver, asked without a browser.

use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use tokio::net::TcpStream;
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::login::LoopbackReceiver;
use tower_teamup_auth::testing::FakeTeamUp;

use crate::support::{application, assert_work, codes_sent, decide};

async fn send(method: Method, url: &str, host: Option<&str>) -> (u16, String) {
    let http_client: HyperClient = hyper_client();
    let mut request = Request::builder().method(method).uri(url);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let response = http_client.request(request.body(Full::default()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn requests_that_are_not_this_logins_do_not_end_it() {
    let server = FakeTeamUp::start().await;
    let receiver = LoopbackReceiver::bind().await.unwrap();
    let redirect_uri = receiver.redirect_uri();
    let login = application(&server).redirect_uri(&redirect_uri);
    let (url, pending) = login.begin().unwrap();
    let waiting = tokio::spawn({
        let pending = pending.clone();
        async move { receiver.receive(&pending).await }
    });
    let back = decide(&url, "approve").await;
    let origin = redirect_uri.strip_suffix("/callback").unwrap();

    // A browser connects in advance, and says nothing.
    let _silent = TcpStream::connect(origin.strip_prefix("http://").unwrap()).await.unwrap();
    for (method, url, host, status) in [
        (Method::GET, format!("{origin}/favicon.ico"), None, 404),
        (Method::POST, back.clone(), None, 405),
        (Method::GET, back.clone(), Some("evil.example"), 404),
        (Method::GET, redirect_uri.clone(), None, 400),
        (Method::GET, format!("{redirect_uri}?code=c&state=another"), None, 400),
        (Method::GET, format!("{back}&state=another"), None, 400),
    ] {
        assert_eq!(send(method, &url, host).await.0, status, "{url} {host:?}");
    }
    assert_eq!(codes_sent(&server), 0);

    let page = tokio::spawn(async move { send(Method::GET, &back, None).await });
    let callback = waiting.await.unwrap().unwrap();
    assert!(!format!("{callback:?}").contains("code="));
    let outcome = login.finish(pending, callback.query()).await;
    callback.answer(outcome.as_ref().map(drop)).await;
    let (status, page) = page.await.unwrap();
    assert_eq!(status, 200);
    assert!(page.contains("You are logged in"), "{page}");
    assert_work(&server, outcome.unwrap()).await;
}

#[tokio::test]
async fn second_tab_of_the_same_login_finds_it_over() {
    let server = FakeTeamUp::start().await;
    let receiver = LoopbackReceiver::bind().await.unwrap();
    let login = application(&server).redirect_uri(receiver.redirect_uri());
    let (url, pending) = login.begin().unwrap();
    let (first, second) = (decide(&url, "approve").await, decide(&url, "approve").await);
    let first = tokio::spawn(async move { send(Method::GET, &first, None).await });
    let callback = receiver.receive(&pending).await.unwrap();
    // The first one still waits for its page.
    let (status, page) = send(Method::GET, &second, None).await;
    assert_eq!(status, 410);
    assert!(page.contains("This login is over"), "{page}");
    login.finish(pending, callback.query()).await.unwrap();
    callback.answer_with("<h1>Our own page</h1>").await;
    assert!(first.await.unwrap().1.contains("Our own page"));
}

#[tokio::test]
async fn person_who_never_comes_back_is_a_timeout_and_the_port_is_free_again() {
    tokio::time::pause();
    let server = FakeTeamUp::start().await;
    let receiver = LoopbackReceiver::bind().await.unwrap().timeout(Duration::from_secs(60));
    let port = receiver.redirect_uri().rsplit([':', '/']).nth(1).unwrap().parse().unwrap();
    let error = receiver.log_in(&application(&server), |_| {}).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    tokio::time::resume();
    drop(LoopbackReceiver::bind_port(port).await.unwrap());
}

#[tokio::test]
async fn port_that_is_taken_is_named() {
    let receiver = LoopbackReceiver::bind().await.unwrap().path("/back");
    assert!(receiver.redirect_uri().ends_with("/back"));
    let port: u16 = receiver.redirect_uri().rsplit([':', '/']).nth(1).unwrap().parse().unwrap();
    let error = LoopbackReceiver::bind_port(port).await.unwrap_err();
    assert!(error.is_invalid_input());
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}
