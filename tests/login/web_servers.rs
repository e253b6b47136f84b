//! The example `axum_login`: two web servers that share nothing but the person's cookie.

use tokio::net::TcpListener;
use tower_teamup_auth::RequestMode;
use tower_teamup_auth::testing::{FakeTeamUp, login as fake};

use crate::browser::Browser;
use crate::support::{application, codes_sent};
use crate::web::App;

/// One server begins logins, the other one receives the people who come back, as happens behind a
/// load balancer. A cookie belongs to a host, whatever its port.
struct Servers {
    teamup: FakeTeamUp,
    login_url: String,
}

impl Servers {
    async fn start() -> Self {
        let teamup = FakeTeamUp::builder().login_mode(RequestMode::Customer).start().await;
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let login_url = format!("http://{}/login", first.local_addr().unwrap());
        let redirect_uri = format!("http://{}/callback", second.local_addr().unwrap());
        for listener in [first, second] {
            let login =
                application(&teamup).client_secret(fake::CLIENT_SECRET).redirect_uri(&redirect_uri);
            let app = App::new(login, &teamup.base_url());
            tokio::spawn(axum::serve(listener, app.routes()).into_future());
        }
        Servers { teamup, login_url }
    }
}

#[tokio::test]
async fn login_that_begins_on_one_server_is_finished_by_another_and_its_code_is_used_once() {
    let servers = Servers::start().await;
    let browser = Browser::start().await;
    browser.open(&servers.login_url).await;
    browser.click("#approve").await;
    browser.text_with("body", "results").await;
    assert_eq!(servers.teamup.api_requests(), 1);

    // The person reloads the page. The cookie of this login is gone.
    let callback = browser.url().await;
    browser.open(&callback).await;
    browser.text_with("h1", "This login is not yours").await;
    assert_eq!(codes_sent(&servers.teamup), 1);
    browser.close().await;
}

#[tokio::test]
async fn person_who_denies_in_a_web_server_reads_so() {
    let servers = Servers::start().await;
    let browser = Browser::start().await;
    browser.open(&servers.login_url).await;
    browser.click("#deny").await;
    browser.text_with("h1", "You did not approve").await;
    assert_eq!(codes_sent(&servers.teamup), 0);
    browser.close().await;
}

#[tokio::test]
async fn callback_with_a_wrong_state_or_without_the_cookie_uses_no_code() {
    let servers = Servers::start().await;
    let browser = Browser::start().await;
    servers.teamup.answer_with_wrong_state(true);
    browser.open(&servers.login_url).await;
    browser.click("#approve").await;
    browser.text_with("h1", "This login is not yours").await;

    // A thief's link, with a code and a state that are good, in a browser that began nothing.
    servers.teamup.answer_with_wrong_state(false);
    let other = Browser::start().await;
    browser.open(&servers.login_url).await;
    let thief = crate::support::decide(&browser.url().await, "approve").await;
    other.open(&thief).await;
    other.text_with("h1", "This login is not yours").await;
    assert_eq!(codes_sent(&servers.teamup), 0);
    other.close().await;
    browser.close().await;
}

#[tokio::test]
async fn two_tabs_log_in_at_the_same_time() {
    let servers = Servers::start().await;
    let browser = Browser::start().await;
    let first = browser.tab().await;
    browser.open(&servers.login_url).await;
    let second = browser.new_tab().await;
    browser.open(&servers.login_url).await;
    for tab in [first, second] {
        browser.switch_to(tab).await;
        browser.click("#approve").await;
        browser.text_with("body", "results").await;
    }
    assert_eq!(codes_sent(&servers.teamup), 2);
    browser.close().await;
}
