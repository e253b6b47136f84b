//! The loopback receiver, as a person meets it.

use tokio::task::JoinHandle;
use tower_teamup_auth::TokenSet;
use tower_teamup_auth::login::{LoginError, LoopbackReceiver};
use tower_teamup_auth::testing::{FakeTeamUp, login as fake};

use crate::browser::Browser;
use crate::support::{application, assert_work, codes_sent};

/// A login that waits for a person, and the browser in which the test plays that person.
struct Visit {
    browser: Browser,
    url: String,
    outcome: JoinHandle<Result<TokenSet, LoginError>>,
}

impl Visit {
    async fn to(server: &FakeTeamUp) -> Self {
        let login = application(server).provider_id(54664);
        let receiver = LoopbackReceiver::bind().await.unwrap();
        let (show, shown) = tokio::sync::oneshot::channel();
        let outcome =
            tokio::spawn(
                async move { receiver.log_in(&login, |url| show.send(url).unwrap()).await },
            );
        let url = shown.await.unwrap();
        let browser = Browser::start().await;
        browser.open(&url).await;
        Visit { browser, url, outcome }
    }

    /// Leaves the page: how the login ended.
    async fn end(self) -> Result<TokenSet, LoginError> {
        self.browser.close().await;
        self.outcome.await.unwrap()
    }
}

#[tokio::test]
async fn person_who_approves_reads_that_they_are_logged_in_and_the_tokens_work() {
    let server = FakeTeamUp::builder().require_provider(54664).start().await;
    let visit = Visit::to(&server).await;
    let text = visit.browser.text().await;
    for asked in [fake::CLIENT_ID, fake::USERNAME, "read_write", "provider:54664", "127.0.0.1"] {
        assert!(text.contains(asked), "{asked} in {text}");
    }
    visit.browser.click("#approve").await;
    let text = visit.browser.text_with("h1", "You are logged in").await;
    assert!(text.contains("You can close this window"), "{text}");
    assert_work(&server, visit.end().await.unwrap()).await;
}

#[tokio::test]
async fn person_who_denies_reads_that_nothing_was_stored() {
    let server = FakeTeamUp::start().await;
    let visit = Visit::to(&server).await;
    visit.browser.click("#deny").await;
    let text = visit.browser.text_with("h1", "You did not approve").await;
    assert!(text.contains("has stored nothing"), "{text}");
    assert!(visit.end().await.unwrap_err().is_denied());
    assert_eq!(codes_sent(&server), 0);
}

#[tokio::test]
async fn callback_with_another_state_is_told_to_the_person_and_the_login_goes_on() {
    let server = FakeTeamUp::start().await;
    server.answer_with_wrong_state(true);
    let visit = Visit::to(&server).await;
    visit.browser.click("#approve").await;
    let text = visit.browser.text_with("h1", "This is not the login that was started").await;
    assert!(text.contains("Its code was not used"), "{text}");
    assert_eq!(codes_sent(&server), 0);

    server.answer_with_wrong_state(false);
    visit.browser.open(&visit.url).await;
    visit.browser.click("#approve").await;
    visit.browser.text_with("h1", "You are logged in").await;
    visit.end().await.unwrap();
}

#[tokio::test]
async fn page_that_is_opened_again_after_the_login_uses_no_code_again() {
    let server = FakeTeamUp::start().await;
    let Visit { browser, outcome, .. } = Visit::to(&server).await;
    browser.click("#approve").await;
    browser.text_with("h1", "You are logged in").await;
    outcome.await.unwrap().unwrap();
    // The port is closed, so a code in the browser's history leads nowhere.
    let callback = browser.url().await;
    assert!(callback.contains("/callback?code="), "{callback}");
    assert!(browser.try_open(&callback).await.is_err());
    browser.close().await;
    assert_eq!(codes_sent(&server), 1);
}
