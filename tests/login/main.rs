//! The example `login`, as a person meets it: in a browser, from the first page to the last.
//!
//! The browser is Debian's headless Chromium, which `scripts/test` installs. The pages are the
//! fake TeamUp's and the example's own; no test knows more of them than what a person reads.

mod browser;
// The example's own code.
#[path = "../../examples/login/flow.rs"]
mod flow;
#[path = "../../examples/login/pages.rs"]
mod pages;

use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::testing::{Entry, FakeTeamUp, login as fake};
use tower_teamup_auth::{Credentials, RequestMode, TokenSet};

use crate::browser::Browser;
use crate::flow::{Application, Login};

const NEXT: &str = "cargo run -p examples --example events # & <then>?";

/// A login that waits for a person, and the browser in which the test plays that person.
struct Visit {
    browser: Browser,
    /// What the program says last, once the person has answered.
    said: JoinHandle<anyhow::Result<String>>,
    kept: Kept,
}

/// What the login handed to be kept.
type Kept = Arc<Mutex<Option<TokenSet>>>;

impl Visit {
    async fn to(server: &FakeTeamUp) -> Self {
        let application = Application {
            base_url: server.base_url(),
            client_id: fake::CLIENT_ID.to_owned(),
            client_secret: None,
            provider_id: Some(54664),
        };
        let login = Login::begin(application, 0).await.unwrap();
        let url = login.url().to_string();
        let kept = Kept::default();
        let keep = Arc::clone(&kept);
        let said = tokio::spawn(login.finish(async move |tokens: TokenSet| {
            *keep.lock().unwrap() = Some(tokens);
            Ok(NEXT.to_owned())
        }));
        let browser = Browser::start().await;
        browser.open(&url).await;
        Visit { browser, said, kept }
    }

    /// Leaves the page: how the program ended, and what was kept.
    async fn end(self) -> (anyhow::Result<String>, Option<TokenSet>) {
        self.browser.close().await;
        let said = self.said.await.unwrap();
        let kept = self.kept.lock().unwrap().take();
        (said, kept)
    }
}

#[tokio::test]
async fn person_who_approves_lands_on_the_page_that_says_it_worked_and_the_tokens_do() {
    let server = FakeTeamUp::builder().require_provider(54664).start().await;
    let visit = Visit::to(&server).await;
    let text = visit.browser.text().await;
    for asked in [fake::CLIENT_ID, fake::USERNAME, "read_write", "provider:54664", "127.0.0.1"] {
        assert!(text.contains(asked), "{asked} in {text}");
    }
    visit.browser.click("#approve").await;
    let text = visit.browser.text_with("h1", "It worked: you are logged in").await;
    assert!(text.contains("keeps them in a file. You can close this window."), "{text}");
    // As it stands, though it holds what HTML gives a meaning to.
    assert!(text.contains(NEXT), "{text}");
    let (said, kept) = visit.end().await;
    assert_eq!(said.unwrap(), NEXT);

    let http_client: HyperClient = hyper_client();
    let credentials = Credentials::builder(RequestMode::Provider)
        .base_url(server.base_url())
        .tokens(kept.unwrap())
        .refresh_client(http_client)
        .build()
        .await
        .unwrap();
    credentials.refresh(RequestMode::Provider).await.unwrap();
    assert_eq!(server.journal().rotations(), 1);
}

#[tokio::test]
async fn person_who_denies_reads_that_nothing_was_stored() {
    let server = FakeTeamUp::start().await;
    let visit = Visit::to(&server).await;
    visit.browser.click("#deny").await;
    let text = visit.browser.text_with("h1", "You said no").await;
    assert!(text.contains("has stored nothing"), "{text}");
    assert!(text.contains("start the program again"), "{text}");
    let (said, kept) = visit.end().await;
    let error = said.unwrap_err();
    assert!(error.to_string().contains("did not approve"), "{error}");
    assert!(kept.is_none());
}

#[tokio::test]
async fn answer_with_another_state_is_told_to_the_person_and_its_code_is_not_used() {
    let server = FakeTeamUp::start().await;
    server.answer_with_wrong_state(true);
    let visit = Visit::to(&server).await;
    visit.browser.click("#approve").await;
    let text = visit.browser.text_with("h1", "This is not the login that was started").await;
    assert!(text.contains("Its code was not used and nothing was stored."), "{text}");
    assert!(text.contains("open only the address that it prints"), "{text}");
    let (said, kept) = visit.end().await;
    let error = said.unwrap_err();
    assert!(error.to_string().contains("`state` is not ours"), "{error}");
    assert!(kept.is_none());
    assert_eq!(exchanges_of_a_code(&server), 0);
}

#[tokio::test]
async fn page_that_is_opened_again_after_the_login_worked_spends_nothing() {
    let server = FakeTeamUp::start().await;
    let visit = Visit::to(&server).await;
    visit.browser.click("#approve").await;
    visit.browser.text_with("h1", "It worked").await;
    let Visit { browser, said, .. } = visit;
    said.await.unwrap().unwrap();
    // The way back is closed, so a code in the browser's history leads nowhere.
    let callback = browser.url().await;
    assert!(callback.contains("/callback?code="), "{callback}");
    assert!(browser.try_open(&callback).await.is_err());
    browser.close().await;
    assert_eq!(exchanges_of_a_code(&server), 1);
}

fn exchanges_of_a_code(server: &FakeTeamUp) -> usize {
    let is_of_a_code = |entry: &&Entry| entry.path() == "/api/v2/auth/oauth/token";
    server.journal().entries().iter().filter(is_of_a_code).count()
}
