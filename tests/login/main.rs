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

use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::testing::{FakeTeamUp, login as fake};
use tower_teamup_auth::{Credentials, RequestMode, TokenSet};

use crate::browser::Browser;
use crate::flow::{Application, Login};

const NEXT: &str = "cargo run --example events # & <then>?";

async fn begin(server: &FakeTeamUp) -> Login {
    let application = Application {
        base_url: server.base_url(),
        client_id: fake::CLIENT_ID.to_owned(),
        client_secret: None,
        provider_id: Some(54664),
    };
    Login::begin(application, 0).await.unwrap()
}

/// What the login handed to be kept.
type Kept = Arc<Mutex<Option<TokenSet>>>;

/// Waits for the person beside the test, which plays it.
fn finish(login: Login, kept: &Kept) -> tokio::task::JoinHandle<anyhow::Result<String>> {
    let kept = Arc::clone(kept);
    tokio::spawn(login.finish(async move |tokens: TokenSet| {
        *kept.lock().unwrap() = Some(tokens);
        Ok(NEXT.to_owned())
    }))
}

#[tokio::test]
async fn person_who_approves_lands_on_the_page_that_says_it_worked_and_the_tokens_do() {
    let server = FakeTeamUp::builder().require_provider(54664).start().await;
    let login = begin(&server).await;
    let url = login.url().to_string();
    let kept = Kept::default();
    let finished = finish(login, &kept);

    let browser = Browser::start().await;
    browser.open(&url).await;
    let text = browser.text().await;
    for asked in [fake::CLIENT_ID, fake::USERNAME, "read_write", "provider:54664", "127.0.0.1"] {
        assert!(text.contains(asked), "{asked} in {text}");
    }
    browser.click("#approve").await;
    let text = browser.text_with("h1", "It worked: you are logged in").await;
    assert!(text.contains("keeps them in a file. You can close this window."), "{text}");
    // As it stands, though it holds what HTML gives a meaning to.
    assert!(text.contains(NEXT), "{text}");
    assert_eq!(finished.await.unwrap().unwrap(), NEXT);
    browser.close().await;

    let tokens = kept.lock().unwrap().take().unwrap();
    let http_client: HyperClient = hyper_client();
    let credentials = Credentials::builder(RequestMode::Provider)
        .base_url(server.base_url())
        .tokens(tokens)
        .refresh_over(http_client)
        .build()
        .await
        .unwrap();
    credentials.refresh_now(RequestMode::Provider).await.unwrap();
    assert_eq!(server.journal().rotations(), 1);
}

#[tokio::test]
async fn person_who_denies_reads_that_nothing_was_stored() {
    let server = FakeTeamUp::start().await;
    let login = begin(&server).await;
    let url = login.url().to_string();
    let kept = Kept::default();
    let finished = finish(login, &kept);

    let browser = Browser::start().await;
    browser.open(&url).await;
    browser.click("#deny").await;
    let text = browser.text_with("h1", "You said no").await;
    assert!(text.contains("has stored nothing"), "{text}");
    assert!(text.contains("start the program again"), "{text}");
    browser.close().await;

    let error = finished.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("did not approve"), "{error}");
    assert!(kept.lock().unwrap().is_none());
}

#[tokio::test]
async fn answer_with_another_state_is_told_to_the_person_and_its_code_is_not_used() {
    let server = FakeTeamUp::start().await;
    server.answer_with_wrong_state(true);
    let login = begin(&server).await;
    let (url, token_path) = (login.url().to_string(), "/api/v2/auth/oauth/token");
    let kept = Kept::default();
    let finished = finish(login, &kept);

    let browser = Browser::start().await;
    browser.open(&url).await;
    browser.click("#approve").await;
    let text = browser.text_with("h1", "This is not the login that was started").await;
    assert!(text.contains("Its code was not used and nothing was stored."), "{text}");
    assert!(text.contains("open only the address that it prints"), "{text}");
    browser.close().await;

    let error = finished.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("`state` is not ours"), "{error}");
    assert!(kept.lock().unwrap().is_none());
    assert!(server.journal().entries().iter().all(|entry| entry.path() != token_path));
}

#[tokio::test]
async fn page_that_is_opened_again_after_the_login_worked_spends_nothing() {
    let server = FakeTeamUp::start().await;
    let login = begin(&server).await;
    let url = login.url().to_string();
    let kept = Kept::default();
    let finished = finish(login, &kept);

    let browser = Browser::start().await;
    browser.open(&url).await;
    browser.click("#approve").await;
    browser.text_with("h1", "It worked").await;
    finished.await.unwrap().unwrap();
    // The way back is closed, so a code in the browser's history leads nowhere.
    let callback = browser.url().await;
    assert!(callback.contains("/callback?code="), "{callback}");
    assert!(browser.try_open(&callback).await.is_err());
    browser.close().await;
    let exchanges = server.journal();
    let of_code = |path: &str| exchanges.entries().iter().filter(|e| e.path() == path).count();
    assert_eq!(of_code("/api/v2/auth/oauth/token"), 1);
}
